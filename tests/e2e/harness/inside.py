"""Runs in a pod of the project's image, with no more than is in it: prints as JSON what holds there."""

from __future__ import annotations

import errno
import importlib
import json
import os
import pkgutil
import subprocess
import time
from pathlib import Path

IDENTITY = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
CONFIG = """
sources: [{name: shop, url: URL, ref: {branch: main}}]
apps: [{name: my-app, namespace: default, source: shop, path: ., values: {image: example.com/my-app}}]
"""


def run(*command: str, **environment: str) -> dict[str, object]:
    """How a program ended, and the end of what it said."""
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)
    return {"status": done.returncode, "told": (done.stdout + done.stderr)[-2000:]}


def refused(path: str) -> str:
    """Why nothing can be written there, by the name of the error; '' if it can."""
    try:
        Path(path, "written").touch()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def repository() -> Path:
    """One commit of an app."""
    folder = Path("/tmp/repository")
    run("git", "init", "--quiet", "--initial-branch=main", str(folder))
    (folder / "version").write_text("v1.0.0\n")
    run("git", "-C", str(folder), "add", "--all")
    run("git", "-C", str(folder), *IDENTITY, "commit", "--quiet", "--message=First")
    return folder


def validated(url: str) -> dict[str, object]:
    """What `reconciler validate` says, which fetches the repository first."""
    config = Path("/tmp/reconciler.yaml")
    config.write_text(CONFIG.replace("URL", url))
    return run("reconciler", "validate", "--config", str(config))


def signatures() -> dict[str, object]:
    """Keys are made, and sign, with both programs."""
    home = Path("/tmp/gnupg")
    home.mkdir(mode=0o700)
    message = Path("/tmp/message")
    message.write_text("said")
    gpg = ("gpg", "--homedir", str(home), "--batch", "--pinentry-mode=loopback", "--passphrase=")
    return {
        "gpg key": run(*gpg, "--quick-generate-key", "somebody@example.com", "ed25519"),
        "gpg signs": run(*gpg, "--output", "/tmp/message.sig", "--detach-sign", str(message)),
        "gpg confirms": run(*gpg, "--verify", "/tmp/message.sig", str(message)),
        "gpg ends": run("gpgconf", "--kill", "all", GNUPGHOME=str(home)),
        "ssh key": run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/key"),
        "ssh signs": run("ssh-keygen", "-q", "-Y", "sign", "-f", "/tmp/key", "-n", "git", str(message)),
    }


def modules() -> dict[str, str]:
    """The modules of the program that cannot be imported, and why."""
    failed = {}
    for each in pkgutil.walk_packages(importlib.import_module("reconciler").__path__, "reconciler."):
        if not each.name.endswith("__main__"):
            try:
                importlib.import_module(each.name)
            except ImportError as error:
                failed[each.name] = str(error)
    return failed


def orphans() -> list[str]:
    """What is left of processes whose parent ended before them, as git does that is killed at its time limit."""
    with subprocess.Popen(["sh", "-c", "(exit 0) & (exit 0) & exec /nonexistent"], stderr=subprocess.DEVNULL):
        pass
    deadline = time.monotonic() + 30
    while (dead := zombies()) and time.monotonic() < deadline:
        os.sched_yield()
    return dead


def zombies() -> list[str]:
    """Names of processes that ended and whose parent does not ask after them."""
    dead = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
        except OSError:
            continue  # gone meanwhile
        if rest.split()[0] == "Z":
            dead.append(name)
    return dead


def main() -> None:
    """Prints all of it."""
    folder = repository()
    apprise = importlib.import_module("apprise")
    print(
        json.dumps(
            {
                "user": [os.getuid(), os.getgid()],
                "refused": {path: refused(path) for path in ("/", "/usr/bin", "/opt/reconciler", "/etc")},
                "writable": {path: refused(path) for path in ("/tmp", os.environ["HOME"])},
                "help": run("reconciler", "--help"),
                "by path": validated(str(folder)),
                "by file": validated(f"file://{folder}"),
                "ssh": run("git", "ls-remote", "ssh://git@127.0.0.1:1/shop.git"),
                "https": run("git", "ls-remote", "https://127.0.0.1:1/shop.git"),
                "signatures": signatures(),
                "not importable": modules(),
                "services": len(apprise.Apprise().details()["schemas"]),
                "orphans": orphans(),
                "authorities": len(importlib.import_module("ssl").create_default_context().get_ca_certs()),
            }
        )
    )


main()

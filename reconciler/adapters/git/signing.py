"""The key that the daemon signs its own commits with: read from a mounted file at every use, and of a kind that its
content tells. Blocking; on the network thread.

It is copied into a private folder that is gone afterwards, as ssh-keygen refuses a key that others may read, which a
mounted Secret often is, and gpg takes keys from a home only. What fails here fails before anything is pushed.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.adapters.git.process import GitFailed, GitTimedOut, Runner
from reconciler.errors import Blocked

UNPUSHED = "Nothing was pushed"
_LIMIT = 1 << 20
_SSH = re.compile(rb"-----BEGIN ((OPENSSH|RSA|EC|DSA|ENCRYPTED) )?PRIVATE KEY-----")
_OPENPGP = b"-----BEGIN PGP PRIVATE KEY BLOCK-----"
_PUBLIC = re.compile(rb"^\s*((ssh|ecdsa|sk)-|-----BEGIN PGP PUBLIC)")
_MAGIC = b"openssh-key-v1\0"
_IMPORTED = re.compile(r"^\[GNUPG:\] IMPORT_OK \d+ ([0-9A-F]{40,64})$", re.MULTILINE)
_GPG_CONF = "batch\nno-tty\nno-auto-key-retrieve\ndisable-dirmngr\ntrust-model always\npinentry-mode loopback\n"
_AGENT_CONF = "extra-socket none\nbrowser-socket none\nallow-loopback-pinentry\nno-allow-external-cache\n"
_SOCKET = "S.gpg-agent"
_LONGEST_SOCKET = 100
"""Bytes of a socket's path that every kernel takes (unix(7) has 108)."""
_PASSPHRASE = (
    "has a passphrase, which nobody could type",
    "Give a key without one, readable for the daemon's user alone",
)


@dataclass(frozen=True, slots=True)
class Signing:
    """How git comes to sign: options before its command, those of `commit-tree`, and more of the environment."""

    options: tuple[str, ...] = ()
    sign: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def signing(key: Path | None, folder: Path, git: Runner, deadline: float) -> Iterator[Signing]:
    """How to sign with the key in the file `key`, for as long as the `with` lasts; None: commits are not signed.

    `folder` is private and goes afterwards. Raises Blocked if the key cannot be used, and as `Runner.run`.
    """
    if key is None:
        yield Signing()
        return
    content = _read(key)
    if _SSH.search(content):
        yield _by_ssh(key, content, folder)
    elif _OPENPGP in content:
        with _by_gpg(key, content, folder, git, deadline) as made:
            yield made
    elif _PUBLIC.match(content):
        raise blocked(key, "is a public key", "Give the private one")
    else:
        raise blocked(key, "holds neither an SSH key nor an armoured OpenPGP key", "Give a private key of either kind")


def blocked(key: Path, what: str, todo: str) -> Blocked:
    """The error for a key that is of no use. Its content is not quoted."""
    return Blocked(f"the signing key {what}", where=str(key), untouched=UNPUSHED, todo=todo)


def _read(key: Path) -> bytes:
    try:
        with key.open("rb") as file:
            content = file.read(_LIMIT + 1)
    except OSError as error:
        why = f"cannot be read: {(error.strerror or type(error).__name__).lower()}"
        raise blocked(key, why, "Put the file there, and let the daemon's user read it") from None
    if len(content) > _LIMIT:
        raise blocked(key, f"has more than {_LIMIT >> 20} MiB", "Keep only the key there")
    return content


def _by_ssh(key: Path, content: bytes, folder: Path) -> Signing:
    _require("ssh-keygen", "openssh-client", key)
    if _is_encrypted(content):
        raise blocked(key, *_PASSPHRASE)
    copy = folder / "key"
    # Without a newline at its end OpenSSH takes a key for damaged.
    write_private(copy, content if content.endswith(b"\n") else content + b"\n")
    options = ("-c", "gpg.format=ssh", "-c", "gpg.ssh.program=ssh-keygen", "-c", f"user.signingKey={copy}")
    return Signing(options, ("-S",), _home(folder))


@contextmanager
def _by_gpg(key: Path, content: bytes, folder: Path, git: Runner, deadline: float) -> Iterator[Signing]:
    _require("gpg", "gnupg", key)
    with _gpg_home(folder) as home:
        write_private(home / "gpg.conf", _GPG_CONF.encode())
        write_private(home / "gpg-agent.conf", _AGENT_CONF.encode())
        write_private(home / "key.asc", content)
        env = {**_home(folder), "GNUPGHOME": str(home)}
        try:
            who = _imported(key, home, env, git, deadline)
            _try_out(key, who, home, env, git, deadline)
            options = ("-c", "gpg.format=openpgp", "-c", "gpg.program=gpg", "-c", "gpg.openpgp.program=gpg")
            yield Signing(options, (f"-S{who}",), env)
        finally:
            # gpg has started it for the secret key. It would end by itself once it misses its home.
            with suppress(GitFailed, GitTimedOut):
                git.run("--kill", "all", program="gpgconf", cwd=home, deadline=deadline, env=env)


@contextmanager
def _gpg_home(folder: Path) -> Iterator[Path]:
    """A folder for gpg; in the system's place for such if the agent's socket would have too long a name otherwise."""
    home = folder / "gpg"
    if len(os.fsencode(home / _SOCKET)) > _LONGEST_SOCKET:
        home = Path(tempfile.mkdtemp(prefix="push-"))
    home.mkdir(mode=0o700, exist_ok=True)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _imported(key: Path, home: Path, env: Mapping[str, str], git: Runner, deadline: float) -> str:
    """The fingerprint of the one key in `key.asc`, which is in the keyring then."""
    command = ("--status-fd", "1", "--import", "--", str(home / "key.asc"))
    try:
        told = git.run(*command, program="gpg", cwd=home, deadline=deadline, env=env).decode(errors="replace")
    except GitFailed:
        told = ""
    found = set(_IMPORTED.findall(told))
    if len(found) != 1:
        how_many = "holds several keys" if found else "is damaged: gpg finds no key in it"
        raise blocked(key, how_many, "Give `gpg --armor --export-secret-keys KEY` of one key")
    return str(found.pop())


def _try_out(key: Path, who: str, home: Path, env: Mapping[str, str], git: Runner, deadline: float) -> None:
    """Signs something: of a signature that fails inside of git nobody would learn why."""
    command = ("--status-fd", "2", "--local-user", who, "--output", str(home / "tried"), "--detach-sign", "gpg.conf")
    try:
        git.run(*command, program="gpg", cwd=home, deadline=deadline, env=env)
    except GitFailed as failure:
        if b"NEED_PASSPHRASE" in failure.stderr:
            raise blocked(key, *_PASSPHRASE) from None
        raise blocked(key, "does not sign: it has expired, or is for other things", "Give one that signs") from None


def _is_encrypted(content: bytes) -> bool:
    """Whether an SSH key has a passphrase: PEM says so, OpenSSH's format names a cipher (its PROTOCOL.key)."""
    if b"ENCRYPTED" in content:
        return True
    body = b"".join(line for line in content.split(b"\n") if not line.startswith(b"-----"))
    try:
        blob = base64.b64decode(body)
    except binascii.Error:
        return False
    cipher = blob[len(_MAGIC) + 4 : len(_MAGIC) + 8]
    return blob.startswith(_MAGIC) and cipher != b"none"


def _home(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "TMPDIR": str(folder)}


def _require(program: str, package: str, key: Path) -> None:
    if not shutil.which(program):
        raise blocked(key, f"cannot be used: {program} is not installed", f"Install {package}")


def write_private(path: Path, content: bytes) -> None:
    """A new file that nobody else can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)

"""Commits signed by real keys: of ssh-keygen, and of gpg with a home of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.git import git

EMAIL = "dev@example.com"
HOSTILE = "\x1b[31mEvil\x1b[0m Admin"
"""The author of every commit here; nobody should ever see it."""

_WHO = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
        (("NAME", HOSTILE), ("EMAIL", EMAIL))}  # fmt: skip


def run(*command: str, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> str:
    """The stdout of a command that must succeed."""
    done = subprocess.run(command, env={**os.environ, **(env or {})}, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout.decode().strip()


@dataclass(frozen=True, slots=True)
class Signature:
    """How git comes to sign: options, the key, and the environment."""

    key: str
    options: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


class SshKey:
    """A key pair in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.path))
        self.public = self.path.with_suffix(".pub").read_text().strip()
        self.signature = Signature(str(self.path), ("-c", "gpg.format=ssh"))

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen shows it."""
        return run("ssh-keygen", "-lf", str(self.path.with_suffix(".pub"))).split()[1]

    def line(self, options: str = "", principal: str = EMAIL) -> str:
        """The line of an allowed-signers file that allows this key."""
        return f"{principal} {options} {self.public}\n".replace("  ", " ")


class GpgHome:
    """Secret keys of gpg. Its folder has a short name, as the agent's socket is in it; `close` ends the agent."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gpg-"))
        self.env = {"GNUPGHOME": str(self.folder)}

    def close(self) -> None:
        """Ends the agent and removes the keys."""
        run("gpgconf", "--kill", "gpg-agent", env=self.env)
        shutil.rmtree(self.folder, ignore_errors=True)  # the agent removes its sockets at the same time

    def key(self, name: str, at: str = "", lasts: str = "0") -> Signature:
        """A new key, made and used at the moment `at`, of which it `lasts` a time (`1y`)."""
        clock = ("--faked-system-time", f"{at}!") if at else ()
        generate = ("--batch", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", lasts)
        listed = (*clock, "--with-colons", "--list-keys", f"={name}")
        self._gpg(*clock, *generate)
        lines = self._gpg(*listed).splitlines()
        fingerprint = next(line for line in lines if line.startswith("fpr:")).split(":")[9]
        program = self.folder / f"{fingerprint}.sh"
        program.write_text(f'#!/bin/sh\nexec gpg {" ".join(clock)} "$@"\n')
        program.chmod(0o700)
        return Signature(fingerprint, ("-c", "gpg.format=openpgp", "-c", f"gpg.program={program}"), self.env)

    def public(self, *keys: Signature) -> str:
        """The armoured public keys."""
        return self._gpg("--armor", "--export", *(key.key for key in keys)) + "\n"

    def revoke(self, key: Signature) -> None:
        """By the certificate that gpg made beside the key; it is kept from use by a colon."""
        certificate = (self.folder / "openpgp-revocs.d" / f"{key.key}.rev").read_text()
        self._gpg("--batch", "--import", stdin=certificate.replace(":-----", "-----").encode())

    def _gpg(self, *arguments: str, stdin: bytes = b"") -> str:
        return run("gpg", "--quiet", *arguments, env=self.env, stdin=stdin)


class SignedOrigin:
    """A bare repository whose commits are made one by one, each on the parents that are named."""

    def __init__(self, path: Path) -> None:
        self.path = path
        git("init", "--quiet", "--bare", "--initial-branch=main", str(path), cwd=path.parent)
        self._made = 0

    def make(
        self, signature: Signature | None, *parents: str, content: str = "", env: Mapping[str, str] | None = None
    ) -> str:
        """A commit that no branch points to; its file `version` is `content`, or its running number."""
        self._made += 1
        text = (content or f"v{self._made}").encode()
        blob = git("hash-object", "-w", "--stdin", cwd=self.path, stdin=text)
        tree = git("mktree", cwd=self.path, stdin=f"100644 blob {blob}\tversion\n".encode())
        sign = [f"-S{signature.key}"] if signature else []
        options = signature.options if signature else ()
        built_on = [part for parent in parents for part in ("-p", parent)]
        command = ["git", *options, "commit-tree", *sign, *built_on, "-m", f"Commit {self._made}", tree]
        over = {"GIT_DIR": str(self.path), "GIT_CONFIG_GLOBAL": os.devnull, **_WHO}
        return run(*command, env={**over, **(signature.env if signature else {}), **(env or {})})

    def push(self, signature: Signature | None, *parents: str) -> str:
        """A commit that main points to: on `parents`, or where there are none on main's tip."""
        tip = git("for-each-ref", "--format=%(objectname)", "refs/heads/main", cwd=self.path)
        commit = self.make(signature, *(parents or ([tip] if tip else [])))
        self.point(commit)
        return commit

    def point(self, commit: str) -> None:
        """Moves main, by force."""
        git("update-ref", "refs/heads/main", commit, cwd=self.path)

    def tamper(self, commit: str, more: str = " which nobody signed") -> str:
        """The same commit with a longer message, under the same signature; main points to it."""
        content = git("cat-file", "commit", commit, cwd=self.path) + more + "\n"
        forged = git("hash-object", "-w", "-t", "commit", "--stdin", cwd=self.path, stdin=content.encode())
        self.point(forged)
        return forged

"""Both sides of a repository that the daemon pushes to, in memory and real, and how a test opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from reconciler.adapters.git import (
    GitRepository,
    Mirrors,
    keys_of_folder,
)
from reconciler.core.gitref import GitRef
from reconciler.core.revert import Release, Revert
from reconciler.errors import ReconcilerError, Transient
from reconciler.ports import Repository
from tests.fakes.git import FakeRepository, Files, GitOrigin, git
from tests.servers import Authority, HttpsServer, SshServer, missing

SOON = 20.0
TOKEN = "t0ken-of-the-shop"
VERSION = "apps/shop/version"
GOOD = b"# what is out\nversion: v1.0.0\nvalues: {replicas: 3}   # three will do\n"
BAD = b"version: v2.0.0\nvalues: {replicas: 5}\n"
FILES: Files = {VERSION: BAD, "apps/shop/templates/x.yaml": b"x", "apps/other/version": b"v7", "README": b"hello"}


class Side(Protocol):
    """The other side of a repository: what people push to it, and what it does with pushes."""

    def commit(self, files: Files, *, unrelated: bool = ...) -> str: ...
    def tip_now(self) -> str: ...
    def content(self, commit: str, path: str) -> bytes: ...
    def log(self) -> list[str]: ...
    def told(self, commit: str) -> str: ...
    def refuse(self, reason: str) -> None: ...
    def land_in_between(self, files: Files) -> None: ...
    def vanish(self) -> None: ...
    def heal(self) -> None: ...


class FakeSide(FakeRepository):
    """The fake seen from the other side."""

    def tip_now(self) -> str:
        return self.branches[self.branch]

    def content(self, commit: str, path: str) -> bytes:
        found = self.commits[commit][path]
        assert isinstance(found, bytes)
        return found

    def log(self) -> list[str]:
        found, at = [], self.branches.get(self.branch)
        while at:
            found.append(at)
            at = self.parents[at]
        return found

    def told(self, commit: str) -> str:
        return self.messages[commit]

    def refuse(self, reason: str) -> None:
        self.refusing = reason

    def land_in_between(self, files: Files) -> None:
        def land() -> None:
            self.before_push = lambda: None
            self.commit(files)

        self.before_push = land

    def vanish(self) -> None:
        self.fail_with(Transient("unreachable", where=str(self._place()), untouched="-", todo="-"))


# A push holds back the environment of a hook from other gits, see githooks(5) and "Quarantine Environment" in
# git-receive-pack(1): a hook that stands for somebody else drops it.
_HOOK = '#!/bin/sh\nunset $(git rev-parse --local-env-vars) GIT_QUARANTINE_PATH\ncd "{path}"\nrm hooks/pre-receive\n'


class RealSide(GitOrigin):
    """A bare repository with hooks."""

    def tip_now(self) -> str:
        return self.tip()

    def content(self, commit: str, path: str) -> bytes:
        return git("cat-file", "blob", f"{commit}:{path}", cwd=self.path).encode() + b"\n"

    def log(self) -> list[str]:
        return git("rev-list", f"refs/heads/{self.branch}", cwd=self.path).split()

    def told(self, commit: str) -> str:
        return git("log", "-1", "--format=%B", commit, cwd=self.path) + "\n"

    def refuse(self, reason: str) -> None:
        self.hook(f"#!/bin/sh\necho '{reason}' >&2\nexit 1\n")

    def hook(self, script: str) -> None:
        path = self.path / "hooks/pre-receive"
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def land_in_between(self, files: Files) -> None:
        before = self.tip()
        human = self.commit(files, unrelated=False)
        self.reset(before)
        self.hook(_HOOK.format(path=self.path) + f"git update-ref refs/heads/{self.branch} {human}\n")


def asked(onto: str, **other: object) -> Revert:
    revert = Revert(
        "shop",
        "web",
        VERSION,
        onto,
        GOOD,
        Release("v2.0.0", "bad0000000"),
        Release("v1.0.0", "good000000"),
        "20 % of requests failed",
        ("errors 0.2, at most 0.01",),
    )
    return replace(revert, **other)  # type: ignore[arg-type]


class Bench:
    """A side, and how to look at it."""

    def __init__(self, side: Side, make: Callable[[], Repository]) -> None:
        self.side = side
        self._make = make
        self.opened: list[Repository] = []
        self.repository = self.open()

    def open(self) -> Repository:
        self.opened.append(self._make())
        return self.opened[-1]


class Real:
    """Opens a real repository in several ways, with a data directory of each daemon's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[GitRepository] = []

    def open(self, url: str, ref: GitRef | str = "main", timeout: float = SOON, **more: object) -> GitRepository:
        data = self.folder / f"data dir {len(self.opened)}"
        keys = {} if url.startswith(("/", "file:")) else {"keys": keys_of_folder(self.folder / "credentials", url)}
        made = GitRepository(url, ref, Mirrors(data), timeout=timeout, **keys, **more)  # type: ignore[arg-type]
        self.opened.append(made)
        return made

    def over_https(self, server: HttpsServer, authority: Authority) -> str:
        self._write(**{"bearerToken": TOKEN.encode(), "ca.crt": authority.ca.read_bytes()})
        return server.url("shop.git")

    def over_ssh(self, server: SshServer, origin: RealSide) -> str:
        self._write(identity=server.identity, known_hosts=server.known_hosts)
        return server.url(origin.path)

    def _write(self, **files: bytes) -> None:
        (self.folder / "credentials").mkdir(exist_ok=True)
        for name, content in files.items():
            (self.folder / "credentials" / name).write_bytes(content)

    def left(self) -> list[Path]:
        return [path for kind in ("auth-*", "push-*", "new-*") for path in self.folder.glob(f"data dir*/**/{kind}")]


async def bad_release(bench: Bench, files: Files = FILES) -> str:
    """A good commit and a bad one on top of it; the bad one's id."""
    bench.side.commit({**files, VERSION: GOOD})
    bad = bench.side.commit({**files, VERSION: BAD}, unrelated=False)
    assert await bench.repository.tip() == bad
    return bad


async def refused(repository: Repository, revert: Revert) -> ReconcilerError:
    """What a revert fails with: told in full, and without a secret."""
    with pytest.raises(ReconcilerError) as caught:
        await repository.revert(revert)
    error = caught.value
    assert error.where and error.untouched and error.todo
    assert TOKEN not in f"{error}{error.args}"
    return error


needs_servers = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")

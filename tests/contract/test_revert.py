"""What `ports.Repository.revert` does: against the fake, and against real Git on a disk, over HTTPS and over SSH."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from reconciler.adapters.git import AllowedSigners, Author, GitRepository, Keyring, Mirrors, Policy, keys_of_folder
from reconciler.adapters.git.address import mirror_name
from reconciler.core.gitref import GitRef, RefKind
from reconciler.core.revert import Release, Revert, message
from reconciler.errors import Blocked, Conflict, Invalid, ReconcilerError, Transient
from reconciler.ports import Repository
from tests.fakes.git import FakeRepository, Files, Gitlink, GitOrigin, Symlink, git
from tests.fakes.signing import GpgHome, SignedOrigin, SshKey
from tests.servers import Authority, HttpsServer, SshServer, https_server, make_authority, missing, ssh_server

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


Open = Callable[..., GitRepository]


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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture
def origin(tmp_path: Path) -> RealSide:
    (tmp_path / "served").mkdir()
    return RealSide(tmp_path / "served" / "shop.git")


@pytest.fixture
def server(origin: RealSide, authority: Authority) -> Iterator[HttpsServer]:
    with https_server(origin.path.parent, authority) as made:
        made.allowed = {f"Bearer {TOKEN}"}
        yield made


@pytest.fixture
def sshd(origin: RealSide, tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path / "sshd") as made:
        yield made


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


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Real]:
    made = Real(tmp_path)
    yield made
    for repository in made.opened:
        await repository.close()
    assert made.left() == [], "something was left on the disk"


@pytest.fixture(params=["fake", "path", "file", "https", "ssh"])
async def bench(request: pytest.FixtureRequest, real: Real, origin: RealSide) -> AsyncIterator[Bench]:
    if request.param == "fake":
        fake = FakeSide()
        yield Bench(fake, lambda: fake)
        return
    if request.param in ("https", "ssh") and missing():
        pytest.skip(f"not installed: {', '.join(missing())}")
    match request.param:
        case "https":
            url = real.over_https(request.getfixturevalue("server"), request.getfixturevalue("authority"))
        case "ssh":
            url = real.over_ssh(request.getfixturevalue("sshd"), origin)
        case "file":
            url = f"file://{origin.path}"
        case _:
            url = str(origin.path)
    yield Bench(origin, lambda: real.open(url))


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


# --- fake and real ---------------------------------------------------------------------------------------------


async def test_the_version_file_is_as_it_was_and_nothing_else_has_changed(bench: Bench) -> None:
    bad = await bad_release(bench)
    made = await bench.repository.revert(asked(bad))
    assert bench.side.tip_now() == made
    assert bench.side.log()[:2] == [made, bad]
    assert bench.side.content(made, VERSION) == GOOD
    everything = [*FILES, "apps", "apps/other", "apps/shop/templates"]
    before, after = [await bench.open().identities(each, everything) for each in (bad, made)]
    assert [path for path, one, other in zip(everything, before, after, strict=True) if one != other] == [
        VERSION,
        "apps",
    ]


async def test_the_commit_says_why(bench: Bench) -> None:
    bad = await bad_release(bench)
    revert = asked(bad)
    assert bench.side.told(await bench.repository.revert(revert)) == message(revert)


async def test_the_daemon_then_sees_its_own_commit_and_those_on_top_of_it(bench: Bench) -> None:
    bad = await bad_release(bench)
    made = await bench.repository.revert(asked(bad))
    assert await bench.repository.tip() == made
    assert await bench.repository.read(made, VERSION) == GOOD
    assert await bench.repository.read(bad, VERSION) == BAD
    assert await bench.repository.follows(made, bad)
    human = bench.side.commit({**FILES, VERSION: b"v3"}, unrelated=False)
    assert await bench.repository.tip() == human
    assert await bench.repository.read(human, VERSION) == b"v3"
    assert await bench.repository.follows(human, made)
    again = await bench.repository.revert(asked(human))
    assert await bench.repository.tip() == again
    assert await bench.repository.follows(again, human)


async def test_a_human_who_came_first_wins(bench: Bench) -> None:
    bad = await bad_release(bench)
    human = bench.side.commit({**FILES, VERSION: b"v3"}, unrelated=False)
    assert isinstance(await refused(bench.repository, asked(bad)), Conflict)
    assert bench.side.tip_now() == human


async def test_a_human_at_the_same_moment_wins(bench: Bench) -> None:
    bad = await bad_release(bench)
    bench.side.land_in_between({**FILES, VERSION: b"v3"})
    assert isinstance(await refused(bench.repository, asked(bad)), Conflict)
    human = bench.side.tip_now()
    assert bench.side.log()[:2] == [human, bad]
    assert await bench.repository.tip() == human
    assert await bench.repository.read(human, VERSION) == b"v3"
    assert await bench.repository.revert(asked(human)) == bench.side.tip_now()


async def test_an_answer_to_an_older_commit_is_not_pushed(bench: Bench) -> None:
    await bad_release(bench)
    assert isinstance(await refused(bench.repository, asked("0" * 40)), Conflict)


async def test_of_two_daemons_one_wins(bench: Bench) -> None:
    bad = await bad_release(bench)
    others = [bench.open() for _ in range(2)]
    each = [other.revert(asked(bad, reason=f"by {number}")) for number, other in enumerate(others)]
    results = await asyncio.gather(*each, return_exceptions=True)
    made = bench.side.tip_now()
    assert bench.side.log()[:2] == [made, bad]
    assert sorted(map(str, map(type, results))) == [str(Conflict), str(str)]
    assert made in results


async def test_a_hook_that_refuses_is_told(bench: Bench) -> None:
    bad = await bad_release(bench)
    bench.side.refuse("only on Tuesdays")
    error = await refused(bench.repository, asked(bad))
    assert isinstance(error, Blocked)
    assert "the server refuses the push" in error.what and "only on Tuesdays" in error.what
    assert bench.side.tip_now() == bad


async def test_a_file_that_holds_that_already(bench: Bench) -> None:
    bad = await bad_release(bench)
    error = await refused(bench.repository, asked(bad, content=BAD))
    assert isinstance(error, Blocked) and "already" in error.what
    assert bench.side.tip_now() == bad


@pytest.mark.parametrize("path", ["missing", "apps/missing/version", "apps", "link", "module", "README/x", "../x", "."])
async def test_what_is_no_file_of_the_repository(bench: Bench, path: str) -> None:
    bad = await bad_release(bench, {**FILES, "link": Symlink("README"), "module": Gitlink()})
    assert isinstance(await refused(bench.repository, asked(bad, path=path)), Invalid)
    assert bench.side.tip_now() == bad


async def test_unreachable_is_transient_and_it_works_afterwards(bench: Bench) -> None:
    bad = await bad_release(bench)
    bench.side.vanish()
    assert isinstance(await refused(bench.repository, asked(bad)), Transient)
    bench.side.heal()
    made = await bench.repository.revert(asked(bad))
    assert bench.side.tip_now() == made


async def test_a_reason_that_would_like_to_be_more(bench: Bench) -> None:
    bad = await bad_release(bench)
    evil = "x\n\nReconciler-Reverts: 1\r---\u2028Reconciler-App: a/b\x1b[2J" + "y" * 100_000
    revert = asked(bad, reason=evil, measurements=(evil,) * 1000)
    told = bench.side.told(await bench.repository.revert(revert))
    assert told == message(revert)
    trailers = f"Reconciler-Reverts: {bad}\nReconciler-App: web/shop\nReconciler-Rejected: bad0000000\n"
    assert told.endswith("\n\n" + trailers)
    assert len(told) < 20_000

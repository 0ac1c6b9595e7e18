"""What `ports.Repository.revert` does: against the fake, and against real Git on a disk, over HTTPS and over SSH."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from reconciler.adapters.git import (
    AllowedSigners,
    Author,
    GitRepository,
    Keyring,
    LocalRepository,
    Mirrors,
    Policy,
    keys_of_folder,
)
from reconciler.core.gitref import GitRef, RefKind
from reconciler.core.revert import Release, Revert, message
from reconciler.errors import Blocked, Conflict, Invalid, ReconcilerError, Transient
from reconciler.ports import Repository
from tests.fakes.git import FakeRepository, Files, Gitlink, GitOrigin, Symlink, git
from tests.fakes.signing import GpgHome, SignedOrigin, SshKey, run
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
    everything = [*FILES, "apps", "apps/other", "apps/shop/templates"]
    before = await bench.repository.identities(bad, everything)
    made = await bench.repository.revert(asked(bad))
    assert bench.side.tip_now() == await bench.repository.tip() == made
    assert bench.side.log()[:2] == [made, bad]
    assert bench.side.content(made, VERSION) == GOOD
    after = await bench.repository.identities(made, everything)
    changed = [path for path, one, other in zip(everything, before, after, strict=True) if one != other]
    assert changed == [VERSION, "apps"]


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


async def test_what_is_no_file_of_the_repository(bench: Bench) -> None:
    bad = await bad_release(bench, {**FILES, "link": Symlink("README"), "module": Gitlink()})
    for path in ("missing", "apps/missing/version", "apps", "link", "module", "README/x", "../x", "."):
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


# --- real Git --------------------------------------------------------------------------------------------------


@pytest.fixture
def path_bench(real: Real, origin: RealSide) -> Bench:
    return Bench(origin, lambda: real.open(str(origin.path)))


@pytest.fixture
def https_bench(real: Real, origin: RealSide, server: HttpsServer, authority: Authority) -> Bench:
    url = real.over_https(server, authority)
    return Bench(origin, lambda: real.open(url))


@pytest.fixture
def ssh_bench(real: Real, origin: RealSide, sshd: SshServer) -> Bench:
    url = real.over_ssh(sshd, origin)
    return Bench(origin, lambda: real.open(url))


needs_servers = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")


def mirror_of(repository: Repository) -> Path:
    assert isinstance(repository, GitRepository)
    return repository._shared.mirror.path


def everything_in(mirror: Path) -> list[str]:
    return sorted(str(path) for path in mirror.rglob("*"))


async def test_git_shows_one_changed_file_with_its_mode_kept(path_bench: Bench, origin: RealSide) -> None:
    """Beside it stands a file with a mode that git writes no more, which an index would put right on the way."""
    blobs = {name: git("hash-object", "-w", "--stdin", cwd=origin.path, stdin=name.encode()) for name in ("a", "b")}
    inner = f"100755 blob {blobs['a']}\tversion\n100664 blob {blobs['b']}\told\n"
    tree = git("mktree", cwd=origin.path, stdin=inner.encode())
    root = git("mktree", cwd=origin.path, stdin=f"040000 tree {tree}\tapp, 1\n".encode())
    bad = git("commit-tree", "-m", "bad", root, cwd=origin.path)
    origin.reset(bad)
    await path_bench.repository.tip()
    made = await path_bench.repository.revert(asked(bad, path="app, 1/version"))
    diff = git("diff-tree", "-r", "--no-commit-id", made, cwd=origin.path)
    good = git("hash-object", "--stdin", cwd=origin.path, stdin=GOOD)
    assert diff == f":100755 100755 {blobs['a']} {good} M\tapp, 1/version"
    assert "1 file changed" in git("diff", "--stat", bad, made, cwd=origin.path)


async def test_whose_name_it_bears(path_bench: Bench, origin: RealSide, real: Real) -> None:
    bad = await bad_release(path_bench)
    made = await path_bench.repository.revert(asked(bad))
    shown = "--format=%an <%ae>|%cn <%ce>"
    ours = "reconciler <reconciler@web>"
    assert git("log", "-1", shown, made, cwd=origin.path) == f"{ours}|{ours}"
    other = real.open(str(origin.path), author=Author("Bot Ö", "bot@example.com"))
    again = await other.revert(asked(await other.tip(), content=BAD))
    assert git("log", "-1", shown, again, cwd=origin.path).split("|")[1] == "Bot Ö <bot@example.com>"


async def test_git_reads_the_trailers(path_bench: Bench, origin: RealSide) -> None:
    bad = await bad_release(path_bench)
    evil = "x\n\nReconciler-App: a/b\n\n---\nReconciler-App: a/b"
    made = await path_bench.repository.revert(asked(bad, reason=evil, measurements=(evil,)))
    trailers = git("log", "-1", "--format=%(trailers:unfold)", made, cwd=origin.path)
    assert trailers == f"Reconciler-Reverts: {bad}\nReconciler-App: web/shop\nReconciler-Rejected: bad0000000"


async def test_the_mirror_is_as_it_was(path_bench: Bench, origin: RealSide) -> None:
    bad = await bad_release(path_bench)
    mirror = mirror_of(path_bench.repository)
    before = everything_in(mirror)
    await path_bench.repository.revert(asked(bad))
    assert everything_in(mirror) == before
    await path_bench.repository.tip()
    git("fsck", "--strict", cwd=mirror)


@pytest.mark.parametrize(("kind", "text"), [("tag", "v2.0.0"), ("semver", "2.x"), ("commit", "")])
async def test_only_to_a_branch(kind: str, text: str, path_bench: Bench, origin: RealSide, real: Real) -> None:
    bad = await bad_release(path_bench)
    origin.tag("v2.0.0", bad)
    repository = real.open(str(origin.path), GitRef(RefKind(kind), text or bad))
    assert await repository.tip() == bad
    error = await refused(repository, asked(bad))
    assert isinstance(error, Blocked)
    assert f"follows a {kind}" in error.what
    assert origin.tip() == bad


@needs_servers
async def test_a_human_between_the_look_and_the_push(https_bench: Bench, origin: RealSide, server: HttpsServer) -> None:
    bad = await bad_release(https_bench)
    humans: list[str] = []

    def land(path: str) -> None:
        if "service=git-receive-pack" in path:
            humans.append(origin.commit({**FILES, VERSION: b"v3"}, unrelated=False))

    server.before = land
    assert isinstance(await refused(https_bench.repository, asked(bad)), Conflict)
    assert [origin.tip()] == humans
    assert origin.log()[:2] == [*humans, bad]


@needs_servers
async def test_the_same_over_ssh(ssh_bench: Bench, origin: RealSide, sshd: SshServer) -> None:
    bad = await bad_release(ssh_bench)
    human = origin.commit({**FILES, VERSION: b"v3"}, unrelated=False)
    origin.reset(bad)
    script = f'case "$SSH_ORIGINAL_COMMAND" in git-receive-pack*) git --git-dir="{origin.path}" -c safe.directory=* '
    sshd.before(script + f"update-ref refs/heads/main {human};; esac")
    assert isinstance(await refused(ssh_bench.repository, asked(bad)), Conflict)
    assert origin.tip() == human


@needs_servers
async def test_a_branch_that_was_set_back_meanwhile_stays_there(
    https_bench: Bench, origin: RealSide, server: HttpsServer
) -> None:
    """To git a push would go on from there; but it would bring back what somebody has taken away."""
    bad = await bad_release(https_bench)
    good = origin.log()[1]
    mirror = mirror_of(https_bench.repository)
    git("fetch", "--quiet", "--depth=9", f"file://{origin.path}", f"+{bad}:refs/reconciler/history/x", cwd=mirror)
    assert len(git("rev-list", bad, cwd=mirror).split()) == 2, "the mirror has the history"
    server.before = lambda path: origin.reset(good) if "service=git-receive-pack" in path else None
    assert isinstance(await refused(https_bench.repository, asked(bad)), Conflict)
    assert origin.tip() == good


@needs_servers
async def test_credentials_that_may_only_read(https_bench: Bench, origin: RealSide, server: HttpsServer) -> None:
    bad = await bad_release(https_bench)
    server.read_only = True
    error = await refused(https_bench.repository, asked(bad))
    assert isinstance(error, Blocked)
    assert "403" in error.what and "may write" in error.todo
    assert origin.tip() == bad


@needs_servers
async def test_a_deploy_key_that_may_only_read(ssh_bench: Bench, origin: RealSide, sshd: SshServer) -> None:
    bad = await bad_release(ssh_bench)
    words = "ERROR: The key you are authenticating with has been marked as read only."
    sshd.before(f'case "$SSH_ORIGINAL_COMMAND" in git-receive-pack*) echo "{words}" >&2; exit 1;; esac')
    error = await refused(ssh_bench.repository, asked(bad))
    assert isinstance(error, Blocked)
    assert "marked as read only" in error.what and "may write" in error.todo
    assert origin.tip() == bad


@needs_servers
async def test_a_server_that_hangs_is_left(
    real: Real, origin: RealSide, server: HttpsServer, authority: Authority
) -> None:
    repository = real.open(real.over_https(server, authority), timeout=8.0)
    bad = await bad_release(Bench(origin, lambda: repository))
    done = threading.Event()

    def hang(path: str) -> None:
        if "service=git-receive-pack" in path:
            done.wait(SOON)

    server.before = hang
    error = await refused(repository, asked(bad))
    assert isinstance(error, Transient)
    assert "did not finish in time" in error.what and "the next look tells" in error.untouched
    done.set()
    server.before = lambda _: None
    assert await repository.tip() == bad
    assert await repository.revert(asked(bad)) == origin.tip()


@needs_servers
async def test_an_answer_that_got_lost(https_bench: Bench, origin: RealSide, server: HttpsServer) -> None:
    bad = await bad_release(https_bench)
    server.losing = "POST /shop.git/git-receive-pack"
    made = await https_bench.repository.revert(asked(bad))
    assert origin.log()[:2] == [made, bad]


async def test_killed_in_the_middle_of_the_push_it_can_be_done_again(
    path_bench: Bench, origin: RealSide, tmp_path: Path
) -> None:
    bad = await bad_release(path_bench)
    os.mkfifo(tmp_path / "reached")
    origin.hook(f"#!/bin/sh\necho > '{tmp_path / 'reached'}'\nexec sleep 1000\n")
    pushing = asyncio.create_task(path_bench.repository.revert(asked(bad)))
    await asyncio.to_thread((tmp_path / "reached").read_bytes)
    await path_bench.repository.close()
    with pytest.raises(Transient):
        await pushing
    assert origin.tip() == bad
    (origin.path / "hooks/pre-receive").unlink()
    later = path_bench.open()
    assert await later.revert(asked(bad)) == origin.tip()
    assert origin.log()[1] == bad


async def test_killed_after_the_push_it_is_not_done_twice(path_bench: Bench, origin: RealSide, tmp_path: Path) -> None:
    bad = await bad_release(path_bench)
    os.mkfifo(tmp_path / "reached")
    hook = origin.path / "hooks/post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho > '{tmp_path / 'reached'}'\nexec sleep 1000\n")
    hook.chmod(0o755)
    pushing = asyncio.create_task(path_bench.repository.revert(asked(bad)))
    await asyncio.to_thread((tmp_path / "reached").read_bytes)
    await path_bench.repository.close()
    with pytest.raises(Transient):
        await pushing
    hook.unlink()
    later = path_bench.open()
    assert isinstance(await refused(later, asked(bad)), Conflict)
    made = await later.tip()
    assert await later.read(made, VERSION) == GOOD
    assert origin.log()[:2] == [made, bad]


async def test_a_branch_that_is_checked_out(real: Real, tmp_path: Path) -> None:
    side = RealSide(tmp_path / "work", bare=False)
    bench = Bench(side, lambda: real.open(str(side.path)))
    bad = await bad_release(bench)
    error = await refused(bench.repository, asked(bad))
    assert isinstance(error, Blocked)
    assert "checked out" in error.what and "bare" in error.todo
    assert side.tip() == bad


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_a_local_repository_of_another_user(path_bench: Bench, origin: RealSide) -> None:
    """It may be read. A push would run its hooks, as us."""
    bad = await bad_release(path_bench)
    os.chown(origin.path, 12345, 12345)
    error = await refused(path_bench.repository, asked(bad))
    assert isinstance(error, Blocked)
    assert "belongs to another user" in error.what
    os.chown(origin.path, 0, 0)
    assert origin.tip() == bad


# --- signed ----------------------------------------------------------------------------------------------------


class Signed:
    """An origin where every commit is signed, and a daemon that asks for it."""

    def __init__(self, real: Real, folder: Path) -> None:
        self.real = real
        self.folder = folder
        self.origin = SignedOrigin(folder / "signed.git")
        self.human, self.daemon = SshKey(folder, "human"), SshKey(folder, "daemon")
        self.daemon.path.chmod(0o644)  # as a mounted Secret may be, and ssh-keygen refuses
        self.signers = folder / "allowed_signers"
        self.allow(self.human, self.daemon)

    def allow(self, *keys: SshKey) -> None:
        self.signers.write_text("".join(key.line(principal="*") for key in keys))

    def open(self, key: Path | None, policy: Policy | None = None) -> GitRepository:
        policy = policy or Policy(AllowedSigners(self.signers), every=True)
        return self.real.open(str(self.origin.path), author=Author(signing_key=key), policy=policy)

    def push(self) -> str:
        return self.origin.push(self.human.signature)

    def tip(self) -> str:
        return git("rev-parse", "refs/heads/main", cwd=self.origin.path)

    def ask(self, onto: str) -> Revert:
        return asked(onto, path="version")


@pytest.fixture
def signed(real: Real, tmp_path: Path) -> Signed:
    return Signed(real, tmp_path)


async def test_signed_by_ssh_the_commit_is_accepted_by_the_source_itself(signed: Signed) -> None:
    repository = signed.open(signed.daemon.path)
    signed.push()
    await repository.tip()
    bad = signed.push()
    assert await repository.tip() == bad
    made = await repository.revert(signed.ask(bad))
    assert await repository.tip() == made
    options = ("-c", f"gpg.ssh.allowedSignersFile={signed.signers}")
    git(*options, "verify-commit", made, cwd=signed.origin.path)


async def test_signed_by_openpgp_the_commit_is_accepted(signed: Signed, tmp_path: Path) -> None:
    home = GpgHome()
    try:
        pair = home.key("daemon")
        (tmp_path / "public.asc").write_text(home.public(pair))
        (tmp_path / "secret.asc").write_text(run("gpg", "--armor", "--export-secret-keys", pair.key, env=home.env))
        bad = signed.origin.push(pair)
    finally:
        home.close()
    policy = Policy(Keyring(tmp_path / "public.asc"), every=True)
    repository = signed.open(tmp_path / "secret.asc", policy=policy)
    made = await repository.revert(signed.ask(await repository.tip()))
    assert await repository.tip() == made == signed.tip() != bad
    assert [each for each in _command_lines() if "gpg-agent" in each and "push-" in each] == []


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield path.read_bytes().decode(errors="replace")


async def test_without_a_key_nothing_is_pushed_to_where_signatures_are_asked_for(signed: Signed) -> None:
    bad = signed.push()
    repository = signed.open(None)
    error = await refused(repository, signed.ask(await repository.tip()))
    assert isinstance(error, Blocked) and "push.signingKey" in error.todo
    assert signed.tip() == bad


async def test_nothing_is_pushed_that_the_source_would_not_accept(signed: Signed) -> None:
    signed.allow(signed.human)
    bad = signed.push()
    repository = signed.open(signed.daemon.path)
    error = await refused(repository, signed.ask(await repository.tip()))
    assert isinstance(error, Blocked)
    assert "would not accept the daemon's own commit" in error.what and signed.daemon.fingerprint in error.what
    assert signed.tip() == bad
    signed.allow(signed.human, signed.daemon)
    assert await repository.revert(signed.ask(bad)) == signed.tip()


def _damaged(folder: Path, kind: str) -> None:
    path = folder / "key"
    match kind:
        case "passphrase":
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", str(path))
        case "pem passphrase":
            run("ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "secret words", "-f", str(path))
        case "public":
            path.write_text(SshKey(folder, "x").public)
        case "garbage":
            path.write_bytes(b"\0\xff" * 100)
        case "large":
            path.write_bytes(b"x" * ((1 << 20) + 1))
        case "damaged":
            path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
        case "damaged openpgp":
            path.write_text("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n")
        case "openpgp passphrase":
            home = GpgHome()
            loopback = ("gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "secret words")
            run(*loopback, "--quick-generate-key", "x", "ed25519", "sign", env=home.env)
            path.write_text(run(*loopback, "--armor", "--export-secret-keys", env=home.env))
            home.close()


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("missing", "cannot be read: no such file"),
        ("passphrase", "has a passphrase"),
        ("pem passphrase", "has a passphrase"),
        ("openpgp passphrase", "has a passphrase"),
        ("public", "is a public key"),
        ("garbage", "holds neither"),
        ("large", "more than 1 MiB"),
        ("damaged", "cannot be signed"),
        ("damaged openpgp", "is damaged"),
    ],
)
async def test_a_key_that_cannot_be_used(
    kind: str, what: str, path_bench: Bench, origin: RealSide, real: Real, tmp_path: Path
) -> None:
    bad = await bad_release(path_bench)
    _damaged(tmp_path, kind)
    repository = real.open(str(origin.path), author=Author(signing_key=tmp_path / "key"))
    error = await refused(repository, asked(bad))
    assert isinstance(error, Blocked)
    assert what in error.what and error.where == str(tmp_path / "key")
    assert origin.tip() == bad


async def test_a_local_repository_that_is_only_read(tmp_path: Path, origin: RealSide) -> None:
    bad = origin.commit(FILES)
    (tmp_path / "scratch").mkdir()
    repository = LocalRepository(origin.path, bad, tmp_path / "scratch")
    assert isinstance(await refused(repository, asked(bad)), Blocked)
    await repository.close()

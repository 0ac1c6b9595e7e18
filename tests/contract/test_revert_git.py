"""Taking a release back in real Git: what exactly is written, who comes in between, and what breaks on the way."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from reconciler.adapters.git import (
    Author,
    GitRepository,
    LocalRepository,
)
from reconciler.core.gitref import GitRef, RefKind
from reconciler.errors import Blocked, Conflict, Transient
from reconciler.ports import Repository
from tests.fakes.git import git
from tests.fakes.reverting import (
    BAD,
    FILES,
    GOOD,
    SOON,
    TOKEN,
    VERSION,
    Bench,
    Real,
    RealSide,
    asked,
    bad_release,
    needs_servers,
    refused,
)
from tests.servers import Authority, HttpsServer, SshServer


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
async def test_a_branch_that_was_deleted_meanwhile_stays_so(
    https_bench: Bench, origin: RealSide, server: HttpsServer
) -> None:
    bad = await bad_release(https_bench)
    git("update-ref", "refs/heads/other", bad, cwd=origin.path)  # so that the server still has what it is built on
    server.before = lambda path: origin.delete_branch() if "service=git-receive-pack" in path else None
    error = await refused(https_bench.repository, asked(bad))
    assert isinstance(error, Conflict) and "gone" in error.what
    assert git("for-each-ref", "--format=%(refname)", cwd=origin.path) == "refs/heads/other"


@needs_servers
async def test_a_server_that_repeats_the_secret(https_bench: Bench, origin: RealSide) -> None:
    bad = await bad_release(https_bench)
    origin.refuse(f"you came with {TOKEN}")
    assert "you came with ***" in (await refused(https_bench.repository, asked(bad))).what


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


async def test_a_local_repository_that_is_only_read(tmp_path: Path, origin: RealSide) -> None:
    bad = origin.commit(FILES)
    (tmp_path / "scratch").mkdir()
    repository = LocalRepository(origin.path, bad, tmp_path / "scratch")
    assert isinstance(await refused(repository, asked(bad)), Blocked)
    await repository.close()

"""Changes on disk reach the loop at once, once, and only when they concern us."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.adapters.files import FileWatcher
from reconciler.core.gitref import GitRef, RefKind
from reconciler.errors import Transient
from tests.fakes.git import GitOrigin, git

SOON = 10.0
"""Seconds that an event is awaited for; reaching them fails the test."""


class Calls:
    """A callback that counts, and can be awaited."""

    def __init__(self) -> None:
        self.count = 0
        self.threads: set[int] = set()
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self.threads.add(threading.get_ident())
        self._event.set()

    async def next(self) -> None:
        await asyncio.wait_for(self._event.wait(), SOON)
        self._event.clear()


class Fence:
    """A watched file in each folder; once their changes have arrived, so has every change made before."""

    def __init__(self, watcher: FileWatcher, *folders: Path) -> None:
        self._paths = {folder / "fence": Calls() for folder in folders}
        for path, calls in self._paths.items():
            watcher.watch_file(path, calls)

    async def pass_by(self) -> None:
        for path, calls in self._paths.items():
            draft = path.with_name("fence.draft")
            draft.touch()
            draft.rename(path)
            await calls.next()


@pytest.fixture
async def watcher() -> AsyncIterator[FileWatcher]:
    watcher = FileWatcher()
    yield watcher
    watcher.close()


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def origin(tmp_path: Path) -> GitOrigin:
    origin = GitOrigin(tmp_path / "origin.git")
    origin.commit({"file": b"0"})
    return origin


# --- refs ------------------------------------------------------------------------------------------------------


async def test_a_commit_calls_once_and_on_the_loop(watcher: FileWatcher, origin: GitOrigin, calls: Calls) -> None:
    fence = Fence(watcher, origin.path, origin.path / "refs/heads")
    watcher.watch_refs(origin.path, "main", calls)
    origin.commit({"file": b"1"})
    await calls.next()
    await fence.pass_by()
    assert calls.count == 1
    assert calls.threads == {threading.get_ident()}


async def test_a_commit_in_a_work_tree(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    origin = GitOrigin(tmp_path / "x", bare=False)
    git("commit", "--quiet", "--allow-empty", "-m", "1", cwd=origin.path)
    watcher.watch_refs(origin.path / ".git", "main", calls)
    git("commit", "--quiet", "--allow-empty", "-m", "2", cwd=origin.path)
    await calls.next()


async def test_what_does_not_move_the_branch_is_ignored(watcher: FileWatcher, origin: GitOrigin, calls: Calls) -> None:
    fence = Fence(watcher, origin.path, origin.path / "refs/heads")
    watcher.watch_refs(origin.path, "main", calls)
    git("branch", "other", "main", cwd=origin.path)
    git("branch", "main2", "main", cwd=origin.path)
    git("tag", "main", cwd=origin.path)
    git("symbolic-ref", "HEAD", "refs/heads/other", cwd=origin.path)
    git("rev-parse", "main", cwd=origin.path)
    (origin.path / "refs/heads/main.lock").touch()
    await fence.pass_by()
    assert calls.count == 0


async def test_a_branch_in_a_new_folder(watcher: FileWatcher, origin: GitOrigin, calls: Calls) -> None:
    watcher.watch_refs(origin.path, "feature/deep/x", calls)
    git("branch", "feature/deep/x", "main", cwd=origin.path)
    await calls.next()


async def test_a_branch_in_a_folder_that_comes_and_goes(watcher: FileWatcher, origin: GitOrigin, calls: Calls) -> None:
    heads = origin.path / "refs/heads"
    git("branch", "feature/deep/x", "main", cwd=origin.path)
    watch = watcher.watch_refs(origin.path, "feature/deep/x", calls)
    for _ in range(2):
        shutil.rmtree(heads / "feature")
        await calls.next()
        git("branch", "feature/deep/x", "main", cwd=origin.path)
        while (heads / "feature/deep") not in watch._watches:
            await calls.next()
        fence = Fence(watcher, origin.path, heads, heads / "feature", heads / "feature/deep")
        await fence.pass_by()
        before = calls.count
        other = origin.commit({"file": b"1"})
        git("update-ref", "refs/heads/feature/deep/x", other, cwd=origin.path)
        await fence.pass_by()
        assert calls.count == before + 1
        git("update-ref", "refs/heads/main", "feature/deep/x", cwd=origin.path)
    assert watch.alive


async def test_a_shared_folder_made_anew_at_once(watcher: FileWatcher, origin: GitOrigin) -> None:
    heads, branches = origin.path / "refs/heads", ("feature/x", "feature/y")
    for branch in branches:
        git("branch", branch, "main", cwd=origin.path)
    both = {branch: Calls() for branch in branches}
    for branch, calls in both.items():
        watcher.watch_refs(origin.path, branch, calls)
    shutil.rmtree(heads / "feature")
    (heads / "feature").mkdir()
    fence = Fence(watcher, origin.path, heads)
    await fence.pass_by()
    for branch, calls in both.items():
        before = calls.count
        git("branch", branch, "main", cwd=origin.path)
        while calls.count == before:
            await calls.next()


async def test_a_packed_branch_is_deleted(watcher: FileWatcher, origin: GitOrigin, calls: Calls) -> None:
    git("pack-refs", "--all", "--prune", cwd=origin.path)
    watcher.watch_refs(origin.path, "main", calls)
    origin.delete_branch()
    await calls.next()


async def test_a_deleted_branch(watcher: FileWatcher, origin: GitOrigin, calls: Calls) -> None:
    watcher.watch_refs(origin.path, "main", calls)
    origin.delete_branch()
    await calls.next()


async def test_packing_and_a_commit_on_a_packed_branch(watcher: FileWatcher, origin: GitOrigin, calls: Calls) -> None:
    fence = Fence(watcher, origin.path, origin.path / "refs/heads")
    watcher.watch_refs(origin.path, "main", calls)
    git("pack-refs", "--all", "--prune", cwd=origin.path)
    await calls.next()
    await fence.pass_by()
    before = calls.count
    origin.commit({"file": b"1"})
    await fence.pass_by()
    assert calls.count == before + 1


async def test_reftable(watcher: FileWatcher, origin: GitOrigin, calls: Calls) -> None:
    # As `git init --ref-format=reftable` lays it out; the git at hand may be too old to make one.
    (origin.path / "reftable").mkdir()
    watcher.watch_refs(origin.path, "main", calls)
    (origin.path / "reftable/tables.list.lock").touch()
    (origin.path / "reftable/tables.list.lock").rename(origin.path / "reftable/tables.list")
    await calls.next()
    assert calls.count == 1


async def test_two_branches_of_one_repository_are_told_apart(watcher: FileWatcher, origin: GitOrigin) -> None:
    main, other = Calls(), Calls()
    first = watcher.watch_refs(origin.path, "main", main)
    watcher.watch_refs(origin.path, "other", other)
    git("branch", "other", "main", cwd=origin.path)
    await other.next()
    assert (main.count, other.count) == (0, 1)
    first.close()
    git("branch", "-D", "other", cwd=origin.path)
    await other.next()


async def test_a_repository_that_vanishes_calls_once_and_can_be_watched_again(
    watcher: FileWatcher, origin: GitOrigin, calls: Calls, tmp_path: Path
) -> None:
    watch = watcher.watch_refs(origin.path, "main", calls)
    other = watcher.watch_refs(origin.path, "other", Calls())
    shutil.rmtree(origin.path)
    while watch.alive or other.alive:
        await calls.next()
    again = GitOrigin(tmp_path / "origin.git")
    once_more = Calls()
    assert watcher.watch_refs(again.path, "main", once_more).alive
    again.commit({"file": b"1"})
    await once_more.next()


async def test_a_repository_that_is_not_there(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    with pytest.raises(Transient, match="cannot watch"):
        watcher.watch_refs(tmp_path / "nowhere", "main", calls)


# --- files -----------------------------------------------------------------------------------------------------


async def test_a_file_edited_in_place_calls_once(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a")
    fence = Fence(watcher, tmp_path)
    watcher.watch_file(path, calls)
    with path.open("w") as file:
        for part in range(5):
            file.write(str(part) * 10_000)
            file.flush()
    await calls.next()
    await fence.pass_by()
    assert calls.count == 1
    path.read_text()
    await fence.pass_by()
    assert calls.count == 1


@pytest.mark.parametrize("source", ["config.yaml.tmp", "elsewhere/config.yaml"])
async def test_a_file_replaced_by_rename(watcher: FileWatcher, tmp_path: Path, calls: Calls, source: str) -> None:
    folder = tmp_path / "folder"
    (folder / "elsewhere").mkdir(parents=True)
    path = folder / "config.yaml"
    path.write_text("a")
    (folder / source).write_text("b")
    fence = Fence(watcher, folder)
    watcher.watch_file(path, calls)
    (folder / source).rename(path)
    await calls.next()
    await fence.pass_by()
    assert calls.count == 1


async def test_a_file_that_appears_and_goes(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    path = tmp_path / "config.yaml"
    fence = Fence(watcher, tmp_path)
    watcher.watch_file(path, calls)
    with path.open("w") as file:
        await fence.pass_by()
        assert calls.count == 0, "an empty file that is still being written is not a change yet"
        file.write("a")
    await fence.pass_by()
    assert calls.count == 1
    path.unlink()
    await calls.next()


async def test_a_config_map_is_swapped(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    """kubelet's AtomicWriter: a new dated folder, then `..data_tmp` renamed to `..data`."""
    for name in ("..1", "..2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(name)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    fence = Fence(watcher, tmp_path)
    watch = watcher.watch_file(tmp_path / "config.yaml", calls)
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    await calls.next()
    assert (tmp_path / "config.yaml").read_text() == "..2"
    shutil.rmtree(tmp_path / "..1")
    await fence.pass_by()
    assert calls.count == 1
    assert watch.alive


async def test_a_link_to_a_file_elsewhere(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/real.yaml").write_text("1")
    (tmp_path / "a/config.yaml").symlink_to("../b/real.yaml")
    watcher.watch_file(tmp_path / "a/config.yaml", calls)
    (tmp_path / "b/real.yaml").write_text("2")
    await calls.next()


async def test_neighbours_are_ignored(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    fence = Fence(watcher, tmp_path)
    watcher.watch_file(tmp_path / "config.yaml", calls)
    (tmp_path / "config.yaml.bak").write_text("x")
    (tmp_path / ".config.yaml.swp").write_text("x")
    await fence.pass_by()
    assert calls.count == 0


async def test_nothing_comes_after_close(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    fence = Fence(watcher, tmp_path)
    path = tmp_path / "config.yaml"
    watch = watcher.watch_file(path, calls)
    path.write_text("a")
    watch.close()
    watch.close()
    await fence.pass_by()
    assert calls.count == 0
    assert not watch.alive


async def test_a_folder_that_vanishes(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "folder").mkdir()
    watch = watcher.watch_file(tmp_path / "folder/config.yaml", calls)
    (tmp_path / "folder").rmdir()
    await calls.next()
    assert not watch.alive


async def test_a_folder_that_is_not_there(watcher: FileWatcher, tmp_path: Path, calls: Calls) -> None:
    with pytest.raises(Transient, match="cannot watch"):
        watcher.watch_file(tmp_path / "nowhere/config.yaml", calls)


# --- tags ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("annotated", [False, True])
async def test_a_tag_that_is_made_moved_packed_and_deleted(
    annotated: bool, watcher: FileWatcher, origin: GitOrigin, calls: Calls
) -> None:
    watcher.watch_refs(origin.path, GitRef(RefKind.TAG, "v1"), calls)
    origin.tag("v1", annotated=annotated)
    await calls.next()
    origin.commit({"file": b"1"})
    origin.tag("v1", annotated=annotated)
    await calls.next()
    git("pack-refs", "--all", cwd=origin.path)
    await calls.next()
    git("tag", "-d", "v1", cwd=origin.path)
    await calls.next()


async def test_a_range_of_versions_concerns_every_tag_and_no_branch(
    watcher: FileWatcher, origin: GitOrigin, calls: Calls
) -> None:
    fence = Fence(watcher, origin.path, origin.path / "refs/heads")
    watcher.watch_refs(origin.path, GitRef(RefKind.SEMVER, "1.x"), calls)
    origin.commit({"file": b"1"})
    await fence.pass_by()
    assert calls.count == 0
    for tag in ("v1.0.0", "v1.1.0"):
        origin.tag(tag)
        await calls.next()


async def test_another_tag_is_ignored(watcher: FileWatcher, origin: GitOrigin, calls: Calls) -> None:
    fence = Fence(watcher, origin.path, origin.path / "refs/heads", origin.path / "refs/tags")
    watcher.watch_refs(origin.path, GitRef(RefKind.TAG, "v1"), calls)
    origin.tag("v2")
    git("branch", "v1", "main", cwd=origin.path)
    await fence.pass_by()
    assert calls.count == 0

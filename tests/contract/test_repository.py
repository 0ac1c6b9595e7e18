"""What every `ports.Repository` does, run against the fake and against real Git."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from reconciler.adapters.git import GitRepository, Limits, Mirrors
from reconciler.errors import Invalid, Transient
from reconciler.ports import Repository
from tests.fakes.git import FakeRepository, Files, Gitlink, GitOrigin, Symlink

LIMITS = Limits(file_bytes=100, folder_files=3, folder_bytes=250, matches=3)


class Origin(Protocol):
    """The side that developers push to."""

    def commit(self, files: Files, *, unrelated: bool = ...) -> str: ...
    def reset(self, commit: str) -> None: ...
    def delete_branch(self) -> None: ...
    def vanish(self) -> None: ...
    def heal(self) -> None: ...


class FakeOrigin(FakeRepository):
    """The fake seen from the other side."""

    def vanish(self) -> None:
        self.fail_with(Transient("unreachable", where=str(self._place()), untouched="-", todo="-"))


@pytest.fixture(params=["fake", "git"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Repository, Origin]]:
    repository: Repository
    origin: Origin
    if request.param == "fake":
        repository = origin = FakeOrigin(limits=LIMITS)
    else:
        origin = real = GitOrigin(tmp_path / "origin.git")
        mirrors = Mirrors(tmp_path / "mirrors")
        repository = GitRepository(str(real.path), "main", mirrors, timeout=10, limits=LIMITS)
    yield repository, origin
    await repository.close()


@pytest.fixture
def repository(both: tuple[Repository, Origin]) -> Repository:
    return both[0]


@pytest.fixture
def origin(both: tuple[Repository, Origin]) -> Origin:
    return both[1]


async def test_tip_follows_the_branch(repository: Repository, origin: Origin) -> None:
    first = origin.commit({"version": b"v1"})
    assert await repository.tip() == first
    second = origin.commit({"version": b"v2"})
    assert await repository.tip() == second
    assert await repository.read(second, "version") == b"v2"


async def test_a_commit_stays_readable_after_the_branch_moved_on(repository: Repository, origin: Origin) -> None:
    old = origin.commit({"version": b"v1"})
    await repository.tip()
    origin.commit({"version": b"v2"})
    await repository.tip()
    assert await repository.read(old, "version") == b"v1"


async def test_tip_goes_back_when_the_branch_does(repository: Repository, origin: Origin) -> None:
    old = origin.commit({"version": b"v1"})
    await repository.tip()
    origin.commit({"version": b"v2"})
    await repository.tip()
    origin.reset(old)
    assert await repository.tip() == old
    assert await repository.read(old, "version") == b"v1"


async def test_a_commit_says_when_it_was_made(repository: Repository, origin: Origin) -> None:
    """By its committer's date. (The n-th commit of either origin was made n seconds after the first ones could be.)"""
    first = origin.commit({"version": b"v1"})
    await repository.tip()
    second = origin.commit({"version": b"v2"})
    await repository.tip()
    assert [await repository.committed_at(each) for each in (first, second)] == [1_700_000_001, 1_700_000_002]
    assert await repository.committed_at(first) == 1_700_000_001


async def test_a_commit_that_is_not_at_hand_is_not_fetched_for_its_date(repository: Repository, origin: Origin) -> None:
    origin.commit({"version": b"v1"})
    await repository.tip()
    with pytest.raises(Invalid):
        await repository.committed_at("0" * 40)


@pytest.mark.parametrize("content", [b"", b"\0\xff\r\n", b"x" * 100])
async def test_content_comes_back_byte_by_byte(repository: Repository, origin: Origin, content: bytes) -> None:
    origin.commit({"a/b/file": content})
    assert await repository.read(await repository.tip(), "a/b/file") == content


@pytest.mark.parametrize("path", ["a/file", "./a/file", "a//file", "a/./file", "a/b/../file", "b/../a/file"])
async def test_equivalent_paths(repository: Repository, origin: Origin, path: str) -> None:
    origin.commit({"a/file": b"x"})
    assert await repository.read(await repository.tip(), path) == b"x"


@pytest.mark.parametrize("path", ["/a/file", "../file", "a/../../file", "-file", "a\0b", ".."])
async def test_hostile_paths_are_refused(repository: Repository, origin: Origin, path: str) -> None:
    commit = origin.commit({"a/file": b"x"})
    with pytest.raises(Invalid):
        await repository.read(commit, path)
    with pytest.raises(Invalid):
        await repository.read_folder(commit, path)


@pytest.mark.parametrize("path", ["missing", "a/missing", "missing/file", "file/below", "a", "."])
async def test_no_such_file(repository: Repository, origin: Origin, path: str) -> None:
    origin.commit({"file": b"x", "a/file": b"x"})
    commit = await repository.tip()
    with pytest.raises(Invalid) as caught:
        await repository.read(commit, path)
    assert path in caught.value.where and commit[:10] in caught.value.where and "main" in caught.value.where
    assert caught.value.untouched and caught.value.todo


@pytest.mark.parametrize("path", ["link", "folder/below", "module"])
async def test_links_and_submodules_are_refused(repository: Repository, origin: Origin, path: str) -> None:
    origin.commit({"file": b"x", "link": Symlink("file"), "folder": Symlink("."), "module": Gitlink()})
    with pytest.raises(Invalid, match=r"symbolic link|submodule"):
        await repository.read(await repository.tip(), path)


@pytest.mark.parametrize("special", [Symlink("file"), Gitlink()])
async def test_a_folder_with_a_link_is_refused_whole(
    repository: Repository, origin: Origin, special: Symlink | Gitlink
) -> None:
    origin.commit({"a/file": b"x", "a/special": special})
    with pytest.raises(Invalid, match=r"symbolic link|submodule"):
        await repository.read_folder(await repository.tip(), "a")


@pytest.mark.parametrize("path", ["a", "a/", "./a", "a/deeper/.."])
async def test_a_folder_is_its_own_files_by_name(repository: Repository, origin: Origin, path: str) -> None:
    origin.commit({"a/z": b"1", "a/b": b"2", "a/deeper/c": b"3", "other": b"4"})
    found = await repository.read_folder(await repository.tip(), path)
    assert list(found.items()) == [("b", b"2"), ("z", b"1")]


async def test_the_root_is_a_folder(repository: Repository, origin: Origin) -> None:
    origin.commit({"a": b"1", "b/c": b"2"})
    assert await repository.read_folder(await repository.tip(), ".") == {"a": b"1"}


@pytest.mark.parametrize("path", ["missing", "file", "a/missing"])
async def test_no_such_folder(repository: Repository, origin: Origin, path: str) -> None:
    origin.commit({"file": b"x", "a/file": b"x"})
    with pytest.raises(Invalid):
        await repository.read_folder(await repository.tip(), path)


async def test_a_file_over_the_limit(repository: Repository, origin: Origin) -> None:
    origin.commit({"file": b"x" * 101})
    with pytest.raises(Invalid, match="101 bytes"):
        await repository.read(await repository.tip(), "file")


@pytest.mark.parametrize("files", [{f"a/{n}": b"" for n in range(4)}, {f"a/{n}": b"x" * 84 for n in range(3)}])
async def test_a_folder_over_a_limit(repository: Repository, origin: Origin, files: Files) -> None:
    origin.commit(files)
    with pytest.raises(Invalid, match="folder"):
        await repository.read_folder(await repository.tip(), "a")


async def test_a_folder_at_its_limits(repository: Repository, origin: Origin) -> None:
    files = {"a/1": b"x" * 100, "a/2": b"x" * 100, "a/3": b"x" * 50}
    origin.commit(files)
    assert len(await repository.read_folder(await repository.tip(), "a")) == 3


async def _identities(repository: Repository, origin: Origin, files: Files, *paths: str) -> tuple[str, ...]:
    origin.commit(files)
    return await repository.identities(await repository.tip(), paths)


async def test_what_is_the_same_has_the_same_identity(repository: Repository, origin: Origin) -> None:
    paths = ("a/file", "a", "./a/../a/file", "a/deeper")
    first = await _identities(repository, origin, {"a/file": b"1", "a/deeper/x": b"1"}, *paths)
    second = await _identities(repository, origin, {"a/file": b"1", "a/deeper/x": b"1", "other": b"2"}, *paths)
    assert first == second
    assert first[0] == first[2] and len(set(first)) == 3


@pytest.mark.parametrize(
    "changed",
    [
        *({"a/file": b"2"}, {"a/file": b"1", "a/more": b""}, {"a/file": Symlink("1")}, {"a/file": Gitlink()}),
        *({"a/file/x": b"1"}, {"a": b"1"}, {"a": Symlink("b")}, {"b": b"1"}),
    ],
)
async def test_what_differs_has_another_identity(repository: Repository, origin: Origin, changed: Files) -> None:
    before = await _identities(repository, origin, {"a/file": b"1"}, "a/file", "a")
    after = await _identities(repository, origin, changed, "a/file", "a")
    assert before[1] != after[1]
    assert (before[0] != after[0]) == ("a/more" not in changed)


async def test_only_what_is_not_there_has_no_identity(repository: Repository, origin: Origin) -> None:
    files: Files = {"file": b"", "a/link": Symlink("x"), "module": Gitlink()}
    missing = await _identities(repository, origin, files, "nope", "a/nope", "nope/nope")
    assert missing == ("", "", "")
    assert "" not in await _identities(repository, origin, files, "file", "a", ".", "a/link", "module", "file/below")


async def test_identities_of_a_commit_that_moved_on_and_of_hostile_paths(
    repository: Repository, origin: Origin
) -> None:
    old = origin.commit({"file": b"1"})
    await repository.tip()
    new = await _identities(repository, origin, {"file": b"2"}, "file")
    assert await repository.identities(old, ["file"]) != new
    with pytest.raises(Invalid):
        await repository.identities(old, ["../file"])


async def test_an_empty_repository(repository: Repository) -> None:
    with pytest.raises(Invalid, match=r"main.*empty"):
        await repository.tip()


async def test_a_branch_that_is_deleted_and_comes_back(repository: Repository, origin: Origin) -> None:
    commit = origin.commit({"file": b"x"})
    await repository.tip()
    origin.delete_branch()
    with pytest.raises(Invalid, match="main"):
        await repository.tip()
    origin.reset(commit)
    assert await repository.tip() == commit


@pytest.mark.parametrize("commit", ["0" * 40, "main", "HEAD", "--help"])
async def test_no_such_commit(repository: Repository, origin: Origin, commit: str) -> None:
    origin.commit({"file": b"x"})
    await repository.tip()
    with pytest.raises(Invalid):
        await repository.read(commit, "file")


async def test_history_that_goes_on_and_history_that_does_not(repository: Repository, origin: Origin) -> None:
    first = origin.commit({"version": b"1"}, unrelated=True)
    assert await repository.tip() == first
    assert await repository.follows(first, first)
    for content in (b"2", b"3"):
        origin.commit({"version": content}, unrelated=False)
    third = await repository.tip()
    assert await repository.follows(third, first)
    origin.reset(first)
    assert await repository.tip() == first
    assert not await repository.follows(first, third)
    other = origin.commit({"version": b"4"}, unrelated=True)
    assert await repository.tip() == other
    assert not await repository.follows(other, first)
    origin.vanish()
    with pytest.raises(Transient):
        await repository.follows(other, third)


async def test_what_is_accepted_is_noted(repository: Repository, origin: Origin) -> None:
    assert await repository.accepted() is None
    for content in (b"1", b"2"):
        origin.commit({"version": content})
        commit = await repository.tip()
        await repository.accept(commit)
        assert await repository.accepted() == commit
    assert repository.tag == ""


async def test_unreachable_is_transient_and_heals(repository: Repository, origin: Origin) -> None:
    commit = origin.commit({"file": b"x"})
    await repository.tip()
    origin.vanish()
    with pytest.raises(Transient) as caught:
        await repository.tip()
    assert caught.value.where and caught.value.untouched and caught.value.todo
    origin.heal()
    assert await repository.tip() == commit


async def test_after_close_nothing_answers(repository: Repository, origin: Origin) -> None:
    commit = origin.commit({"file": b"x"})
    await repository.tip()
    await repository.close()
    await repository.close()
    with pytest.raises(Transient, match="closed"):
        await repository.tip()
    with pytest.raises(Transient, match="closed"):
        await repository.read(commit, "file")


FOUND = {"apps/b/app.yaml": b"1", "apps/a/app.yaml": b"2", "apps/a/other": b"3", "apps/app.yaml": b"4"}
PASSED_OVER = {"apps/.hidden/app.yaml": b"5", "apps/deep/er/app.yaml": b"6", "app.yaml": b"7", "apps/file": b"8"}


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("apps/*/app.yaml", ["apps/a/app.yaml", "apps/b/app.yaml"]),
        ("*/*/app.yaml", ["apps/a/app.yaml", "apps/b/app.yaml"]),
        ("a*s/a/*r", ["apps/a/other"]),
        ("apps/a/app.yaml", ["apps/a/app.yaml"]),
        ("*.yaml", ["app.yaml"]),
        ("apps/a", []),
        ("missing/*/app.yaml", []),
        ("apps/file/*", []),
    ],
)
async def test_files_are_found_by_a_pattern(
    repository: Repository, origin: Origin, pattern: str, paths: list[str]
) -> None:
    origin.commit(FOUND | PASSED_OVER)
    assert list(await repository.find(await repository.tip(), pattern)) == paths


async def test_the_id_of_a_found_file_changes_with_its_content_alone(repository: Repository, origin: Origin) -> None:
    origin.commit(FOUND)
    before = await repository.find(await repository.tip(), "apps/*/app.yaml")
    origin.commit({**FOUND, "apps/a/app.yaml": b"changed"})
    after = await repository.find(await repository.tip(), "apps/*/app.yaml")
    assert [path for path in before if before[path] != after[path]] == ["apps/a/app.yaml"]


async def test_a_linked_file_is_found_but_nothing_below_a_linked_folder(repository: Repository, origin: Origin) -> None:
    links: Files = {
        "apps/a/app.yaml": Symlink("../x"),
        "apps/b": Symlink("x"),
        "apps/c": Gitlink(),
        "apps/x/app.yaml": b"1",
    }
    origin.commit(links)
    commit = await repository.tip()
    assert list(await repository.find(commit, "apps/*/app.yaml")) == ["apps/a/app.yaml", "apps/x/app.yaml"]
    assert list(await repository.find(commit, "apps/*")) == ["apps/b"]


@pytest.mark.parametrize(
    "files", [{f"apps/{n}/app.yaml": b"" for n in range(4)}, {f"apps/{n}/other": b"" for n in range(4)}]
)
async def test_too_many_matches(repository: Repository, origin: Origin, files: Files) -> None:
    origin.commit(files)
    with pytest.raises(Invalid, match=r"match"):
        await repository.find(await repository.tip(), "apps/*/app.yaml")


@pytest.mark.parametrize("pattern", ["", "/apps/*", "../*", "apps//x", "apps/**/x", "a*b*", "-x/*", "apps/[a]", "a\0*"])
async def test_hostile_patterns_are_refused(repository: Repository, origin: Origin, pattern: str) -> None:
    origin.commit(FOUND)
    with pytest.raises(Invalid):
        await repository.find(await repository.tip(), pattern)


async def test_finding_in_a_commit_that_is_not_there(repository: Repository, origin: Origin) -> None:
    origin.commit(FOUND)
    await repository.tip()
    with pytest.raises(Invalid):
        await repository.find("0" * 40, "apps/*")

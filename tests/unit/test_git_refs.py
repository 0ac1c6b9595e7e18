"""Real Git: tags, ranges of versions, single commits; and whether a branch went on or was written anew."""

from __future__ import annotations

import random
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from reconciler.adapters.git import GitRepository, Mirrors, history
from reconciler.adapters.git.address import mirror_name
from reconciler.adapters.git.process import Runner
from reconciler.core.gitref import GitRef, RefKind
from reconciler.errors import Invalid
from tests.fakes.git import GitOrigin, git

SOON = 20.0


@pytest.fixture
def origin(tmp_path: Path) -> GitOrigin:
    return GitOrigin(tmp_path / "origin.git")


Open = Callable[..., GitRepository]


@pytest.fixture
async def opened(tmp_path: Path, origin: GitOrigin) -> AsyncIterator[Open]:
    """Makes repositories that are closed at the end. Each has mirrors of its own, as after a restart."""
    made: list[GitRepository] = []

    def make(kind: str = "branch", text: str = "main", keeper: str = "") -> GitRepository:
        mirrors = Mirrors(tmp_path / "mirrors", many_packs=2)
        made.append(GitRepository(str(origin.path), GitRef(RefKind(kind), text), mirrors, timeout=SOON, keeper=keeper))
        return made[-1]

    yield make
    for repository in made:
        await repository.close()


def follow_on(origin: GitOrigin, content: bytes = b"x") -> str:
    return origin.commit({"version": content}, unrelated=False)


# --- tags and commits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("annotated", [False, True])
async def test_a_tag_leads_to_its_commit_and_moves(annotated: bool, opened: Open, origin: GitOrigin) -> None:
    first = origin.commit({"version": b"v1"})
    origin.tag("v1", annotated=annotated)
    second = follow_on(origin, b"v2")
    repository = opened("tag", "v1")
    assert await repository.tip() == first
    assert repository.tag == "v1"
    assert await repository.read(first, "version") == b"v1"
    origin.tag("v1", second, annotated=annotated)
    assert await repository.tip() == second
    assert await repository.read(second, "version") == b"v2"


async def test_a_tag_of_a_tag_is_peeled(opened: Open, origin: GitOrigin) -> None:
    commit = origin.commit({"version": b"v1"})
    origin.tag("inner", annotated=True)
    origin.tag("outer", "inner", annotated=True)
    assert await opened("tag", "outer").tip() == commit


async def test_a_tag_is_not_taken_for_the_branch_of_its_name(opened: Open, origin: GitOrigin) -> None:
    first = origin.commit({"version": b"v1"})
    origin.tag("main")
    second = follow_on(origin)
    assert await opened("tag", "main").tip() == first
    assert await opened("branch", "main").tip() == second


async def test_a_range_goes_to_the_highest_tag_and_back(opened: Open, origin: GitOrigin) -> None:
    repository = opened("semver", "1.x")
    origin.commit({"version": b"0"})
    commits = {}
    for tag in ("v1.9.0", "v1.10.0", "v2.0.0"):
        commits[tag] = follow_on(origin, tag.encode())
        origin.tag(tag, annotated=tag == "v1.10.0")
    assert await repository.tip() == commits["v1.10.0"]
    assert repository.tag == "v1.10.0"
    assert await repository.read(commits["v1.10.0"], "version") == b"v1.10.0"
    git("tag", "-d", "v1.10.0", cwd=origin.path)
    assert await repository.tip() == commits["v1.9.0"]


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("tag", "nope", "there is no tag nope; there are other"),
        ("semver", "2.x", "no tag is a version in 2.x; there are other"),
    ],
)
async def test_a_missing_tag_is_told_with_those_that_are_there(
    kind: str, text: str, said: str, opened: Open, origin: GitOrigin
) -> None:
    repository = opened(kind, text)
    origin.commit({"version": b"v1"})
    with pytest.raises(Invalid, match="the repository has no tags"):
        await repository.tip()
    origin.tag("other", annotated=True)
    with pytest.raises(Invalid, match=said):
        await repository.tip()


async def test_a_long_range_and_a_long_name(opened: Open, origin: GitOrigin) -> None:
    commit = origin.commit({"version": b"v1"})
    origin.tag("v1.0.0")
    origin.tag(("ü/" * 60).rstrip("/"))  # not one folder's name is too long, but all of it would be
    assert await opened("semver", " || ".join([">=1.0.0 <2.0.0"] * 10)).tip() == commit
    assert await opened("tag", ("ü/" * 60).rstrip("/")).tip() == commit


async def test_a_tag_of_something_else_than_a_commit_is_refused(opened: Open, origin: GitOrigin) -> None:
    origin.commit({"version": b"v1"})
    origin.tag("v1", git("rev-parse", "main^{tree}", cwd=origin.path))
    with pytest.raises(Invalid, match="points to a tree, not to a commit"):
        await opened("tag", "v1").tip()


async def test_a_commit_stays_whatever_the_branch_does(opened: Open, origin: GitOrigin) -> None:
    first = origin.commit({"version": b"v1"})
    origin.commit({"version": b"v2"}, unrelated=False)
    repository = opened("commit", first)
    assert await repository.tip() == first
    origin.vanish()
    assert await repository.tip() == first, "a commit needs no look"
    assert await repository.read(first, "version") == b"v1"


async def test_a_commit_that_is_not_there(opened: Open, origin: GitOrigin) -> None:
    origin.commit({"version": b"v1"})
    with pytest.raises(Invalid, match="does not give out commit aaaa"):
        await opened("commit", "a" * 40).tip()


@pytest.mark.parametrize(("kind", "text"), [("branch", "main"), ("tag", "v1"), ("semver", "*")])
async def test_a_look_at_what_did_not_move_is_one_ls_remote(
    kind: str, text: str, opened: Open, origin: GitOrigin
) -> None:
    origin.commit({"version": b"v1"})
    origin.tag("v1", annotated=True)
    origin.tag("v1.0.0", annotated=True)
    repository = opened(kind, text)
    await repository.tip()
    counting = Counting(repository)
    await repository.tip()
    assert counting.commands == ["ls-remote"]


class Counting:
    """Keeps the names of the git commands that a repository runs."""

    def __init__(self, repository: GitRepository) -> None:
        self.commands: list[str] = []
        counted = self

        class Counted(Runner):
            def _start(self, command: list[str], cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
                counted.commands.append(next(each for each in command[1:] if not each.startswith("-")))
                return super()._start(command, cwd, env)

        repository._git = Counted(repository._shared.env)


# --- history ---------------------------------------------------------------------------------------------------


async def test_a_push_a_merge_and_many_commits_at_once_follow(opened: Open, origin: GitOrigin) -> None:
    repository = opened()
    before = origin.commit({"version": b"0"})
    await repository.tip()
    for pushed in (1, 3, history.DEPTHS[0] + 5):
        for number in range(pushed):
            follow_on(origin, str(number).encode())
        commit = await repository.tip()
        assert await repository.follows(commit, before)
        before = commit


async def test_the_usual_push_needs_no_history(opened: Open, origin: GitOrigin) -> None:
    repository = opened()
    before = origin.commit({"version": b"0"})
    commit = follow_on(origin)
    assert await repository.tip() == commit
    counting = Counting(repository)
    assert await repository.follows(commit, before)
    assert counting.commands == ["cat-file"]


async def test_a_branch_that_was_set_back_or_written_anew_does_not_follow(opened: Open, origin: GitOrigin) -> None:
    repository = opened()
    first = origin.commit({"version": b"1"})
    second = follow_on(origin, b"2")
    assert await repository.tip() == second
    origin.reset(first)
    assert await repository.tip() == first
    assert not await repository.follows(first, second)
    amended = follow_on(origin, b"3")
    assert await repository.tip() == amended
    assert not await repository.follows(amended, second)
    unrelated = origin.commit({"version": b"4"})
    assert await repository.tip() == unrelated
    assert not await repository.follows(unrelated, amended)


async def test_history_is_read_without_its_files(opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    before = origin.commit({"version": b"1"})
    for number in range(3):
        origin.commit({"version": b"2", "large": random.Random(number).randbytes(2 << 20)}, unrelated=False)
    commit = origin.commit({"version": b"3"}, unrelated=False)
    mirrors = Mirrors(tmp_path / "mirrors", fetch_limit=1 << 20)
    repository = GitRepository(str(origin.path), "main", mirrors, timeout=SOON)
    assert await repository.tip() == commit
    assert await repository.follows(commit, before), "more than the limit of a fetch would come with the files"
    await repository.close()


async def test_what_looking_at_history_fetched_does_not_stay(opened: Open, origin: GitOrigin, tmp_path: Path) -> None:
    repository = opened()
    before = origin.commit({"version": b"1"})
    follow_on(origin)
    commit = follow_on(origin)
    await repository.tip()
    assert await repository.follows(commit, before)
    folder = tmp_path / "mirrors" / mirror_name(str(origin.path))
    assert {path.name for path in folder.iterdir()} == {"gitconfig", "mirror.git"}
    assert git("rev-list", "--all", cwd=folder / "mirror.git").split() == [commit]


async def test_what_was_accepted_outlives_the_process_and_the_mirror(
    opened: Open, origin: GitOrigin, tmp_path: Path
) -> None:
    commit = origin.commit({"version": b"1"})
    repository = opened(keeper="shop")
    assert await repository.accepted() is None
    await repository.accept(await repository.tip())
    again = opened(keeper="shop")
    assert await again.accepted() == commit
    assert await opened(keeper="other").accepted() is None
    assert await opened("tag", "main", keeper="shop").accepted() is None
    (note,) = (tmp_path / "mirrors" / mirror_name(str(origin.path)) / "accepted").iterdir()
    note.write_text("--rubbish")
    assert await again.accepted() is None


async def test_what_was_accepted_stays_readable_after_tidying(opened: Open, origin: GitOrigin) -> None:
    repository = opened(keeper="shop")
    accepted = origin.commit({"version": b"1"})
    await repository.accept(await repository.tip())
    for content in (b"2", b"3", b"4"):
        origin.commit({"version": content})
        await repository.tip()
    repository._shared.network.submit(lambda: None).result()  # tidying comes after the answer
    origin.vanish()
    assert await repository.read(accepted, "version") == b"1"

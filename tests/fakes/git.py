"""A repository in memory for everybody's tests, and a real one on disk for those of the Git adapter."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.adapters.git.address import Place, check_ref, split_path
from reconciler.adapters.git.objects import Limits
from reconciler.core.gitref import branch as branch_ref
from reconciler.core.glob import part_matches, pattern_fault
from reconciler.core.revert import Revert, message
from reconciler.errors import Blocked, Conflict, ReconcilerError, Transient


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link, where a file's content is expected."""

    target: str


@dataclass(frozen=True, slots=True)
class Gitlink:
    """A submodule, where a file's content is expected."""

    commit: str = "1" * 40


Content = bytes | Symlink | Gitlink
Files = Mapping[str, Content]


class FakeRepository:
    """`ports.Repository` in memory. The methods that are not async are the test's hand on it.

    It starts empty, as a new repository does. `timeout` is what a call waits, in seconds, while it hangs.
    """

    def __init__(self, branch: str = "main", *, timeout: float = 60.0, limits: Limits | None = None) -> None:
        self.branch = check_ref(branch_ref(branch), "fake://repository").text
        self.tag = ""
        self.parents: dict[str, str | None] = {}
        self.dates: dict[str, float] = {}
        self.noted: str | None = None
        self.branches: dict[str, str] = {}
        self.commits: dict[str, dict[str, Content]] = {}
        self.closed = False
        self.messages: dict[str, str] = {}
        """Of the commits that `revert` made."""
        self.refusing = ""
        """Not '': every push is refused, for this reason."""
        self.before_push: Callable[[], object] = lambda: None
        """What happens between the look at the branch and the push to it."""
        self.after_push: Callable[[], object] = lambda: None
        """What happens between the push and its answer, which `fail_with` and `hang` can then take away."""
        self._timeout = timeout
        self._limits = limits or Limits()
        self._error: ReconcilerError | None = None
        self._answering = asyncio.Event()
        self._answering.set()

    def commit(self, files: Files, *, unrelated: bool = False) -> str:
        """Makes a commit with exactly these files, points the branch to it and returns its id."""
        # The running number makes equal files at different times different commits, as git's dates do.
        content = f"{len(self.commits)}\0{sorted(files.items(), key=lambda item: item[0])}"
        commit = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        self.commits[commit] = dict(files)
        self.dates[commit] = 1_700_000_000.0 + len(self.commits)
        self.parents[commit] = None if unrelated else self.branches.get(self.branch)
        self.branches[self.branch] = commit
        return commit

    def reset(self, commit: str) -> None:
        """Points the branch to a commit made before: a force push, or a revert of everything since."""
        assert commit in self.commits
        self.branches[self.branch] = commit

    push = reset

    def delete_branch(self) -> None:
        """Removes the branch; its commits stay readable."""
        del self.branches[self.branch]

    def fail_with(self, error: ReconcilerError | None) -> None:
        """Every call raises `error` from now on; None ends that."""
        self._error = error

    def hang(self) -> None:
        """Every call waits from now on, until `heal` or its time-out."""
        self._answering.clear()

    def heal(self) -> None:
        """Ends `hang` and `fail_with`."""
        self._error = None
        self._answering.set()

    async def tip(self) -> str:
        place = self._place()
        await self._answer(place)
        if self.branch not in self.branches:
            names = ", ".join(sorted(self.branches)[:5])
            found = f"there are {names}" if names else "the repository is empty"
            raise place.invalid(f"there is no branch {self.branch}; {found}", "Push the branch")
        return self.branches[self.branch]

    async def follows(self, commit: str, earlier: str) -> bool:
        await self._answer(self._place())
        at: str | None = commit
        while at and at != earlier:
            at = self.parents[at]
        return at == earlier

    async def accepted(self) -> str | None:
        return self.noted

    async def accept(self, commit: str) -> None:
        await self._answer(self._place())
        self.noted = commit

    async def revert(self, revert: Revert) -> str:
        place = self._place(revert.onto, revert.path)
        await self._answer(place)
        if await self.tip() != revert.onto:
            raise self._overtaken(place)
        if await self.read(revert.onto, revert.path) == revert.content:
            raise Blocked("the version file holds that already", where=str(place), untouched="-", todo="-")
        self.before_push()
        await self._answer(place)
        if self.refusing:
            raise Blocked(f"the server refuses the push: {self.refusing}", where=str(place), untouched="-", todo="-")
        if self.branches[self.branch] != revert.onto:
            raise self._overtaken(place)
        name = "/".join(split_path(revert.path, place))
        made = self.commit({**self.commits[revert.onto], name: revert.content})
        self.messages[made] = message(revert)
        self.after_push()
        await self._answer(place)
        return made

    def _overtaken(self, place: Place) -> Conflict:
        return Conflict("the branch is at another commit", where=str(place), untouched="-", todo="-")

    async def read(self, commit: str, path: str) -> bytes:
        place = self._place(commit, path)
        parts = split_path(path, place)
        await self._answer(place)
        name = "/".join(parts)
        files = self._files(place, parts)
        if name not in files:
            folder = not parts or any(each.startswith(name + "/") for each in files)
            raise place.invalid("this is a folder" if folder else "there is no such file", "Add it")
        content = _regular(files[name], place)
        if len(content) > self._limits.file_bytes:
            raise place.invalid(f"the file has {len(content)} bytes", "Make it smaller")
        return content

    async def read_folder(self, commit: str, path: str) -> Mapping[str, bytes]:
        place = self._place(commit, path)
        parts = split_path(path, place)
        await self._answer(place)
        files = self._files(place, parts)
        prefix = "".join(part + "/" for part in parts)
        below = {name.removeprefix(prefix): files[name] for name in sorted(files) if name.startswith(prefix)}
        if not below:
            raise place.invalid("there is no such folder", "Add it")
        found = {name: _regular(content, place) for name, content in below.items() if "/" not in name}
        self._check_folder(place, found)
        return found

    async def identities(self, commit: str, paths: Sequence[str]) -> tuple[str, ...]:
        place = self._place(commit)
        wanted = [split_path(path, self._place(commit, path)) for path in paths]
        await self._answer(place)
        return tuple(self._identity(self._files(place, ()), parts) for parts in wanted)

    def _identity(self, files: Mapping[str, Content], parts: Sequence[str]) -> str:
        for depth in range(1, len(parts) + 1):
            if (content := files.get("/".join(parts[:depth]))) is not None:
                return f"{depth}: {content!r}"
        prefix = "".join(part + "/" for part in parts)
        below = sorted((name, content) for name, content in files.items() if name.startswith(prefix))
        return repr(below) if below else ""

    async def committed_at(self, commit: str) -> float:
        place = self._place(commit)
        await self._answer(place)
        self._files(place, ())
        return self.dates[commit]

    async def find(self, commit: str, pattern: str) -> Mapping[str, str]:
        place = self._place(commit, pattern)
        if fault := pattern_fault(pattern):
            raise place.invalid(f"the pattern {fault}", "Correct it")
        await self._answer(place)
        files, wanted = self._files(place, ()), pattern.split("/")
        found = [each for each in sorted(files) if _matches(wanted, each) and not isinstance(files[each], Gitlink)]
        on_the_way = [_folders(files, wanted[:depth]) for depth in range(1, len(wanted))]
        if max(map(len, (found, *on_the_way))) > self._limits.matches:
            raise place.invalid(f"{len(found)} files match", "Make the pattern narrower")
        return {each: hashlib.sha1(repr(files[each]).encode(), usedforsecurity=False).hexdigest() for each in found}

    async def close(self) -> None:
        self.closed = True
        self._answering.set()

    def _place(self, commit: str = "", path: str = "") -> Place:
        return Place("fake://repository", branch_ref(self.branch), commit, path)

    def _files(self, place: Place, parts: Sequence[str]) -> dict[str, Content]:
        if place.commit not in self.commits:
            raise place.invalid("the commit is no longer in the repository", "Push it again")
        files = self.commits[place.commit]
        for depth in range(1, len(parts)):
            above = files.get("/".join(parts[:depth]))
            if above is not None:
                _regular(above, place)
                raise place.invalid(f"{'/'.join(parts[:depth])} is a file, not a folder", "Correct the path")
        return files

    def _check_folder(self, place: Place, files: Mapping[str, bytes]) -> None:
        too_many = len(files) > self._limits.folder_files
        if too_many or sum(map(len, files.values())) > self._limits.folder_bytes:
            raise place.invalid("the folder is over a limit", "Make it smaller")

    async def _answer(self, place: Place) -> None:
        if self._error is not None:
            raise self._error
        if not self._answering.is_set():  # otherwise no trip through the event loop: the planner's tests have none
            await self._wait(place)
        if self.closed:
            raise Transient("the repository was closed", where=str(place))

    async def _wait(self, place: Place) -> None:
        try:
            await asyncio.wait_for(self._answering.wait(), self._timeout)
        except TimeoutError:
            raise place.transient(f"git did not finish within {self._timeout:g} s") from None


def _folders(files: Files, pattern: Sequence[str]) -> set[str]:
    split = (path.split("/") for path in files)
    above = {"/".join(parts[: len(pattern)]) for parts in split if len(parts) > len(pattern)}
    return {each for each in above if _matches(pattern, each)}


def _matches(pattern: Sequence[str], path: str) -> bool:
    parts = path.split("/")
    return len(parts) == len(pattern) and all(map(part_matches, pattern, parts))


def _regular(content: Content, place: Place) -> bytes:
    if isinstance(content, Symlink):
        raise place.invalid("this is a symbolic link, and those are not followed", "Commit the file itself")
    if isinstance(content, Gitlink):
        raise place.invalid("this is a submodule, and those are not fetched", "Commit the files themselves")
    return content


class GitOrigin:
    """A real repository on disk, written by `git fast-import`: the other side of the Git adapter's tests."""

    def __init__(self, path: Path, branch: str = "main", *, bare: bool = True) -> None:
        self.path = path
        self.branch = branch
        self._hidden = path.with_name(path.name + ".away")
        self._marks = 0
        bareness = ["--bare"] if bare else []
        git("init", "--quiet", f"--initial-branch={branch}", *bareness, str(path), cwd=path.parent)

    def commit(self, files: Files, *, unrelated: bool = True) -> str:
        """Makes a commit with exactly these files, points the branch to it and returns its id."""
        stream = [f"commit refs/heads/{self.branch}\n".encode()]
        self._marks += 1
        stream.append(f"committer A <a@example.com> {1_700_000_000 + self._marks} +0000\ndata 0\n".encode())
        if not unrelated:
            stream.append(f"from refs/heads/{self.branch}^0\n".encode())
        stream.append(b"deleteall\n")
        stream.extend(_change(path, content) for path, content in files.items())
        git("fast-import", "--quiet", "--force", cwd=self.path, stdin=b"".join(stream))
        return self.tip()

    def tag(self, name: str, commit: str = "", *, annotated: bool = False) -> None:
        """Makes or moves a tag; without a commit on the branch's tip."""
        how = ("--annotate", f"--message=tag {name}") if annotated else ()
        git("tag", "--force", *how, name, commit or self.tip(), cwd=self.path)

    def tip(self) -> str:
        """What the branch points to."""
        return git("rev-parse", f"refs/heads/{self.branch}", cwd=self.path)

    def reset(self, commit: str) -> None:
        """Points the branch to any commit: a force push."""
        git("update-ref", f"refs/heads/{self.branch}", commit, cwd=self.path)

    def delete_branch(self) -> None:
        """Removes the branch."""
        git("update-ref", "-d", f"refs/heads/{self.branch}", cwd=self.path)

    def vanish(self) -> None:
        """Makes the repository unreachable."""
        self.path.rename(self._hidden)

    def heal(self) -> None:
        """Undoes `vanish`."""
        self._hidden.rename(self.path)


def _change(path: str, content: Content) -> bytes:
    if isinstance(content, Gitlink):
        return f"M 160000 {content.commit} {path}\n".encode()
    mode, data = ("120000", content.target.encode()) if isinstance(content, Symlink) else ("100644", content)
    return f"M {mode} inline {path}\ndata {len(data)}\n".encode() + data + b"\n"


def git(*arguments: str, cwd: Path, stdin: bytes = b"") -> str:
    """The stdout of a git command that must succeed, independent of the user's configuration."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "safe.directory=*")
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=cwd, env=env, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout.decode().strip()

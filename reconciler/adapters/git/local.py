"""A repository on this machine, read where it is: for checks of a commit that no branch points to, as pipelines do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from reconciler.adapters.git.address import Place, split_path
from reconciler.adapters.git.objects import CommitAbsent, Damaged, Limits, Objects
from reconciler.adapters.git.process import config_text, environment
from reconciler.core.gitref import GitRef, RefKind
from reconciler.core.glob import pattern_fault
from reconciler.core.revert import Revert
from reconciler.errors import Blocked

T = TypeVar("T")


class LocalRepository:
    """One commit of a local repository, as `ports.Repository`. Blocks: it is for commands that do nothing else.

    Args:
        path: a work tree (also a linked one) or a bare repository.
        ref: anything that names a commit, `HEAD` for example. What is not committed is not seen.
        scratch: an empty folder, for the configuration that git gets instead of the user's.
    """

    def __init__(self, path: Path, ref: str, scratch: Path, *, limits: Limits | None = None) -> None:
        git_dir = _git_dir(path.absolute())
        config = scratch / "gitconfig"
        config.write_text(config_text([git_dir, path.absolute()]), encoding="utf-8")
        self._objects = Objects(git_dir, environment(config, "false"))
        self._place = Place(str(path), GitRef(RefKind.COMMIT, ref))
        self.tag = ""
        """No tag is looked for."""
        self._limits = limits or Limits()

    async def tip(self) -> str:
        """See `ports.Repository`. Raises `Invalid` if there is no repository, or no such commit."""
        ref = self._place.ref.text
        if not ref.isprintable() or " " in ref:
            raise self._place.invalid("this is no name of a commit", "Correct --ref")
        return self._read(self._place, lambda objects: objects.commit(ref))

    async def follows(self, commit: str, earlier: str) -> bool:
        """See `ports.Repository`. One commit is looked at, so there is none that it could have left."""
        return True

    async def accepted(self) -> str | None:
        """See `ports.Repository`. Nothing is noted."""
        return None

    async def accept(self, commit: str) -> None:
        """See `ports.Repository`. Nothing is noted: it is not our repository to write to."""

    async def revert(self, revert: Revert) -> str:
        """See `ports.Repository`. Always Blocked: one commit is read, and there is no branch to add another to."""
        place = self._at(revert.onto, revert.path)
        what = "one commit is read here, and only to a branch can another be added"
        raise Blocked(what, where=str(place), untouched="Nothing was pushed", todo="Revert by hand")

    async def read(self, commit: str, path: str) -> bytes:
        """See `ports.Repository`."""
        place = self._at(commit, path)
        return self._read(place, lambda objects: objects.file(commit, split_path(path, place), place, self._limits))

    async def read_folder(self, commit: str, path: str) -> Mapping[str, bytes]:
        """See `ports.Repository`."""
        place = self._at(commit, path)
        return self._read(place, lambda objects: objects.folder(commit, split_path(path, place), place, self._limits))

    async def identities(self, commit: str, paths: Sequence[str]) -> tuple[str, ...]:
        """See `ports.Repository`."""
        place = self._at(commit, "")
        wanted = [split_path(path, self._at(commit, path)) for path in paths]
        return self._read(place, lambda objects: tuple(objects.identity(commit, parts, place) for parts in wanted))

    async def find(self, commit: str, pattern: str) -> Mapping[str, str]:
        """See `ports.Repository`."""
        place = self._at(commit, pattern)
        if fault := pattern_fault(pattern):
            raise place.invalid(f"the pattern {fault}", "Correct it")
        parts = tuple(pattern.split("/"))
        return self._read(place, lambda objects: objects.find(commit, parts, place, self._limits))

    async def close(self) -> None:
        """Ends git's processes."""
        self._objects.close()

    def _at(self, commit: str, path: str) -> Place:
        return Place(self._place.url, self._place.ref, commit, path)

    def _read(self, place: Place, job: Callable[[Objects], T]) -> T:
        try:
            return job(self._objects)
        except (CommitAbsent, Damaged):
            todo = "Is there a Git repository, and was that commit fetched?"
            raise place.invalid("it cannot be read", todo) from None


def _git_dir(path: Path) -> Path:
    """gitrepository-layout(5): a linked work tree has a file `.git` that names its folder."""
    inner = path / ".git"
    if inner.is_file():
        pointer = inner.read_bytes()[:4096].decode(errors="replace")
        return (path / pointer.removeprefix("gitdir:").strip()).resolve()
    return inner if inner.is_dir() else path

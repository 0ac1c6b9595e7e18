"""Reading files of a commit out of a mirror, through GitPython's object streams. Blocking, and for one thread only.

A size is always looked up before the content is read, so that an oversized file costs nothing.
"""

from __future__ import annotations

import re
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from git.db import GitCmdObjectDB
from git.objects.fun import tree_entries_from_data

from reconciler.adapters.git.address import Place
from reconciler.adapters.git.process import GitFailed, ObjectGit
from reconciler.core.glob import part_matches

_GITLINK = 0o160000  # a submodule's commit, gitglossary(7) "gitlink"
_TREE_BYTES = 16 << 20
"""A folder listing larger than this (about 300,000 entries) is refused: it would only fill the memory."""
_CACHED_ENTRIES = 20_000
"""Tree entries kept in memory, about 4 MB: 1,000 apps in one folder read it once a commit, not 1,000 times."""

_COMMIT_BYTES = 1 << 20
_SECONDS = re.compile(rb"\d{1,10}")
"""Up to the year 2286: what a longer number would date, no calendar need show."""
DATELESS = "Nothing: it is of use to figures alone"
"""What to do about a commit whose time is not known."""

Entries = Mapping[str, tuple[int, bytes]]
"""A folder: name → (mode, object id)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is read: bytes of one file, and files and bytes of one folder."""

    file_bytes: int = 1 << 20
    folder_files: int = 64
    folder_bytes: int = 1 << 20
    matches: int = 2000


class CommitAbsent(Exception):
    """The mirror does not hold that commit; the repository itself may."""


class Damaged(Exception):
    """The mirror lacks or cannot read something that it must have."""


class Objects:
    """The objects of one mirror, until `close`; git's `cat-file` stays running in between."""

    def __init__(self, mirror: Path, env: Mapping[str, str]) -> None:
        self._git = ObjectGit(mirror, env)
        self._database = GitCmdObjectDB(mirror / "objects", self._git)
        self._trees: OrderedDict[bytes, Entries] = OrderedDict()
        self._last: tuple[str, bytes] | None = None  # a thousand apps ask for one commit after the other
        self._dated: tuple[str, float] | None = None

    def commit(self, name: str) -> str:
        """The full id of the commit that `name` stands for. Raises CommitAbsent or Damaged."""
        return self._header(name + "^{commit}")

    def committed_at(self, commit: str, place: Place) -> float:
        """The committer's date of a commit, in epoch seconds.

        Raises:
            Invalid: the commit is too large to be read, or says no usable time.
            CommitAbsent, Damaged: about the mirror, see there.
        """
        if self._dated is None or self._dated[0] != commit:
            self._dated = commit, self._committed_at(commit, place)
        return self._dated[1]

    def _committed_at(self, commit: str, place: Place) -> float:
        identity = bytes.fromhex(self._header(commit + "^{commit}"))
        if self._size(identity) > _COMMIT_BYTES:
            raise place.invalid("the commit is too large to be read", DATELESS)
        headers = self._content(identity, b"commit").partition(b"\n\n")[0].split(b"\n")
        # `committer NAME <MAIL> SECONDS ZONE`; a name may hold anything but `<` and a new line (git-commit-tree(1)).
        said = next((line.rpartition(b"> ")[2] for line in headers if line.startswith(b"committer ")), b"")
        seconds = said.partition(b" ")[0]
        if not _SECONDS.fullmatch(seconds):
            raise place.invalid("the commit says no usable time", DATELESS)
        return float(seconds)

    def file(self, commit: str, parts: tuple[str, ...], place: Place, limits: Limits) -> bytes:
        """The content of a regular file.

        Raises:
            Invalid: it is missing, something else than a regular file, or over the limit.
            CommitAbsent, Damaged: about the mirror, see there.
        """
        if not parts:
            raise place.invalid("this is a folder, not a file", "Name a file")
        mode, identity = self._entry(commit, parts, place)
        if stat.S_ISDIR(mode):
            raise place.invalid("this is a folder, not a file", "Name a file")
        size = self._size(identity)
        if size > limits.file_bytes:
            raise place.invalid(f"the file has {size} bytes, {limits.file_bytes} are allowed", "Make it smaller")
        return self._content(identity, b"blob")

    def folder(self, commit: str, parts: tuple[str, ...], place: Place, limits: Limits) -> dict[str, bytes]:
        """Every regular file directly in a folder, name → content, sorted by name; sub-folders are passed over.

        Raises:
            Invalid: the folder is missing or over a limit, or holds a symbolic link or a submodule (left out
                silently, a template would be missing).
            CommitAbsent, Damaged: about the mirror, see there.
        """
        entries = self._entries(self._tree_of(commit), place)
        if parts:
            mode, identity = self._entry(commit, parts, place)
            if not stat.S_ISDIR(mode):
                raise place.invalid("this is a file, not a folder", "Name a folder")
            entries = self._entries(identity, place)
        for name, (mode, _) in entries.items():
            _refuse_special(name, mode, place)
        files = {name: blob for name, (mode, blob) in sorted(entries.items()) if not stat.S_ISDIR(mode)}
        self._check_folder(files, place, limits)
        return {name: self._content(blob, b"blob") for name, blob in files.items()}

    def identity(self, commit: str, parts: tuple[str, ...], place: Place) -> str:
        """Mode and object id of what is at `parts`, or of what is in the way there; '' if there is nothing.

        Raises:
            CommitAbsent, Damaged: about the mirror, see there.
        """
        mode, identity = stat.S_IFDIR, self._tree_of(commit)
        for depth, part in enumerate(parts):
            if not stat.S_ISDIR(mode):
                return f"{depth}:{mode:o}:{identity.hex()}"
            found = self._entries(identity, place).get(part)
            if found is None:
                return ""
            mode, identity = found
        return f"{mode:o}:{identity.hex()}"

    def find(self, commit: str, pattern: tuple[str, ...], place: Place, limits: Limits) -> dict[str, str]:
        """Files that match, path → id of the content, sorted by path; only folders that match on the way are read.

        Raises:
            Invalid: more than `limits.matches` match, of the files or of the folders on the way.
            CommitAbsent, Damaged: about the mirror, see there.
        """
        level = {"": self._tree_of(commit)}
        for depth, part in enumerate(pattern, start=1):
            wanted = _is_folder if depth < len(pattern) else _is_file
            level = dict(self._matching(level, part, wanted, place))
            if len(level) > limits.matches:
                what = f"{len(level)} files or folders match {'/'.join(pattern[:depth])}, {limits.matches} are allowed"
                raise place.invalid(what, "Make the pattern narrower")
        return {path: level[path].hex() for path in sorted(level)}

    def _matching(
        self, level: Mapping[str, bytes], part: str, wanted: Callable[[int], bool], place: Place
    ) -> Iterator[tuple[str, bytes]]:
        for folder, tree in level.items():
            entries = self._entries(tree, place)
            names = filter(partial(part_matches, part), entries) if "*" in part else {part} & entries.keys()
            for name in names:
                mode, identity = entries[name]
                if wanted(mode):
                    yield f"{folder}/{name}".lstrip("/"), identity

    def interrupt(self) -> None:
        """From another thread: makes a read that hangs fail with Damaged."""
        self._git.interrupt()

    def close(self) -> None:
        """Ends git's processes."""
        self._git.clear_cache()

    def _check_folder(self, files: Mapping[str, bytes], place: Place, limits: Limits) -> None:
        if len(files) > limits.folder_files:
            what = f"the folder has {len(files)} files, {limits.folder_files} are allowed"
            raise place.invalid(what, "Split it or move files out")
        total = sum(map(self._size, files.values()))
        if total > limits.folder_bytes:
            what = f"the folder's files have {total} bytes, {limits.folder_bytes} are allowed"
            raise place.invalid(what, "Make them smaller or move files out")

    def _entry(self, commit: str, parts: tuple[str, ...], place: Place) -> tuple[int, bytes]:
        mode, identity = stat.S_IFDIR, self._tree_of(commit)
        for depth, part in enumerate(parts):
            if not stat.S_ISDIR(mode):
                raise place.invalid(f"{'/'.join(parts[:depth])} is a file, not a folder", "Correct the path")
            found = self._entries(identity, place).get(part)
            if found is None:
                raise place.invalid("there is no such file or folder", "Add it, or correct the path")
            mode, identity = found
            _refuse_special("/".join(parts[: depth + 1]), mode, place)
        return mode, identity

    def _tree_of(self, commit: str) -> bytes:
        if self._last is None or self._last[0] != commit:
            self._last = commit, bytes.fromhex(self._header(commit + "^{tree}"))
        return self._last[1]

    def _header(self, name: str) -> str:
        try:
            identity, _, _ = self._git.get_object_header(name)
        except ValueError as error:
            # GitPython's only way to say it; `cat-file --batch-check` answers "<what was asked for> missing".
            raise (CommitAbsent if "missing" in str(error) else Damaged)(str(error)) from error
        except (OSError, GitFailed) as error:
            raise Damaged(str(error)) from error
        return identity if isinstance(identity, str) else bytes(identity).decode("ascii")

    def _entries(self, tree: bytes, place: Place) -> Entries:
        if tree in self._trees:
            self._trees.move_to_end(tree)
            return self._trees[tree]
        if self._size(tree) > _TREE_BYTES:
            raise place.invalid("a folder on the way has too many entries", "Split it")
        parsed = tree_entries_from_data(self._content(tree, b"tree"))
        self._trees[tree] = {name: (mode, identity) for identity, mode, name in parsed}
        while sum(map(len, self._trees.values())) > _CACHED_ENTRIES and len(self._trees) > 1:
            self._trees.popitem(last=False)
        return self._trees[tree]

    def _size(self, identity: bytes) -> int:
        try:
            return int(self._database.info(identity).size)
        except (ValueError, OSError, GitFailed) as error:
            raise Damaged(str(error)) from error

    def _content(self, identity: bytes, kind: bytes) -> bytes:
        fault = f"{identity.hex()} is cut short or not a {kind.decode()}"
        try:
            content = self._whole(identity, kind)
        except (ValueError, OSError, GitFailed) as error:
            content, fault = None, str(error)
        # Raised out here, where nothing holds GitPython's stream any more: at its end it reads what is left, and by the
        # time that the error is dealt with its process is closed.
        if content is None:
            raise Damaged(fault)
        return content

    def _whole(self, identity: bytes, kind: bytes) -> bytes | None:
        stream = self._database.stream(identity)
        content = bytes(stream.read())
        return content if len(content) == stream.size and stream.type in (kind, kind.decode()) else None


def _is_folder(mode: int) -> bool:
    return stat.S_ISDIR(mode)


def _is_file(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _refuse_special(name: str, mode: int, place: Place) -> None:
    if stat.S_ISLNK(mode):
        raise place.invalid(f"{name} is a symbolic link, and those are not followed", "Commit the file itself")
    if stat.S_IFMT(mode) == _GITLINK:
        raise place.invalid(f"{name} is a submodule, and those are not fetched", "Commit the files themselves")

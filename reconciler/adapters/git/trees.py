"""Folders as Git stores them, changed in one entry. Bytes in, bytes out.

Not by an index: that would write every folder on the way anew by today's rules, and an old mode elsewhere in it would
be a second change. Here everything but the one id stays as it is.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass

_ID = 20
"""Bytes of an id, SHA-1."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a folder: its mode, its id, and where that id stands."""

    mode: int
    identity: str
    offset: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file: neither a folder nor a symbolic link nor a submodule."""
        return stat.S_ISREG(self.mode)


def find_entry(tree: bytes, name: str) -> Entry | None:
    """The entry called `name`, if there is one. Raises ValueError if `tree` is no folder."""
    at = 0
    wanted = name.encode(errors="surrogateescape")
    while at < len(tree):
        blank = tree.index(b" ", at)
        end = tree.index(b"\0", blank)
        if tree[blank + 1 : end] == wanted:
            return Entry(int(tree[at:blank], 8), tree[end + 1 : end + 1 + _ID].hex(), end + 1)
        at = end + 1 + _ID
    return None


def with_identity(tree: bytes, entry: Entry, identity: str) -> bytes:
    """`tree` with another id in that entry."""
    return tree[: entry.offset] + bytes.fromhex(identity) + tree[entry.offset + _ID :]

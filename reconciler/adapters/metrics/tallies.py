"""Counters by app or by source, which go when the app or source does: Git can make and remove apps without end."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

LIMIT = 20_000
"""Keys that are remembered if nobody ever looks, and so says which are left. The oldest goes then: a counter may begin
anew."""


class Tallies(Generic[Key]):
    """How often something happened to each of those that there are."""

    def __init__(self) -> None:
        self._counts: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, key: Key) -> None:
        """Once more."""
        if key not in self._counts and len(self._counts) >= LIMIT:
            del self._counts[next(iter(self._counts))]
        self._counts[key] = self._counts.get(key, 0) + 1

    def of(self, present: Collection[Key]) -> Mapping[Key, int]:
        """How often so far, for each that there is; all others are forgotten. 0 is shown, too: else the first time
        would be no increase."""
        now = {key: self._counts.get(key, 0) for key in present}
        self._counts = {key: count for key, count in now.items() if count}
        return now

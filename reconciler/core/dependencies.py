"""Which app waits for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def cycle(name: str, depends_on: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The way from `name` over what it depends on back to itself, the shortest one; () if there is none."""
    ways: list[tuple[str, ...]] = [(name,)]
    seen: set[str] = set()
    for way in ways:  # grows while it is walked: breadth first
        for following in depends_on.get(way[-1], ()):
            if following == name:
                return (*way, name)
            if following not in seen:
                seen.add(following)
                ways.append((*way, following))
    return ()

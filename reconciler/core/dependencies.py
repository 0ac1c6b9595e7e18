"""Which app waits for which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

_SHOWN = 12
"""Names of a circle that are shown: whoever can push can make one of thousands."""


def cycle(name: str, depends_on: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The way from `name` over what it depends on back to itself, the shortest one; () if there is none."""
    came_from: dict[str, str] = {}
    ahead = [name]
    for at in ahead:  # grows while it is walked: breadth first
        for following in depends_on.get(at, ()):
            if following == name:
                return (*reversed(_back(at, came_from)), name)
            if following not in came_from:
                came_from[following] = at
                ahead.append(following)
    return ()


def _back(at: str, came_from: Mapping[str, str]) -> list[str]:
    way = [at]
    while way[-1] in came_from:
        way.append(came_from[way[-1]])
    return way


def shown(circle: Sequence[str]) -> str:
    """A circle as people read it."""
    left = len(circle) - _SHOWN
    names = circle if left <= 0 else (*circle[: _SHOWN - 1], f"({left} more)", circle[-1])
    return " → ".join(names)


class Waits:
    """Dependencies that are added app by app and never close a circle.

    What an app waits for in the end is kept as the bits of one number. So the worst that thousands of files can say
    takes less time than to read them.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """`names`: those of all apps that there may be."""
        self._bits = {name: 1 << at for at, name in enumerate(dict.fromkeys(names))}
        self._wanted: dict[str, Sequence[str]] = {}
        self._beyond: dict[str, int] = {}
        self._waited_for = 0

    def circle(self, name: str, depends_on: Sequence[str]) -> tuple[str, ...]:
        """The way from `name` back to itself, if it depended on these; () if there is none."""
        bit, way, following = self._bits[name], [name], depends_on
        if not self._reach(depends_on) & bit:
            return ()
        while len(way) == 1 or way[-1] != name:
            way.append(next(each for each in following if each == name or self._beyond.get(each, 0) & bit))
            following = self._wanted.get(way[-1], ())
        return tuple(way)

    def add(self, name: str, depends_on: Sequence[str]) -> None:
        """From now on `name` depends on these."""
        bit, reach = self._bits[name], self._reach(depends_on)
        self._wanted[name], self._beyond[name] = depends_on, reach
        if self._waited_for & bit:
            for other, beyond in self._beyond.items():
                if beyond & bit:
                    self._beyond[other] = beyond | reach
        self._waited_for |= reach

    def _reach(self, depends_on: Sequence[str]) -> int:
        found = 0
        for each in depends_on:
            found |= self._bits.get(each, 0) | self._beyond.get(each, 0)
        return found

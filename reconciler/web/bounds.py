"""How much is taken from whom, and how much of it is told. Time comes in as an argument, in seconds."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

Key = tuple[str, str]


@dataclass(slots=True)
class Bucket:
    """A token bucket: `burst` at once, `rate` a second in the long run."""

    rate: float
    burst: float
    _tokens: float | None = None
    _at: float = 0.0

    def take(self, now: float) -> bool:
        """Whether there was a token left, which is gone now."""
        before = self.burst if self._tokens is None else self._tokens
        held = min(self.burst, before + (now - self._at) * self.rate)
        taken = held >= 1.0
        self._tokens, self._at = held - taken, now
        return taken


@dataclass(slots=True)
class Seen:
    """What was seen in the last `seconds`, and no more than `limit` of it."""

    limit: int
    seconds: float
    _when: OrderedDict[bytes, float] = field(default_factory=OrderedDict)

    def again(self, key: bytes, now: float) -> bool:
        """Whether `key` was seen already; from now on it was."""
        while self._when and now - next(iter(self._when.values())) >= self.seconds:
            self._when.popitem(last=False)
        if key in self._when:
            return True
        self._when[key] = now
        if len(self._when) > self.limit:
            self._when.popitem(last=False)
        return False


@dataclass(slots=True)
class Tally:
    """Counts what is told at most once in `seconds`."""

    seconds: float
    _told: dict[Key, float] = field(default_factory=dict)
    _count: dict[Key, int] = field(default_factory=dict)

    def count(self, key: Key, now: float) -> int:
        """How many of `key` are to be told now, this one among them; 0: it was told only a moment ago."""
        self._count[key] = self._count.get(key, 0) + 1
        if key in self._told and now - self._told[key] < self.seconds:
            return 0
        self._told[key] = now
        return self._count.pop(key)

    def rest(self) -> dict[Key, int]:
        """What was counted and not told; it counts as told now."""
        rest, self._count = self._count, {}
        return rest

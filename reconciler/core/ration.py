"""How often a channel is told: never the same thing twice within a time, and never more than a number at once. Pure:
time comes in with the notices."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from reconciler.core.notice import Channel, Key, Notice

REMEMBERED = 1000
"""Things that a channel remembers to have been told."""


@dataclass(slots=True)
class _Last:
    """When it was told last, and how often it happened since."""

    at: float
    again: int = 0


@dataclass(slots=True)
class Ration:
    """What one channel was told, and may still be told: a token bucket behind a memory."""

    channel: Channel
    _told: OrderedDict[Key, _Last] = field(default_factory=OrderedDict)
    _tokens: float = field(init=False)
    _at: float = 0.0
    _more: int = 0

    def __post_init__(self) -> None:
        self._tokens = float(self.channel.burst)

    def admit(self, notice: Notice) -> Notice | None:
        """The notice with what was left out before it, if it may be told now; None if not.

        What is the same costs nothing of the limit. What goes over the limit does not count as told.
        """
        self._forget_what_ended(notice)
        last = self._told.get(notice.key)
        if last and notice.at - last.at < self.channel.repeat_after:
            last.again += 1
            return None
        if not self._take(notice.at):
            self._more += 1
            return None
        self._remember(notice)
        more, self._more = self._more, 0
        return replace(notice, times=1 + (last.again if last else 0), more=more)

    def lost(self, notice: Notice) -> None:
        """It was admitted, but never arrived: counted, and with the next occasion told as if it were the first time."""
        self._more += 1 + notice.more
        self._told.pop(notice.key, None)

    def _forget_what_ended(self, notice: Notice) -> None:
        ended = [key for key in self._told if key[:2] == (notice.kind.ends, notice.about)]
        for key in ended:
            del self._told[key]

    def _remember(self, notice: Notice) -> None:
        self._told[notice.key] = _Last(notice.at)
        self._told.move_to_end(notice.key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    def _take(self, now: float) -> bool:
        rate = self.channel.burst / self.channel.per
        held = min(float(self.channel.burst), self._tokens + max(0.0, now - self._at) * rate)
        taken = held >= 1.0
        self._tokens, self._at = held - taken, now
        return taken

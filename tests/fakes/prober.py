"""A prober whose measurements are scripted, and can be held back."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field

from reconciler.core.check import Check, Measurement, Outcome
from reconciler.ports import Subject

GOOD = Measurement(Outcome.PASSED, "200")
BAD = Measurement(Outcome.FAILED, "500", "the status must be 200")
UNKNOWN = Measurement(Outcome.INCONCLUSIVE, "", "nobody answers")
FATAL = Measurement(Outcome.FAILED, "fatal", "the body says so", final=True)


@dataclass
class FakeProber:
    """Gives to each check, by its name, what was scripted for it, and `otherwise` after that; an exception is raised.

    A measurement of a check that is held waits until it is released.
    """

    otherwise: Measurement | Exception = GOOD
    asked: list[tuple[str, Subject]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    _scripts: defaultdict[str, deque[Measurement | Exception]] = field(default_factory=lambda: defaultdict(deque))
    _held: dict[str, asyncio.Event] = field(default_factory=dict)

    def script(self, name: str, *measurements: Measurement | Exception) -> None:
        """What the next measurements of that check come to."""
        self._scripts[name].extend(measurements)

    def hold(self, name: str) -> None:
        """Measurements of that check do not end from now on."""
        self._held[name] = asyncio.Event()

    def release(self, name: str) -> None:
        """They do again, those under way too."""
        self._held.pop(name).set()

    def names(self) -> list[str]:
        """The checks in the order in which they were measured."""
        return [name for name, _ in self.asked]

    async def measure(self, check: Check, subject: Subject) -> Measurement:
        self.asked.append((check.name, subject))
        try:
            if check.name in self._held:
                await self._held[check.name].wait()
        except asyncio.CancelledError:
            self.cancelled.append(check.name)
            raise
        script = self._scripts[check.name]
        given = script.popleft() if script else self.otherwise
        if isinstance(given, Exception):
            raise given
        return given

"""Time that moves when told to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FakeClock:
    """Time that moves when told to."""

    time: float = 1_700_000_000.0
    pause: float = 0.0
    """What every back-off takes at least, in real seconds."""

    def now(self) -> float:
        self.time += 0.000_001  # no two moments are the same
        return self.time

    def monotonic(self) -> float:
        return self.time

    def jitter(self, seconds: float) -> float:
        return max(seconds, self.pause)

"""Time and chance."""

from __future__ import annotations

import random
import time


class SystemClock:
    """The `ports.Clock` of this machine: the wall clock, which follows its corrections, but only forward.

    (For what outlives a turn the monotonic clock would not do: it stands still while a virtual machine is suspended.)
    """

    def __init__(self) -> None:
        self._latest = 0.0

    def now(self) -> float:
        """Seconds since the epoch; never less than before, even if the machine's clock is set back."""
        self._latest = max(self._latest, time.time())
        return self._latest

    def elapsed(self) -> float:
        """Seconds since some moment before the start, whatever becomes of the wall clock, and however long the process,
        or the virtual machine that it is in, stood still."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()

    def monotonic(self) -> float:
        """Seconds since some moment of this process' machine."""
        return time.monotonic()

    def jitter(self, seconds: float) -> float:
        """`seconds`, varied by up to a tenth, so that many daemons do not ask at once."""
        return seconds * random.uniform(0.9, 1.1)  # noqa: S311

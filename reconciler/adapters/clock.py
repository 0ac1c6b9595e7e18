"""Time and chance."""

from __future__ import annotations

import random
import time


class SystemClock:
    """The `ports.Clock` of this machine: the wall clock at the start, and from there on only forward."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch; never less than before, even if the machine's clock is set back."""
        return self._offset + time.monotonic()

    def jitter(self, seconds: float) -> float:
        """`seconds`, varied by up to a tenth, so that many daemons do not ask at once."""
        return seconds * random.uniform(0.9, 1.1)  # noqa: S311

"""How long to wait before trying again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.errors import Conflict, Transient

_NEWS = 0.01
"""Seconds before a first conflict is tried again: the state is merely newer."""


@dataclass(slots=True)
class BackOff:
    """Doubles from `first` to `longest` seconds with every failure in a row; a success begins anew.

    Conflicts are counted by themselves: they say nothing of the other side's health.
    """

    first: float = 0.5
    longest: float = 60.0
    failures: int = 0
    conflicts: int = 0

    def succeeded(self) -> None:
        """The next failure waits `first` again."""
        self.failures = self.conflicts = 0

    def failed(self, error: Exception) -> float:
        """Seconds to wait after this failure."""
        if isinstance(error, Conflict):
            self.conflicts += 1
            return self._doubled(_NEWS, self.conflicts)
        self.failures += 1
        asked = error.retry_after if isinstance(error, Transient) else None
        return max(self._doubled(self.first, self.failures), asked or 0.0)

    def _doubled(self, first: float, times: int) -> float:
        return min(self.longest, first * 2.0 ** min(times - 1, 30))

"""How long to wait before trying again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.errors import Conflict, Transient


@dataclass(slots=True)
class BackOff:
    """Doubles from `first` to `longest` seconds with every failure in a row; a success begins anew."""

    first: float = 0.5
    longest: float = 60.0
    failures: int = 0

    def succeeded(self) -> None:
        """The next failure waits `first` again."""
        self.failures = 0

    def failed(self, error: Exception) -> float:
        """Seconds to wait after this failure. A conflict is retried almost at once: the state is merely newer."""
        first = 0.01 if isinstance(error, Conflict) else self.first
        delay = min(self.longest, first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        asked = error.retry_after if isinstance(error, Transient) else None
        return max(delay, asked or 0.0)

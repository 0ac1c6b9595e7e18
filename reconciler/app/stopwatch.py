"""How long an app that was woken waits for its turn."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.ports import Clock, Meter


class Unmetered:
    """A `ports.Meter` that counts nothing: for commands that come to an end."""

    def turned(self, seconds: float, ok: bool) -> None:
        """See `ports.Meter`."""

    def waited(self, seconds: float) -> None:
        """See `ports.Meter`."""

    def source_failed(self, source: str) -> None:
        """See `ports.Meter`."""

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """See `ports.Meter`."""

    def watch_restarted(self, resource: str) -> None:
        """See `ports.Meter`."""


@dataclass(slots=True)
class Stopwatch:
    """Times the turns of one app, and what it waits for them."""

    clock: Clock
    meter: Meter
    _woken_at: float | None = None
    _held: bool = False

    @property
    def queued(self) -> bool:
        """It was woken, and its turn has not begun, though nothing is waited out."""
        return self._woken_at is not None and not self._held

    def woken(self) -> None:
        """From the first wake-up on it waits; others before its turn are the same one."""
        if self._woken_at is None:
            self._woken_at = self.clock.monotonic()

    def held(self, held: bool) -> None:
        """A failure is (or is no longer) waited out. That is no queue: who was woken meanwhile queues from then on."""
        if self._held and not held and self._woken_at is not None:
            self._woken_at = self.clock.monotonic()
        self._held = held

    def taken(self) -> None:
        """The app's turn has come. (It may have to wait for the API server then, which is no queue.)"""
        if self._woken_at is not None:
            self.meter.waited(self.clock.monotonic() - self._woken_at)
            self._woken_at = None

    def begun(self) -> float:
        """A turn begins, at the moment that is returned."""
        return self.clock.monotonic()

    def ended(self, began: float, ok: bool) -> None:
        """It is over. A conflict is `ok`: somebody else wrote first, and the next turn looks afresh."""
        self.meter.turned(self.clock.monotonic() - began, ok)

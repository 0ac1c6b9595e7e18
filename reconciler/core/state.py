"""What a daemon is doing at one moment, as plain values: what gauges show."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.phase import Phase


@dataclass(frozen=True, slots=True)
class AppState:
    """An app that is looked after. `phase`: of its last plan; None before the first. `switched_at`: when (epoch
    seconds) its traffic last moved; None if that was never seen. `queued`: it was woken, and its turn has not begun."""

    name: str
    namespace: str
    phase: Phase | None = None
    switched_at: float | None = None
    queued: bool = False


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source. `age`: seconds since it was last read with success, or if it never was, since it was begun."""

    name: str
    age: float


@dataclass(frozen=True, slots=True)
class State:
    """All of it. `members`: live members of the group; None without high availability."""

    apps: tuple[AppState, ...] = ()
    sources: tuple[SourceState, ...] = ()
    members: int | None = None

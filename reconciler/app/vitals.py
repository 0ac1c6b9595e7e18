"""What every long-lived task owes: to be heard of again by some moment. Who is not, hangs.

A registry and no watchdog: it starts nothing, ends nothing, and is read when somebody asks (`/livez`). That Git or the
API server is down is no hang: then every call ends by its time-out, and its task says so and waits. An event loop that
stands still needs no entry here: it does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from weakref import WeakSet

from reconciler.ports import CALL_SECONDS

SLACK = 3.0
"""How many times its own time-out a thing may take before it counts as hung: a machine without a free CPU is slow, and
a restart would not mend that."""
API_SECONDS = SLACK * CALL_SECONDS

CONFIGURATION_SECONDS = SLACK * (CALL_SECONDS + 60.0)
"""For a configuration to get into force: what leaves has its Jobs deleted (one call), its Git processes killed and its
connections closed (moments)."""


class Check(StrEnum):
    """Kinds of task, by which `/livez?verbose` answers. A kind says nothing of what this daemon looks after."""

    APPS = "apps"
    SOURCES = "sources"
    WATCHES = "watches"
    EVENTS = "events"
    CONFIGURATION = "configuration"
    MEMBERSHIP = "membership"


@dataclass(frozen=True, slots=True)
class Hung:
    """A task that is overdue, and since how many seconds."""

    check: Check
    task: str
    seconds: float


@dataclass(slots=True, eq=False, weakref_slot=True)
class Owed:
    """The `ports.Pulse` of one task."""

    check: Check
    task: str
    _now: Callable[[], float]
    _due: float | None = None

    def due_within(self, seconds: float) -> None:
        """See `ports.Pulse`."""
        self._due = self._now() + seconds

    def at_rest(self) -> None:
        """See `ports.Pulse`."""
        self._due = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What is inside ends in that time, by whatever way."""
        self.due_within(seconds)
        try:
            yield
        finally:
            self.at_rest()

    @property
    def overdue(self) -> float:
        """Seconds since when it should have been heard of; 0 if it owes nothing yet."""
        return max(0.0, self._now() - self._due) if self._due is not None else 0.0


@dataclass(slots=True, eq=False, weakref_slot=True)
class Queue:
    """Calls that wait for each other, as those of one repository do: whoever waits hangs only if nobody gets on."""

    check: Check
    task: str
    _now: Callable[[], float]
    _heard: float = 0.0
    _waiting: dict[object, float] = field(default_factory=dict)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What is inside ends in that time after the last one of the queue did."""
        if not self._waiting:
            self._heard = self._now()
        mine = object()
        self._waiting[mine] = seconds
        try:
            yield
        finally:
            del self._waiting[mine]
            self._heard = self._now()

    @property
    def overdue(self) -> float:
        """As of `Owed`."""
        longest = max(self._waiting.values(), default=0.0)
        return max(0.0, self._now() - self._heard - longest) if self._waiting else 0.0


@dataclass(slots=True)
class Vitals:
    """All of it. `now` gives monotonic seconds."""

    now: Callable[[], float]
    _entries: WeakSet[Owed | Queue] = field(default_factory=WeakSet)

    def pulse(self, check: Check, task: str) -> Owed:
        """A task's own entry, for as long as somebody holds it. `task`: what it is called in events."""
        made = Owed(check, task, self.now)
        self._entries.add(made)
        return made

    def queue(self, check: Check, task: str) -> Queue:
        """The same for calls that wait for each other."""
        made = Queue(check, task, self.now)
        self._entries.add(made)
        return made

    def hung(self) -> list[Hung]:
        """The tasks that are overdue now."""
        found = (Hung(each.check, each.task, late) for each in self._entries if (late := each.overdue) > 0)
        return sorted(found, key=lambda each: (each.check, each.task))

"""Keeps every app's cycle turning: wake-ups in, cycles out, back-off in between.

One task per app: apps never wait for each other, and one app's cycles never overlap. The broad `except` for
bugs is here: what escapes is told as such, and holds up only the task that it happened in.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from reconciler.app.backoff import BackOff
from reconciler.app.cycle import Cycle, Outcome, Tip
from reconciler.app.stopwatch import Stopwatch, Unmetered
from reconciler.core.event import Event, event
from reconciler.core.model import Manifest
from reconciler.core.state import AppState
from reconciler.errors import Conflict, Invalid, Permanent, ReconcilerError, Transient
from reconciler.ports import Clock, Meter, Telemetry

_BUSY_LIMIT = 20
"""Cycles in a row that all changed something. A promotion takes about five; more is a fight with another writer."""

_TRIES = 5
_CONFLICTS = 11
"""Conflicts in a row that a command waits out: 20 s in all."""

_NEVER = 3600.0
_FIRM = 1.0
"""Seconds after a failure for which changes in the cluster do not bring on the next try: our own writes are such
changes, and a cluster in trouble has many."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds until the next cycle. For the `firm` part of `total` only news from Git cut it short."""

    total: float
    firm: float = 0.0


async def keep_going(name: str, work: Callable[[], Awaitable[None]], telemetry: Telemetry, clock: Clock) -> None:
    """Runs `work` for ever. It ends only by a bug: that is told, and `work` is begun anew after a back-off."""
    back_off = BackOff()
    while True:
        began = clock.now()
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the one place: a bug must not end the daemon
            if clock.now() - began > back_off.longest:
                back_off.succeeded()
            delay = clock.jitter(back_off.failed(error))
            told = "".join(traceback.format_exception(error))[-4000:]
            telemetry.emit(event("bug", task=name, retry_in=round(delay, 3), reason=told))
            await asyncio.sleep(delay)


@dataclass(slots=True)
class AppLoop:
    """One app's loop. `tip()` gives the commit that its source points to, or None before the first look; `look_at_git`
    asks for a fresh look, after which the loop is woken; `turned` is called after each turn, `seen` is the commit of
    the last one."""

    cycle: Cycle
    telemetry: Telemetry
    clock: Clock
    tip: Callable[[], Tip | None]
    look_at_git: Callable[[], None]
    turned: Callable[[], None] = lambda: None
    error: ReconcilerError | None = None
    outcome: Outcome | None = None
    seen: str | None = None
    meter: Meter = field(default_factory=Unmetered)
    _stopwatch: Stopwatch = field(init=False)
    _told: tuple[str, tuple[object, ...]] | None = None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _back_off: BackOff = field(default_factory=BackOff)
    _busy: int = 0

    def __post_init__(self) -> None:
        self._stopwatch = Stopwatch(self.clock, self.meter)

    def wake(self) -> None:
        """Something changed in the cluster: look afresh. Any number of wake-ups before the next cycle are one."""
        self._stopwatch.woken()
        self._woken.set()

    def wake_for_git(self) -> None:
        """Git says something new: look afresh, also while a failure is being waited out."""
        self._news.set()
        self.wake()

    @property
    def state(self) -> AppState:
        """What gauges show of it."""
        app, cycle = self.cycle.app, self.cycle
        return AppState(app.name, app.namespace, cycle.told.phase, cycle.switched_at, self._stopwatch.queued)

    @property
    def gave_up(self) -> bool:
        """The last cycle failed in a way that a command should not wait out: for good, or several times in a row."""
        often = self._back_off.failures >= _TRIES or self._back_off.conflicts >= _CONFLICTS
        return isinstance(self.error, Permanent) or often

    async def run(self, until: Callable[[AppLoop], bool] = lambda _: False) -> None:
        """Turns for ever, or until the condition holds after a turn; cancel the task that runs it."""
        while True:
            self._woken.clear()
            self._news.clear()
            self._stopwatch.taken()
            pause = await self.turn()
            self.turned()
            if until(self):
                return
            self._stopwatch.held(pause.firm > 0)
            news = await set_within(self._news, pause.firm)
            self._stopwatch.held(False)
            if not news:
                await set_within(self._woken, pause.total - pause.firm)

    async def turn(self) -> Pause:
        """One cycle, its failure told and turned into a delay. Returns how long to wait for the next."""
        await self.cycle.synced()  # first: Git is to be asked about no earlier than what is done about it
        tip = self.tip()
        if tip is None:
            return Pause(_NEVER)
        self.seen = tip.commit
        began = self._stopwatch.begun()
        try:
            outcome = await self.cycle.run(tip)
        except ReconcilerError as error:
            self._stopwatch.ended(began, isinstance(error, Conflict))
            return self._failed(error, tip)
        self._stopwatch.ended(began, True)
        return self._succeeded(outcome)

    def _succeeded(self, outcome: Outcome) -> Pause:
        self.outcome, self.error, self._told = outcome, None, None
        self._back_off.succeeded()
        self._busy = self._busy + 1 if outcome.acted else 0
        if outcome.outdated:
            self.look_at_git()
            return Pause(_NEVER)
        if outcome.acted:
            over = self._busy - _BUSY_LIMIT
            delay = self.clock.jitter(min(30.0, 0.1 * over)) if over > 0 else 0.0
            return Pause(delay, delay)
        wake_at = outcome.plan.wake_at
        return Pause(_NEVER if wake_at is None else max(0.001, wake_at - self.clock.now()))

    def _failed(self, error: ReconcilerError, tip: Tip) -> Pause:
        """Tells a failure once, not once per attempt; a conflict is no failure, only news."""
        self.error = error
        delay = self.clock.jitter(self._back_off.failed(error))
        if not isinstance(error, Conflict) or self._back_off.conflicts >= _TRIES:
            self._tell(error, tip, delay)
        asked = error.retry_after if isinstance(error, Transient) else None
        return Pause(delay, min(delay, max(asked or 0.0, _FIRM)))

    def _tell(self, error: ReconcilerError, tip: Tip, delay: float) -> None:
        known = (tip.commit, error.args)
        if self._told == known:
            return
        self._told = known
        app = self.cycle.app
        fields: dict[str, object] = {"app": app.name, "namespace": app.namespace, "commit": tip.commit}
        fields["reason"] = error.located
        fields["untouched"] = error.untouched or "Nothing was changed in the cluster; traffic goes on as it was"
        fields |= {"todo": error.todo} if error.todo else {}
        name = _EVENT_OF[next(kind for kind in _EVENT_OF if isinstance(error, kind))]
        if name == "app_failed":
            fields["retry_in"] = round(delay, 3)
        self.telemetry.emit(event(name, **fields), self.cycle.about)


class Silence:
    """The `ports.Telemetry` of those who only look."""

    def emit(self, event: Event, about: Manifest | None = None) -> None:
        """Somebody else tells of it."""


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it was set within that time."""
    if seconds <= 0:
        return event.is_set()
    try:
        async with asyncio.timeout(seconds):  # `wait_for` of Python 3.11 may lose a cancellation
            await event.wait()
    except TimeoutError:
        return False
    return True


_EVENT_OF: dict[type[ReconcilerError], str] = {
    Invalid: "app_invalid",
    Permanent: "app_blocked",
    Transient: "app_failed",
    Conflict: "app_failed",
}

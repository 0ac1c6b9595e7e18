"""Has checks measured, as many at once as are wanted, and keeps what came of each until nobody wants it any more.

Level-triggered as all else: the plan says which checks are to be under way, and `keep` makes that so.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from reconciler.app.tell import who
from reconciler.core.check import Measurement, Outcome, Result, Series
from reconciler.core.event import event
from reconciler.core.model import Manifest
from reconciler.core.series import Tally, due, ends_at, result_of
from reconciler.errors import printable
from reconciler.ports import Clock, Prober, Subject, Telemetry

TOLD = 10
"""Measurements of one series that are told by themselves: more say nothing new."""
SHOWN = 2000
"""Characters of what was measured, and of why it counts so, that are kept and told."""
_GRACE = 5.0
"""Seconds beyond its time that a measurement may take to end by itself."""

_EVENT_OF: Mapping[Outcome, str] = {
    Outcome.PASSED: "check_passed",
    Outcome.FAILED: "check_failed",
    Outcome.INCONCLUSIVE: "check_inconclusive",
}


@dataclass(slots=True)
class Analyst:
    """The checks of one app. `wake` is called whenever one has a result; `sleep` takes seconds.

    Each series is a task of its own, on the caller's event loop; no method but `close` waits for any.
    """

    prober: Prober
    telemetry: Telemetry
    clock: Clock
    wake: Callable[[], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _subjects: Mapping[str, Subject] = field(default_factory=dict)
    _about: Manifest | None = None
    _tasks: dict[Series, asyncio.Task[Result]] = field(default_factory=dict)
    _results: dict[Series, Result] = field(default_factory=dict)
    _ending: set[asyncio.Task[Result]] = field(default_factory=set)

    def keep(self, wanted: frozenset[Series], subjects: Mapping[str, Subject], about: Manifest | None) -> None:
        """Has exactly the `wanted` series under way, or their results kept: begins what is new, and cancels and forgets
        what is not wanted any more. The next measurements, and events, are about `subjects` and the Service `about`."""
        self._subjects, self._about = subjects, about
        for series in self._tasks.keys() - wanted:
            self._cancel(series)
        self._results = {series: result for series, result in self._results.items() if series in wanted}
        for series in sorted(wanted - self._tasks.keys() - self._results.keys(), key=lambda each: each.check.name):
            task = asyncio.create_task(self._run(series), name=f"check {series.check.name}")
            self._tasks[series] = task
            task.add_done_callback(partial(self._ended, series))

    def results(self) -> Mapping[Series, Result]:
        """What came of the wanted series that are finished."""
        return dict(self._results)

    async def close(self) -> None:
        """Cancels all that is under way, and waits for its end. Nothing is told of it."""
        for series in list(self._tasks):
            self._cancel(series)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _cancel(self, series: Series) -> None:
        task = self._tasks.pop(series)
        self._ending.add(task)
        task.cancel()

    async def _run(self, series: Series) -> Result:
        """Measures until there is a result."""
        began = latest = self.clock.now()
        tally, result = Tally(), None
        while result is None:
            at = due(series, began, tally.made, latest)
            await self._sleep_until(ends_at(series, began) if at is None else at, series)
            if at is not None:
                latest = self.clock.now()
                tally = tally.with_(_bounded(await self._measure(series)))
            result = result_of(series, tally, began, self.clock.now())
            if result is None and at is not None:
                self._tell_attempt(series, tally)
        return result

    async def _sleep_until(self, moment: float | None, series: Series) -> None:
        """A clock that was put back does not make it wait for longer than it ever should."""
        longest = max(series.check.interval, series.window)
        left = 0.0 if moment is None else min(moment - self.clock.now(), longest)
        if left > 0:
            await self.sleep(left)

    async def _measure(self, series: Series) -> Measurement:
        check, subject = series.check, self._subjects[series.revision]
        try:
            async with asyncio.timeout(check.timeout + _GRACE):
                return await self.prober.measure(check, replace(subject, since=series.since))
        except TimeoutError:
            return Measurement(Outcome.INCONCLUSIVE, "", f"the measurement took longer than {check.timeout:g}s")

    def _ended(self, series: Series, task: asyncio.Task[Result]) -> None:
        """Called by the event loop. To ask the task for its exception is no `except`: what escapes is a bug, told as
        such as in `app/loop.py`, and holds up only this check."""
        self._ending.discard(task)
        current = self._tasks.get(series) is task
        if current:
            del self._tasks[series]
        if task.cancelled() or ((error := task.exception()) is None and not current):
            return
        if error:
            told = "".join(traceback.format_exception(error))[-4000:]
            self.telemetry.emit(event("bug", task=f"check {series.check.name}", reason=told))
        if not current:
            return
        result = self._buggy(error) if error else task.result()
        self._results[series] = result
        self._tell(series, result)
        self.wake()

    def _buggy(self, error: BaseException) -> Result:
        why = f"it could not be measured for a bug of the reconciler ({type(error).__name__})"
        return Result(Outcome.INCONCLUSIVE, "", why, self.clock.now())

    def _tell(self, series: Series, result: Result) -> None:
        took = round(max(result.at - series.since, 0.0), 3)
        fields = {"measured": result.measured, "reason": result.reason, "duration": took}
        self._emit(_EVENT_OF[result.outcome], series, **fields)

    def _tell_attempt(self, series: Series, tally: Tally) -> None:
        """Of a measurement that did not succeed, while the check goes on."""
        last, unsuccessful = tally.last, tally.made - tally.succeeded
        if last is None or last.outcome is Outcome.PASSED or unsuccessful > TOLD:
            return
        why = last.reason or "it did not succeed"
        reason = why if last.outcome is Outcome.FAILED else f"could not be evaluated: {why}"
        self._emit("check_attempt_failed", series, measured=last.measured, reason=reason)

    def _emit(self, name: str, series: Series, **fields: object) -> None:
        desired = self._subjects[series.revision].desired
        check = {"check": series.check.name, "stage": series.stage.value}
        self.telemetry.emit(event(name, **who(desired), **check, **fields), self._about)


def _bounded(measurement: Measurement) -> Measurement:
    """What the other side said may be long, and hold anything."""
    measured, reason = (printable(each[:SHOWN]) for each in (measurement.measured, measurement.reason))
    return Measurement(measurement.outcome, measured, reason, measurement.final)

"""The `ports.Prober` of checks that run a Job: creates it, waits for its end, tells the end of its log.

A Job is found again by its name and by what is noted on it. So a daemon that is killed in between goes on with the Job
that its forerunner started, or with what came of it, and starts no second one. Whatever becomes of the daemon, a Job
ends by its own deadline, and what is left of it goes after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from reconciler.core.check import Check, Outcome
from reconciler.core.job import (
    MOST_JOBS,
    is_deleted,
    is_gate_of,
    job_name,
    job_of,
    measures,
    named,
)
from reconciler.core.jobend import (
    has_started,
    is_finished,
    measured,
    outcome_of,
    speaker,
    why,
    why_unfinished,
)
from reconciler.core.model import App, Manifest
from reconciler.errors import Blocked, Conflict, ReconcilerError, Transient
from reconciler.ports import Clock, Measurement, Subject

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0
"""Seconds between two looks at a Job: the first, and after doubling the longest."""
_RESERVE = 2.0
"""Seconds of a check's time that are kept for reading a log and cleaning up, but no more than a fifth of it."""
_REMEMBERED = 1000


class Jobs(Protocol):
    """Jobs of the cluster: see `adapters.cluster.jobs`."""

    async def get(self, namespace: str, name: str) -> Manifest | None:
        """The Job of that name; None if there is none."""
        ...

    async def create(self, job: Manifest) -> Manifest:
        """Makes it; `Conflict` if one of its name exists."""
        ...

    async def delete(self, job: Manifest) -> None:
        """Deletes it with its pods, if that very one is still there."""
        ...

    async def pods(self, job: Manifest) -> Sequence[Manifest]:
        """The pods that it made."""
        ...

    async def log(self, namespace: str, pod: str, container: str) -> str:
        """The end of what a container printed."""
        ...


@dataclass(slots=True)
class JobProber:
    """Measures by Jobs. `jobs` gives those that an app may make; `pause` takes seconds.

    It knows which finished Jobs it has told of, so that another attempt is another Job. Failed ones are left to be
    looked at until their `ttlSecondsAfterFinished`.
    """

    jobs: Callable[[App], Jobs]
    clock: Clock
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _told: dict[str, None] = field(default_factory=dict)

    async def measure(self, check: Check, subject: Subject) -> Measurement:
        """See `ports.Prober`. What the API server refuses is inconclusive, and says what it refused to whom."""
        run = _Run(self, self.jobs(subject.desired.app), check, subject)
        try:
            return await run.to_its_end()
        except ReconcilerError as error:
            return Measurement(Outcome.INCONCLUSIVE, "", ". ".join(filter(None, (run.failing(error), error.todo))))
        except asyncio.CancelledError:
            await run.drop()
            raise

    def tells(self, job: Manifest) -> None:
        """What came of it is told: the next attempt is another Job."""
        self._told[job["metadata"]["uid"]] = None
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]

    def told(self, job: Manifest) -> bool:
        """Whether this process has told of it."""
        return job["metadata"]["uid"] in self._told


@dataclass(slots=True)
class _Run:
    """One measurement."""

    prober: JobProber
    jobs: Jobs
    check: Check
    subject: Subject
    _end: float = 0.0
    _delay: float = _FIRST_PAUSE
    _doing: str = "render"
    _name: str = "the Job"
    _making: asyncio.Task[Manifest] | None = None
    _job: Manifest | None = None

    async def to_its_end(self) -> Measurement:
        timeout = self.check.timeout
        self._end = self.prober.clock.now() + timeout - min(_RESERVE, timeout / 5)
        desired, pods = self.subject.desired, self.subject.pods
        wanted = job_of(self.check, desired, [pods[name] for name in sorted(pods)], self.subject.since)
        self._job = job = await self._obtain(wanted)
        while not is_finished(job) and self.prober.clock.now() < self._end:
            await self._wait()
            seen = await self._look(job)
            if seen is None:
                gone = f"Job {self._name} was deleted while it ran"
                return Measurement(Outcome.INCONCLUSIVE, "", gone)
            self._job = job = seen
        return await self._conclude(job)

    def failing(self, error: ReconcilerError) -> str:
        """What could not be done, where, and why."""
        if self._doing == "render":
            return error.located
        namespace = self.subject.desired.app.namespace
        return f"could not {self._doing} Job {self._name} in namespace {namespace}: {error.what}"

    async def drop(self) -> None:
        """Nobody waits for it any more. A request to make it may be under way."""
        if self._making is not None:
            made = (await asyncio.gather(self._making, return_exceptions=True))[0]
            self._job = self._job if isinstance(made, BaseException) else made
        if self._job is not None:
            await self._delete(self._job)

    async def _obtain(self, wanted: Manifest) -> Manifest:
        """The first Job of this measurement that nobody has told of yet, or else a new one."""
        desired = self.subject.desired
        namespace = desired.app.namespace
        for number in range(1, MOST_JOBS + 1):
            self._doing, self._name = "get", job_name(desired.app.name, self.check.name, desired.revision, number)
            found = await self._patiently(lambda: self.jobs.get(namespace, self._name))
            if found is None:
                found = await self._create(named(wanted, self._name))
            if not is_gate_of(found, desired.app.name):
                raise _foreign(found)
            if measures(found, wanted) and not self.prober.told(found):
                return found
        raise Blocked(
            f"there are {MOST_JOBS} of this check already",
            todo="Delete the finished ones, or give the Job a shorter `ttlSecondsAfterFinished`",
        )

    async def _create(self, job: Manifest) -> Manifest:
        """Makes it, or gives what was made under its name in the meantime: by a request whose answer was lost."""
        self._doing = "create"
        try:
            return await self._patiently(lambda: self._make(job))
        except Conflict:
            found = await self._patiently(lambda: self.jobs.get(job["metadata"]["namespace"], self._name))
            if found is None:
                raise
            return found

    async def _make(self, job: Manifest) -> Manifest:
        # Whoever is cancelled meanwhile has to know whether there is a Job now.
        self._making = asyncio.ensure_future(self.jobs.create(job))
        made = await asyncio.shield(self._making)
        self._making = None
        return made

    async def _look(self, job: Manifest) -> Manifest | None:
        """How it is by now; None if it is gone. While the API server does not answer: as it was."""
        self._doing = "get"
        try:
            found = await self.jobs.get(job["metadata"]["namespace"], self._name)
        except Transient:
            if self.prober.clock.now() >= self._end:
                raise
            return job
        if found is None or found["metadata"]["uid"] != job["metadata"]["uid"] or is_deleted(found):
            return None
        return found

    async def _conclude(self, job: Manifest) -> Measurement:
        self.prober.tells(job)
        pods, log = await self._last_words(job)
        outcome = outcome_of(job, pods or ())
        if outcome is None:
            reason = why_unfinished(pods, self.check.timeout)
            ended = Outcome.FAILED if has_started(pods or ()) else Outcome.INCONCLUSIVE
        else:
            reason, ended = why(job, pods or ()), outcome
        left = await self._delete(job) if outcome in (None, Outcome.PASSED) else ""
        return Measurement(ended, "\n".join(filter(None, (measured(job, log), left))), reason)

    async def _last_words(self, job: Manifest) -> tuple[Sequence[Manifest] | None, str]:
        """Its pods (None: not to be seen), and the end of its log. What cannot be read is no reason to doubt how it
        ended."""
        pods: Sequence[Manifest] | None = None
        try:
            pods = await self.jobs.pods(job)
            found = speaker(pods) if has_started(pods) else None
            return pods, await self.jobs.log(job["metadata"]["namespace"], *found) if found else ""
        except ReconcilerError as error:
            return pods, f"(not to be read: {error.what})"

    async def _delete(self, job: Manifest) -> str:
        """Why it may not be deleted; '' if it may. What stays ends by its own deadline, and goes after a while."""
        try:
            await self.jobs.delete(job)
        except Blocked as error:
            return f"Job {self._name} stays: {error.what}"
        except ReconcilerError:
            pass
        return ""

    async def _patiently(self, request: Callable[[], Awaitable[T]]) -> T:
        """Asks again while the API server does not answer, and there is time."""
        while True:
            try:
                return await request()
            except Transient:
                if self.prober.clock.now() >= self._end:
                    raise
            await self._wait()

    async def _wait(self) -> None:
        left = max(self._end - self.prober.clock.now(), 0.01)
        await self.prober.pause(min(self._delay, left))
        self._delay = min(self._delay * 2, _LONGEST_PAUSE)


def _foreign(found: Manifest) -> Blocked:
    return Blocked(
        "one of this name exists already, and is not marked as made by this daemon. It was left as it is",
        where=f"Job {found['metadata']['namespace']}/{found['metadata']['name']}",
        todo="Delete or rename it, or give the check another name",
    )

"""Deletes the apps of one namespace that Git no longer has, if they asked for it. See `core.removal` and `departed`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from reconciler.app.backoff import BackOff
from reconciler.app.departed import Fate, Verdict
from reconciler.app.loop import set_within
from reconciler.core.event import event
from reconciler.core.model import Manifest
from reconciler.core.observed import is_of
from reconciler.core.policy import is_further
from reconciler.core.removal import (
    REMOVAL_MANAGER,
    Mark,
    Note,
    Step,
    disown,
    followed_kinds_of,
    has_any,
    next_step,
)
from reconciler.errors import Conflict, Permanent, ReconcilerError
from reconciler.ports import Clock, Cluster, Telemetry

_AGAIN = 5.0
"""Seconds between two looks at a deletion that is held: nothing tells when Git can be read again."""
_NEVER = 3600.0


@dataclass(slots=True)
class _Going:
    """An app on its way out, as far as this process has seen it."""

    since: float
    unrouted_since: float | None = None
    acted: bool = False
    deleting: Verdict | None = None
    not_before: float = 0.0
    told: str = ""
    back_off: BackOff = field(default_factory=BackOff)


@dataclass(slots=True)
class Sweep:
    """`judge(namespace, name, objects)` says what becomes of an app, and is asked before every write; `done(namespace,
    name)` is called when nothing is left to do for one; `writer(name)` is the cluster for the writes of an app."""

    namespace: str
    cluster: Cluster
    telemetry: Telemetry
    clock: Clock
    judge: Callable[[str, str, Sequence[Manifest]], Verdict]
    done: Callable[[str, str], None]
    writer: Callable[[str], Cluster]
    _going: dict[str, _Going] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Something changed in Git, in the configuration or in the cluster: look afresh."""
        self._woken.set()

    async def run(self) -> None:
        """Turns for ever; cancel the task that runs it."""
        while True:
            self._woken.clear()
            await self.cluster.synced(self.namespace)
            await set_within(self._woken, await self.turn())

    async def turn(self) -> float:
        """One look at every app of the namespace. Returns how many seconds to wait for the next."""
        names = sorted({*self.cluster.apps(self.namespace), *self._going})
        return min([await self._turn_of(name) for name in names], default=_NEVER)

    async def _turn_of(self, name: str) -> float:
        going = self._going.get(name)
        if going and self.clock.now() < going.not_before:
            return going.not_before - self.clock.now()
        verdict = self._verdict(name)
        if verdict.fate is Fate.KEEP:
            return self._let_go(name, going)
        going = self._going.setdefault(name, _Going(self.clock.now()))
        try:
            wait = await self._carry_out(name, verdict, going)
        except ReconcilerError as error:
            return self._failed(name, error, going)
        going.back_off.succeeded()
        return wait

    def _let_go(self, name: str, going: _Going | None) -> float:
        """The app is there again, or there is nothing left that could say what was to become of it."""
        if going and going.deleting and going.acted and not has_any(self._objects(name)):
            return self._gone(name, going.deleting, going)
        self._going.pop(name, None)
        return _NEVER

    async def _carry_out(self, name: str, verdict: Verdict, going: _Going) -> float:
        if verdict.fate is Fate.ORPHAN:
            for note in disown(self._objects(name)):
                await self.writer(name).apply(note.manifest, REMOVAL_MANAGER, note.live)
            await self.cluster.follow(self.namespace, name, frozenset(), frozenset())
            return self._finish(name)
        if verdict.fate is Fate.HOLD or verdict.mark is None:
            return self._hold(name, verdict, verdict.reason, going)
        going.deleting = verdict
        await self.cluster.follow(self.namespace, name, frozenset(), followed_kinds_of(self._objects(name)))
        now, back = self.clock.now(), self.cluster.recovered_at(self.namespace)
        step = next_step(self._objects(name), verdict.mark, now, going.unrouted_since, back)
        going.unrouted_since = step.unrouted_since
        if step.waits:
            return self._hold(name, verdict, step.waits, going)
        if step.gone:
            return self._gone(name, verdict, going)
        return await self._act(name, verdict, step, going)

    async def _act(self, name: str, verdict: Verdict, step: Step, going: _Going) -> float:
        """Does what the step says, unless the app comes back meanwhile."""
        about = self._service(name)
        for action in step.actions:
            if self._verdict(name).fate is not Fate.DELETE:
                return 0.0
            if isinstance(action, Note):
                await self.writer(name).apply(action.manifest, REMOVAL_MANAGER, action.live)
            else:
                await self.writer(name).delete(self.namespace, action.live)
            going.acted = True
        if any(isinstance(each, Note) for each in step.actions):
            self._emit("deletion_begun", name, verdict, about, reason=_why(verdict))
        if step.actions:
            return 0.0
        return _NEVER if step.wake_at is None else max(0.001, step.wake_at - self.clock.now())

    def _gone(self, name: str, verdict: Verdict, going: _Going) -> float:
        if going.acted:
            took = round(self.clock.now() - going.since, 3)
            self._emit("app_deleted", name, verdict, duration=took, reason=_why(verdict))
        return self._finish(name)

    def _finish(self, name: str) -> float:
        self._going.pop(name, None)
        self.done(self.namespace, name)
        return _NEVER

    def _hold(self, name: str, verdict: Verdict, reason: str, going: _Going) -> float:
        if reason and reason != going.told:
            untouched = "What is still there of it stays until then"
            self._emit("deletion_held", name, verdict, self._service(name), reason=reason, untouched=untouched)
        going.told = reason or going.told
        return _AGAIN

    def _failed(self, name: str, error: ReconcilerError, going: _Going) -> float:
        delay = self.clock.jitter(going.back_off.failed(error))
        going.not_before = self.clock.now() + delay
        if not isinstance(error, Conflict) and error.located != going.told:
            going.told = error.located
            why = {"reason": error.located, "untouched": error.untouched, "todo": error.todo}
            known = {"app": name, "namespace": self.namespace, **{key: text for key, text in why.items() if text}}
            told = "app_blocked" if isinstance(error, Permanent) else "app_failed"
            self.telemetry.emit(event(told, **known), self._service(name))
        return delay

    def _emit(self, told: str, name: str, verdict: Verdict, about: Manifest | None = None, **fields: object) -> None:
        mark = verdict.mark
        known = {"app": name, "namespace": self.namespace, **_where(verdict.source, mark)}
        self.telemetry.emit(event(told, **known, **fields), about)

    def _verdict(self, name: str) -> Verdict:
        return self.judge(self.namespace, name, self._objects(name))

    def _objects(self, name: str) -> Sequence[Manifest]:
        there = self.cluster.view(self.namespace, name)
        return [each for each in there if not is_further(each) or is_of(each, self.namespace)]

    def _service(self, name: str) -> Manifest | None:
        return next((each for each in self._objects(name) if each["kind"] == "Service"), None)


def _where(source: str, mark: Mark | None) -> dict[str, str]:
    said = {"source": source, "commit": mark.commit or "" if mark else "", "path": mark.file if mark else ""}
    return {key: text for key, text in said.items() if text}


def _why(verdict: Verdict) -> str:
    file = verdict.mark.file if verdict.mark else ""
    gone = f"{file} is not in Git any more" if file else "the configuration does not have it any more"
    return f"{gone}, and its deletionPolicy is delete"

"""One app, its repository, its cluster and its daemons, all in memory, moved on by the test one step at a time.

Every write goes through `Watchdog`, which knows the invariants of ARCHITECTURE.md by name and fails the test that
breaks one. Nothing here awaits for real, so a step is a plain call.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reconciler.app.cycle import Cycle, Outcome, Tip
from reconciler.app.ownership import Alone, Tenure
from reconciler.core.consent import Approval, write_approval
from reconciler.core.event import Event
from reconciler.core.front import ROUTE_FIELDS, route_of
from reconciler.core.health import known_enough
from reconciler.core.live import LiveRevision, Workload
from reconciler.core.memory import Memory
from reconciler.core.model import LABEL_REVISION, WORKLOADS, App, Manifest, Strategy
from reconciler.core.observed import PREVIEW_MANAGER, SWITCH_MANAGER, Front, Observed, led_to, observe
from reconciler.core.plan import Plan
from reconciler.core.plan.preview import SYNC_PERIOD
from reconciler.core.preview import is_headless
from reconciler.errors import Blocked, Conflict, ReconcilerError, Transient
from tests.fakes.analyst import FakeAnalyst, Verdicts
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.controllers import Controllers
from tests.fakes.git import FakeRepository

T = TypeVar("T")

NAMESPACE = "shop"
APP = App(
    name="my-app",
    namespace=NAMESPACE,
    source="git",
    strategy=Strategy("my-app", scale_down_delay=30.0, abort_scale_down_delay=10.0, progress_deadline=60.0),
    values={"image": "example/my-app", "replicas": 3},
)


class Killed(BaseException):
    """The daemon died here. Not an Exception: nothing in the product may catch it."""


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise AssertionError("this would have waited")


@types.coroutine
def _suspended() -> Generator[None, None, None]:
    """A moment in which the process is stopped, its write decided and not yet sent."""
    yield


@dataclass
class Recorder:
    """Telemetry that keeps what it is told."""

    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event, about: Manifest | None = None) -> None:
        self.events.append(event)

    def names(self) -> list[str]:
        return [each.name for each in self.events]

    def last(self, name: str) -> Event:
        return next(each for each in reversed(self.events) if each.name == name)


class GuardedCluster(FakeCluster):
    """A cluster that holds every write of the daemon against the invariants, and can kill the daemon at one."""

    def __init__(self, clock: FakeClock, strategy: Strategy = APP.strategy) -> None:
        super().__init__(clock.now)
        self.strategy = strategy
        self.refuse_moves_of: Mapping[str, ReconcilerError] = {}
        """By the name of a Service: what the API server says to a moved selector of it."""
        self.refuse_writes_of: Mapping[str, ReconcilerError] = {}
        """By the name of an object: what the API server says to any apply of it."""
        self.pause_before: int | None = None
        self.kill_before: int | None = None
        self.kill_after: int | None = None
        self.selector_writes: list[str] = []
        self.written: dict[str, float] = {}
        """By the name of a Service that kube-proxy watches: when a daemon last changed it, other than by a switch."""
        self.hands = 0
        """How often a hand has written or deleted something."""
        self.late: int | None = None
        """While writes of a daemon are carried out that was stopped after deciding on them: `hands` at that time."""
        self.known_ready: Callable[[Manifest], int] = lambda workload: 0
        self.why_not: Callable[[LiveRevision], str] = lambda target: ""
        """What else forbids that traffic moves to a revision: checks that it has not passed."""

    def put(self, live: Mapping[str, Any], manager: str = "somebody") -> dict[str, Any]:
        self.hands += manager == "kubectl"
        return super().put(live, manager)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        self.hands += kind in (*ROUTE_FIELDS, *WORKLOADS)
        super().remove(kind, namespace, name)

    @property
    def meddled(self) -> bool:
        """Whether a hand came between decision and write. No condition of Kubernetes spans two objects, so what it did
        to the other one cannot be known."""
        return self.late is not None and self.late != self.hands

    def guard(self) -> Observed:
        return observe(self.view(NAMESPACE, APP.name), self.strategy, NAMESPACE)

    async def apply(self, manifest: Manifest, manager: str, live: Any) -> Manifest:
        await self._maybe_pause()
        self._maybe_kill_before()
        before = self.guard()
        if live is not None:
            there = self.get(manifest["kind"], NAMESPACE, manifest["metadata"]["name"])
            self._require(there, live)
            if refused := self.refuse_writes_of.get(manifest["metadata"]["name"]):
                raise refused
            refused = self.refuse_moves_of.get(manifest["metadata"]["name"])
            if refused and there and manager == SWITCH_MANAGER and route_of(manifest) != route_of(there):
                raise refused
        if manifest["kind"] in ROUTE_FIELDS and manager == SWITCH_MANAGER:
            assert live is not None, "one-writer: a selector write without a condition"
            self._check_switch(before, manifest)
        coloured = LABEL_REVISION in (manifest["metadata"].get("labels") or {})
        if manager == PREVIEW_MANAGER:
            self._check_preview(manifest, live)
        elif live is None and manifest["metadata"]["name"] == self.strategy.preview_service:
            assert route_of(manifest), "a headless Service made without a selector can never get one"
        elif manifest["kind"] in ROUTE_FIELDS and manager != SWITCH_MANAGER and not coloured:
            assert not route_of(manifest), "one-writer: an apply carries the route"
        if manifest["kind"] in WORKLOADS:
            self._check_workload(before, manifest)
        there = self.get(manifest["kind"], NAMESPACE, manifest["metadata"]["name"])
        stored = await super().apply(manifest, manager, live)
        if manager != SWITCH_MANAGER:
            self._note_write(there, stored)
        self._maybe_kill_after()
        return stored

    async def overwrite(self, manifest: Manifest, manager: str, live: Any) -> Manifest:
        await self._maybe_pause()
        self._maybe_kill_before()
        self._require(self.get(manifest["kind"], NAMESPACE, manifest["metadata"]["name"]), live)
        if "selector" in manifest["spec"]:
            assert manager == SWITCH_MANAGER, "one-writer"
            self._check_switch(self.guard(), manifest)
        stored = await super().overwrite(manifest, manager, live)
        self._maybe_kill_after()
        return stored

    async def create(self, manifest: Manifest, manager: str) -> Manifest:
        await self._maybe_pause()
        self._maybe_kill_before()
        self._check_switch(self.guard(), manifest)
        stored = await super().create(manifest, manager)
        self._maybe_kill_after()
        return stored

    async def delete(self, namespace: str, ref: Any) -> bool:
        await self._maybe_pause()
        self._maybe_kill_before()
        before = self.guard()
        there = self.get(ref.kind, namespace, ref.name)
        if there is not None:
            self._require(there, ref)
        target = next((w for w in before.workloads if (ref.kind, ref.name) == (w.kind, w.name)), None)
        if target is not None:
            self._check_not_serving(before, target.revision, "deletes")
        deleted = await super().delete(namespace, ref)
        self._note_write(there, None)
        self._maybe_kill_after()
        return deleted

    def _check_switch(self, before: Observed, manifest: Manifest) -> None:
        moved = self._as_written(manifest)
        there = next((e for e in before.fronts if (e.kind, e.name) == (moved.kind, moved.name)), None)
        if there and there.route == moved.route:
            return
        matched = led_to(before, moved)
        if self.late is not None:
            # Pods may have failed since it was decided. But no other daemon may have taken the revision away.
            assert matched or self.meddled or before.front is None, "one-writer: a late switch leads to nothing"
            return
        assert len(matched) == 1, "ready-before-switch: the route must lead to exactly one revision"
        target = matched[0]
        assert not (why := self.why_not(target)), f"ready-before-switch: {why}"
        rescue = self._is_rescue(before, target)
        for workload in target.workloads:
            self._check_ready(workload, rescue)
        self.selector_writes.append(target.revision)
        self._check_quiet(before, moved, target)

    def _check_preview(self, manifest: Manifest, live: Any) -> None:
        assert live is not None, "one-writer: a selector write without a condition"
        assert manifest["metadata"]["name"] == self.strategy.preview_service, "one-writer: that is no preview"
        assert set(manifest["spec"]) == {"selector"}, "the preview's manager owns its selector alone"

    def _note_write(self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        """Writes down a change that kube-proxy has to follow: of a Service that has an address of its own."""
        there = after or before or {}
        watched = there.get("kind") == "Service" and not is_headless(there)
        if watched and (before or {}).get("spec") != (after or {}).get("spec"):
            self.written[there["metadata"]["name"]] = self._now()

    def _check_quiet(self, before: Observed, moved: Front, target: LiveRevision) -> None:
        """Nothing that kube-proxy watches was touched in the second before the switch, on account of the preview. What
        goes back, or serves where nobody does, waits for nothing."""
        front, preview = before.front, before.preview
        if front is None or not front.endpoints or (moved.kind, moved.name) != (front.kind, front.name):
            return
        known = {each.revision for each in (front.memory.active, *front.memory.history) if each and not each.failed}
        if target.revision in known or preview is None or is_headless(preview.live):
            return
        last = self.written.get(preview.name, 0.0)
        assert self._now() - last >= SYNC_PERIOD, "active-first: the preview Service was written just before the switch"
        if target.revision in {each.revision for each in led_to(before, preview)}:
            ready = max((pod.ready_since for pod in target.pods if pod.ready), default=0.0)
            assert self._now() - ready >= SYNC_PERIOD, (
                "active-first: the preview's endpoints came just before the switch"
            )

    def _as_written(self, manifest: Manifest) -> Front:
        """The Service or Ingress as it will be."""
        meta = manifest["metadata"]
        return Front(manifest["kind"], meta["name"], "", "", route_of(manifest), Memory(), {}, False, manifest)

    def _check_ready(self, workload: Workload, rescue: bool) -> None:
        ready, known = len([pod for pod in workload.pods if pod.ready]), self.known_ready(workload.live)
        assert workload.replicas >= 1, "ready-before-switch: no replicas"
        wanted = 1 if rescue else workload.replicas
        assert ready >= wanted, "ready-before-switch: not fully ready"
        assert known >= min(wanted, known_enough(workload)), (
            "ready-before-switch: the endpoint controller does not know the pods yet"
        )
        asked = self.spec_generation[workload.kind, NAMESPACE, workload.name]  # a later one is of annotations alone
        assert rescue or workload.observed_generation >= asked, "ready-before-switch: another generation"

    def _is_rescue(self, before: Observed, target: LiveRevision) -> bool:
        """A revision that was whole before may serve with what it has, if nobody serves or it was moved off by hand."""
        if before.front is None or not before.front.endpoints:
            return target.completed
        noted = before.front.memory.active
        return target.completed and noted is not None and noted.revision == target.revision

    def _check_workload(self, before: Observed, manifest: Manifest) -> None:
        target = next((w for w in before.workloads if w.name == manifest["metadata"]["name"]), None)
        if target is None or "spec" not in manifest:
            return
        if "template" in manifest["spec"] and manifest["spec"]["template"] != target.live["spec"]["template"]:
            self._check_not_serving(before, target.revision, "edits the pod template of")
        git_asked = (manifest["metadata"].get("annotations") or {}).get("bluegreen.reconciler/replicas", "")
        if manifest["spec"]["replicas"] < target.replicas and str(manifest["spec"]["replicas"]) != git_asked:
            self._check_not_serving(before, target.revision, "scales down")

    def _check_not_serving(self, before: Observed, revision: str, what: str) -> None:
        if before.front is None or self.meddled:
            return
        assert before.revision(revision) is not None
        for front in before.fronts:
            selected = {each.revision for each in led_to(before, front)}
            assert revision not in selected, f"never-cut-the-active: {what} what {front.name} leads to"
            assert revision not in front.endpoints.values(), f"never-cut-the-active: {what} ready endpoints"

    async def _maybe_pause(self) -> None:
        if self.pause_before is not None:
            self.pause_before -= 1
            if self.pause_before < 0:
                self.pause_before = None
                await _suspended()

    def _maybe_kill_before(self) -> None:
        if self.kill_before is not None:
            self.kill_before -= 1
            if self.kill_before < 0:
                self.kill_before = None
                raise Killed

    def _maybe_kill_after(self) -> None:
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after < 0:
                self.kill_after = None
                raise Killed


@dataclass
class Held(Alone):
    """Everything is this daemon's, and it says so."""

    holder: str

    def term(self, key: str) -> str:
        return self.holder


@dataclass
class FakeDaemon:
    """One process: what it last read of Git, and its cycle. Both are lost when it is killed."""

    world: World
    app: App | None = None
    holder: str = ""
    cycle: Cycle = field(init=False)
    analyst: FakeAnalyst = field(init=False)
    tip: Tip | None = None
    _paused: Coroutine[Any, Any, Outcome] | None = None
    _decided_at: int = 0

    def __post_init__(self) -> None:
        world = self.world
        world.cluster.followed.clear()  # a process that begins watches nothing yet
        self.analyst = FakeAnalyst(world.clock, world.verdicts)
        app = self.app or world.app
        self.cycle = Cycle(app, world.repository, world.cluster, world.told, world.clock, self.analyst)
        self.cycle.tenure = Tenure(Held(holder=self.holder))

    def poll(self) -> None:
        """Reads Git, as a source does."""
        at = self.world.clock.now()
        commit = drive(self.world.repository.tip())
        moved = self.tip is None or self.tip.commit != commit
        self.tip = Tip(commit, at if moved or self.tip is None else self.tip.noticed_at, at)

    def pause(self, writes: int) -> None:
        """Begins a cycle and is stopped before one of its writes, as by SIGSTOP, until `turn` or `settle` resume it."""
        if self.tip is None or self._paused:
            return
        cycle = self.cycle.run(self.tip)
        self.world.cluster.pause_before = writes
        try:
            cycle.send(None)
            self._paused, self._decided_at = cycle, self.world.cluster.hands
        except (StopIteration, Conflict, Transient, Blocked):
            pass
        self.world.cluster.pause_before = None

    def turn(self) -> Outcome | None:
        """One cycle, or the rest of one; a failure is passed over as the loop does. None: no tip yet, or it failed."""
        if self.tip is None:
            return None
        cycle = self._paused or self.cycle.run(self.tip)
        self.world.cluster.late = self._decided_at if self._paused else None
        self._paused = None
        try:
            outcome = drive(cycle)
        except (Conflict, Transient):
            return None
        finally:
            self.world.cluster.late = None
        if outcome.outdated:
            self.poll()
        return outcome

    def settle(self, limit: int = 30) -> Plan:
        """Cycles until there is nothing left to do."""
        for _ in range(limit):
            known = self.analyst.results()
            outcome = self.turn()
            if outcome and not outcome.acted and not outcome.outdated and self.analyst.results().keys() <= known.keys():
                return outcome.plan
        raise AssertionError(f"still busy after {limit} cycles: {outcome}")


class World:
    """Everything, with the verbs of a test."""

    def __init__(self, app: App = APP, files: Mapping[str, str] | None = None) -> None:
        self.app = app
        self.files = {path: text.encode() for path, text in (files or {}).items()}
        self.clock = FakeClock()
        self.repository = FakeRepository()
        self.cluster = GuardedCluster(self.clock, app.strategy)
        self.controllers = Controllers(self.cluster, NAMESPACE, self.clock.now)
        self.cluster.known_ready = self.controllers.known_ready
        self.told = Recorder()
        self.verdicts = Verdicts()
        self.daemon = FakeDaemon(self)

    def commit(self, version: str, **values: object) -> str:
        """Commits a version file; returns the commit."""
        lines = [f"version: {version}", "values:", *(f"  {key}: {value}" for key, value in values.items())]
        text = "\n".join(lines) if values else version
        commit = self.repository.commit({**self.files, "version": text.encode()})
        self.repository.dates[commit] = self.clock.time
        return commit

    def restart(self) -> None:
        """The daemon is killed and started again."""
        self.daemon = FakeDaemon(self)
        self.daemon.poll()

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.clock.time += seconds

    def run(self, rounds: int = 12) -> Plan:
        """Daemon and controllers take turns until both are at rest; time stands still."""
        self.daemon.poll()
        for _ in range(rounds):
            made = self.daemon.settle()
            before = dict(self.cluster.objects)
            self.controllers.everything()
            if before == self.cluster.objects:
                return made
        raise AssertionError("never at rest")

    def release(self, version: str, **values: object) -> Plan:
        """Commits, and lets everything happen."""
        self.commit(version, **values)
        return self.run()

    def approve(self, revision: str, commit: str) -> None:
        """As `reconciler approve` writes it on every workload of a revision."""
        word = write_approval(Approval(revision, commit, "ann", self.clock.now()))
        for live in (each.live for each in self.observed.workloads if each.revision == revision):
            meta = live["metadata"]
            notes = {**(meta.get("annotations") or {}), **word}
            self.cluster.put({**live, "metadata": {**meta, "annotations": notes}}, "reconciler-approval")

    @property
    def observed(self) -> Observed:
        """What the cluster holds of the app."""
        return self.cluster.guard()

    @property
    def active_version(self) -> str | None:
        """The version that the selector points to."""
        found = self.observed
        if found.front is None:
            return None
        return next((each.version for each in led_to(found, found.front)), None)

    def versions(self) -> list[str]:
        """Versions that have a Deployment, sorted."""
        return sorted(each.version for each in self.observed.revisions)

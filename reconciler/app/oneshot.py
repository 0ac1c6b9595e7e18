"""One look, or one run to rest, of every app: what `once`, `plan`, `render`, `validate` and `status` do."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from reconciler.app.cycle import Cycle, NoAnalysis, Tip
from reconciler.app.dependence import WAITS_FOR, Standing, held
from reconciler.app.discovery import Discovery
from reconciler.app.lineage import tip_allowed
from reconciler.app.loop import AppLoop
from reconciler.app.observe import read_release
from reconciler.app.roster import Seen, roster
from reconciler.app.settings import Settings
from reconciler.app.settings_source import SourceSettings
from reconciler.core.action import (
    Apply,
    CreateFront,
    Follow,
    Move,
    Preview,
    Purpose,
    Ref,
    RequireFree,
    ScaleDown,
    Switch,
)
from reconciler.core.field import Field
from reconciler.core.front import without_route
from reconciler.core.job import written_jobs
from reconciler.core.model import App, Colour, Desired, Manifest, Slot, Strategy
from reconciler.core.observed import APPLY_MANAGER, PREVIEW_MANAGER, SCALE_MANAGER, SWITCH_MANAGER, Observed
from reconciler.core.phase import PHASES, Phase
from reconciler.core.plan import Plan
from reconciler.core.plan.extras import ahead
from reconciler.core.plan.view import ref_of
from reconciler.core.render import identify, render, variables, written
from reconciler.errors import Blocked, Conflict, Forbidden, Invalid, ReconcilerError
from reconciler.ports import Analysis, Clock, Cluster, Repository, Schemas, Telemetry

T = TypeVar("T")

_UNTRIED = (
    "So the API server was not asked whether it takes what would be applied. The daemon's account may be allowed to"
)


@dataclass(frozen=True, slots=True)
class Sight:
    """One app as it was found, at `at` (epoch seconds). `error` says what could not be read, stands in the way, or is
    going to be refused; what depends on it is None. `note`: what whoever asked was not allowed to find out."""

    app: App
    desired: Desired | None = None
    observed: Observed | None = None
    plan: Plan | None = None
    error: ReconcilerError | None = None
    at: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """What `ports.Cluster.apply` takes."""

    manifest: Manifest
    manager: str
    live: Ref | None


def writes_ahead(desired: Desired, observed: Observed, made: Plan) -> list[Write]:
    """What a plan applies, and the Services that follow once the pods are ready."""
    found: list[Write] = []
    for action in made.actions:
        match action:
            case RequireFree():
                found.append(Write(action.manifest, SWITCH_MANAGER, None))
            case CreateFront():
                found += [*map(_write, action.along), Write(action.manifest, SWITCH_MANAGER, None)]
            case Apply():
                found.append(Write(action.manifest, APPLY_MANAGER, action.live))
            case Switch():
                found += [*map(_write, action.along), Write(action.manifest, SWITCH_MANAGER, action.front)]
            case Follow():
                found += map(_write, action.moves)
            case ScaleDown():
                found.append(Write(action.manifest, SCALE_MANAGER, action.live))
            case Preview():
                found.append(Write(action.manifest, PREVIEW_MANAGER, action.service))
    if observed.front and any(isinstance(each, Apply) and each.purpose is Purpose.RELEASE for each in made.actions):
        found += _later(desired, observed)
        found += [Write(each.manifest, APPLY_MANAGER, each.live) for each in ahead(desired, observed)]
    return found


def _write(move: Move) -> Write:
    return Write(move.manifest, SWITCH_MANAGER, move.live)


def _later(desired: Desired, observed: Observed) -> Iterator[Write]:
    """What is there and follows once the pods are ready."""
    live = {(each.kind, each.name): each for each in observed.fronts}
    for rendered in desired.fronts:
        if there := live.get((rendered["kind"], rendered["metadata"]["name"])):
            yield Write(without_route(rendered), APPLY_MANAGER, ref_of(there))


@dataclass(slots=True)
class Workbench:
    """Configuration, repositories and cluster for one command. An async context manager: leaving it closes Git."""

    settings: Settings
    clock: Clock
    open_repository: Callable[[SourceSettings], Repository]
    _cluster: Cluster | None = None
    _telemetry: Telemetry | None = None
    _analysis: Callable[[Callable[[], None]], Analysis] = lambda _: NoAnalysis()
    _loops: dict[str, AppLoop] = field(default_factory=dict)
    _repositories: dict[str, Repository] = field(default_factory=dict)
    _tips: dict[str, asyncio.Task[str]] = field(default_factory=dict)
    _broken: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    _apps: dict[str, App] = field(init=False)
    _missing: list[Sight] = field(default_factory=list)
    _schemas: Schemas | None = None
    _sights: dict[str, asyncio.Task[Sight]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._apps = {each.name: each for each in self.settings.apps}

    async def __aenter__(self) -> Workbench:
        return self

    async def __aexit__(self, *_: object) -> None:
        for repository in self._repositories.values():
            await repository.close()
        for broken in self._broken.values():
            if not broken.cancel():
                broken.exception()  # seen, so that asyncio does not complain of it

    def join(
        self,
        cluster: Cluster,
        telemetry: Telemetry,
        analysis: Callable[[Callable[[], None]], Analysis] = lambda _: NoAnalysis(),
    ) -> None:
        """Adds the cluster, for the commands that need it. `analysis` as that of the daemon."""
        self._cluster, self._telemetry, self._analysis = cluster, telemetry, analysis

    @property
    def cluster(self) -> Cluster:
        """The cluster, with the rights of whoever called the command."""
        assert self._cluster is not None
        return self._cluster

    def changed(self, app: str) -> None:
        """An object of `app` changed in the cluster."""
        if app in self._loops:
            self._loops[app].wake()

    def outage(self, kind: str, namespace: str, retry_in: float, error: ReconcilerError) -> None:
        """A command does not wait for a namespace that cannot be read: what it was to do there fails."""
        broken = self._broken_in(namespace)
        if not broken.done():
            broken.set_exception(error)

    def _broken_in(self, namespace: str) -> asyncio.Future[None]:
        if namespace not in self._broken:
            self._broken[namespace] = asyncio.get_running_loop().create_future()
        return self._broken[namespace]

    async def discover(self) -> None:
        """Finds the apps that repositories describe, which are then among `apps`."""
        sources = [each for each in self.settings.sources if each.apps]
        seen = dict(await asyncio.gather(*map(self._seen, sources)))
        made = roster(self.settings.apps, seen, {})
        self._apps = {name: head.app for name, head in made.heads.items()}
        self._missing += [Sight(_unknown(each.name, each.source, each.file), error=each.error) for each in made.faults]

    async def _seen(self, source: SourceSettings) -> tuple[str, Seen | None]:
        try:
            commit = (await self._tip(source.name)).commit
            found = await Discovery(source, self._repository(source.name)).at(commit)
        except ReconcilerError as error:
            self._missing.append(Sight(_unknown(f"* of source {source.name}", source.name, source.apps), error=error))
            return source.name, None
        return source.name, Seen(commit, found)

    @property
    def is_empty(self) -> bool:
        """Whether there is no app at all, not even an unusable one."""
        return not self._apps and not self._missing

    def apps(self, names: Sequence[str]) -> list[App]:
        """The apps called `names`, or all. Raises KeyError with the first unknown name."""
        unusable = {each.app.name for each in self._missing}
        wanted = [name for name in names if name in self._apps or name not in unusable] if names else self._apps
        return [self._apps[name] for name in wanted]

    def _with_missing(self, names: Sequence[str], sights: Iterable[Sight]) -> list[Sight]:
        """What was seen, and what of the repositories' descriptions is unusable."""
        return [*sights, *(each for each in self._missing if not names or each.app.name in names)]

    async def look(self, names: Sequence[str]) -> list[Sight]:
        """Every app with its plan; nothing is changed."""
        sights = [self._sight(app.name, self._look) for app in self.apps(names)]
        return self._with_missing(names, await asyncio.gather(*sights))

    async def remembered(self, names: Sequence[str]) -> list[Sight]:
        """Every app as the cluster has it; Git is asked only which apps there are."""
        sights = (self._remembered(app) for app in self.apps(names))
        return self._with_missing(names, await asyncio.gather(*sights))

    async def render(self, names: Sequence[str], schemas: Schemas | None = None) -> list[Sight]:
        """Every app rendered as for a first release, and held against `schemas`; the cluster is not asked."""
        self._schemas = schemas
        return self._with_missing(names, await asyncio.gather(*(self._render(app) for app in self.apps(names))))

    async def settle(self, names: Sequence[str]) -> list[Sight]:
        """Reconciles every app until it is at rest: stable, retaining, rejected, or stopped by an error."""
        sights = [self._sight(app.name, self._settle) for app in self.apps(names)]
        return self._with_missing(names, await asyncio.gather(*sights))

    def _sight(self, name: str, see: Callable[[App], Awaitable[Sight]]) -> asyncio.Task[Sight]:
        """What is seen of an app, once for all who ask."""
        if name not in self._sights:
            self._sights[name] = asyncio.ensure_future(see(self._apps[name]))
        return self._sights[name]

    async def _held(self, app: App) -> str:
        """Why a promotion of the app is not to be begun. Others that the command does not concern are looked at."""
        return held([await self._standing(name) for name in app.depends_on])

    async def _standing(self, name: str) -> Standing:
        if name not in self._apps:
            return Standing(name, known=False)
        sight = await self._sight(name, self._look)
        phase = sight.plan.phase if sight.plan else None
        return Standing(name, phase, "", "", sight.error, sight.app.suspend)

    async def _look(self, app: App) -> Sight:
        cycle = self._cycle(app)
        why = await self._held(app)
        cycle.held = lambda: why
        try:
            tip = await self._tip(app.source)
            desired, observed, made = await self._or_broken(app, cycle.look(tip))
            if app.suspend:
                return Sight(app, desired, observed, at=self.clock.now())
            note = await self._tried(app, cycle.preconditions(made))
        except ReconcilerError as error:
            return Sight(app, observed=await self._what_is_there(app, cycle), error=error, at=self.clock.now())
        refusal, untried = await self._refusal(app, writes_ahead(desired, observed, made))
        return Sight(app, desired, observed, made, refusal, self.clock.now(), note or untried)

    async def _remembered(self, app: App) -> Sight:
        try:
            observed = await self._or_broken(app, self._cycle(app).observed())
        except ReconcilerError as error:
            return Sight(app, error=error, at=self.clock.now())
        return Sight(app, observed=observed, at=self.clock.now())

    async def _tried(self, app: App, work: Awaitable[None]) -> str:
        """Raises what the work does. But what not the app's account is forbidden, only whoever asks, the daemon may be
        allowed: that is a note; '' if there is none."""
        try:
            await self._or_broken(app, work)
        except Forbidden as error:
            if app.account and error.user == app.account.user:
                raise
            return f"{error.located}. {_UNTRIED}"
        return ""

    async def _refusal(self, app: App, writes: Sequence[Write]) -> tuple[ReconcilerError | None, str]:
        """What the API server, which alone knows every field, quota and permission, will say to the plan's writes; and
        a note about what it could not be asked."""
        assert self._cluster is not None
        cluster, note = self._cluster.acting_as(app.account), ""
        try:
            for each in writes:
                said = await self._tried(app, cluster.check(each.manifest, each.manager, each.live))
                note = note or said
        except Conflict:
            return None, note  # a daemon is at work, and has done it meanwhile
        except ReconcilerError as error:
            return error, note
        return None, note

    async def _what_is_there(self, app: App, cycle: Cycle) -> Observed | None:
        """What the cluster holds, though it is not known what it should."""
        try:
            return await self._or_broken(app, cycle.observed())
        except ReconcilerError:
            return None

    async def _render(self, app: App) -> Sight:
        try:
            tip = await self._tip(app.source)
            release = await read_release(app, self._repository(app.source), tip.commit)
            identify(app, release)
            slot = Slot(Colour.BLUE, tip.commit)
            wanted = render(app, release, slot)
            jobs = written_jobs(release.jobs.values(), variables(app, release, wanted.revision, slot))
            return Sight(app, wanted, error=self._unknown_to_kubernetes((*written(app, release, slot), *jobs)))
        except ReconcilerError as error:
            return Sight(app, error=error)

    def _unknown_to_kubernetes(self, objects: Iterable[Field]) -> Invalid | None:
        """Everything in `objects` that the chosen version of Kubernetes does not have, a line for each."""
        if self._schemas is None:
            return None
        faults = [
            each.at(*fault.path).fault(fault.what) for each in objects for fault in self._schemas.faults(each.value)
        ]
        return Invalid("\n".join(each.located for each in faults)) if faults else None

    async def _settle(self, app: App) -> Sight:
        if app.suspend:
            return Sight(app)
        cycle, why = self._cycle(app), await self._held(app)
        cycle.held = lambda: why
        try:
            tip = await self._tip(app.source)
            await self._or_broken(app, self._run_to_rest(cycle, tip))
            desired, observed, made = await cycle.look(tip)
        except ReconcilerError as error:
            return Sight(app, error=error)
        waits = Blocked(made.reason, where=f"app {app.name}") if _waits(made) else None
        return Sight(app, desired, observed, made, waits, at=self.clock.now())

    async def _run_to_rest(self, cycle: Cycle, tip: Tip) -> None:
        assert self._telemetry is not None
        # A command reads Git once, when it is called: what it found then is what its user asked for.
        now = replace(tip, checked_at=math.inf)
        loop = AppLoop(cycle, self._telemetry, self.clock, lambda: now, lambda: None)
        self._loops[cycle.app.name] = loop
        cycle.analyst = self._analysis(loop.wake)
        try:
            await loop.run(until=_at_rest)
        finally:
            await cycle.analyst.close()
        if loop.error is not None:
            raise loop.error

    def _cycle(self, app: App) -> Cycle:
        assert self._cluster is not None
        assert self._telemetry is not None
        cluster = self._cluster.acting_as(app.account)
        return Cycle(app, self._repository(app.source), cluster, self._telemetry, self.clock)

    async def _tip(self, source: str) -> Tip:
        began = self.clock.now()
        if source not in self._tips:
            self._tips[source] = asyncio.create_task(tip_allowed(self._source(source), self._repository(source)))
        return Tip(await self._tips[source], began, began)

    def _source(self, name: str) -> SourceSettings:
        return next(each for each in self.settings.sources if each.name == name)

    def _repository(self, source: str) -> Repository:
        if source not in self._repositories:
            self._repositories[source] = self.open_repository(self._source(source))
        return self._repositories[source]

    async def _or_broken(self, app: App, work: Awaitable[T]) -> T:
        """The work's result, unless the app's namespace turns out to be unreadable first."""
        task, broken = asyncio.ensure_future(work), self._broken_in(app.namespace)
        await asyncio.wait((task, broken), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            broken.result()
        return await task


def _unknown(name: str, source: str, file: str) -> App:
    """What stands for an app of which nothing but its file is known."""
    return App(name, "", source, Strategy(name), file=file)


def _at_rest(loop: AppLoop) -> bool:
    """Nothing left to do but to wait for retention, for Git, or for somebody to mend an error."""
    if loop.error is not None:
        return loop.gave_up
    if loop.outcome is None or loop.outcome.acted:
        return False
    made = loop.outcome.plan
    return PHASES[made.phase].settled or _waits(made)


def _waits(made: Plan) -> bool:
    """Whether it depends on others how it goes on: on apps, on an approval, on the time of day."""
    return made.phase is Phase.WAITING or made.reason.startswith(WAITS_FOR)

"""The running whole: which sources are followed and which apps are looped, by the configuration in force.

A changed configuration is applied by difference: what it does not touch goes on undisturbed, in the middle of a
promotion too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, TypeVar

from reconciler.app.cycle import Cycle, NoAnalysis, Tip
from reconciler.app.departed import Verdict, judge
from reconciler.app.dependence import Standing, held
from reconciler.app.discovery import Discovery
from reconciler.app.loop import AppLoop, keep_going
from reconciler.app.roster import Seen
from reconciler.app.settings import Settings
from reconciler.app.settings_source import SourceSettings
from reconciler.app.sources import Source
from reconciler.app.stopwatch import Unmetered
from reconciler.app.supervised import Supervision
from reconciler.app.sweep import Sweep
from reconciler.app.vitals import Vitals
from reconciler.app.wanted import Wanted
from reconciler.core.model import App, Manifest
from reconciler.core.state import State
from reconciler.errors import Invalid
from reconciler.ports import Analysis, Clock, Cluster, Meter, Repository, Telemetry

Part = TypeVar("Part")


@dataclass(slots=True)
class _Running(Generic[Part]):
    """A part with the task that runs it, and the settings that it was made from."""

    made_from: object
    part: Part
    task: asyncio.Task[None]


@dataclass(slots=True)
class Daemon:
    """Sources and apps at work. `open_repository` gives the adapter of a source, `analysis` what makes the checks of
    one app, and calls what it is given when one of them has a result."""

    cluster: Cluster
    telemetry: Telemetry
    clock: Clock
    open_repository: Callable[[SourceSettings], Repository]
    analysis: Callable[[Callable[[], None]], Analysis] = lambda _: NoAnalysis()
    meter: Meter = field(default_factory=Unmetered)
    vitals: Vitals | None = None
    _sources: dict[str, _Running[Source]] = field(default_factory=dict)
    _apps: dict[str, _Running[AppLoop]] = field(default_factory=dict)
    _sweeps: dict[str, tuple[Sweep, asyncio.Task[None]]] = field(default_factory=dict)
    _wanted: Wanted = field(init=False)
    _supervision: Supervision = field(init=False)
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._wanted = Wanted(self.telemetry)
        self._supervision = Supervision(self.vitals or Vitals(self.clock.monotonic))

    async def apply(self, settings: Settings) -> bool:
        """Brings what runs in line with `settings`: ends what left or changed, starts what is new or changed.

        Returns whether there was any difference. Raises `Invalid`, before anything was ended, for an address that
        no repository can have.
        """
        async with self._changing:
            return await self._apply(settings)

    async def _apply(self, settings: Settings) -> bool:
        sources = {each.name: each for each in settings.sources}
        renewed = {name for name, run in self._sources.items() if sources.get(name) != run.made_from}
        new = sources.keys() - self._sources.keys()
        opened = await self._open([each for name, each in sources.items() if name in renewed | new])
        read = {name: self._sources[name].part for name in renewed}
        before = set(self._apps)
        self._wanted.configured(settings, renewed | new)
        former = await self._stand_down(renewed)
        await self._end_sources(renewed)
        for name, repository in opened.items():
            self._start_source(sources[name], repository, read.get(name))
        started = self._start_apps(former)
        self._sweep(settings)
        return bool(opened or renewed or started or before - self._apps.keys())

    async def _discovered(self, discovery: Discovery, commit: str) -> None:
        """A source is about to point to another commit, which may describe other apps."""
        found = await discovery.at(commit)
        async with self._changing:
            self._wanted.discovered(discovery.settings.name, Seen(commit, found))
            self._start_apps(await self._stand_down(set()))
            self._wake_sweeps()

    async def _stand_down(self, renewed: set[str]) -> dict[str, Cycle]:
        """Ends the apps that left or changed, and those of `renewed` sources. Returns what every app had seen."""
        former = {name: run.part.cycle for name, run in self._apps.items()}
        running = self._wanted.running
        await self._end_apps(lambda app: running.get(app.name) != app or app.source in renewed)
        return former

    def _start_apps(self, former: Mapping[str, Cycle]) -> bool:
        started = [app for name, app in self._wanted.running.items() if name not in self._apps]
        for app in started:
            self._start_app(app, former.get(app.name))
        return bool(started)

    def wake_app(self, name: str) -> None:
        """Something about this app changed in the cluster."""
        if name in self._apps:
            self._apps[name].part.wake()
        else:
            self._wake_sweeps()

    def source_of(self, app: str) -> str:
        """The source of an app that is looked after; '' of any other."""
        run = self._apps.get(app)
        return run.part.cycle.app.source if run else ""

    @property
    def namespaces(self) -> Set[str]:
        """Where there are apps, or may be."""
        return self._sweeps.keys()

    def state(self) -> State:
        """What gauges show."""
        apps = tuple(run.part.state for run in self._apps.values())
        return State(apps, tuple(run.part.state for run in self._sources.values()))

    def _wake_sweeps(self) -> None:
        for sweep, _ in self._sweeps.values():
            sweep.wake()

    def wake_source(self, name: str) -> None:
        """Something about this source's repository may have changed."""
        if name in self._sources:
            self._sources[name].part.wake()

    async def stop(self) -> None:
        """Ends every task. An action under way is cut off; the next daemon finds what it left, and goes on."""
        async with self._changing:
            await self._end_apps(lambda _: True)
            await _cancel([task for _, task in self._sweeps.values()])
            self._sweeps.clear()
            await self._end_sources(set(self._sources))

    async def _open(self, sources: list[SourceSettings]) -> dict[str, Repository]:
        """The repositories of all `sources`, or, if one of them has an unusable address, of none."""
        opened: dict[str, Repository] = {}
        try:
            for each in sources:
                opened[each.name] = self._supervision.repository(self.open_repository(each), each)
        except Invalid:
            for repository in opened.values():
                await repository.close()
            raise
        return opened

    def _start_source(self, settings: SourceSettings, repository: Repository, former: Source | None) -> None:
        discover = partial(self._discovered, Discovery(settings, repository)) if settings.apps else None
        source = Source(settings, repository, self.telemetry, self.clock, self._source_moved, discover)
        source.meter = self.meter
        if former:
            source.inherit(former)
        task = self._start(f"source {settings.name}", source.run)
        self._sources[settings.name] = _Running(settings, source, task)

    def _start_app(self, app: App, former: Cycle | None) -> None:
        source = self._sources[app.source].part
        cluster = self._supervision.cluster(self.cluster.acting_as(app.account), f"app {app.name}")
        analyst = self.analysis(partial(self.wake_app, app.name))
        cycle = Cycle(app, source.repository, cluster, self.telemetry, self.clock, analyst)
        if former and former.app.namespace == app.namespace:
            cycle.inherit(former)
        cycle.held = partial(self._held, app)
        tip = partial(self._tip_of, app.name, source)
        loop = AppLoop(cycle, self.telemetry, self.clock, tip, source.ask, meter=self.meter)
        loop.turned = partial(self._wake_dependents, app.name, loop, [None])
        self._apps[app.name] = _Running(app, loop, self._start(f"app {app.name}", loop.run))

    def _sweep(self, settings: Settings) -> None:
        """Looks for apps that were removed, also before the start, wherever there can be any."""
        found = {name for each in settings.sources if each.apps for name in each.namespaces}
        found |= {each.namespace for each in settings.apps} | {namespace for namespace, _ in self._wanted.left}
        for name in sorted(found - self._sweeps.keys()):
            cluster = self._supervision.cluster(self.cluster, f"sweep {name}")
            sweep = Sweep(name, cluster, self.telemetry, self.clock, self._judge, self._wanted.forget)
            self._sweeps[name] = sweep, self._start(f"sweep {name}", sweep.run)
        self._wake_sweeps()

    def _judge(self, namespace: str, name: str, objects: Sequence[Manifest]) -> Verdict:
        sources = {name: run.part for name, run in self._sources.items()}
        tips = {name: each.tip.commit for name, each in sources.items() if each.tip}
        troubles = {name: why for name, each in sources.items() if (why := each.unreliable) is not None}
        return judge(self._wanted.known(tips, troubles), namespace, name, objects)

    def _held(self, app: App) -> str:
        return held(map(self._standing, app.depends_on))

    def _standing(self, name: str) -> Standing:
        if name not in self._apps:
            return Standing(name, suspended=name in self._wanted.suspended, known=name in self._wanted.suspended)
        loop = self._apps[name].part
        # The branch's own tip: an app that is held at an older commit has not settled at what Git wants.
        tip, outcome = self._sources[loop.cycle.app.source].part.tip, loop.outcome
        phase = outcome.plan.phase if outcome and not outcome.acted and not outcome.outdated else None
        return Standing(name, phase, loop.seen, tip.commit if tip else None, loop.error)

    def _wake_dependents(self, name: str, loop: AppLoop, told: list[object]) -> None:
        """After a turn that changed how the app stands: somebody may wait for it."""
        now = self._standing(name)
        if now != told[0]:
            told[0] = now
            for dependent in self._wanted.dependents.get(name, ()):
                self.wake_app(dependent)

    def _tip_of(self, name: str, source: Source) -> Tip | None:
        """What Git says of the app: at the tip of its branch, or at the commit that its description was read at."""
        return source.tip and replace(source.tip, commit=self._wanted.commit_of(name) or source.tip.commit)

    def _start(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(keep_going(name, work, self.telemetry, self.clock), name=name)

    def _source_moved(self, source: str) -> None:
        for run in self._apps.values():
            if run.part.cycle.app.source == source:
                run.part.wake_for_git()

    async def _end_apps(self, ended: Callable[[App], bool]) -> None:
        names = [name for name, run in self._apps.items() if ended(run.part.cycle.app)]
        runs = [self._apps.pop(name) for name in names]
        await _cancel([run.task for run in runs])
        # All at once: each may have a Job to delete, and the API server may not answer.
        await asyncio.gather(*(run.part.cycle.analyst.close() for run in runs))

    async def _end_sources(self, names: set[str]) -> None:
        runs = [self._sources.pop(name) for name in names]
        await _cancel([run.task for run in runs])
        for run in runs:
            await run.part.repository.close()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

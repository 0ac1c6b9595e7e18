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

from reconciler.app.cycle import Cycle, NoAnalysis, Onlooker, Tip
from reconciler.app.departed import Fate, Verdict, judge
from reconciler.app.dependence import Standing, held
from reconciler.app.discovery import Discovery
from reconciler.app.loop import AppLoop, Silence, keep_going
from reconciler.app.ownership import UNDER_WAY, Alone, Ownership, Tenure, key_of
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
    one app, and calls what it is given when one of them has a result; `ownership` knows which apps are its own."""

    cluster: Cluster
    telemetry: Telemetry
    clock: Clock
    open_repository: Callable[[SourceSettings], Repository]
    analysis: Callable[[Callable[[], None]], Analysis] = lambda _: NoAnalysis()
    ownership: Ownership = field(default_factory=Alone)
    meter: Meter = field(default_factory=Unmetered)
    vitals: Vitals | None = None
    _sources: dict[str, _Running[Source]] = field(default_factory=dict)
    _apps: dict[str, _Running[AppLoop]] = field(default_factory=dict)
    _watched: dict[str, _Running[AppLoop]] = field(default_factory=dict)
    _sweeps: dict[str, tuple[Sweep, asyncio.Task[None] | None]] = field(default_factory=dict)
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

    async def surrender(self, mine: Callable[[str], bool]) -> frozenset[str]:
        """Ends the work on every app that is not `mine(key)`; returns the keys of those that it goes on with, in the
        middle of a promotion. What it was writing, it has written or given up by then."""
        async with self._changing:
            leaving = {name: key for name, run in self._apps.items() if not mine(key := _key(run.part.cycle.app))}
            kept = {name for name in leaving if _is_under_way(self._apps[name].part)}
            await self._end_apps(lambda app: app.name in leaving.keys() - kept)
            await self._end_sweeps()
            self._start_sweeps()
            return frozenset(leaving[name] for name in kept)

    async def rebalance(self) -> None:
        """Begins the work on what is its own by now, and ends it on what is not."""
        async with self._changing:
            await self._end_apps(lambda app: not self._is_own(app))
            for run in self._apps.values():
                tenure = run.part.cycle.tenure
                if tenure.term != self.ownership.term(tenure.key):  # it was away, and nothing else may ever wake it
                    run.part.wake_for_git()
            self._start_apps({})
            self._wake_sweeps()

    def _is_own(self, app: App) -> bool:
        return self.ownership.owns(_key(app))

    async def _stand_down(self, renewed: set[str]) -> dict[str, Cycle]:
        """Ends the apps that left or changed, and those of `renewed` sources. Returns what every app had seen."""
        former = {name: run.part.cycle for name, run in self._apps.items()}
        running = self._wanted.running

        def is_over(app: App) -> bool:
            return running.get(app.name) != app or app.source in renewed

        await self._end_watched(is_over)
        await self._end_apps(is_over)
        return former

    def _start_apps(self, former: Mapping[str, Cycle]) -> bool:
        missing = [app for name, app in self._wanted.running.items() if name not in self._apps]
        started = [app for app in missing if self._is_own(app)]
        for app in started:
            self._start_app(app, former.get(app.name))
        self._watch_others()
        return bool(started)

    def _watch_others(self) -> None:
        """Looks on at the apps of other daemons that some of its own depend on."""
        running, own = self._wanted.running, self._apps.values()
        awaited = {name for run in own for name in run.part.cycle.app.depends_on}
        wanted = {name: running[name] for name in awaited - self._apps.keys() if name in running}
        for name in self._watched.keys() - wanted.keys():
            self._watched.pop(name).task.cancel()
        for name in wanted.keys() - self._watched.keys():
            self._watch_other(wanted[name])

    def _watch_other(self, app: App) -> None:
        source = self._sources[app.source].part
        cycle = Onlooker(app, source.repository, self.cluster, Silence(), self.clock)
        loop = AppLoop(cycle, Silence(), self.clock, partial(self._tip_of, app.name, source), source.ask)
        loop.turned = partial(self._wake_dependents, app.name, loop, [None])
        self._watched[app.name] = _Running(app, loop, self._start(f"app {app.name}", loop.run))

    def wake_app(self, name: str) -> None:
        """Something about this app changed in the cluster."""
        for running in (self._apps, self._watched):
            if name in running:
                running[name].part.wake()
        if not self._wanted.is_running(name):  # else another daemon may look after it, and it is no sweep's
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
            await self._end_watched(lambda _: True)
            await self._end_apps(lambda _: True)
            await self._end_sweeps()
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
        acting = self._supervision.cluster(self.cluster.acting_as(app.account), f"app {app.name}")
        tenure = Tenure(self.ownership, _key(app))
        cluster = tenure.guarded(acting)
        analyst = self.analysis(partial(self.wake_app, app.name))
        cycle = Cycle(app, source.repository, cluster, self.telemetry, self.clock, analyst)
        cycle.tenure = tenure
        if former and former.app.namespace == app.namespace:
            cycle.inherit(former)
        cycle.held = partial(self._held, app)
        tip = partial(self._tip_of, app.name, source)
        loop = AppLoop(cycle, self.telemetry, self.clock, tip, source.ask, meter=self.meter)
        loop.turned = partial(self._turned, app.name, loop, [None])
        self._apps[app.name] = _Running(app, loop, self._start(f"app {app.name}", loop.run))

    def _sweep(self, settings: Settings) -> None:
        """Looks for apps that were removed, also before the start, wherever there can be any."""
        found = {name for each in settings.sources if each.apps for name in each.namespaces}
        found |= {each.namespace for each in settings.apps} | {namespace for namespace, _ in self._wanted.left}
        for name in sorted(found - self._sweeps.keys()):
            cluster = self._supervision.cluster(self.cluster, f"sweep {name}")
            writer = partial(self._writer, cluster, name)
            sweep = Sweep(name, cluster, self.telemetry, self.clock, self._judge, self._wanted.forget, writer)
            self._sweeps[name] = sweep, None
        self._start_sweeps()
        self._wake_sweeps()

    def _start_sweeps(self) -> None:
        for name, (sweep, task) in self._sweeps.items():
            self._sweeps[name] = sweep, task or self._start(f"sweep {name}", sweep.run)

    async def _end_sweeps(self) -> None:
        await _cancel([task for _, task in self._sweeps.values() if task])
        self._sweeps = {name: (sweep, None) for name, (sweep, _) in self._sweeps.items()}

    def _writer(self, cluster: Cluster, namespace: str, name: str) -> Cluster:
        tenure = Tenure(self.ownership, key_of(namespace, name))
        tenure.begin()
        return tenure.guarded(cluster)

    def _judge(self, namespace: str, name: str, objects: Sequence[Manifest]) -> Verdict:
        if not self.ownership.owns(key_of(namespace, name)):
            return Verdict(Fate.KEEP)
        sources = {name: run.part for name, run in self._sources.items()}
        tips = {name: each.tip.commit for name, each in sources.items() if each.tip}
        troubles = {name: why for name, each in sources.items() if (why := each.unreliable) is not None}
        return judge(self._wanted.known(tips, troubles), namespace, name, objects)

    def _held(self, app: App) -> str:
        return held(map(self._standing, app.depends_on))

    def _standing(self, name: str) -> Standing:
        run = self._apps.get(name) or self._watched.get(name)
        if run is None:
            known = name in self._wanted.suspended or name in self._wanted.running
            return Standing(name, suspended=name in self._wanted.suspended, known=known)
        loop = run.part
        # The branch's own tip: an app that is held at an older commit has not settled at what Git wants.
        tip, outcome = self._sources[loop.cycle.app.source].part.tip, loop.outcome
        phase = outcome.plan.phase if outcome and not outcome.acted and not outcome.outdated else None
        return Standing(name, phase, loop.seen, tip.commit if tip else None, loop.error)

    def _turned(self, name: str, loop: AppLoop, told: list[object]) -> None:
        self._wake_dependents(name, loop, told)
        if not _is_under_way(loop):
            self.ownership.wake(_key(loop.cycle.app))

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
        for run in (*self._apps.values(), *self._watched.values()):
            if run.part.cycle.app.source == source:
                run.part.wake_for_git()

    async def _end_apps(self, ended: Callable[[App], bool]) -> None:
        names = [name for name, run in self._apps.items() if ended(run.part.cycle.app)]
        runs = [self._apps.pop(name) for name in names]
        await _cancel([run.task for run in runs])
        # All at once: each may have a Job to delete, and the API server may not answer.
        await asyncio.gather(*(run.part.cycle.analyst.close() for run in runs))

    async def _end_watched(self, ended: Callable[[App], bool]) -> None:
        names = [name for name, run in self._watched.items() if ended(run.part.cycle.app)]
        await _cancel([self._watched.pop(name).task for name in names])

    async def _end_sources(self, names: set[str]) -> None:
        runs = [self._sources.pop(name) for name in names]
        await _cancel([run.task for run in runs])
        for run in runs:
            await run.part.repository.close()


def _key(app: App) -> str:
    return key_of(app.namespace, app.name)


def _is_under_way(loop: AppLoop) -> bool:
    """Whether a promotion is, which need not be interrupted. One that fails may as well be tried by somebody else."""
    return loop.outcome is not None and loop.error is None and loop.outcome.plan.phase in UNDER_WAY


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

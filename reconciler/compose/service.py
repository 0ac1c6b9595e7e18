"""A daemon that runs: what wakes it from outside, what it is reloaded by, and how it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from reconciler import __version__
from reconciler.adapters.clock import SystemClock
from reconciler.adapters.cluster import KubernetesCluster, connect
from reconciler.adapters.files import FileWatcher, Watch
from reconciler.adapters.git import (
    Mirrors,
    local_git_dir,
)
from reconciler.adapters.notify import Notifier, open_service
from reconciler.adapters.secretfile import read_secret
from reconciler.adapters.telemetry import EventLog
from reconciler.app.analysis import Analyst
from reconciler.app.daemon import Daemon
from reconciler.app.ownership import key_of
from reconciler.app.settings import Settings, load_settings
from reconciler.app.settings_availability import AvailabilitySettings
from reconciler.app.settings_source import (
    SourceSettings,
)
from reconciler.app.vitals import CONFIGURATION_SECONDS, Check, Owed
from reconciler.compose.group import Group, member_of
from reconciler.compose.monitor import Monitor, Readiness
from reconciler.compose.wiring import Options, Work, channel_address, prober_of, repository_of, spawn
from reconciler.core.address import is_local
from reconciler.core.event import Event, event
from reconciler.core.gitref import RefKind
from reconciler.core.model import App
from reconciler.core.probe import PrometheusServer
from reconciler.core.state import State
from reconciler.errors import Invalid, ReconcilerError, Transient
from reconciler.web.monitoring import Monitoring
from reconciler.web.webhook import Webhooks


async def run_daemon(options: Options) -> None:
    """Runs until SIGTERM or SIGINT. Raises `Invalid` if configuration or credentials are unusable at the start."""
    settings = load_settings(options.config)
    clock = SystemClock()
    running = _Running(options, clock)
    monitor = running.monitor
    api = await connect(options.kubeconfig, options.context, monitor.of_requests)
    told = running.wake_app, running.outage, running.recovery
    cluster = KubernetesCluster(api, *told, running.spawn, clock.now, monitor.of_watches)
    running.synced = cluster.was_synced
    running.log = EventLog(clock.now, monitor.poster(cluster).post_event)
    mirrors, prober = Mirrors(options.data_dir), prober_of(api, lambda: running.prometheus, clock, running.permit)
    running.daemon = Daemon(
        cluster,
        running.log,
        clock,
        lambda source: repository_of(source, mirrors, cluster),
        lambda wake: Analyst(prober, running.log, clock, wake),
        meter=monitor.metrics,
        vitals=monitor.vitals,
    )
    if settings.high_availability:
        member = member_of(settings.high_availability, api, running.daemon, running.log, clock, monitor)
        running.daemon.ownership = running.group.membership = member
    try:
        await running.run(settings)
    finally:
        await cluster.close()


_LOOK_AGAIN = 5.0
"""Seconds between two looks for a folder that cannot be watched: nothing tells when it is there."""
_CONFIG = ""
"""The configuration file among what is watched, where a repository goes by its source's name."""


@dataclass(slots=True)
class _Running:
    """A running daemon and what wakes it from outside: signals and files."""

    options: Options
    clock: SystemClock
    look_again: float = _LOOK_AGAIN
    prometheus: PrometheusServer | None = None
    group: Group = field(default_factory=Group)
    synced: Callable[[str], bool] = lambda _: True
    """Whether it was ever known what the cluster holds in a namespace."""
    monitor: Monitor = field(init=False)
    daemon: Daemon = field(init=False)
    log: EventLog = field(init=False)
    _out_since: dict[str, float] = field(default_factory=dict)
    _rejected: bool = False
    _available_by: AvailabilitySettings | None = None
    _files: FileWatcher = field(init=False)
    _webhooks: Webhooks = field(init=False)
    _monitoring: Monitoring = field(init=False)
    _pulse: Owed = field(init=False)
    _notifier: Notifier = field(init=False)
    _wanted: dict[str, SourceSettings] = field(default_factory=dict)
    _watches: dict[str, Watch] = field(default_factory=dict)
    _reload: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self) -> None:
        readiness = Readiness(lambda: self.daemon.namespaces, lambda namespace: self.synced(namespace), self._joined)
        self.monitor = Monitor(self.clock, self._state, readiness)
        self._pulse = self.monitor.vitals.pulse(Check.CONFIGURATION, "configuration")

    def _joined(self) -> bool:
        return self.group.membership is None or self.group.membership.joined

    def _state(self) -> State:
        member = self.group.membership
        return replace(self.daemon.state(), members=len(member.members) if member else None)

    def spawn(self, name: str, work: Work) -> asyncio.Task[None]:
        """Starts a task that goes on for ever, bugs notwithstanding."""
        return spawn(name, work, self.log, self.clock)

    async def run(self, settings: Settings) -> None:
        """Starts everything, waits for the signal, ends everything.

        Raises `Invalid` for a hopeless address or secret, `Transient` for a port that is taken.
        """
        began = self.clock.now()
        self._files = FileWatcher()
        self._webhooks = Webhooks(self._pushed, self.log, self.clock, read_secret)
        source_of, address = self.daemon.source_of, partial(channel_address, self.daemon.cluster)
        self._notifier = Notifier(self.log, self.clock, self.spawn, source_of, address, open_service)
        self.log.listeners += [self.monitor.metrics.heard, self._tell]
        self._monitoring = self.monitor.answers(self.log)
        self._listen()
        events = self.spawn("events", self.log.run)
        try:
            self._available_by = settings.high_availability
            await self._apply(settings)
            self.group.begin(self.spawn)
            self.monitor.readiness.configured = True
            self.log.emit(event("started", daemon_version=__version__, **self._summary(settings)))
            self._want(settings)
            reason = await self._stopped_while_reloading()
            await self._webhooks.close()
            await self.daemon.stop()
            await self.group.end()
            self.log.emit(event("stopped", reason=reason, duration=round(self.clock.now() - began, 3)))
            await asyncio.gather(self.log.flush(), self._notifier.close())
        finally:
            await self._webhooks.close()
            await self.daemon.stop()
            await self.group.end()
            await self._notifier.close()
            await _ended(events)
            self._files.close()
            await self._monitoring.close()

    async def _stopped_while_reloading(self) -> str:
        configuration = self.spawn("configuration", self._reload_for_ever)
        try:
            return await self._stop
        finally:
            await _ended(configuration)  # no reload may start again what is being ended

    def permit(self, app: App) -> float:
        """For how many seconds this daemon may write for the app; see `Ownership`."""
        return self.daemon.ownership.permit(key_of(app.namespace, app.name))

    def _pushed(self, source: str) -> None:
        """Somebody says that there is something new, to one daemon of those that share the apps."""
        self.daemon.wake_source(source)
        self.group.nudge(source)

    def _tell(self, told: Event) -> None:
        if self.group.speaks(told, self.daemon):
            self._notifier.offer(told)

    def wake_app(self, name: str) -> None:
        """Something about the app changed in the cluster."""
        self.daemon.wake_app(name)

    def outage(self, kind: str, namespace: str, retry_in: float, error: ReconcilerError) -> None:
        """The API server is out of reach, or refuses to show this namespace."""
        self._out_since[namespace] = self.clock.now()
        fields = {"kind": kind, "namespace": namespace, "retry_in": round(retry_in, 3)}
        self.log.emit(event("cluster_unreachable", **fields, **_told(error, "Traffic goes on as it was")))

    def recovery(self, namespace: str) -> None:
        """The API server is back, and the caches of this namespace are true again."""
        took = round(self.clock.now() - self._out_since.pop(namespace, self.clock.now()), 3)
        self.log.emit(event("cluster_reachable", namespace=namespace, duration=took))

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)

    def _end(self, reason: str) -> None:
        self.monitor.readiness.stopping = True
        if not self._stop.done():
            self._stop.set_result(reason)

    async def _reload_for_ever(self) -> None:
        """Reads the file at once, too: it may have changed after the start read it, and before it was watched."""
        while True:
            self._reload.clear()
            self._watch()
            await self._read_again()
            await self._asked_to_reload()

    async def _read_again(self) -> None:
        try:
            settings = load_settings(self.options.config)
            changed = await self._apply(settings)
        except (Invalid, Transient) as error:
            told = {"todo": "Correct the file: it is read again as soon as it changes"}
            told |= _told(error, "The old configuration stays in force")
            self.log.emit(event("config_rejected", file=str(self.options.config), **told))
            self._rejected = True
            return
        if changed or self._rejected:
            self._rejected = False
            self._want(settings)
            self.log.emit(event("config_reloaded", **self._summary(settings)))

    async def _apply(self, settings: Settings) -> bool:
        """Brings what runs in line with the settings, or leaves all as it was and raises."""
        self._require_same_group(settings)
        with self._pulse.within(CONFIGURATION_SECONDS):
            return await self._take_over(settings)

    async def _take_over(self, settings: Settings) -> bool:
        monitoring, webhook = self._monitoring.settings, self._webhooks.settings
        changed = await self._monitoring.apply(settings.monitoring)  # first: who waits for the start may ask
        try:
            changed |= await self._webhooks.apply(settings.webhook)
            changed |= await self.daemon.apply(settings)
        except (Invalid, Transient):
            await self._webhooks.apply(webhook)
            await self._monitoring.apply(monitoring)
            raise
        changed |= self.prometheus != settings.prometheus
        self.prometheus = settings.prometheus
        return await self._notifier.apply(settings.notifications) or changed

    def _require_same_group(self, settings: Settings) -> None:
        """Whoever changed groups while it works would be in two."""
        if self._available_by != settings.high_availability:
            raise Invalid("is read at the start alone", where="highAvailability", todo="Start the daemon anew")

    async def _asked_to_reload(self) -> None:
        """Waits for it, and looks meanwhile for folders that were not there to be watched, or were deleted."""
        while not self._reload.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self.look_again):
                    await self._reload.wait()
            for name in self._watch():
                if name == _CONFIG:
                    self._reload.set()
                else:
                    self.daemon.wake_source(name)

    def _summary(self, settings: Settings) -> dict[str, object]:
        counts = {"apps": len(settings.apps), "sources": len(settings.sources)}
        return {"file": str(self.options.config), **counts}

    def _want(self, settings: Settings) -> None:
        """Watches the settings' local repositories. Those that it watches already it does not let out of its sight."""
        wanted = {source.name: source for source in settings.sources if _tells_by_files(source)}
        for name in self._wanted:
            if wanted.get(name) != self._wanted[name] and name in self._watches:
                self._watches.pop(name).close()
        self._wanted = wanted
        self._watch()

    def _watch(self) -> list[str]:
        """Watches the configuration file and the wanted repositories, unless they are watched already; returns which
        were not: new ones, and those whose folder was deleted and made anew.

        Where it is impossible, the interval still finds a change of a repository, and SIGHUP reloads.
        """
        missing = [name for name in (_CONFIG, *self._wanted) if not self._is_watched(name)]
        for name in missing:
            with suppress(Transient):
                watch = self._open(name)
                self._watches |= {name: watch} if watch else {}
        return list(filter(self._is_watched, missing))

    def _is_watched(self, name: str) -> bool:
        return name in self._watches and self._watches[name].alive

    def _open(self, name: str) -> Watch | None:
        if name == _CONFIG:
            return self._files.watch_file(self.options.config, self._reload.set)
        source = self._wanted[name]
        git_dir = local_git_dir(source.url)
        waker = partial(self.daemon.wake_source, source.name)
        return self._files.watch_refs(git_dir, source.ref, waker) if git_dir else None


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _tells_by_files(source: SourceSettings) -> bool:
    """Whether a change of what it follows shows on this machine's disk. A commit does not change."""
    return is_local(source.url) and source.ref.kind is not RefKind.COMMIT and not source.suspend


def _told(error: ReconcilerError, untouched: str) -> dict[str, str]:
    fields = {"reason": error.located, "untouched": error.untouched or untouched}
    return {**fields, "todo": error.todo} if error.todo else fields

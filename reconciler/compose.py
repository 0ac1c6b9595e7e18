"""The only place where adapters are wired to the app: a daemon that runs, and a workbench for the one-shot commands."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciler import __version__
from reconciler.adapters.clock import SystemClock
from reconciler.adapters.cluster import KubernetesCluster, connect
from reconciler.adapters.files import FileWatcher, Watch
from reconciler.adapters.git import GitRepository, Mirrors, local_git_dir
from reconciler.adapters.telemetry import EventLog
from reconciler.app.daemon import Daemon
from reconciler.app.loop import keep_going
from reconciler.app.oneshot import Workbench
from reconciler.app.settings import Settings, SourceSettings, load_settings
from reconciler.core.event import event
from reconciler.errors import Invalid, ReconcilerError, Transient

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says: the configuration file, how to reach the cluster, where mirrors are kept."""

    config: Path
    data_dir: Path
    kubeconfig: str | None = None
    context: str | None = None


async def run_daemon(options: Options) -> None:
    """Runs until SIGTERM or SIGINT. Raises `Invalid` if configuration or credentials are unusable at the start."""
    settings = load_settings(options.config)
    api = await connect(options.kubeconfig, options.context)
    clock = SystemClock()
    running = _Running(options, clock)
    cluster = KubernetesCluster(api, running.wake_app, running.outage, running.recovery, running.spawn, clock.now)
    running.log = EventLog(clock.now, cluster.post_event)
    mirrors = Mirrors(options.data_dir)
    running.daemon = Daemon(cluster, running.log, clock, lambda source: _repository(source, mirrors))
    await running.run(settings)
    await cluster.close()


@dataclass(slots=True)
class _Running:
    """A running daemon and what wakes it from outside: signals and files."""

    options: Options
    clock: SystemClock
    daemon: Daemon = field(init=False)
    log: EventLog = field(init=False)
    _out_since: dict[str, float] = field(default_factory=dict)
    _rejected: bool = False
    _files: FileWatcher = field(init=False)
    _refs: dict[str, Watch] = field(default_factory=dict)
    _reload: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def spawn(self, name: str, work: Work) -> asyncio.Task[None]:
        """Starts a task that goes on for ever, bugs notwithstanding."""
        return _spawn(name, work, self.log, self.clock)

    async def run(self, settings: Settings) -> None:
        """Starts everything, waits for the signal, ends everything."""
        began = self.clock.now()
        self._files = FileWatcher()
        self._listen()
        tasks = [self.spawn("events", self.log.run), self.spawn("configuration", self._reload_for_ever)]
        with suppress(Transient):  # cannot be watched: SIGHUP still reloads
            self._files.watch_file(self.options.config, self._reload.set)
        self.log.emit(event("started", daemon_version=__version__, **self._summary(settings)))
        await self.daemon.apply(settings)
        self._watch_refs(settings)
        reason = await self._stop
        tasks.pop().cancel()  # no reload may start again what is being ended
        await self.daemon.stop()
        self.log.emit(event("stopped", reason=reason, duration=round(self.clock.now() - began, 3)))
        await self.log.flush()
        for task in tasks:
            task.cancel()
        self._files.close()

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
        if not self._stop.done():
            self._stop.set_result(reason)

    async def _reload_for_ever(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                settings = load_settings(self.options.config)
                changed = await self.daemon.apply(settings)
            except Invalid as error:
                told = {"todo": "Correct the file: it is read again as soon as it changes"}
                told |= _told(error, "The old configuration stays in force")
                self.log.emit(event("config_rejected", file=str(self.options.config), **told))
                self._rejected = True
                continue
            if changed or self._rejected:
                self._rejected = False
                self._watch_refs(settings)
                self.log.emit(event("config_reloaded", **self._summary(settings)))

    def _summary(self, settings: Settings) -> dict[str, object]:
        counts = {"apps": len(settings.apps), "sources": len(settings.sources)}
        return {"file": str(self.options.config), **counts}

    def _watch_refs(self, settings: Settings) -> None:
        """Local repositories are noticed at once; where that is impossible, the interval still finds the change."""
        for watch in self._refs.values():
            watch.close()
        self._refs.clear()
        for source in settings.sources:
            git_dir = local_git_dir(source.url)
            if git_dir is not None:
                with suppress(Transient):
                    self._refs[source.name] = self._files.watch_refs(git_dir, source.branch, self._waker(source.name))

    def _waker(self, source: str) -> Callable[[], None]:
        return lambda: self.daemon.wake_source(source)


def _spawn(name: str, work: Work, log: EventLog, clock: SystemClock) -> asyncio.Task[None]:
    return asyncio.create_task(keep_going(name, work, log, clock), name=name)


def _repository(source: SourceSettings, mirrors: Mirrors) -> GitRepository:
    return GitRepository(source.url, source.branch, mirrors, timeout=source.timeout)


def _told(error: ReconcilerError, untouched: str) -> dict[str, str]:
    fields = {"reason": error.located, "untouched": error.untouched or untouched}
    return {**fields, "todo": error.todo} if error.todo else fields


@asynccontextmanager
async def workbench(options: Options, *, with_cluster: bool = True) -> AsyncIterator[Workbench]:
    """What the one-shot commands work on: configuration, repositories and (unless told not to) the cluster."""
    settings = load_settings(options.config)
    mirrors = Mirrors(options.data_dir)
    clock = SystemClock()
    bench = Workbench(settings, clock, lambda source: _repository(source, mirrors))
    if not with_cluster:
        async with bench:
            yield bench
        return
    api = await connect(options.kubeconfig, options.context)
    cluster = KubernetesCluster(
        api, bench.changed, bench.outage, lambda _: None, lambda name, work: _spawn(name, work, log, clock), clock.now
    )
    log = EventLog(clock.now, cluster.post_event)
    bench.join(cluster, log)
    poster = asyncio.create_task(log.run())
    try:
        async with bench:
            yield bench
        await log.flush()
    finally:
        poster.cancel()
        await cluster.close()

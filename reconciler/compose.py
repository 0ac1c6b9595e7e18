"""The only place where adapters are wired to the app: a daemon that runs, and a workbench for the one-shot commands."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler import __version__
from reconciler.adapters.clock import SystemClock
from reconciler.adapters.cluster import KubernetesCluster, connect
from reconciler.adapters.files import FileWatcher, Watch
from reconciler.adapters.git import (
    AllowedSigners,
    Author,
    GitRepository,
    Keyring,
    Keys,
    LocalRepository,
    Mirrors,
    Policy,
    keys_of_folder,
    keys_of_secret,
    local_git_dir,
    no_keys,
)
from reconciler.adapters.schemas import KubernetesSchemas
from reconciler.adapters.secretfile import read_secret
from reconciler.adapters.telemetry import EventLog
from reconciler.app.daemon import Daemon
from reconciler.app.loop import keep_going
from reconciler.app.oneshot import Workbench
from reconciler.app.settings import Settings, load_settings
from reconciler.app.settings_source import (
    ANY_ACCOUNT,
    ANY_NAMESPACE,
    PushSettings,
    SecretName,
    SourceSettings,
    VerifySettings,
)
from reconciler.core.address import is_local
from reconciler.core.event import event
from reconciler.core.gitref import GitRef, RefKind
from reconciler.core.glob import pattern_fault
from reconciler.core.policy import ANY_KIND
from reconciler.core.powers import power_fault
from reconciler.core.target import ANY_HOST
from reconciler.errors import Blocked, Invalid, ReconcilerError, Transient
from reconciler.ports import Cluster, Schemas
from reconciler.web.webhook import Webhooks

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
    running.daemon = Daemon(cluster, running.log, clock, lambda source: _repository(source, mirrors, cluster))
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
    daemon: Daemon = field(init=False)
    log: EventLog = field(init=False)
    _out_since: dict[str, float] = field(default_factory=dict)
    _rejected: bool = False
    _files: FileWatcher = field(init=False)
    _webhooks: Webhooks = field(init=False)
    _wanted: dict[str, SourceSettings] = field(default_factory=dict)
    _watches: dict[str, Watch] = field(default_factory=dict)
    _reload: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def spawn(self, name: str, work: Work) -> asyncio.Task[None]:
        """Starts a task that goes on for ever, bugs notwithstanding."""
        return _spawn(name, work, self.log, self.clock)

    async def run(self, settings: Settings) -> None:
        """Starts everything, waits for the signal, ends everything.

        Raises `Invalid` for a hopeless address or secret, `Transient` for a port that is taken.
        """
        began = self.clock.now()
        self._files = FileWatcher()
        self._webhooks = Webhooks(self.daemon.wake_source, self.log, self.clock, read_secret)
        self._listen()
        events = self.spawn("events", self.log.run)
        try:
            await self._apply(settings)
            self.log.emit(event("started", daemon_version=__version__, **self._summary(settings)))
            self._want(settings)
            reason = await self._stopped_while_reloading()
            await self._webhooks.close()
            await self.daemon.stop()
            self.log.emit(event("stopped", reason=reason, duration=round(self.clock.now() - began, 3)))
            await self.log.flush()
        finally:
            await self._webhooks.close()
            await self.daemon.stop()
            await _ended(events)
            self._files.close()

    async def _stopped_while_reloading(self) -> str:
        configuration = self.spawn("configuration", self._reload_for_ever)
        try:
            return await self._stop
        finally:
            await _ended(configuration)  # no reload may start again what is being ended

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
        before = self._webhooks.settings
        changed = await self._webhooks.apply(settings.webhook)
        try:
            return await self.daemon.apply(settings) or changed
        except Invalid:
            await self._webhooks.apply(before)
            raise

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


def _spawn(name: str, work: Work, log: EventLog, clock: SystemClock) -> asyncio.Task[None]:
    return asyncio.create_task(keep_going(name, work, log, clock), name=name)


def _tells_by_files(source: SourceSettings) -> bool:
    """Whether a change of what it follows shows on this machine's disk. A commit does not change."""
    return is_local(source.url) and source.ref.kind is not RefKind.COMMIT and not source.suspend


def _repository(source: SourceSettings, mirrors: Mirrors, cluster: Cluster | None) -> GitRepository:
    policy = _policy(source.verify) if source.verify else None
    # What was accepted by other rules is not known to this source.
    keeper = f"{source.name}\0{source.verify}" if source.verify else source.name
    return GitRepository(
        source.url,
        source.ref,
        mirrors,
        timeout=source.timeout,
        keys=_keys(source, cluster),
        keeper=keeper,
        policy=policy,
        author=_author(source.push),
    )


def _author(push: PushSettings) -> Author:
    return Author(push.name, push.email, Path(push.signing_key) if push.signing_key else None)


def _keys(source: SourceSettings, cluster: Cluster | None) -> Keys:
    if source.credentials:
        return keys_of_folder(source.credentials, source.url)
    secret = source.secret
    if secret is None:
        return no_keys
    read = partial(cluster.secret, secret.namespace, secret.name) if cluster else partial(_no_cluster, secret)
    return keys_of_secret(read, str(secret), source.url)


async def _no_cluster(secret: SecretName) -> Mapping[str, bytes]:
    raise Blocked(
        "the source's credentials are in the cluster, which this command does not talk to",
        where=f"Secret {secret}",
        untouched="Nothing was read",
        todo="Use `reconciler plan`, or a folder (`credentials`) instead of secretRef",
    )


def _policy(verify: VerifySettings) -> Policy:
    signers, keyring = verify.allowed_signers, verify.keyring
    return Policy(AllowedSigners(Path(signers)) if signers else Keyring(Path(keyring)), every=verify.every)


def _told(error: ReconcilerError, untouched: str) -> dict[str, str]:
    fields = {"reason": error.located, "untouched": error.untouched or untouched}
    return {**fields, "todo": error.todo} if error.todo else fields


def schemas(version: str) -> Schemas:
    """What that version of Kubernetes knows of objects' fields. Raises `Invalid` if that is not known here."""
    return KubernetesSchemas.of(version)


@asynccontextmanager
async def checkbench(repository: Path, ref: str, pattern: str, powers: Sequence[str] = ()) -> AsyncIterator[Workbench]:
    """For a check of one commit of a local repository, without a configuration: every namespace and account is allowed
    there, but no power other than `powers`."""
    if fault := pattern_fault(pattern):
        raise Invalid(f"the pattern {fault}", where="--apps")
    for power in powers:
        if fault := power_fault(power):
            raise Invalid(f"`{power}` {fault}", where="--allow-power")
    source = SourceSettings(
        "repository",
        str(repository),
        GitRef(RefKind.COMMIT, ref),
        interval=3600.0,
        timeout=60.0,
        apps=pattern,
        namespaces=ANY_NAMESPACE,
        service_accounts=ANY_ACCOUNT,
        powers=tuple(powers),
        kinds=ANY_KIND,
        check_hosts=ANY_HOST,
    )
    with TemporaryDirectory() as scratch:
        local = LocalRepository(repository, ref, Path(scratch))
        async with Workbench(Settings((source,), ()), SystemClock(), lambda _: local) as bench:
            await bench.discover()
            if bench.is_empty:
                raise Invalid(
                    f"no file matches {pattern}", where=f"{ref} of {repository}", todo="Correct --apps or --ref"
                )
            yield bench


@asynccontextmanager
async def workbench(options: Options, *, with_cluster: bool = True) -> AsyncIterator[Workbench]:
    """What the one-shot commands work on: configuration, repositories and (unless told not to) the cluster."""
    settings = load_settings(options.config)
    mirrors = Mirrors(options.data_dir)
    clock = SystemClock()
    cluster: KubernetesCluster | None = None
    bench = Workbench(settings, clock, lambda source: _repository(source, mirrors, cluster))
    if not with_cluster:
        async with bench:
            await bench.discover()
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
            await bench.discover()
            yield bench
        await log.flush()
    finally:
        poster.cancel()
        await cluster.close()

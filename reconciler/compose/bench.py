"""What the one-shot commands work on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.cluster import KubernetesCluster, connect
from reconciler.adapters.git import (
    LocalRepository,
    Mirrors,
)
from reconciler.adapters.notify import address_fault
from reconciler.adapters.schemas import KubernetesSchemas
from reconciler.adapters.telemetry import EventLog
from reconciler.app.analysis import Analyst
from reconciler.app.oneshot import Workbench
from reconciler.app.settings import Settings, load_settings
from reconciler.app.settings_source import (
    ANY_ACCOUNT,
    ANY_NAMESPACE,
    SourceSettings,
)
from reconciler.compose.wiring import Options, prober_of, repository_of, spawn
from reconciler.core.gitref import GitRef, RefKind
from reconciler.core.glob import pattern_fault
from reconciler.core.policy import ANY_KIND
from reconciler.core.powers import power_fault
from reconciler.core.target import ANY_HOST
from reconciler.errors import Invalid
from reconciler.ports import Schemas


def schemas(version: str) -> Schemas:
    """What that version of Kubernetes knows of objects' fields. Raises `Invalid` if that is not known here."""
    return KubernetesSchemas.of(version)


def check_channels(config: Path) -> None:
    """Raises `Invalid`, with a line for each channel of the configuration whose service cannot have the address that
    its file holds. What is in a Secret, or in a file that is not on this machine, is not known and not checked."""
    channels = [each for each in load_settings(config).notifications if Path(each.url_file).is_file()]
    if faults := [f"{each.where}: {fault.located}" for each in channels if (fault := address_fault(each))]:
        raise Invalid("\n".join(faults))


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
    bench = Workbench(settings, clock, lambda source: repository_of(source, mirrors, cluster))
    if not with_cluster:
        async with bench:
            await bench.discover()
            yield bench
        return
    api = await connect(options.kubeconfig, options.context)
    cluster = KubernetesCluster(
        api, bench.changed, bench.outage, lambda _: None, lambda name, work: spawn(name, work, log, clock), clock.now
    )
    log = EventLog(clock.now, cluster.post_event)
    prober = prober_of(api, lambda: settings.prometheus, clock)
    bench.join(cluster, log, lambda wake: Analyst(prober, log, clock, wake))
    poster = asyncio.create_task(log.run())
    try:
        async with bench:
            await bench.discover()
            yield bench
        await log.flush()
    finally:
        poster.cancel()
        await cluster.close()

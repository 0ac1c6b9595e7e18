"""How parts are made from settings: repositories, what they may read, the checks of an app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kubernetes.aio.client import ApiClient

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.cluster.jobs import KubernetesJobs
from reconciler.adapters.gates import probers
from reconciler.adapters.gates.job import JobProber
from reconciler.adapters.git import (
    AllowedSigners,
    Author,
    GitRepository,
    Keyring,
    Keys,
    Mirrors,
    Policy,
    keys_of_folder,
    keys_of_secret,
    no_keys,
)
from reconciler.adapters.notify import address_of
from reconciler.adapters.telemetry import EventLog
from reconciler.app.loop import keep_going
from reconciler.app.settings_notifications import ChannelSettings
from reconciler.app.settings_source import (
    PushSettings,
    SecretName,
    SourceSettings,
    VerifySettings,
)
from reconciler.core.model import App
from reconciler.core.probe import PrometheusServer
from reconciler.errors import Blocked
from reconciler.ports import Cluster, Prober

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says: the configuration file, how to reach the cluster, where mirrors are kept."""

    config: Path
    data_dir: Path
    kubeconfig: str | None = None
    context: str | None = None


def repository_of(source: SourceSettings, mirrors: Mirrors, cluster: Cluster | None) -> GitRepository:
    """The repository of a source. `cluster`: where its credentials may be; None for a command without one."""
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


async def channel_address(cluster: Cluster, channel: ChannelSettings) -> str:
    """The address of a channel's service, wherever it is kept. Raises as `address_of`."""
    return await address_of(channel, lambda secret: cluster.secret(secret.namespace, secret.name))


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


def spawn(name: str, work: Work, log: EventLog, clock: SystemClock) -> asyncio.Task[None]:
    """Starts a task that goes on for ever, bugs notwithstanding."""
    return asyncio.create_task(keep_going(name, work, log, clock), name=name)


def prober_of(
    api: ApiClient,
    prometheus: Callable[[], PrometheusServer | None],
    clock: SystemClock,
    permit: Callable[[App], float] | None = None,
) -> Prober:
    """What makes the checks' measurements. `prometheus` gives the server of the configuration in force; `permit`
    is asked before each write for an app (`ports.Cluster.guarded`)."""

    def jobs_of(app: App) -> KubernetesJobs:
        return KubernetesJobs(api, app.account, partial(permit, app) if permit else None)

    return probers(api, prometheus, JobProber(jobs_of, clock))

"""How a running daemon becomes one of several that share the apps."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kubernetes.aio import client

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.cluster.leases import KubernetesLeases
from reconciler.adapters.telemetry import EventLog
from reconciler.app.daemon import Daemon
from reconciler.app.membership import ANSWER, Hooks, Membership
from reconciler.app.ownership import key_of
from reconciler.app.settings_availability import AvailabilitySettings
from reconciler.app.supervised import SupervisedLeases
from reconciler.compose.monitor import Monitor
from reconciler.compose.wiring import Work
from reconciler.core.event import Event
from reconciler.errors import Invalid

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(slots=True)
class Group:
    """This daemon's part in its group; `membership` is None if it is alone."""

    membership: Membership | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self, spawn: Callable[[str, Work], asyncio.Task[None]]) -> None:
        """Starts what keeps the Lease and shares the apps."""
        if self.membership and not self._tasks:
            member = self.membership
            work = {"lease": member.renew, "members": member.share, "leases": member.follow}
            self._tasks = [spawn(name, each) for name, each in work.items()]

    async def end(self) -> None:
        """Lets go of the Lease. To be called when nothing is worked on any more."""
        if self.membership and self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks = []
            await self.membership.release()

    def nudge(self, source: str) -> None:
        """This daemon heard that there is something new in a source."""
        if self.membership:
            self.membership.nudge(source)

    def speaks(self, event: Event, daemon: Daemon) -> bool:
        """Whether it is this daemon's to tell people of `event`, which every member may have seen."""
        app, member = event.fields.get("app"), self.membership
        if member is None:
            return True
        if app:
            key = key_of(str(event.fields.get("namespace", "")), str(app))
            return bool(daemon.source_of(str(app))) or member.owns(key)
        return member.speaks_for(f"source {event.fields.get('source', '')}")


def member_of(
    settings: AvailabilitySettings,
    api: client.ApiClient,
    daemon: Daemon,
    log: EventLog,
    clock: SystemClock,
    monitor: Monitor,
) -> Membership:
    """This process as a member. In a pod it goes by the pod's name, which no other process has at the same time;
    elsewhere by one that it makes up. Raises `Invalid` if it is not known in which namespace the Leases are to be."""
    name = os.environ.get("POD_NAME") or f"{_hostname()}-{secrets.token_hex(4)}"
    namespace = settings.namespace or os.environ.get("POD_NAMESPACE") or _pod_namespace()
    duration, within = settings.lease_duration, settings.lease_duration * ANSWER
    leases = KubernetesLeases(api, namespace, settings.group, clock.now, monitor.of_watches, _pod(namespace), within)
    hooks = Hooks(daemon.surrender, daemon.rebalance, daemon.wake_source)
    holder = f"{name}_{secrets.token_hex(4)}"
    member = Membership(name, holder, SupervisedLeases(leases, monitor.vitals), log, clock.elapsed, duration, hooks)
    leases.on_failure = member.unwatched
    return member


def _pod(namespace: str) -> tuple[str, str] | None:
    """Name and uid of this pod, if it is known, and in that namespace: an owner from elsewhere counts as gone."""
    name, uid = os.environ.get("POD_NAME"), os.environ.get("POD_UID")
    return (name, uid) if name and uid and os.environ.get("POD_NAMESPACE") == namespace else None


def _pod_namespace() -> str:
    try:
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        raise Invalid(
            "it is not known in which namespace the Leases are to be: this is no pod",
            where="highAvailability.namespace",
            todo="Name the namespace",
        ) from None


def _hostname() -> str:
    return re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:50] or "daemon"

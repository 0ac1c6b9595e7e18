"""The ports, with word to `Vitals` of each call by when it ends. All that a turn or a look ever waits for is a call.

The bounds are those that the ports promise, times `SLACK`; for Git with the calls that one may have to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from reconciler.app.settings_source import SourceSettings
from reconciler.app.vitals import API_SECONDS, Check, Owed, Queue, Vitals
from reconciler.core.account import Account
from reconciler.core.action import Ref
from reconciler.core.event import Event
from reconciler.core.membership import Lease
from reconciler.core.model import Manifest
from reconciler.core.revert import Revert
from reconciler.ports import Cluster, Leases, Repository

GIT_TIMES = 6.0
"""Time-outs of the source that one call may take: a read, the tidying and the fetch before it, the building anew of a
damaged mirror, the read again; and one more for a slow machine."""


def git_seconds(timeout: float) -> float:
    """By when a call to Git has ended after the one before it: `timeout` is the source's. Its credentials may be in the
    cluster."""
    return GIT_TIMES * timeout + API_SECONDS


@dataclass(frozen=True, slots=True)
class SupervisedCluster:
    """A `ports.Cluster` for one task, whose pulse is `owed`. What waits for a watch owes nothing: the watch does."""

    cluster: Cluster
    owed: Owed

    def view(self, namespace: str, app: str) -> Sequence[Manifest]:
        """See `ports.Cluster`."""
        return self.cluster.view(namespace, app)

    def apps(self, namespace: str) -> Sequence[str]:
        """See `ports.Cluster`."""
        return self.cluster.apps(namespace)

    async def synced(self, namespace: str) -> None:
        """See `ports.Cluster`."""
        await self.cluster.synced(namespace)

    async def follow(self, namespace: str, app: str, wanted: Set[str], known: Set[str]) -> None:
        """See `ports.Cluster`."""
        await self.cluster.follow(namespace, app, wanted, known)

    def recovered_at(self, namespace: str) -> float | None:
        """See `ports.Cluster`."""
        return self.cluster.recovered_at(namespace)

    def acting_as(self, account: Account | None) -> SupervisedCluster:
        """See `ports.Cluster`."""
        return SupervisedCluster(self.cluster.acting_as(account), self.owed)

    def guarded(self, permit: Callable[[], float]) -> SupervisedCluster:
        """See `ports.Cluster`."""
        return SupervisedCluster(self.cluster.guarded(permit), self.owed)

    async def apply(self, manifest: Manifest, manager: str, live: Ref | None) -> Manifest:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            return await self.cluster.apply(manifest, manager, live)

    async def check(self, manifest: Manifest, manager: str, live: Ref | None) -> None:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            await self.cluster.check(manifest, manager, live)

    async def find(self, kind: str, namespace: str, name: str = "") -> Sequence[Manifest]:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            return await self.cluster.find(kind, namespace, name)

    async def require_free(self, manifest: Manifest) -> None:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            await self.cluster.require_free(manifest)

    async def create(self, manifest: Manifest, manager: str) -> Manifest:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            return await self.cluster.create(manifest, manager)

    async def overwrite(self, manifest: Manifest, manager: str, live: Ref) -> Manifest:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            return await self.cluster.overwrite(manifest, manager, live)

    async def drop_update_ownership(self, live: Manifest, manager: str) -> Manifest:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            return await self.cluster.drop_update_ownership(live, manager)

    async def delete(self, namespace: str, ref: Ref) -> bool:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            return await self.cluster.delete(namespace, ref)

    async def user(self) -> str:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            return await self.cluster.user()

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            return await self.cluster.secret(namespace, name)

    async def post_event(self, about: Manifest, event: Event, at: float) -> None:
        """See `ports.Cluster`."""
        with self.owed.within(API_SECONDS):
            await self.cluster.post_event(about, event, at)


@dataclass(frozen=True, slots=True)
class SupervisedLeases:
    """A `ports.Leases` of a member, whose tasks may call at the same time: each call owes its own end."""

    leases: Leases
    vitals: Vitals

    def _owed(self) -> AbstractContextManager[None]:
        return self.vitals.pulse(Check.MEMBERSHIP, "lease").within(API_SECONDS)

    async def list(self) -> Sequence[Lease]:
        """See `ports.Leases`."""
        with self._owed():
            return await self.leases.list()

    async def put(self, lease: Lease) -> Lease:
        """See `ports.Leases`."""
        with self._owed():
            return await self.leases.put(lease)

    async def delete(self, lease: Lease) -> None:
        """See `ports.Leases`."""
        with self._owed():
            await self.leases.delete(lease)

    async def find(self, name: str) -> Lease | None:
        """See `ports.Leases`."""
        with self._owed():
            return await self.leases.find(name)

    async def follow(self, seen: Callable[[Lease], None], gone: Callable[[Lease], None]) -> None:
        """See `ports.Leases`. The watch of it owes what watches do."""
        await self.leases.follow(seen, gone)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class GitQueues:
    """The calls to one repository that wait for each other: for the network, and for what is here already."""

    network: Queue
    reading: Queue


@dataclass(frozen=True, slots=True)
class SupervisedRepository:
    """A `ports.Repository` whose calls stand in `queues`; each takes up to `seconds` after the one before it."""

    repository: Repository
    queues: GitQueues
    seconds: float

    @property
    def tag(self) -> str:
        """See `ports.Repository`."""
        return self.repository.tag

    async def tip(self) -> str:
        """See `ports.Repository`."""
        with self.queues.network.within(self.seconds):
            return await self.repository.tip()

    async def follows(self, commit: str, earlier: str) -> bool:
        """See `ports.Repository`."""
        with self.queues.network.within(self.seconds):
            return await self.repository.follows(commit, earlier)

    async def accepted(self) -> str | None:
        """See `ports.Repository`."""
        with self.queues.network.within(self.seconds):
            return await self.repository.accepted()

    async def accept(self, commit: str) -> None:
        """See `ports.Repository`."""
        with self.queues.network.within(self.seconds):
            await self.repository.accept(commit)

    async def revert(self, revert: Revert) -> str:
        """See `ports.Repository`."""
        with self.queues.network.within(self.seconds):
            return await self.repository.revert(revert)

    async def read(self, commit: str, path: str) -> bytes:
        """See `ports.Repository`."""
        with self.queues.reading.within(self.seconds):
            return await self.repository.read(commit, path)

    async def read_folder(self, commit: str, path: str) -> Mapping[str, bytes]:
        """See `ports.Repository`."""
        with self.queues.reading.within(self.seconds):
            return await self.repository.read_folder(commit, path)

    async def identities(self, commit: str, paths: Sequence[str]) -> tuple[str, ...]:
        """See `ports.Repository`."""
        with self.queues.reading.within(self.seconds):
            return await self.repository.identities(commit, paths)

    async def committed_at(self, commit: str) -> float:
        """See `ports.Repository`."""
        with self.queues.reading.within(self.seconds):
            return await self.repository.committed_at(commit)

    async def find(self, commit: str, pattern: str) -> Mapping[str, str]:
        """See `ports.Repository`."""
        with self.queues.reading.within(self.seconds):
            return await self.repository.find(commit, pattern)

    async def close(self) -> None:
        """See `ports.Repository`."""
        await self.repository.close()


@dataclass(frozen=True, slots=True)
class Supervision:
    """Makes the ports of tasks such that `vitals` knows of their calls."""

    vitals: Vitals
    _queues: WeakValueDictionary[str, GitQueues] = field(default_factory=WeakValueDictionary)

    def cluster(self, cluster: Cluster, task: str) -> Cluster:
        """`cluster` for the one task that is called so in events."""
        return SupervisedCluster(cluster, self.vitals.pulse(Check.APPS, task))

    def repository(self, repository: Repository, source: SourceSettings) -> Repository:
        """`repository` for a source and its apps. Sources of one address wait for each other."""
        queues = self._queues.get(source.url)
        if queues is None:
            task = f"source {source.name}"
            queues = GitQueues(*(self.vitals.queue(Check.SOURCES, task) for _ in ("network", "reading")))
            self._queues[source.url] = queues
        return SupervisedRepository(repository, queues, git_seconds(source.timeout))

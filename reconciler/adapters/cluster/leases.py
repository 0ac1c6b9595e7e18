"""The Leases of a group of daemons, as objects of coordination.k8s.io/v1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kubernetes.aio import client

from reconciler.adapters.cluster.kinds import LEASE
from reconciler.adapters.cluster.requests import send
from reconciler.adapters.cluster.watch import UNMONITORED, Monitor, Watch
from reconciler.core.membership import LONGEST, Lease, read_statement, write_statement
from reconciler.core.model import LABEL_MANAGED_BY, MANAGED_BY, PREFIX, Manifest
from reconciler.errors import Blocked, Conflict, ReconcilerError

LABEL_GROUP = PREFIX + "group"
ANNOTATION_SHARE = PREFIX + "share"
_MERGE = "application/merge-patch+json"
_NOT_FOUND = 404
_DEFAULT_DURATION = 15


class KubernetesLeases:
    """The `ports.Leases` of `group` in `namespace`; `now()` is the time in epoch seconds, for people to read.
    `on_failure(error)` is told when they cannot be watched. `pod` (name and uid) is the one that they go with: the
    garbage collector deletes them after it, which counts for nothing until they have run out. A request is given up
    after `within` seconds; what it wrote all the same is found by the next one.
    """

    def __init__(
        self,
        api: client.ApiClient,
        namespace: str,
        group: str,
        now: Callable[[], float],
        monitor: Monitor = UNMONITORED,
        pod: tuple[str, str] | None = None,
        within: float | None = None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._group = group
        self._now = now
        self._monitor = monitor
        self._pod = pod
        self._send = partial(send, api, within=within)
        self.on_failure: Callable[[ReconcilerError], None] = lambda _: None

    async def list(self) -> Sequence[Lease]:
        """See `ports.Leases`. Without a resourceVersion the API server asks its store (Kubernetes API concepts,
        "Semantics for get and list")."""
        found = await self._send("GET", LEASE.path(self._namespace), query={"labelSelector": self._selector})
        return [_read(each) for each in found["items"]]

    async def find(self, name: str) -> Lease | None:
        """See `ports.Leases`. By a list, which needs no permission to `get`."""
        query = {"fieldSelector": f"metadata.name={name}"}
        items = (await self._send("GET", LEASE.path(self._namespace), query=query))["items"]
        if items and not _is_ours(items[0]):
            raise Blocked(
                "there is a Lease of this name that is no daemon's",
                where=f"Lease {self._namespace}/{name}",
                untouched="It was left as it is",
                todo="Delete it, or give the daemon's pod another name",
            )
        return _read(items[0]) if items else None

    async def put(self, lease: Lease) -> Lease:
        """See `ports.Leases`."""
        body = self._written(lease)
        if not lease.version:
            return _read(await self._send("POST", LEASE.path(self._namespace), body=body))
        body["metadata"]["resourceVersion"] = lease.version
        path = LEASE.path(self._namespace, lease.name)
        try:
            return _read(await self._send("PATCH", path, body=body, content_type=_MERGE))
        except Blocked as error:
            if error.status == _NOT_FOUND:
                raise Conflict("it was deleted", where=f"Lease {self._namespace}/{lease.name}") from None
            raise

    async def delete(self, lease: Lease) -> None:
        """See `ports.Leases`."""
        body = {"preconditions": {"resourceVersion": lease.version}}
        await self._send("DELETE", LEASE.path(self._namespace, lease.name), body=body)

    async def follow(self, seen: Callable[[Lease], None], gone: Callable[[Lease], None]) -> None:
        """See `ports.Leases`."""
        watch = Watch(
            self._api,
            LEASE,
            self._namespace,
            _Telling(seen, gone),
            lambda _, __, error: self.on_failure(error),
            lambda _: None,
            self._selector,
            self._monitor,
        )
        await watch.run()

    @property
    def _selector(self) -> str:
        return f"{LABEL_GROUP}={self._group}"

    def _written(self, lease: Lease) -> dict[str, Any]:
        at = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        labels = {LABEL_GROUP: self._group, LABEL_MANAGED_BY: MANAGED_BY}
        notes = {ANNOTATION_SHARE: write_statement(lease.said)}
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": lease.name, "labels": labels, "annotations": notes, **self._owner()},
            "spec": {"holderIdentity": lease.holder, "leaseDurationSeconds": round(lease.duration), "renewTime": at},
        }

    def _owner(self) -> dict[str, Any]:
        if self._pod is None:
            return {}
        name, uid = self._pod
        return {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}]}


class _Telling:
    """What the watch of the Leases tells."""

    def __init__(self, seen: Callable[[Lease], None], gone: Callable[[Lease], None]) -> None:
        self._seen = seen
        self._gone = gone

    def put(self, live: Manifest) -> None:
        self._seen(_read(live))

    def drop(self, live: Manifest) -> None:
        self._gone(_read(live))

    def replace(self, kind: str, namespace: str, listed: Sequence[Manifest], version: str) -> None:
        for each in listed:
            self.put(each)


def _is_ours(live: Manifest) -> bool:
    """Somebody may have taken off either."""
    meta = live["metadata"]
    marked = (meta.get("labels") or {}).get(LABEL_MANAGED_BY) == MANAGED_BY
    return marked or ANNOTATION_SHARE in (meta.get("annotations") or {})


def _read(live: Manifest) -> Lease:
    meta, spec = live["metadata"], live.get("spec") or {}
    said = read_statement((meta.get("annotations") or {}).get(ANNOTATION_SHARE, ""))
    duration = min(float(spec.get("leaseDurationSeconds") or _DEFAULT_DURATION), LONGEST)
    return Lease(meta["name"], spec.get("holderIdentity") or "", duration, meta["resourceVersion"], said)

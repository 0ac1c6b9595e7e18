"""The `ports.Cluster` of a real API server."""

from __future__ import annotations

import asyncio
import base64
import copy
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import Any

from kubernetes.aio import client

from reconciler.adapters.cluster.discovery import Discovery
from reconciler.adapters.cluster.following import Following
from reconciler.adapters.cluster.kinds import KINDS, WATCHED, Kind
from reconciler.adapters.cluster.requests import is_write, send
from reconciler.adapters.cluster.store import Store
from reconciler.adapters.cluster.watch import UNMONITORED, Monitor, Watch
from reconciler.core.account import Account
from reconciler.core.action import Ref
from reconciler.core.event import Event, Level
from reconciler.core.memory import format_time
from reconciler.core.model import LABEL_APP, LABEL_MANAGED_BY, MANAGED_BY, Manifest
from reconciler.core.policy import resource_of
from reconciler.errors import Blocked, Conflict, Invalid, ReconcilerError

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_MESSAGE_LIMIT = 1024
_FIND_LIMIT = 500
_MAY_NOT_READ = "Create it, correct the source's secretRef, or allow `get` on it: docs/git.md has the Role"


Spawn = Callable[[str, Callable[[], Awaitable[None]]], "asyncio.Task[None]"]


class KubernetesCluster:
    """Reads by watch, writes by conditional requests; every answer goes into the store at once.

    `on_change(app)` is called on the event loop after any object of that app changed; `on_outage(kind, namespace,
    retry_in, error)` when the first watch of a namespace fails and for every one that is refused,
    `on_recovery(namespace)` when all of it are true again;
    `spawn(name, work)` starts a task that never ends, `now()` is the time in epoch seconds.
    """

    def __init__(
        self,
        api: client.ApiClient,
        on_change: Callable[[str], None],
        on_outage: Callable[[str, str, float, ReconcilerError], None],
        on_recovery: Callable[[str], None],
        spawn: Spawn,
        now: Callable[[], float],
        monitor: Monitor = UNMONITORED,
    ) -> None:
        self._api = api
        self._now = now
        self._monitor = monitor
        self._recovered_at: dict[str, float] = {}
        self._spawn = spawn
        self._on_outage = on_outage
        self._on_recovery = on_recovery
        self._failing: set[Watch] = set()
        self._store = Store(on_change)
        self._watches: dict[str, list[Watch]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._kinds = Discovery(api)
        self._following = Following(self._kinds, self._start, self._ended)
        self._account: Account | None = None
        self._permit: Callable[[], float] | None = None

    def acting_as(self, account: Account | None) -> KubernetesCluster:
        """See `ports.Cluster`. All else, the watches and what they hold, is one and the same."""
        acting = copy.copy(self)
        acting._account = account
        return acting

    def guarded(self, permit: Callable[[], float]) -> KubernetesCluster:
        """See `ports.Cluster`."""
        guarded = copy.copy(self)
        guarded._permit = permit
        return guarded

    def view(self, namespace: str, app: str) -> Sequence[Manifest]:
        """See `ports.Cluster`."""
        return (*self._store.of(namespace, app), *self._store.of("", app))

    def apps(self, namespace: str) -> Sequence[str]:
        """See `ports.Cluster`."""
        return self._store.apps(namespace)

    async def synced(self, namespace: str) -> None:
        """See `ports.Cluster`."""
        for watch in self._watching(namespace):
            await watch.synced.wait()

    async def follow(self, namespace: str, app: str, wanted: Set[str], known: Set[str]) -> None:
        """See `ports.Cluster`."""
        await self._following.follow(namespace, app, wanted, known)

    def was_synced(self, namespace: str) -> bool:
        """Whether each kind that every app has was known of `namespace` at some time."""
        watches = self._watches.get(namespace, ())
        return bool(watches) and all(each.was_synced for each in watches)

    def recovered_at(self, namespace: str) -> float | None:
        """See `ports.Cluster`."""
        return self._recovered_at.get(namespace)

    def _watching(self, namespace: str) -> list[Watch]:
        if namespace not in self._watches:
            self._watches[namespace] = [self._start(kind, namespace)[0] for kind in WATCHED]
        return self._watches[namespace]

    def _start(self, kind: Kind, namespace: str) -> tuple[Watch, asyncio.Task[None]]:
        told = self._watch_failed, self._watch_recovered
        watch = Watch(self._api, kind, namespace, self._store, *told, monitor=self._monitor)
        task = self._spawn(watch.task, watch.run)
        self._tasks.append(task)
        return watch, task

    def _ended(self, watch: Watch) -> None:
        """Nobody has objects of this kind there any more."""
        self._tasks = [each for each in self._tasks if not each.done()]
        self._store.forget(watch.kind.key, watch.namespace)
        if watch in self._failing:
            self._watch_recovered(watch)

    def _watch_failed(self, watch: Watch, retry_in: float, error: ReconcilerError) -> None:
        first = not self._is_failing(watch.namespace)
        self._failing.add(watch)
        # An outage concerns all kinds, and is one. Permissions are missing one by one: each has to be named.
        if first or isinstance(error, Blocked):
            self._on_outage(watch.kind.name, watch.namespace, retry_in, error)

    def _watch_recovered(self, watch: Watch) -> None:
        self._failing.discard(watch)
        if not self._is_failing(watch.namespace):
            self._recovered_at[watch.namespace] = self._now()
            self._on_recovery(watch.namespace)

    def _is_failing(self, namespace: str) -> bool:
        return any(each.namespace == namespace for each in self._failing)

    async def apply(self, manifest: Manifest, manager: str, live: Ref | None) -> Manifest:
        """See `ports.Cluster`."""
        stored = await self._apply(manifest, manager, live)
        self._store.put(stored)
        return stored

    async def check(self, manifest: Manifest, manager: str, live: Ref | None) -> None:
        """See `ports.Cluster`."""
        await self._apply(manifest, manager, live, {"dryRun": "All"})

    async def _apply(
        self, manifest: Manifest, manager: str, live: Ref | None, how: Mapping[str, str] | None = None
    ) -> Manifest:
        if live is None:
            await self._require_absent(manifest)
        else:
            manifest = _pinned(manifest, live)
        query = {"fieldManager": manager, "force": "true", **(how or {})}
        body = self._kinds.of(manifest).placed(manifest)
        return await self._send("PATCH", self._path_of(manifest), query=query, body=body, content_type=_APPLY)

    async def require_free(self, manifest: Manifest) -> None:
        """See `ports.Cluster`. Server-side apply would quietly merge into somebody else's object of the same name."""
        found = await self._find(manifest)
        if found is not None and not _is_ours(found, manifest):
            raise _foreign(found, manifest)

    async def _require_absent(self, manifest: Manifest) -> None:
        found = await self._find(manifest)
        if found is not None:
            raise _made_meanwhile(manifest) if _is_ours(found, manifest) else _foreign(found, manifest)

    async def find(self, kind: str, namespace: str, name: str = "") -> Sequence[Manifest]:
        """See `ports.Cluster`."""
        query = {"limit": str(_FIND_LIMIT)} | ({"fieldSelector": f"metadata.name={name}"} if name else {})
        of = self._kinds[kind]
        found = await self._send("GET", of.path(namespace), query=query)
        if found["metadata"].get("continue"):
            what = f"there are more than {_FIND_LIMIT} of them, which is more than is looked through"
            raise Blocked(what, where=f"{kind}s in namespace {namespace}", untouched="Nothing was changed")
        identity = {"apiVersion": of.api_version, "kind": of.name}
        return [identity | each for each in found["items"]]

    async def _find(self, manifest: Manifest) -> Manifest | None:
        meta = manifest["metadata"]
        return next(iter(await self.find(resource_of(manifest), meta["namespace"], meta["name"])), None)

    async def create(self, manifest: Manifest, manager: str) -> Manifest:
        """See `ports.Cluster`."""
        kind, meta = KINDS[manifest["kind"]], manifest["metadata"]
        try:
            stored = await self._send(
                "POST",
                kind.path(meta["namespace"]),
                query={"fieldManager": manager},
                body=manifest,
            )
        except (Conflict, Invalid) as error:
            # Invalid too: a NodePort that is taken is told before the name is looked at.
            found = await self._find(manifest)
            if found is None:
                raise
            if _is_ours(found, manifest):
                raise _made_meanwhile(manifest) from error
            raise _foreign(found, manifest) from None
        self._store.put(stored)
        return stored

    async def overwrite(self, manifest: Manifest, manager: str, live: Ref) -> Manifest:
        """See `ports.Cluster`."""
        found = await self._find(manifest)
        if found is None or found["metadata"]["uid"] != live.uid:
            raise Conflict("it is another object now", where=_place(manifest))
        notes = {**(found["metadata"].get("annotations") or {}), **(manifest["metadata"].get("annotations") or {})}
        patch = [{"op": "add", "path": f"/spec/{key}", "value": value} for key, value in manifest["spec"].items()]
        patch.append({"op": "add", "path": "/metadata/annotations", "value": notes})
        return await self._patch(manifest, live.resource_version, patch, manager)

    async def drop_update_ownership(self, live: Manifest, manager: str) -> Manifest:
        """See `ports.Cluster`."""
        meta = live["metadata"]
        kept = [
            entry
            for entry in meta.get("managedFields") or []
            if entry.get("manager") != manager or entry.get("operation") != "Update" or entry.get("subresource")
        ]
        patch = [{"op": "replace", "path": "/metadata/managedFields", "value": kept or [{}]}]
        return await self._patch(live, meta["resourceVersion"], patch, manager)

    async def _patch(self, manifest: Manifest, version: str, patch: list[dict[str, Any]], manager: str) -> Manifest:
        # Not `test`, whose failure would be a 422: a replaced version that is not the stored one is a 409.
        condition = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
        query = {"fieldManager": manager}
        body = [condition, *patch]
        path = self._path_of(manifest)
        stored = await self._send("PATCH", path, query=query, body=body, content_type=_JSON_PATCH)
        self._store.put(stored)
        return stored

    async def delete(self, namespace: str, ref: Ref) -> bool:
        """See `ports.Cluster`."""
        options = {
            "propagationPolicy": "Background",
            "preconditions": {"uid": ref.uid, "resourceVersion": ref.resource_version},
        }
        kind = self._kinds[ref.kind]
        answer = await self._send("DELETE", kind.path(namespace, ref.name), body=options)
        if answer.get("kind") == kind.name:
            self._store.put(answer)  # a finalizer holds it back: it is still there, with a deletionTimestamp
            return True
        meta = {"namespace": kind.space(namespace), "name": ref.name, "uid": ref.uid}
        self._store.drop({"kind": kind.name, "apiVersion": kind.api_version, "metadata": meta})
        return answer.get("code") != 404

    async def _send(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        within = self._permit() if self._permit and is_write(method, what.get("query")) else None
        return await send(self._api, method, path, account=self._account, within=within, **what)

    async def user(self) -> str:
        """See `ports.Cluster`. Versions before 1.28 have no such question, and RBAC may not allow it."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = await send(self._api, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
        except ReconcilerError:
            return ""
        return str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "")

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """See `ports.Cluster`. Not from the watch: that shows this daemon's own objects alone."""
        try:
            found = await send(self._api, "GET", KINDS["Secret"].path(namespace, name))
        except Blocked as error:
            raise Blocked(error.what, where=error.where, untouched=error.untouched, todo=_MAY_NOT_READ) from None
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}

    def _path_of(self, manifest: Manifest) -> str:
        meta = manifest["metadata"]
        return self._kinds.of(manifest).path(meta.get("namespace", ""), meta["name"])

    async def post_event(self, about: Manifest, event: Event, at: float) -> None:
        """See `ports.Cluster`."""
        namespace = about["metadata"]["namespace"]
        await send(self._api, "POST", KINDS["Event"].path(namespace), body=_kubernetes_event(about, event, at))

    async def close(self) -> None:
        """Ends the watches and the connections."""
        for task in self._tasks:
            task.cancel()
        # Before the tasks can let go of their connections: what is closed one by one takes its leave by TLS, and would
        # still be at it when the event loop ends.
        await self._api.close()  # type: ignore[no-untyped-call]
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _place(manifest: Manifest) -> str:
    meta = manifest["metadata"]
    return f"{manifest['kind']} {meta['namespace']}/{meta['name']}"


def _pinned(manifest: Manifest, live: Ref) -> Manifest:
    """With resourceVersion and uid in the body, an apply is refused (409) if the object is another by now."""
    pins = {"uid": live.uid, "resourceVersion": live.resource_version}
    return {**manifest, "metadata": {**manifest["metadata"], **pins}}


def _is_ours(found: Manifest, manifest: Manifest) -> bool:
    labels = found["metadata"].get("labels") or {}
    app = manifest["metadata"]["labels"][LABEL_APP]
    return labels.get(LABEL_MANAGED_BY) == MANAGED_BY and labels.get(LABEL_APP) == app


def _made_meanwhile(manifest: Manifest) -> Conflict:
    return Conflict("it was made in the meantime", where=_place(manifest))


def _foreign(found: Manifest, manifest: Manifest) -> Blocked:
    app = manifest["metadata"]["labels"][LABEL_APP]
    once_ours = (found["metadata"].get("labels") or {}).get(LABEL_APP) == app
    todo = "Delete or rename it, or name the app's object otherwise in the templates"
    if manifest["kind"] == "Service":
        todo = "Delete or rename it, or give the app's Service another name with strategy.activeService"
    if once_ours:
        label = f"kubectl label {manifest['kind'].lower()} {manifest['metadata']['name']}"
        todo = f"If it is this daemon's, put the label back that it lost: {label} {LABEL_MANAGED_BY}={MANAGED_BY}"
    return Blocked(
        f"a {manifest['kind']} of this name exists already, and is not marked as made by this daemon for app {app}",
        where=_place(manifest),
        untouched="It was left as it is",
        todo=todo,
    )


def _kubernetes_event(about: Manifest, event: Event, at: float) -> Mapping[str, Any]:
    meta = about["metadata"]
    moment = format_time(at).replace("+00:00", "Z")
    second = moment[:19] + "Z"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        # As client-go names its events: unique enough, and sorted by time.
        "metadata": {"name": f"{meta['name']}.{time.time_ns():x}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": KINDS[about["kind"]].api_version,
            "kind": about["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "reason": "".join(part.capitalize() for part in event.name.split("_")),
        "message": _message(event)[:_MESSAGE_LIMIT],
        "type": "Normal" if event.spec.level is Level.INFO else "Warning",
        "source": {"component": "reconciler"},
        "firstTimestamp": second,
        "lastTimestamp": second,
        "count": 1,
    }


def _message(event: Event) -> str:
    """The event's fields as a line for `kubectl describe`, without those that the Service shows anyway."""
    shown = {key: value for key, value in event.fields.items() if key not in ("app", "namespace") and value}
    return ", ".join(f"{key} {_words(value)}" for key, value in shown.items())


def _words(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(" ".join(map(str, each.values())) if isinstance(each, dict) else str(each) for each in value)
    return f"{value:g} s" if isinstance(value, float) else str(value)

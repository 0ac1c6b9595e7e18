"""An API server in memory: the `ports.Cluster` with server-side apply, resourceVersions, and preconditions.

It obeys the same contract suite as the real one (tests/contract/test_cluster.py). A Service's ports are merged by
number and protocol, as there; every other list is atomic here, which the suite does not exercise. Nothing in it
awaits, so that a test can drive it step by step. Objects are never changed in place, only replaced, so what it gives
out need not be copied.
"""

from __future__ import annotations

import base64
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

from reconciler.core.account import Account
from reconciler.core.action import Ref
from reconciler.core.event import Event
from reconciler.core.memory import format_time
from reconciler.core.model import LABEL_APP, LABEL_MANAGED_BY, MANAGED_BY, Manifest
from reconciler.core.policy import ON_DEMAND, VERSIONS, is_followed, resource_of
from reconciler.errors import Blocked, Conflict, Forbidden, Invalid, ReconcilerError
from reconciler.ports import Cluster

Path = tuple[str, ...]
_Key = tuple[str, str, str]
_IDENTITY = {
    ("apiVersion",),
    ("kind",),
    ("metadata", "name"),
    ("metadata", "namespace"),
    ("metadata", "uid"),
    ("metadata", "resourceVersion"),
}
_SERVER_OWNED = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields")


class FakeCluster:
    """Objects by (kind, namespace, name), each with who owns which field."""

    def __init__(self, now: Callable[[], float] = lambda: 1_700_000_000.0) -> None:
        self.objects: dict[_Key, dict[str, Any]] = {}
        self.owners: dict[_Key, dict[tuple[str, str], set[Path]]] = {}
        self.kinds = {f"{version}/{name.partition('.')[0]}" for name, version in VERSIONS.items()}
        self.kinds |= {"batch/v1/CronJob", "rbac.authorization.k8s.io/v1/ClusterRole", *ON_DEMAND}
        self.followed: dict[tuple[str, str], frozenset[str]] = {}
        self.applied_at: dict[tuple[_Key, str], float] = {}
        self.spec_generation: dict[_Key, int] = {}
        """The generation by which the spec was last changed."""
        self.events: list[tuple[str, Event]] = []
        self.writes: list[str] = []
        self._now = now
        self._counter = itertools.count(1)
        self.fail_next_write: ReconcilerError | None = None
        self.lose_next_answer: ReconcilerError | None = None
        self.back_since: float | None = None
        self.username = ""
        self.rights: dict[Account, set[tuple[str, str]]] = {}
        """What each account may do: (verb, plural of the kind)."""
        self.acted: list[tuple[Account, str]] = []
        """What was done as an account, and the verb for it."""

    # --- the port ---

    def view(self, namespace: str, app: str) -> Sequence[Manifest]:
        return [
            each
            for (_, space, _), each in self.objects.items()
            if space == namespace
            and (each["metadata"].get("labels") or {}).get(LABEL_APP) == app
            and (not is_followed(resource_of(each)) or resource_of(each) in self.followed.get((namespace, app), ()))
        ]

    def apps(self, namespace: str) -> Sequence[str]:
        there = [each["metadata"] for (_, space, _), each in self.objects.items() if space == namespace]
        named = {app for meta in there if (app := (meta.get("labels") or {}).get(LABEL_APP))}
        return sorted(app for app in named if self.view(namespace, app))

    async def synced(self, namespace: str) -> None:
        return None

    async def follow(self, namespace: str, app: str, wanted: Set[str], known: Set[str]) -> None:
        for resource in sorted(wanted):
            if resource not in self.kinds:
                raise Blocked(f"the cluster has no kind {resource}")
        self.followed[namespace, app] = frozenset((wanted | known) & self.kinds)

    def recovered_at(self, namespace: str) -> float | None:
        return self.back_since

    def acting_as(self, account: Account | None) -> Cluster:
        return ActingCluster(self, account) if account else self

    def guarded(self, permit: Callable[[], float]) -> Cluster:
        return GuardedCluster(self, permit)

    async def apply(self, manifest: Manifest, manager: str, live: Ref | None) -> Manifest:
        with_failure = self._attempt(f"apply {manifest['kind']}/{manifest['metadata']['name']}")
        key = _key(manifest)
        there = self.objects.get(key)
        if live is None:
            if there is not None:
                raise Conflict("already exists") if _is_ours(there, manifest) else _foreign(manifest)
        else:
            self._require(there, live)
        stored = self._apply(key, manifest, manager)
        with_failure()
        return stored

    async def check(self, manifest: Manifest, manager: str, live: Ref | None) -> None:
        trial = FakeCluster(self._now)
        trial.objects, trial.owners = copy.deepcopy((self.objects, self.owners))
        trial.fail_next_write, self.fail_next_write = self.fail_next_write, None
        await trial.apply(manifest, manager, live)

    async def find(self, kind: str, namespace: str, name: str = "") -> Sequence[Manifest]:
        keys = [key for key in sorted(self.objects) if key[:2] == (kind, namespace) and name in ("", key[2])]
        return [self.objects[key] for key in keys]

    async def require_free(self, manifest: Manifest) -> None:
        there = self.objects.get(_key(manifest))
        if there is not None and not _is_ours(there, manifest):
            raise _foreign(manifest)

    async def create(self, manifest: Manifest, manager: str) -> Manifest:
        with_failure = self._attempt(f"create {manifest['kind']}/{manifest['metadata']['name']}")
        key = _key(manifest)
        there = self.objects.get(key)
        if there is not None:
            raise Conflict("already exists") if _is_ours(there, manifest) else _foreign(manifest)
        self.owners[key] = {(manager, "Update"): set(_leaves(_keyed(manifest)))}
        stored = self._write(key, dict(manifest))
        with_failure()
        return stored

    async def overwrite(self, manifest: Manifest, manager: str, live: Ref) -> Manifest:
        with_failure = self._attempt(f"overwrite {manifest['kind']}/{manifest['metadata']['name']}")
        key = _key(manifest)
        there = self.objects.get(key)
        self._require(there, live)
        assert there is not None
        notes = {**(there["metadata"].get("annotations") or {}), **(manifest["metadata"].get("annotations") or {})}
        written = {**there, "metadata": {**there["metadata"], "annotations": notes}}
        spec = {**there["spec"], **manifest["spec"]}
        written["spec"] = {key: value for key, value in spec.items() if value is not None}
        before, after = dict(_items(_keyed(there))), dict(_items(_keyed(written)))
        changed = {path for path in after if path not in before or before[path] != after[path]} - _IDENTITY
        for paths in self.owners[key].values():
            paths -= changed | (before.keys() - after.keys())
        self.owners[key].setdefault((manager, "Update"), set()).update(changed)
        stored = self._write(key, written)
        with_failure()
        return stored

    async def drop_update_ownership(self, live: Manifest, manager: str) -> Manifest:
        with_failure = self._attempt(f"drop ownership {live['metadata']['name']}")
        key = _key(live)
        there = self.objects.get(key)
        if there is None or there["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        if self.owners[key].pop((manager, "Update"), None) is not None:
            self._bump(key)
        with_failure()
        return self.objects[key]

    async def delete(self, namespace: str, ref: Ref) -> bool:
        with_failure = self._attempt(f"delete {ref.kind}/{ref.name}")
        key = (ref.kind.rpartition("/")[2], namespace, ref.name)
        there = self.objects.get(key)
        if there is None:
            return False
        self._require(there, ref)
        del self.objects[key], self.owners[key]
        with_failure()
        return True

    async def user(self) -> str:
        return self.username

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        found = self.objects.get(("Secret", namespace, name))
        if found is None:
            raise Blocked(f'secrets "{name}" not found', where=f"Secret {namespace}/{name}", untouched="-", todo="-")
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}

    async def post_event(self, about: Manifest, event: Event, at: float) -> None:
        self.events.append((about["metadata"]["name"], event))

    # --- what tests and the simulated controllers use ---

    def put(self, live: Mapping[str, Any], manager: str = "somebody") -> dict[str, Any]:
        """Writes an object as another client would: unconditionally, under another manager."""
        key = _key(live)
        kept = {k: v for k, v in self.objects.get(key, {"metadata": {}})["metadata"].items() if k in _SERVER_OWNED}
        merged = {**live, "metadata": {**live["metadata"], **kept}}
        self.owners.setdefault(key, {}).setdefault((manager, "Update"), set())
        return self._write(key, merged)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        self.objects.pop((kind, namespace, name), None)
        self.owners.pop((kind, namespace, name), None)

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get((kind, namespace, name))

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [self.objects[key] for key in sorted(self.objects) if key[0] == kind]

    # --- inside ---

    def _attempt(self, what: str) -> Callable[[], None]:
        """A write about to happen: fails before its effect, or (the returned function) loses its answer after it."""
        if self.fail_next_write is not None:
            error, self.fail_next_write = self.fail_next_write, None
            raise error
        self.writes.append(what)

        def answer() -> None:
            if self.lose_next_answer is not None:
                error, self.lose_next_answer = self.lose_next_answer, None
                raise error

        return answer

    def _require(self, there: Mapping[str, Any] | None, ref: Ref) -> None:
        meta = there["metadata"] if there else {}
        if (meta.get("uid"), meta.get("resourceVersion")) != (ref.uid, ref.resource_version):
            raise Conflict("the object has been modified")

    def _apply(self, key: _Key, manifest: Manifest, manager: str) -> dict[str, Any]:
        owners = self.owners.setdefault(key, {})
        owned_before = copy.deepcopy(owners)
        before = copy.deepcopy(self.objects.get(key))
        merged: dict[str, Any] = _keyed(copy.deepcopy(before)) if before else {}
        manifest = _keyed(manifest)
        wanted = {path: value for path, value in _items(manifest) if path not in _IDENTITY}
        mine = owners.get((manager, "Apply"), set())
        others = [paths for who, paths in owners.items() if who != (manager, "Apply")]
        for path in mine - wanted.keys():
            if not any(path in paths for paths in others):
                _remove(merged, path)
        for path, value in [*wanted.items(), *((p, v) for p, v in _items(manifest) if p in _IDENTITY and len(p) < 3)]:
            if path[0] == "metadata" and path[1] in ("uid", "resourceVersion"):
                continue
            if _get(merged, path) != value:
                for paths in others:
                    paths.discard(path)
            _set(merged, path, copy.deepcopy(value))
        owners[(manager, "Apply")] = set(wanted)
        merged = _listed(merged)
        if merged.get("kind") == "Service" and not (merged.get("spec") or {}).get("ports"):
            raise Invalid("spec.ports: Required value")
        _keep_address(before, merged)
        if before is not None and _content(before) == _content(merged) and owners == owned_before:
            return self.objects[key]
        self.applied_at[key, manager] = self._now()
        return self._write(key, merged)

    def _write(self, key: _Key, merged: dict[str, Any]) -> dict[str, Any]:
        before = self.objects.get(key)
        meta = {**merged["metadata"]}
        number = next(self._counter)
        if before is None:
            meta["uid"] = f"uid-{number}"
            meta["generation"] = 1
            meta["creationTimestamp"] = format_time(self._now())
        elif _asks(before) != _asks(merged):
            meta["generation"] = int(before["metadata"].get("generation", 0)) + 1
        if before is None or before.get("spec") != merged.get("spec"):
            self.spec_generation[key] = meta["generation"]
        meta["resourceVersion"] = str(number)
        meta["managedFields"] = self._managed_fields(key)
        self.objects[key] = {**merged, "metadata": meta}
        return self.objects[key]

    def _bump(self, key: _Key) -> None:
        there = self.objects[key]
        seen = {"resourceVersion": str(next(self._counter)), "managedFields": self._managed_fields(key)}
        self.objects[key] = {**there, "metadata": {**there["metadata"], **seen}}

    def _managed_fields(self, key: _Key) -> list[dict[str, Any]]:
        entries = []
        for (manager, operation), paths in self.owners.get(key, {}).items():
            fields: dict[str, Any] = {}
            for path in paths:
                node = fields
                for part in path:
                    node = node.setdefault(f"f:{part}", {})
            at = self.applied_at.get((key, manager)) if operation == "Apply" else None
            time = {"time": format_time(at)} if at is not None else {}
            entries.append({"manager": manager, "operation": operation, "fieldsV1": fields, **time})
        return entries


class ActingCluster:
    """The same cluster to an account: what it has no right to is refused, before anything else is looked at."""

    def __init__(self, cluster: FakeCluster, account: Account) -> None:
        self._cluster = cluster
        self._account = account

    def acting_as(self, account: Account | None) -> Cluster:
        return self._cluster.acting_as(account)

    def guarded(self, permit: Callable[[], float]) -> Cluster:
        return GuardedCluster(self, permit)

    def view(self, namespace: str, app: str) -> Sequence[Manifest]:
        return self._cluster.view(namespace, app)

    async def follow(self, namespace: str, app: str, wanted: Set[str], known: Set[str]) -> None:
        await self._cluster.follow(namespace, app, wanted, known)

    def apps(self, namespace: str) -> Sequence[str]:
        return self._cluster.apps(namespace)

    async def synced(self, namespace: str) -> None:
        await self._cluster.synced(namespace)

    def recovered_at(self, namespace: str) -> float | None:
        return self._cluster.recovered_at(namespace)

    async def apply(self, manifest: Manifest, manager: str, live: Ref | None) -> Manifest:
        self._require(*(["patch"] if live else ["list", "patch", "create"]), kind=manifest["kind"])
        return await self._cluster.apply(manifest, manager, live)

    async def check(self, manifest: Manifest, manager: str, live: Ref | None) -> None:
        self._require(*(["patch"] if live else ["list", "patch", "create"]), kind=manifest["kind"])
        await self._cluster.check(manifest, manager, live)

    async def find(self, kind: str, namespace: str, name: str = "") -> Sequence[Manifest]:
        self._require("list", kind=kind)
        return await self._cluster.find(kind, namespace, name)

    async def require_free(self, manifest: Manifest) -> None:
        self._require("list", kind=manifest["kind"])
        await self._cluster.require_free(manifest)

    async def create(self, manifest: Manifest, manager: str) -> Manifest:
        self._require("create", kind=manifest["kind"])
        return await self._cluster.create(manifest, manager)

    async def overwrite(self, manifest: Manifest, manager: str, live: Ref) -> Manifest:
        self._require("list", "patch", kind=manifest["kind"])
        return await self._cluster.overwrite(manifest, manager, live)

    async def drop_update_ownership(self, live: Manifest, manager: str) -> Manifest:
        self._require("patch", kind=live["kind"])
        return await self._cluster.drop_update_ownership(live, manager)

    async def delete(self, namespace: str, ref: Ref) -> bool:
        self._require("delete", kind=ref.kind)
        return await self._cluster.delete(namespace, ref)

    async def user(self) -> str:
        return await self._cluster.user()

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        return await self._cluster.secret(namespace, name)

    async def post_event(self, about: Manifest, event: Event, at: float) -> None:
        await self._cluster.post_event(about, event, at)

    def _require(self, *verbs: str, kind: str) -> None:
        plural = f"{kind.lower()}s"
        for verb in verbs:
            if (verb, plural) not in self._cluster.rights.get(self._account, set()):
                what = f"{self._account} may not {verb} {plural}"
                todo = f"Add to a Role of it: resources: [{plural}], verbs: [{verb}]"
                raise Forbidden(what, where=f"{kind}s", untouched="-", todo=todo, user=self._account.user)
        self._cluster.acted.append((self._account, f"{verbs[-1]} {kind}"))


class GuardedCluster:
    """The same cluster to somebody who may lose the right to write."""

    def __init__(self, cluster: Cluster, permit: Callable[[], float]) -> None:
        self._cluster = cluster
        self._permit = permit

    def acting_as(self, account: Account | None) -> Cluster:
        return GuardedCluster(self._cluster.acting_as(account), self._permit)

    def guarded(self, permit: Callable[[], float]) -> Cluster:
        return GuardedCluster(self._cluster, permit)

    def view(self, namespace: str, app: str) -> Sequence[Manifest]:
        return self._cluster.view(namespace, app)

    async def follow(self, namespace: str, app: str, wanted: Set[str], known: Set[str]) -> None:
        await self._cluster.follow(namespace, app, wanted, known)

    def apps(self, namespace: str) -> Sequence[str]:
        return self._cluster.apps(namespace)

    async def synced(self, namespace: str) -> None:
        await self._cluster.synced(namespace)

    def recovered_at(self, namespace: str) -> float | None:
        return self._cluster.recovered_at(namespace)

    async def apply(self, manifest: Manifest, manager: str, live: Ref | None) -> Manifest:
        self._permit()
        return await self._cluster.apply(manifest, manager, live)

    async def check(self, manifest: Manifest, manager: str, live: Ref | None) -> None:
        await self._cluster.check(manifest, manager, live)

    async def find(self, kind: str, namespace: str, name: str = "") -> Sequence[Manifest]:
        return await self._cluster.find(kind, namespace, name)

    async def require_free(self, manifest: Manifest) -> None:
        await self._cluster.require_free(manifest)

    async def create(self, manifest: Manifest, manager: str) -> Manifest:
        self._permit()
        return await self._cluster.create(manifest, manager)

    async def overwrite(self, manifest: Manifest, manager: str, live: Ref) -> Manifest:
        self._permit()
        return await self._cluster.overwrite(manifest, manager, live)

    async def drop_update_ownership(self, live: Manifest, manager: str) -> Manifest:
        self._permit()
        return await self._cluster.drop_update_ownership(live, manager)

    async def delete(self, namespace: str, ref: Ref) -> bool:
        self._permit()
        return await self._cluster.delete(namespace, ref)

    async def user(self) -> str:
        return await self._cluster.user()

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        return await self._cluster.secret(namespace, name)

    async def post_event(self, about: Manifest, event: Event, at: float) -> None:
        await self._cluster.post_event(about, event, at)


def _keep_address(before: Mapping[str, Any] | None, merged: dict[str, Any]) -> None:
    """Whether a Service has an address of its own never changes."""
    if before is not None and _is_headless(before):
        merged["spec"]["clusterIP"] = "None"
    elif before is not None and _is_headless(merged):
        raise Invalid("spec.clusterIPs[0]: may not change once set")


def _is_headless(live: Mapping[str, Any]) -> bool:
    return bool((live.get("spec") or {}).get("clusterIP") == "None")


def _key(manifest: Mapping[str, Any]) -> _Key:
    meta = manifest["metadata"]
    return manifest["kind"], meta["namespace"], meta["name"]


def _atomic(path: Path) -> bool:
    """Maps that server-side apply replaces whole (`+mapType=atomic`)."""
    return path == ("spec", "selector") or (path[:2] == ("spec", "ports") and len(path) == 3)


def _keyed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """With a Service's ports as a map by what server-side apply merges them by."""
    ports = (manifest.get("spec") or {}).get("ports")
    if not ports:
        return dict(manifest)
    keyed = {f"{each['port']}/{each.get('protocol', 'TCP')}": each for each in ports}
    return {**manifest, "spec": {**manifest["spec"], "ports": keyed}}


def _listed(keyed: dict[str, Any]) -> dict[str, Any]:
    ports = (keyed.get("spec") or {}).get("ports")
    return {**keyed, "spec": {**keyed["spec"], "ports": list(ports.values())}} if isinstance(ports, dict) else keyed


def _items(manifest: Mapping[str, Any], under: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in manifest.items():
        path = (*under, name)
        if isinstance(value, Mapping) and value and not _atomic(path):
            yield from _items(value, path)
        else:
            yield path, value


def _leaves(manifest: Mapping[str, Any]) -> Iterator[Path]:
    return (path for path, _ in _items(manifest) if path not in _IDENTITY)


def _get(found: Mapping[str, Any], path: Path) -> Any:
    at: Any = found
    for part in path:
        at = at.get(part) if isinstance(at, Mapping) else None
    return at


def _set(found: dict[str, Any], path: Path, value: Any) -> None:
    for part in path[:-1]:
        found = found.setdefault(part, {})
    found[path[-1]] = value


def _remove(found: dict[str, Any], path: Path) -> None:
    for part in path[:-1]:
        if part not in found:
            return
        found = found[part]
    found.pop(path[-1], None)


def _asks(live: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a new generation when it changes: the spec, and of a Deployment the annotations, too."""
    annotations = live["metadata"].get("annotations") if live["kind"] == "Deployment" else None
    return live.get("spec"), annotations or {}


def _content(live: Mapping[str, Any]) -> Any:
    meta = {key: value for key, value in live["metadata"].items() if key not in _SERVER_OWNED}
    return {**live, "metadata": meta}


def _is_ours(found: Mapping[str, Any], manifest: Manifest) -> bool:
    labels = found["metadata"].get("labels") or {}
    app = (manifest["metadata"].get("labels") or {}).get(LABEL_APP)
    return labels.get(LABEL_MANAGED_BY) == MANAGED_BY and labels.get(LABEL_APP) == app


def _foreign(manifest: Manifest) -> Blocked:
    return Blocked("exists already, and was not made by this daemon", where=manifest["metadata"]["name"])

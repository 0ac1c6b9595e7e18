"""What is there: the live objects of one app, read into frozen values. Pure: JSON in, values out.

Only facts are gathered here. What follows from them is decided in `health` and `plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.core.memory import Claim, Memory, Rejection, read_claim, read_memory, read_rejection
from reconciler.core.model import (
    ANNOTATION_NAMESPACE,
    ANNOTATION_RENDERING,
    LABEL_COLOUR,
    LABEL_MANAGED_BY,
    LABEL_REVISION,
    MANAGED_BY,
    PREFIX,
    Colour,
    Manifest,
)
from reconciler.core.place import entries
from reconciler.core.policy import resource_of

APPLY_MANAGER = "reconciler"
"""Field manager of everything that is rendered."""
GIT_REPLICAS = PREFIX + "replicas"
"""Annotation of a Deployment: the count that Git asked for when it was last applied."""
SWITCH_MANAGER = "reconciler-switch"
"""Field manager of the active Service's selector and memory, and of nothing else."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. `ready_since` is in seconds since the epoch; `trouble` is its own words, or '';
    `unready` is the kubelet's reason why it is not ready, also while nothing is wrong yet. `waiting` names a container
    that runs and is not ready ('' if none), `waiting_since` is when it was started."""

    name: str
    revision: str
    ready: bool
    ready_since: float
    terminating: bool
    trouble: str
    unready: str = ""
    waiting: str = ""
    waiting_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Workload:
    """One Deployment of ours with its pods. `replicas` is the wanted count, `noted_replicas` what Git asked for when it
    was last applied ('' if unknown). `total`, `updated` and `available` are what the Deployment's status says at
    `observed_generation`, `failure` why pods cannot be made ('' if they can); `completed`, whether all of its
    pods were available at once before, whatever became of them since."""

    name: str
    uid: str
    resource_version: str
    revision: str
    version: str
    colour: Colour
    commit: str
    created: float
    deleting: bool
    replicas: int
    generation: int
    observed_generation: int
    total: int
    updated: int
    available: int
    min_ready_seconds: float
    completed: bool
    pod_labels: Mapping[str, str]
    claim: Claim | None
    rejection: Rejection | None
    noted_replicas: str
    failure: str
    pods: tuple[Pod, ...]
    live: Manifest


@dataclass(frozen=True, slots=True)
class Config:
    """A ConfigMap or Secret that belongs to a colour, or an object of a further kind: then `kind` is its resource."""

    kind: str
    name: str
    uid: str
    resource_version: str
    revision: str
    deleting: bool
    live: Manifest


@dataclass(frozen=True, slots=True)
class ActiveService:
    """The Service whose selector decides where traffic goes.

    `endpoints` maps the name of each pod that is a ready endpoint to its revision ('' when unknown).
    `needs_handover`: the switch's field manager still owns what the rendering's shall own (after creation,
    or after a switch that carried a changed port).
    """

    name: str
    uid: str
    resource_version: str
    selector: Mapping[str, str]
    memory: Memory
    endpoints: Mapping[str, str]
    needs_handover: bool
    live: Manifest


@dataclass(frozen=True, slots=True)
class Observed:
    """All that the cluster holds of one app at one moment.

    `equivalent`: differences, as `Kind/name identity`, that an apply has shown to be none to the API server.
    `recovered_at`: when (epoch seconds) the API server was last back after an outage; None if it never was away.
    `serving`: revisions with ready endpoints in any Service of the app, also in one that is no longer the active one;
    `running`: revisions that have pods, of whatever Deployment. `strays`: names of Services of ours other than the
    active one. `configs` holds what belongs to a colour, `shared` what belongs to none.
    """

    service: ActiveService | None
    workloads: tuple[Workload, ...] = ()
    configs: tuple[Config, ...] = ()
    equivalent: frozenset[str] = frozenset()
    recovered_at: float | None = None
    serving: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()
    strays: tuple[str, ...] = ()
    shared: tuple[Config, ...] = ()

    def workload(self, revision: str) -> Workload | None:
        """The Deployment of `revision`, if there is one."""
        return next((each for each in self.workloads if each.revision == revision), None)


def observe(objects: Iterable[Manifest], active_service: str, namespace: str = "") -> Observed:
    """Reads the live `objects` of one app (any order, any kinds) into an `Observed`.

    `active_service` is the name of the Service that the app's strategy points to; other Services are ignored.
    `namespace` is the app's, by which cluster-scoped objects are told from those of an app of its name elsewhere.
    """
    by_kind: dict[str, list[Manifest]] = {}
    for each in filter(_is_ours, objects):
        by_kind.setdefault(resource_of(each), []).append(each)
    further = [_config(each) for kind in by_kind if "/" in kind for each in by_kind[kind] if _is_of(each, namespace)]
    shared = sorted((each for each in further if not each.revision), key=lambda c: (c.kind, c.name))
    pods = [_pod(each) for each in by_kind.get("Pod", [])]
    services = [each for each in by_kind.get("Service", []) if each["metadata"]["name"] == active_service]
    all_slices = by_kind.get("EndpointSlice", [])
    slices = [each for each in all_slices if _service_of(each) == active_service]
    configs = [*by_kind.get("ConfigMap", []), *by_kind.get("Secret", [])]
    workloads = sorted((_workload(each, pods) for each in by_kind.get("Deployment", [])), key=lambda w: w.name)
    return Observed(
        service=_service(services[0], slices, pods) if services else None,
        workloads=tuple(workloads),
        configs=tuple(
            sorted([*map(_config, configs), *(c for c in further if c.revision)], key=lambda c: (c.kind, c.name))
        ),
        shared=tuple(shared),
        serving=frozenset(_ready_endpoints(all_slices, {p.name: p.revision for p in pods}).values()) - {""},
        running=frozenset(each.revision for each in pods) - {""},
        strays=tuple(sorted(n for s in by_kind.get("Service", []) if (n := s["metadata"]["name"]) != active_service)),
    )


def timestamp(text: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 time such as Kubernetes writes; 0.0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _is_ours(live: Manifest) -> bool:
    """`own-things-only`: our label alone makes nothing ours, nor does a copy of ours with another name. Pods and
    EndpointSlices are others', and only read."""
    if live.get("kind") in ("Pod", "EndpointSlice"):
        return True
    meta = _meta(live)
    made_as = (meta.get("annotations") or {}).get(ANNOTATION_RENDERING, "").rpartition("@")[0]
    return _labels(live).get(LABEL_MANAGED_BY) == MANAGED_BY and made_as in ("", meta["name"])


def _is_of(live: Manifest, namespace: str) -> bool:
    """Objects of further kinds must say whose they are in full: what is deleted by inventory, nobody else may miss."""
    meta = _meta(live)
    notes = meta.get("annotations") or {}
    made_as = notes.get(ANNOTATION_RENDERING, "").rpartition("@")[0]
    return made_as == meta["name"] and notes.get(ANNOTATION_NAMESPACE) == namespace


def _meta(live: Manifest) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = live["metadata"]
    return metadata


def _labels(live: Manifest) -> Mapping[str, str]:
    return _meta(live).get("labels") or {}


def _workload(live: Manifest, pods: Iterable[Pod]) -> Workload:
    meta, spec, status = _meta(live), live["spec"], live.get("status") or {}
    labels, annotations = _labels(live), meta.get("annotations") or {}
    pod_labels = spec["template"]["metadata"].get("labels") or {}
    # Its pods carry the revision whatever a hand does to the Deployment's own labels. An adopted one's do not.
    revision = pod_labels.get(LABEL_REVISION) or labels.get(LABEL_REVISION, "")
    return Workload(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        revision=revision,
        version=annotations.get(PREFIX + "version", ""),
        colour=Colour.GREEN if labels.get(LABEL_COLOUR) == Colour.GREEN else Colour.BLUE,
        commit=annotations.get(PREFIX + "commit", ""),
        created=timestamp(meta.get("creationTimestamp")),
        deleting=bool(meta.get("deletionTimestamp")),
        replicas=int(spec.get("replicas", 1)),
        generation=int(meta.get("generation", 0)),
        observed_generation=int(status.get("observedGeneration", 0)),
        total=int(status.get("replicas", 0)),
        updated=int(status.get("updatedReplicas", 0)),
        available=int(status.get("availableReplicas", 0)),
        min_ready_seconds=float(spec.get("minReadySeconds", 0)),
        completed=_completed(status),
        pod_labels=pod_labels,
        claim=read_claim(annotations),
        rejection=read_rejection(annotations),
        noted_replicas=annotations.get(GIT_REPLICAS, ""),
        failure=_failure(status),
        pods=tuple(sorted((p for p in pods if p.revision == revision), key=lambda p: p.name)),
        live=live,
    )


def _completed(status: Mapping[str, Any]) -> bool:
    """The Deployment controller's own word for it, which it does not take back (Deployment status, `Progressing`)."""
    conditions = (c for c in status.get("conditions") or [] if c.get("type") == "Progressing")
    return any(c.get("status") == "True" and c.get("reason") == "NewReplicaSetAvailable" for c in conditions)


def _failure(status: Mapping[str, Any]) -> str:
    """Why the controller cannot make pods: a quota, a policy, a missing account."""
    conditions = (c for c in status.get("conditions") or [] if c.get("type") == "ReplicaFailure")
    return next((str(c.get("message", ""))[:500] for c in conditions if c.get("status") == "True"), "")


def _pod(live: Manifest) -> Pod:
    meta, status = _meta(live), live.get("status") or {}
    condition: Mapping[str, Any] = next((c for c in status.get("conditions") or [] if c.get("type") == "Ready"), {})
    waiting = _waiting_container(status)
    return Pod(
        name=meta["name"],
        revision=_labels(live).get(LABEL_REVISION, ""),
        ready=condition.get("status") == "True",
        ready_since=timestamp(condition.get("lastTransitionTime")),
        terminating=bool(meta.get("deletionTimestamp")),
        trouble=_trouble(status),
        unready=str(condition.get("message", ""))[:300],
        waiting=str(waiting.get("name", "")),
        waiting_since=timestamp(((waiting.get("state") or {}).get("running") or {}).get("startedAt")),
    )


def _waiting_container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first container that runs and is not ready: its readiness probe has not passed."""
    running = (c for c in status.get("containerStatuses") or [] if "running" in (c.get("state") or {}))
    return next((each for each in running if not each.get("ready")), {})


def _trouble(status: Mapping[str, Any]) -> str:
    """Why a pod is not getting on, in the kubelet's or scheduler's own words; '' when nothing is wrong."""
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in containers:
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return _container_trouble(container, _waiting(waiting))
        ended = state.get("terminated") or {}
        if ended and ended.get("exitCode") != 0:
            return _container_trouble(container, str(ended.get("reason", "Error")))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', 'Unschedulable')}: {condition.get('message', '')}"[:300]
    return ""


def _waiting(waiting: Mapping[str, Any]) -> str:
    """Why a container waits. A back-off's message says no more than the last exit code that is told anyway."""
    reason, message = str(waiting["reason"]), str(waiting.get("message", ""))
    return reason if reason == "CrashLoopBackOff" or not message else f"{reason} ({message[:200]})"


def _container_trouble(container: Mapping[str, Any], reason: str) -> str:
    last = (container.get("lastState") or {}).get("terminated") or (container.get("state") or {}).get("terminated")
    parts = [f"container {container.get('name')}: {reason}"]
    if last:
        parts.append(f"last exit code {last.get('exitCode')}")
    if container.get("restartCount"):
        parts.append(f"{container['restartCount']} restarts")
    return ", ".join(parts)


def _config(live: Manifest) -> Config:
    meta = _meta(live)
    revision = _labels(live).get(LABEL_REVISION, "")
    deleting = bool(meta.get("deletionTimestamp"))
    return Config(resource_of(live), meta["name"], meta["uid"], meta["resourceVersion"], revision, deleting, live)


def _service_of(endpoint_slice: Manifest) -> str | None:
    return _labels(endpoint_slice).get("kubernetes.io/service-name")


def _service(live: Manifest, slices: Iterable[Manifest], pods: Iterable[Pod]) -> ActiveService:
    meta = _meta(live)
    return ActiveService(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        selector=live["spec"].get("selector") or {},
        memory=read_memory(meta.get("annotations") or {}),
        endpoints=_ready_endpoints(slices, {p.name: p.revision for p in pods}),
        needs_handover=_needs_handover(entries(live)),
        live=live,
    )


def _ready_endpoints(slices: Iterable[Manifest], revisions: Mapping[str, str]) -> dict[str, str]:
    """Pods that traffic may reach. An unset `ready` condition means ready (discovery.k8s.io/v1)."""
    ready: dict[str, str] = {}
    for each in slices:
        for endpoint in each.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            name = (endpoint.get("targetRef") or {}).get("name") or ",".join(endpoint.get("addresses", []))
            ready[name] = revisions.get(name, "")
    return ready


def other_managers(live: Manifest, *path: str) -> set[str]:
    """The field managers other than ours that own anything at `path`."""
    found = set()
    for entry in entries(live):
        at: Any = entry.get("fieldsV1") or {}
        for part in path:
            at = at.get(f"f:{part}") or {}
        if at and entry.get("manager") not in (APPLY_MANAGER, SWITCH_MANAGER):
            found.add(str(entry.get("manager")))
    return found


def _needs_handover(managed_fields: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the switch's manager owns more than selector and annotations, or owns by Update (creation)."""
    for entry in managed_fields:
        if entry.get("manager") != SWITCH_MANAGER or entry.get("subresource"):
            continue
        owned = entry.get("fieldsV1") or {}
        if entry.get("operation") == "Update" or set(owned.get("f:spec") or {}) - {"f:selector"}:
            return True
    return False

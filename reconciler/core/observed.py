"""What is there: the live objects of one app, read into frozen values. Pure: JSON in, values out.

Only facts are gathered here. What follows from them is decided in `health` and `plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.core.front import ROUTE_FIELDS, Route, route_of, selector_in, services_in
from reconciler.core.live import LiveRevision, Workload, read_revisions
from reconciler.core.memory import Memory, read_memory
from reconciler.core.model import (
    ANNOTATION_COMPONENT,
    ANNOTATION_NAMESPACE,
    ANNOTATION_RENDERING,
    LABEL_MANAGED_BY,
    LABEL_REVISION,
    MANAGED_BY,
    SOLE,
    WORKLOADS,
    Manifest,
    Strategy,
)
from reconciler.core.place import entries
from reconciler.core.pods import read_pod, timestamp
from reconciler.core.policy import resource_of

APPLY_MANAGER = "reconciler"
"""Field manager of everything that is rendered."""
SWITCH_MANAGER = "reconciler-switch"
"""Field manager of the routes and the memory, and of nothing else."""
SCALE_MANAGER = "reconciler-scale"
"""Field manager of the `replicas` of former revisions that are kept with no pods."""
PREVIEW_MANAGER = "reconciler-preview"
"""Field manager of the preview Service's selector, and of the note of it."""
OUR_MANAGERS = (APPLY_MANAGER, SWITCH_MANAGER, SCALE_MANAGER, PREVIEW_MANAGER)


@dataclass(frozen=True, slots=True)
class Config:
    """Anything but a workload: what belongs to a colour (a ConfigMap, a Secret, a Service of its own), or an object of
    a further kind: then `kind` is its resource, and without a `revision` it is shared."""

    kind: str
    name: str
    component: str
    uid: str
    resource_version: str
    revision: str
    deleting: bool
    live: Manifest


@dataclass(frozen=True, slots=True)
class Front:
    """A Service or Ingress that decides where traffic goes, and is switched.

    `endpoints` maps the name of each pod that is a ready endpoint of what it leads to, to its revision ('' when
    unknown). `needs_handover`: the switch's field manager still owns what the rendering's shall own (after creation,
    or after a switch that carried a changed port). `memory` is empty in all but the app's active one.
    `moved_at`: when (epoch seconds) the switch's manager last changed it; of the preview Service, whoever did.
    """

    kind: str
    name: str
    uid: str
    resource_version: str
    route: Route
    memory: Memory
    endpoints: Mapping[str, str]
    needs_handover: bool
    live: Manifest
    moved_at: float = 0.0

    @property
    def selector(self) -> Mapping[str, str]:
        """A Service's selector; {} for an Ingress."""
        return selector_in(self.route)


@dataclass(frozen=True, slots=True)
class Observed:
    """All that the cluster holds of one app at one moment.

    `front`: the active Service or Ingress, the one with the memory; `others`: further Services of ours that belong to
    no revision, which move with it if Git knows them, and an Ingress of ours that is not the active one any more.
    `configs` holds what belongs to a colour, `shared` objects of further kinds that belong to none. `equivalent`:
    differences, as `Kind/name identity`, that an apply has shown to be none to the API server. `recovered_at`: when
    (epoch seconds) the API server was last back after an outage; None if it never was away. `serving`: revisions with
    ready endpoints in anything that clients may use; `running`: revisions that have pods, of whatever workload.
    `preview`: the preview Service, if it is there. It decides about nobody's traffic, so it is no front, and a revision
    that it alone leads to is not `serving`.
    """

    front: Front | None
    revisions: tuple[LiveRevision, ...] = ()
    configs: tuple[Config, ...] = ()
    others: tuple[Front, ...] = ()
    equivalent: frozenset[str] = frozenset()
    recovered_at: float | None = None
    serving: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()
    shared: tuple[Config, ...] = ()
    preview: Front | None = None

    def revision(self, revision: str) -> LiveRevision | None:
        """What is there of `revision`, if any workload is."""
        return next((each for each in self.revisions if each.revision == revision), None)

    @property
    def fronts(self) -> tuple[Front, ...]:
        """All of them, the active one last."""
        return (*self.others, self.front) if self.front else self.others

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """All workloads, of whatever revision."""
        return tuple(workload for each in self.revisions for workload in each.workloads)


def observe(objects: Iterable[Manifest], strategy: Strategy, namespace: str = "") -> Observed:
    """Reads the live `objects` of one app (any order, any kinds) into an `Observed`.

    `strategy` names the active Service or Ingress, and the preview Service. `namespace` is the app's, by which
    cluster-scoped objects are told from those of an app of its name elsewhere.
    """
    by_kind: dict[str, list[Manifest]] = {}
    for each in filter(is_ours, objects):
        by_kind.setdefault(resource_of(each), []).append(each)
    pods = [read_pod(each) for each in by_kind.get("Pod", [])]
    traffic = _Traffic(by_kind.get("EndpointSlice", []), {pod.name: pod.revision for pod in pods})
    preview, services = _split_off(by_kind.get("Service", []), strategy.preview_service)
    fronts = [_front(each, traffic) for each in services if not _revision(each)]
    fronts += [_front(each, traffic) for each in by_kind.get("Ingress", [])]
    front = next((each for each in fronts if (each.kind, each.name) == strategy.front), None)
    further = [each for kind in by_kind if "/" in kind for each in by_kind[kind] if is_of(each, namespace)]
    configs = [*by_kind.get("ConfigMap", []), *by_kind.get("Secret", []), *filter(_revision, [*services, *further])]
    return Observed(
        front=front,
        revisions=read_revisions((each for kind in WORKLOADS for each in by_kind.get(kind, [])), pods),
        configs=_configs(configs),
        shared=_configs(each for each in further if not _revision(each)),
        others=tuple(sorted((each for each in fronts if each is not front), key=lambda each: (each.kind, each.name))),
        serving=traffic.serving(fronts, strategy.preview_service),
        running=frozenset(each.revision for each in pods) - {""},
        preview=_preview(preview, traffic) if preview else None,
    )


def _split_off(services: list[Manifest], name: str) -> tuple[Manifest | None, list[Manifest]]:
    """The Service of that name, and the others."""
    found = next((each for each in services if _meta(each)["name"] == name), None)
    return found, [each for each in services if each is not found]


def led_workloads(observed: Observed, front: Front) -> tuple[Workload, ...]:
    """The workloads whose pods a Service or Ingress leads to."""
    if front.kind == "Service":
        return tuple(each for live in observed.revisions for each in live.selected_by(front.selector))
    named = services_in(front.route)
    services = (each for each in observed.configs if each.kind == "Service" and each.name in named)
    selectors = [each.live["spec"].get("selector") or {} for each in services]
    found = (live.selected_by(each) for live in observed.revisions for each in selectors)
    return tuple({each.uid: each for workloads in found for each in workloads}.values())


def led_to(observed: Observed, front: Front) -> tuple[LiveRevision, ...]:
    """The revisions that a Service or Ingress leads to: one, unless somebody wrote another route."""
    revisions = {each.revision for each in led_workloads(observed, front)}
    return tuple(each for each in observed.revisions if each.revision in revisions)


@dataclass(frozen=True, slots=True)
class _Traffic:
    """Where Services lead to: EndpointSlices (discovery.k8s.io/v1), and the pods' revisions by their names."""

    slices: Iterable[Manifest]
    revisions: Mapping[str, str]

    def endpoints(self, services: frozenset[str]) -> dict[str, str]:
        """Ready endpoints of these Services: pod → revision."""
        return self._ready(each for each in self.slices if _labels(each).get(_SERVICE_NAME) in services)

    def serving(self, fronts: Iterable[Front], preview: str) -> frozenset[str]:
        """Revisions that clients may reach: a colour's own Service counts while an Ingress leads to it, the `preview`
        Service never. (Slices carry their Service's labels.)"""
        routed = {name for front in fronts for name in services_in(front.route)}
        clients = [each for each in self.slices if _labels(each).get(_SERVICE_NAME) != preview]
        used = (e for e in clients if not _revision(e) or _labels(e).get(_SERVICE_NAME) in routed)
        return frozenset(self._ready(used).values()) - {""}

    def _ready(self, slices: Iterable[Manifest]) -> dict[str, str]:
        """Pods that traffic may reach. An unset `ready` condition means ready (discovery.k8s.io/v1)."""
        ready: dict[str, str] = {}
        for each in slices:
            for endpoint in each.get("endpoints") or []:
                if (endpoint.get("conditions") or {}).get("ready") is False:
                    continue
                name = (endpoint.get("targetRef") or {}).get("name") or ",".join(endpoint.get("addresses", []))
                ready[name] = self.revisions.get(name, "")
        return ready


_SERVICE_NAME = "kubernetes.io/service-name"


def is_ours(live: Manifest) -> bool:
    """`own-things-only`: our label alone makes nothing ours, nor does a copy of ours with another name. Pods and
    EndpointSlices are others', and only read."""
    if live.get("kind") in ("Pod", "EndpointSlice"):
        return True
    meta = _meta(live)
    made_as = (meta.get("annotations") or {}).get(ANNOTATION_RENDERING, "").rpartition("@")[0]
    return _labels(live).get(LABEL_MANAGED_BY) == MANAGED_BY and made_as in ("", meta["name"])


def is_of(live: Manifest, namespace: str) -> bool:
    """Objects of further kinds must say whose they are in full: what is deleted by inventory, nobody else may miss."""
    notes = _meta(live).get("annotations") or {}
    return made_by_us(live) and notes.get(ANNOTATION_NAMESPACE) == namespace


def made_by_us(live: Manifest) -> bool:
    """Whether a rendering of that very name was applied: less certain is what a hand labelled as ours, or copied."""
    notes = _meta(live).get("annotations") or {}
    return bool(notes.get(ANNOTATION_RENDERING, "").rpartition("@")[0] == _meta(live)["name"])


def _meta(live: Manifest) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = live["metadata"]
    return metadata


def _labels(live: Manifest) -> Mapping[str, str]:
    return _meta(live).get("labels") or {}


def _revision(live: Manifest) -> str:
    return _labels(live).get(LABEL_REVISION, "")


def _configs(objects: Iterable[Manifest]) -> tuple[Config, ...]:
    return tuple(sorted(map(_config, objects), key=lambda each: (each.kind, each.name)))


def _config(live: Manifest) -> Config:
    meta = _meta(live)
    return Config(
        kind=resource_of(live),
        name=meta["name"],
        component=(meta.get("annotations") or {}).get(ANNOTATION_COMPONENT, SOLE),
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        revision=_revision(live),
        deleting=bool(meta.get("deletionTimestamp")),
        live=live,
    )


def _preview(live: Manifest, traffic: _Traffic) -> Front:
    """Whoever wrote it last has given kube-proxy something to do."""
    written = (timestamp(each.get("time")) for each in entries(live) if not each.get("subresource"))
    return replace(_front(live, traffic), moved_at=max(written, default=0.0))


def _front(live: Manifest, traffic: _Traffic) -> Front:
    meta, route = _meta(live), route_of(live)
    led_to = services_in(route) if live["kind"] == "Ingress" else frozenset({meta["name"]})
    return Front(
        kind=live["kind"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        route=route,
        memory=read_memory(meta.get("annotations") or {}),
        endpoints=traffic.endpoints(led_to),
        needs_handover=_needs_handover(live),
        live=live,
        moved_at=max((timestamp(each.get("time")) for each in _of_switch(live)), default=0.0),
    )


def other_managers(live: Manifest, *path: str) -> set[str]:
    """The field managers other than ours that own anything at `path`."""
    found = set()
    for entry in entries(live):
        at: Any = entry.get("fieldsV1") or {}
        for part in path:
            at = at.get(f"f:{part}") or {}
        if at and entry.get("manager") not in OUR_MANAGERS:
            found.add(str(entry.get("manager")))
    return found


def _of_switch(live: Manifest) -> list[Mapping[str, Any]]:
    """What managedFields say of the switch's manager."""
    return [e for e in entries(live) if e.get("manager") == SWITCH_MANAGER and not e.get("subresource")]


def _needs_handover(live: Manifest) -> bool:
    """Whether the switch's manager owns more than route and annotations, or owns by Update (creation)."""
    allowed = {f"f:{field}" for field in ROUTE_FIELDS[live["kind"]]}
    for entry in _of_switch(live):
        owned = entry.get("fieldsV1") or {}
        if entry.get("operation") == "Update" or set(owned.get("f:spec") or {}) - allowed:
            return True
    return False

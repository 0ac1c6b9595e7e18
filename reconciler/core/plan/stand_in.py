"""Without an active Service or Ingress nobody is served: somebody deleted it, and the memory of what it led to."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.core.action import CreateFront
from reconciler.core.front import Route, route_of, selector_in, services_in, with_services
from reconciler.core.health import can_serve
from reconciler.core.live import LiveRevision
from reconciler.core.memory import Active, Memory, write_memory
from reconciler.core.model import ANNOTATION_COMPONENT, SOLE, Manifest
from reconciler.core.plan.manifests import annotated
from reconciler.core.plan.view import View


def stand_in(view: View) -> tuple[CreateFront, ...]:
    """Until what Git wants is ready, one of ours that can serve gets the traffic: the latest is likely what had it.
    Where revisions have to prove themselves, it must be on record that it had."""
    gates = view.desired.app.strategy.has_gates
    others = [e for e in view.observed.revisions if e.revision != view.desired.revision and can_serve(e)]
    others = [each for each in others if each.served or not gates]
    if view.front is not None or not others:
        return ()
    chosen = max(others, key=lambda each: each.claim.since if each.claim else 0.0)
    led = led_to(view, view.desired.front, chosen)
    if led is None:
        return ()
    to = Active(chosen.revision, chosen.version, chosen.colour, chosen.commit, view.now)
    return (CreateFront(annotated(led, write_memory(Memory(active=to))), to, view.now),)


def led_to(view: View, front: Manifest, chosen: LiveRevision) -> Manifest | None:
    """A desired Service or Ingress, leading to another revision. None: that one lacks a Service which an Ingress would
    need."""
    route = _route_to(view, front, chosen)
    return None if route is None else {**front, "spec": {**front["spec"], **route}}


def _route_to(view: View, front: Manifest, chosen: LiveRevision) -> Route | None:
    route = route_of(front)
    if front["kind"] == "Service":
        return {"selector": _selector(selector_in(route), chosen)}
    own = {(each.revision, each.component): each.name for each in view.observed.configs if each.kind == "Service"}
    wanted = {
        each["metadata"]["name"]: own.get(
            (chosen.revision, (each["metadata"].get("annotations") or {}).get(ANNOTATION_COMPONENT, SOLE))
        )
        for each in view.desired.configs
        if each["kind"] == "Service" and each["metadata"]["name"] in services_in(route)
    }
    names = {name: other for name, other in wanted.items() if other is not None}
    return with_services(route, names) if len(names) == len(wanted) else None


def _selector(wanted: Mapping[str, str], chosen: LiveRevision) -> Mapping[str, str]:
    """`wanted`, with the values of that workload's pods which it fits best."""
    labels = max(
        (each.pod_labels for each in chosen.workloads),
        key=lambda labels: sum(labels.get(key) == value for key, value in wanted.items()),
    )
    return {key: labels.get(key, value) for key, value in wanted.items()}

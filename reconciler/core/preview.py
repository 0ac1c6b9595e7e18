"""The preview Service: what it is when the templates do not render it, and what is noted on it. Pure.

It leads testers to a new revision before clients get there. The one that we make is headless, so that kube-proxy, which
programs changes at most once a second, has nothing to do with it: its clients get the pods' own addresses from DNS, and
must use the pods' own ports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.core.model import LABEL_REVISION, PREFIX, App, Manifest
from reconciler.core.objects import Object, Objects
from reconciler.core.workload import backends, pod_labels

ANNOTATION_PREVIEW = PREFIX + "preview-selector"
"""On the preview Service: the selector (JSON) that we last gave it. What differs from it, a hand has moved."""


def headless(objects: Objects, app: App, labels: Mapping[str, str], coloured: Mapping[str, str]) -> Manifest:
    """A preview Service of our own making: it finds the pods that the active Service finds, at their own ports. Behind
    an Ingress, those of the first Service of the revision's own that it leads to."""
    model = _model(objects)
    selector = dict(model.data["spec"]["selector"])
    ports = _ports(model, objects, selector, coloured)
    spec = {"clusterIP": "None", "selector": selector, **({"ports": ports} if ports else {})}
    meta = {"name": app.strategy.preview_service, "namespace": app.namespace, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def _model(objects: Objects) -> Object:
    if objects.front.kind == "Service":
        return objects.front
    own = {each.name: each for each in objects.configs if each.kind == "Service"}
    return next(own[name] for each in backends(objects.front) if (name := each["name"].value) in own)


def _ports(
    service: Object, objects: Objects, selector: Mapping[str, str], coloured: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The Service's ports, with each target as the port itself; one that two of them lead to is there once."""
    pods = [e for e in objects.workloads if selector.items() <= {**pod_labels(e), **coloured}.items()]
    named = {port["name"]: port["containerPort"] for each in pods for port in _container_ports(each)}
    found: dict[tuple[Any, str], dict[str, Any]] = {}
    for each in service.data["spec"].get("ports") or []:
        target = each.get("targetPort", each["port"])
        number = named.get(target, target)
        kept = {key: each[key] for key in ("name", "protocol", "appProtocol") if each.get(key) is not None}
        found.setdefault((number, each.get("protocol", "TCP")), {**kept, "port": number, "targetPort": target})
    return list(found.values())


def _container_ports(workload: Object) -> Iterator[Mapping[str, Any]]:
    spec = workload.data["spec"]["template"]["spec"]
    for container in (*spec["containers"], *(spec.get("initContainers") or [])):
        yield from (port for port in container.get("ports") or [] if port.get("name"))


def refuse_traffic(objects: Objects, app: App) -> None:
    """Raises `Invalid` if the app's Ingress leads to its preview Service: no client's traffic may depend on that."""
    for each in backends(objects.front):
        if each["name"].value == app.strategy.preview_service:
            what = "is the preview Service, which leads to revisions that are not proved"
            raise each["name"].fault(what, "Name another Service, or change strategy.previewService")


def is_headless(service: Manifest) -> bool:
    """Whether kube-proxy ignores this Service. It can never change."""
    return bool((service.get("spec") or {}).get("clusterIP") == "None")


def write_note(selector: Mapping[str, str]) -> dict[str, str]:
    """The selector that it is given, as an annotation that goes with it."""
    return {ANNOTATION_PREVIEW: json.dumps(selector, separators=(",", ":"), sort_keys=True)}


def read_note(service: Manifest) -> Mapping[str, str] | None:
    """The inverse of `write_note`; None when absent or unreadable."""
    try:
        found = json.loads((service["metadata"].get("annotations") or {}).get(ANNOTATION_PREVIEW, "null"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        return None
    return found if found.get(LABEL_REVISION) else None

"""What decides where an app's traffic goes: a Service by its selector, an Ingress by its backends. Pure.

Those fields of its `spec` are its *route*. They have one writer, the switch, and whatever else applies the object
leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.core.diff import differences
from reconciler.core.model import Manifest

Route = Mapping[str, Any]
"""The fields of `spec` that say where traffic goes, by their names."""

ROUTE_FIELDS = {"Service": ("selector",), "Ingress": ("defaultBackend", "rules")}
"""kind → its route's fields. An Ingress' rules are one value to server-side apply (they are an atomic list)."""


def route_of(manifest: Manifest) -> Route:
    """The route of a Service (v1) or Ingress (networking.k8s.io/v1)."""
    spec = manifest.get("spec") or {}
    return {key: spec[key] for key in ROUTE_FIELDS[manifest["kind"]] if key in spec}


def without_route(manifest: Manifest) -> Manifest:
    """The rendered object as the rendering's field manager applies it: the route is not its business."""
    fields = ROUTE_FIELDS[manifest["kind"]]
    return {**manifest, "spec": {key: value for key, value in manifest["spec"].items() if key not in fields}}


def same_route(one: Route, other: Route) -> bool:
    """Whether they lead to the same, whatever empty fields only one of them writes down."""
    return not differences({"spec": one}, {"spec": other}) and not differences({"spec": other}, {"spec": one})


def selector_in(route: Route) -> Mapping[str, str]:
    """A Service's selector; {} for an Ingress."""
    selector: Mapping[str, str] = route.get("selector") or {}
    return selector


def services_in(route: Route) -> frozenset[str]:
    """The names of the Services that an Ingress leads to; none for a Service."""
    return frozenset(str(each["name"]) for each in _backends(route) if each.get("name"))


def with_services(route: Route, names: Mapping[str, str]) -> Route:
    """An Ingress' route with other Services: `names` maps those of now to those wanted."""
    return {key: _renamed(value, names) for key, value in route.items()}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        service = value.get("service")
        if isinstance(service, Mapping) and service.get("name") in names:
            return {**value, "service": {**service, "name": names[service["name"]]}}
        return {key: _renamed(each, names) for key, each in value.items()}
    return [_renamed(each, names) for each in value] if isinstance(value, list) else value


def _backends(route: Route) -> Iterator[Mapping[str, Any]]:
    yield (route.get("defaultBackend") or {}).get("service") or {}
    for rule in route.get("rules") or []:
        for path in (rule.get("http") or {}).get("paths") or []:
            yield (path.get("backend") or {}).get("service") or {}

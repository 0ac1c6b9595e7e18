"""The kinds of object that this daemon reads or writes, and where the API server keeps them.

A fixed table rather than discovery: what is not in it is never touched (`own-things-only`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: its name, its apiVersion, and its plural in URLs."""

    name: str
    api_version: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """The URL path of the collection, or of one object in it (Kubernetes API concepts, "Resource URIs")."""
        root = "/apis" if "/" in self.api_version else "/api"
        tail = f"/{name}" if name else ""
        return f"{root}/{self.api_version}/namespaces/{namespace}/{self.plural}{tail}"


_ALL = (
    Kind("Service", "v1", "services"),
    Kind("Deployment", "apps/v1", "deployments"),
    Kind("StatefulSet", "apps/v1", "statefulsets"),
    Kind("Ingress", "networking.k8s.io/v1", "ingresses"),
    Kind("ConfigMap", "v1", "configmaps"),
    Kind("Secret", "v1", "secrets"),
    Kind("Pod", "v1", "pods"),
    Kind("EndpointSlice", "discovery.k8s.io/v1", "endpointslices"),
    Kind("Event", "v1", "events"),
    Kind("ResourceQuota", "v1", "resourcequotas"),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
_BY_PLURAL = {kind.plural: kind for kind in _ALL}
WATCHED = tuple(kind for kind in _ALL if kind.name not in ("Event", "ResourceQuota"))


def place_of(path: str) -> str:
    """What a path of `Kind.path` leads to, in a reader's words: `Deployment shop/web`, `Pods in namespace shop`."""
    _, _, tail = path.partition("/namespaces/")
    namespace, _, below = tail.partition("/")
    plural, _, name = below.partition("/")
    if plural not in _BY_PLURAL:
        return path
    kind = _BY_PLURAL[plural].name
    return f"{kind} {namespace}/{name}" if name else f"{kind}s in namespace {namespace}"

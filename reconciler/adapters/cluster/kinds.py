"""The kinds of object that this daemon reads or writes, and where the API server keeps them.

A fixed table: what is not in it is never touched (`own-things-only`), but for kinds that policy allows by name, which
`discovery` looks up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.model import Manifest
from reconciler.core.policy import resource_of


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: its name, its apiVersion, and its plural in URLs. Objects of a `namespaced` one are in a namespace."""

    name: str
    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def key(self) -> str:
        """What it goes by: see `core.policy.resource_of`."""
        return resource_of({"kind": self.name, "apiVersion": self.api_version})

    def path(self, namespace: str, name: str = "") -> str:
        """The URL path of the collection, or of one object in it (Kubernetes API concepts, "Resource URIs")."""
        root = "/apis" if "/" in self.api_version else "/api"
        tail = f"/{name}" if name else ""
        space = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{root}/{self.api_version}{space}/{self.plural}{tail}"

    def space(self, namespace: str) -> str:
        """The namespace in which objects of it are that belong to an app in `namespace`: '' for none."""
        return namespace if self.namespaced else ""

    def placed(self, manifest: Manifest) -> Manifest:
        """`manifest` as the API server takes it: an object of a cluster-scoped kind has no namespace."""
        if self.namespaced:
            return manifest
        meta = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
        return {**manifest, "metadata": meta}


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
_FURTHER = (
    Kind("ServiceAccount", "v1", "serviceaccounts"),
    Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
    Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
)
FIXED: Mapping[str, Kind] = {kind.key: kind for kind in _FURTHER}
"""The further kinds that every app may have. They are watched where an app has them."""
JOB = Kind("Job", "batch/v1", "jobs")
"""Run for checks, one by one. They are no objects of the app, so that nothing here is watched."""
_BY_PLURAL = {kind.plural: kind for kind in (*_ALL, *_FURTHER, JOB)}
_COUNTED = frozenset({*_BY_PLURAL, "leases", "selfsubjectreviews"})
OTHER = "other"
WATCHED = tuple(kind for kind in _ALL if kind.name not in ("Event", "ResourceQuota"))


def counted_as(plural: str) -> str:
    """What requests and watches of a resource are counted as: `other` if it is not of our own tables, as kinds can be
    made without end."""
    return plural if plural in _COUNTED else OTHER


def place_of(path: str) -> str:
    """What a path of `Kind.path` leads to, in a reader's words: `Deployment shop/web`, `Pods in namespace shop`."""
    _, _, tail = path.partition("/namespaces/")
    namespace, _, below = tail.partition("/")
    plural, _, name = below.partition("/")
    if plural not in _BY_PLURAL:
        return path
    kind = _BY_PLURAL[plural].name
    return f"{kind} {namespace}/{name}" if name else f"{_plural(kind)} in namespace {namespace}"


def _plural(kind: str) -> str:
    return f"{kind.removesuffix('y')}ies" if kind.endswith("y") else f"{kind}s"

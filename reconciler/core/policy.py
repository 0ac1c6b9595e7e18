"""Which kinds of object an app may have beside its Deployment, Service, ConfigMaps and Secrets. Pure.

A kind goes by two names here. Its *kind name*, `PodDisruptionBudget.policy` (`ServiceAccount` in the core group), is
what the configuration allows, whatever the version. Its *resource*, `policy/v1/PodDisruptionBudget`, is what is asked
of the API server and noted in the inventory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from reconciler.core.field import Field
from reconciler.core.model import App, Manifest
from reconciler.core.naming import wrong_subdomain

OWN = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "Ingress": "networking.k8s.io/v1",
    "Service": "v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "Pod": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Event": "v1",
    "ResourceQuota": "v1",
}
"""The kinds that this daemon knows by itself. They go by their bare names everywhere."""

ON_DEMAND = frozenset({"Secret"})
"""Those of our `OWN` that are watched only where an app has them, as further kinds are (ADR 31): to list Secrets is to
read them all, so nobody who has none in their templates shall have to allow it."""

AUTOSCALER = "HorizontalPodAutoscaler.autoscaling"
DISRUPTION_BUDGET = "PodDisruptionBudget.policy"
NETWORK_POLICY = "NetworkPolicy.networking.k8s.io"

VERSIONS: Mapping[str, str] = {
    AUTOSCALER: "autoscaling/v2",
    DISRUPTION_BUDGET: "policy/v1",
    NETWORK_POLICY: "networking.k8s.io/v1",
    "ServiceAccount": "v1",
}
"""The kinds that every app may have (ADR 20), and the one apiVersion of each."""

ABOUT_PODS = frozenset({AUTOSCALER, DISRUPTION_BUDGET, NETWORK_POLICY})
"""They say something about pods and are no part of them: a change of one is no new revision."""

NEEDED_TO_START = frozenset(
    {
        *("ServiceAccount", "PersistentVolumeClaim"),
        *(f"{kind}.rbac.authorization.k8s.io" for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")),
    }
)
"""Shared objects without which a new colour's pods do not start, or cannot work: made before them if missing."""

ANY_KIND = ("*",)
"""Where nothing is going to be done, and the configuration is not known: for checking a repository by itself."""

_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")


def resource_of(manifest: Manifest) -> str:
    """`policy/v1/PodDisruptionBudget`; the bare name of a kind of our `OWN`."""
    kind, version = str(manifest.get("kind")), manifest.get("apiVersion")
    return kind if version is None or OWN.get(kind) == version else f"{version}/{kind}"


def is_further(manifest: Manifest) -> bool:
    """Whether an object is of none of our `OWN` kinds."""
    return "/" in resource_of(manifest)


def is_followed(resource: str) -> bool:
    """Whether objects of it are watched only where an app has them: then it is noted what kinds there are."""
    return "/" in resource or resource in ON_DEMAND


def kind_name(resource: str) -> str:
    """The kind name of a resource: `v1/ServiceAccount` is ServiceAccount, `apps/v1/StatefulSet` StatefulSet.apps."""
    version, _, kind = resource.rpartition("/")
    group, slash, _ = version.rpartition("/")
    return f"{kind}.{group}" if slash else kind


def is_allowed(app: App, resource: str) -> bool:
    """Whether the app may have objects of this kind, one that is followed."""
    name = kind_name(resource)
    return resource in ON_DEMAND or name in VERSIONS or name in app.kinds or app.kinds == ANY_KIND


def wrong_kind_name(text: str) -> str:
    """Why `text` cannot stand in the list of allowed kinds; '' if it can."""
    kind, dot, group = text.partition(".")
    if not _KIND.fullmatch(kind) or (dot and wrong_subdomain(group)):
        return "is no kind: write it with its group, as in `CronJob.batch`, or `LimitRange` of the core group"
    if text in VERSIONS or text in {kind_name(f"{OWN[each]}/{each}") for each in OWN}:
        return "is no further kind: every app has it, or the reconciler itself reads it"
    return ""


def check_kind(root: Field, app: App) -> str:
    """The resource of an object whose kind is none of those that a release is made of.

    Raises:
        Invalid: it is not allowed, or has an apiVersion that is not known here.
    """
    kind, version = root["kind"].text(), root["apiVersion"].text(_wrong_version)
    resource = f"{version}/{kind}"
    if not is_allowed(app, resource):
        raise root["kind"].fault(
            f"is {kind_name(resource)}, which source {app.source} does not allow to its apps",
            f"Add it to `allow.kinds` of the source in the configuration, or leave it out. Always allowed: {_ALWAYS}",
        )
    wanted = VERSIONS.get(kind_name(resource), version)
    if version != wanted:
        raise root["apiVersion"].fault(f"must be {wanted} for a {kind}")
    return resource


def _wrong_version(text: str) -> str:
    group, slash, version = text.rpartition("/")
    fine = re.fullmatch(r"[a-z0-9]{1,63}", version) and not (slash and wrong_subdomain(group))
    return "" if fine else "is no apiVersion: write it as in `policy/v1`"


def read_resources(text: str) -> frozenset[str]:
    """The resources in an annotation, without what cannot be one. What `write_resources` wrote comes back."""
    return frozenset(each for each in text.split() if _is_resource(each))


def write_resources(resources: Iterable[str]) -> str:
    """Resources as an annotation."""
    return " ".join(sorted(resources))


def _is_resource(text: str) -> bool:
    version, slash, kind = text.rpartition("/")
    further = slash and _KIND.fullmatch(kind) and not _wrong_version(version) and OWN.get(kind) != version
    return text in ON_DEMAND or bool(further)


_ALWAYS = ", ".join(sorted(VERSIONS))

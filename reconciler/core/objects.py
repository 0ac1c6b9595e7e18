"""Rendered documents → the objects of one revision, sorted out and checked one by one.

The checks cover what makes a release impossible or an API server answer 400 in practice. They are no
schema: what they do not know, the server's own dry run will say.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core import naming
from reconciler.core.field import Field
from reconciler.core.model import App
from reconciler.core.policy import check_kind, is_allowed, is_further, resource_of
from reconciler.core.strictyaml import Document
from reconciler.core.text import did_you_mean
from reconciler.errors import Invalid

API_VERSIONS = {"Deployment": "apps/v1", "Service": "v1", "ConfigMap": "v1", "Secret": "v1"}
_LATER_KINDS = {"StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod"}
_SLIP = 2
"""Letters too many or too few in a kind that was meant to be another."""
_SERVER_FIELDS = (
    *("creationTimestamp", "generation", "generateName", "managedFields"),
    *("ownerReferences", "resourceVersion", "selfLink", "uid"),
)


@dataclass(frozen=True, slots=True)
class Object:
    """One rendered object: `root` is the field that holds all of it. `kind` is a resource if it is a further one."""

    kind: str
    name: str
    root: Field

    @property
    def data(self) -> dict[str, Any]:
        """The object as JSON data, as the template wrote it."""
        data: dict[str, Any] = self.root.value
        return data


@dataclass(frozen=True, slots=True)
class Objects:
    """All objects of one revision."""

    deployment: Object
    service: Object
    configs: tuple[Object, ...]
    others: tuple[Object, ...] = ()

    @property
    def coloured(self) -> tuple[Object, ...]:
        """Those which belong to one revision only."""
        return (*self.configs, self.deployment)


def sort_out(documents: Iterable[Document], app: App) -> Objects:
    """The objects in `documents`: one Deployment, the active Service, any number of ConfigMaps and Secrets, and of
    objects of further kinds that policy allows.

    Raises:
        Invalid: anything else, or an object whose name, namespace, labels or data Kubernetes would refuse.
    """
    objects = [_object(document, app) for document in documents]
    _refuse_duplicates(objects)
    deployments = [each for each in objects if each.kind == "Deployment"]
    services = [each for each in objects if each.kind == "Service"]
    configs = tuple(each for each in objects if each.kind in ("ConfigMap", "Secret"))
    for config in configs:
        _check_data(config)
    others = tuple(each for each in objects if "/" in each.kind)
    return Objects(_only_deployment(deployments, app), _only_service(services, app), configs, others)


def _object(document: Document, app: App) -> Object:
    root = Field(document, "the document", document.data)
    if not isinstance(document.data, dict):
        raise root.fault("is no Kubernetes object", "Start it with apiVersion and kind")
    kind = root["kind"].text()
    resource = _resource(root, kind, app)
    root = Field(document, kind, document.data)
    name = root["metadata"].mapping()["name"].text(_name_rule(kind))
    root = Field(document, f"{kind} {name}", document.data)
    _check_metadata(root["metadata"], app)
    return Object(resource, name, root)


def _resource(root: Field, kind: str, app: App) -> str:
    """The bare name of a kind that a release is made of; the resource of a further one that policy allows."""
    named = is_allowed(app, resource_of(root.value))
    if kind in API_VERSIONS and not (named and is_further(root.value)):
        if root["apiVersion"].text() != API_VERSIONS[kind]:
            raise root["apiVersion"].fault(f"must be {API_VERSIONS[kind]} for a {kind}")
        return kind
    if kind in _LATER_KINDS and not named:
        what = f"is {kind}: the only workload of this version is one Deployment per app"
        raise root["kind"].fault(what, "Use a Deployment")
    # A kind of Kubernetes' own that begins like one of ours (ServiceAccount) is no slip of the pen.
    suggestion = did_you_mean(kind, [each for each in API_VERSIONS if abs(len(each) - len(kind)) <= _SLIP])
    if suggestion and not named:
        raise root["kind"].fault(f"is {kind}{suggestion}, which is not released with an app")
    return check_kind(root, app)


def _name_rule(kind: str) -> Any:
    return naming.wrong_service_name if kind == "Service" else naming.wrong_subdomain


def _check_metadata(metadata: Field, app: App) -> None:
    namespace = metadata["namespace"]
    if namespace.value is not None and namespace.text() != app.namespace:
        raise namespace.fault(
            f"is {namespace.value}, but the app belongs to {app.namespace}",
            "Remove it, or write {{ namespace }}",
        )
    for key in _SERVER_FIELDS:
        if metadata[key].value is not None:
            raise metadata[key].fault("is not for templates", "Remove it")
    metadata["labels"].labels()
    check_annotations(metadata["annotations"])


def check_annotations(annotations: Field) -> None:
    """Raises `Invalid` unless all are text: `prometheus.io/scrape: true` is a classic."""
    for key, annotation in annotations.entries():
        annotation.any_text()
        if reason := naming.wrong_label_key(key):
            raise annotation.fault(f"is no key for an annotation: it {reason}")


def _refuse_duplicates(objects: Sequence[Object]) -> None:
    seen: dict[tuple[str, str], Object] = {}
    for each in objects:
        first = seen.setdefault((each.kind, each.name), each)
        if first is not each:
            raise each.root["metadata"]["name"].fault(
                f"is there twice, first at {first.root.document.at('metadata', 'name')}", "Rename one of the two"
            )


def _only_deployment(found: Sequence[Object], app: App) -> Object:
    if not found:
        raise Invalid("no template renders a Deployment", where=f"app {app.name}", todo="Add one")
    if len(found) > 1:
        raise found[1].root.fault(
            f"is a second Deployment beside {found[0].name}, and this version releases one per app",
            "Make another app of it",
        )
    return found[0]


def _only_service(found: Sequence[Object], app: App) -> Object:
    wanted = app.strategy.active_service
    if not found:
        raise Invalid("no template renders a Service", where=f"app {app.name}", todo=f"Add one with the name {wanted}")
    if len(found) > 1:
        raise found[1].root.fault(
            f"is a second Service beside {found[0].name}, and this version switches one per app",
            f"Keep {wanted}, and apply others outside of the app's templates",
        )
    if found[0].name != wanted:
        raise (
            found[0]
            .root["metadata"]["name"]
            .fault(
                f"differs from the app's strategy.activeService, {wanted}",
                "Write {{ active_service }}, or change strategy.activeService",
            )
        )
    return found[0]


def _check_data(config: Object) -> None:
    secret = config.kind == "Secret"
    for key in ("data", "stringData", "binaryData"):
        for _, entry in config.root[key].entries():
            entry.any_text()
            if key == "binaryData" or (secret and key == "data"):
                _check_base64(entry)


def _check_base64(entry: Field) -> None:
    try:
        base64.b64decode(entry.value or "", validate=True)
    except (binascii.Error, ValueError):
        raise entry.fault("is no Base64", "Pipe it through `| b64enc`, or move it to `stringData`") from None

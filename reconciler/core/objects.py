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
from reconciler.core.model import WORKLOADS, App
from reconciler.core.policy import check_kind, is_allowed, is_further, resource_of
from reconciler.core.strictyaml import Document
from reconciler.core.text import did_you_mean
from reconciler.errors import Invalid

API_VERSIONS = {
    **dict.fromkeys(WORKLOADS, "apps/v1"),
    **dict.fromkeys(("Service", "ConfigMap", "Secret"), "v1"),
    "Ingress": "networking.k8s.io/v1",
}
_NO_WORKLOADS = {"DaemonSet", "ReplicaSet", "ReplicationController", "Pod"}
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
    """All objects of one revision: its workloads, what is switched (`front` and the `services` that move with it), and
    what else belongs to the revision, Services of its own among it. `preview` is the preview Service, if the templates
    render it."""

    workloads: tuple[Object, ...]
    front: Object
    services: tuple[Object, ...]
    configs: tuple[Object, ...]
    others: tuple[Object, ...] = ()
    preview: Object | None = None

    @property
    def coloured(self) -> tuple[Object, ...]:
        """Those which belong to one revision only."""
        return (*self.configs, *self.workloads)

    @property
    def selecting(self) -> tuple[Object, ...]:
        """All Services, whose selectors must find the pods of this revision and of no other."""
        front = (self.front,) if self.front.kind == "Service" else ()
        preview = (self.preview,) if self.preview else ()
        return (*front, *self.services, *preview, *(each for each in self.configs if each.kind == "Service"))


def sort_out(documents: Iterable[Document], app: App, revision: str) -> Objects:
    """The objects in `documents`: Deployments and StatefulSets, the active Service or Ingress, further Services, any
    number of ConfigMaps and Secrets, and of objects of further kinds that policy allows. A Service with `revision` in
    its name is the colour's own.

    Raises:
        Invalid: anything else, or an object whose name, namespace, labels or data Kubernetes would refuse.
    """
    objects = [_object(document, app) for document in documents]
    _refuse_duplicates(objects)
    workloads = tuple(each for each in objects if each.kind in WORKLOADS)
    if not workloads:
        raise Invalid("no template renders a Deployment or StatefulSet", where=f"app {app.name}", todo="Add one")
    services = [each for each in objects if each.kind == "Service"]
    own = [each for each in services if revision in each.name]
    configs = [each for each in objects if each.kind in ("ConfigMap", "Secret")]
    for config in configs:
        _check_data(config)
    others = tuple(each for each in objects if "/" in each.kind)
    preview = next((each for each in services if each.name == app.strategy.preview_service), None)
    fixed = [each for each in services if each not in own and each is not preview]
    front = _front([*fixed, *(each for each in objects if each.kind == "Ingress")], app)
    further = tuple(each for each in fixed if each is not front)
    return Objects(workloads, front, further, (*configs, *own), others, preview)


def _object(document: Document, app: App) -> Object:
    root = Field(document, "the document", document.data)
    if not isinstance(document.data, dict):
        raise root.fault("is no Kubernetes object", "Start it with apiVersion and kind")
    kind = root["kind"].text()
    resource = _resource(root, kind, app)
    root = Field(document, kind, document.data)
    name = root["metadata"].mapping()["name"].text(_name_rule(kind))
    root = Field(document, f"{kind} {name}", document.data)
    check_metadata(root["metadata"], app)
    return Object(resource, name, root)


def _resource(root: Field, kind: str, app: App) -> str:
    """The bare name of a kind that a release is made of; the resource of a further one that policy allows."""
    named = is_allowed(app, resource_of(root.value))
    if kind in API_VERSIONS and not (named and is_further(root.value)):
        if root["apiVersion"].text() != API_VERSIONS[kind]:
            raise root["apiVersion"].fault(f"must be {API_VERSIONS[kind]} for a {kind}")
        return kind
    if kind in _NO_WORKLOADS and not named:
        what = f"is {kind}, which cannot be released blue/green"
        raise root["kind"].fault(what, f"Use a {' or '.join(WORKLOADS)}")
    # A kind of Kubernetes' own that begins like one of ours (ServiceAccount) is no slip of the pen.
    suggestion = did_you_mean(kind, [each for each in API_VERSIONS if abs(len(each) - len(kind)) <= _SLIP])
    if suggestion and not named:
        raise root["kind"].fault(f"is {kind}{suggestion}, which is not released with an app")
    return check_kind(root, app)


def _name_rule(kind: str) -> Any:
    return naming.wrong_service_name if kind == "Service" else naming.wrong_subdomain


def check_metadata(metadata: Field, app: App) -> None:
    """Raises `Invalid` for metadata that is not for templates, or leads to another namespace than the app's."""
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


def _front(found: Sequence[Object], app: App) -> Object:
    """What is switched, as the strategy names it."""
    kind, wanted = app.strategy.front
    named = [each for each in found if each.kind == kind]
    for each in found:
        if each.kind == "Ingress" and (each.kind, each.name) != (kind, wanted):
            raise each.root.fault(
                "is no active Ingress of the app",
                f"Set strategy.activeIngress to {each.name}, and name its Services with {{{{ name }}}}",
            )
    if not named:
        todo = f"Add one with the name {wanted}"
        article = "an" if kind == "Ingress" else "a"
        raise Invalid(f"no template renders {article} {kind}", where=f"app {app.name}", todo=todo)
    chosen = next((each for each in named if each.name == wanted), None)
    if chosen is not None:
        return chosen
    at = named[0].root["metadata"]["name"]
    if len(named) == 1:
        what = f"differs from the app's strategy.activeService, {wanted}"
        raise at.fault(what, "Write {{ active_service }}, or change strategy.activeService")
    names = ", ".join(each.name for each in named)
    what = f"and no other is {wanted}, the active Service: there are {names}"
    raise at.fault(what, "Set strategy.activeService to one of them; it is the app's name, if not given")


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

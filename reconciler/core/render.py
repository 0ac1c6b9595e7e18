"""Templates, version and values → the objects of one revision.

Two passes. `identify` renders with placeholders for what depends on the release's place in the cluster, and
hashes what the pods are made of; `render` then knows the revision's name, and renders what is applied. So the
revision is a function of Git and the configuration alone: not of the colour, the commit, or the time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from reconciler.core import builtin_values, strictyaml
from reconciler.core.field import Field
from reconciler.core.front import ROUTE_FIELDS
from reconciler.core.further import check_further, finished, further_content, is_coloured, noted_kinds
from reconciler.core.job import job_templates
from reconciler.core.model import (
    ANNOTATION_COMMIT,
    ANNOTATION_COMPONENT,
    ANNOTATION_RENDERING,
    ANNOTATION_VERSION,
    LABEL_APP,
    LABEL_COLOUR,
    LABEL_MANAGED_BY,
    LABEL_REVISION,
    MANAGED_BY,
    SOLE,
    App,
    Colour,
    Component,
    Desired,
    Manifest,
    Release,
    Slot,
)
from reconciler.core.objects import Object, Objects, sort_out
from reconciler.core.plan.manifests import annotated
from reconciler.core.powers import check_powers
from reconciler.core.preview import headless, refuse_traffic
from reconciler.core.removal import policy_notes
from reconciler.core.revision import HASH_LENGTH, component_name, object_name, short_hash
from reconciler.core.template import Rendered, draw
from reconciler.core.workload import (
    backends,
    check_not_unique,
    check_service,
    check_target_ports,
    check_workload,
    match_labels,
    pod_labels,
    references,
    replicas_of,
)
from reconciler.errors import Invalid

_ONE, _OTHER = "b" * HASH_LENGTH, "c" * HASH_LENGTH
"""Placeholder revisions. Of one colour: a third revision can always meet an old one of its own colour."""

_PLACEHOLDER = re.compile(f"{_ONE}|{_OTHER}")

_PLACE = Slot(Colour.BLUE, "0" * 40)


def identify(app: App, release: Release) -> str:
    """The revision that this release is: a short hash of its version, pod template and configuration data.

    A changed replica count, Service, or label outside of the pod template is the same revision; colour and
    commit never matter.

    Raises:
        Invalid: the templates cannot be rendered, or the result cannot be released blue/green.
    """
    return _identified(_Question(_key(app, release), app, release))


def render(app: App, release: Release, slot: Slot) -> Desired:
    """The objects of this release in `slot`: named, namespaced, labelled and checked, ready to be applied.

    A component's manifest has no `spec.replicas`: how many is for the planner to say, starting from
    `Component.replicas`. The result shares nothing with any cache.

    Raises:
        Invalid: as `identify`.
    """
    revision = identify(app, release)
    objects = _objects(app, release, revision, slot)
    shared = {LABEL_APP: app.name, LABEL_MANAGED_BY: MANAGED_BY}
    coloured = _colour_labels(app, revision, slot)

    def component(each: Object) -> str:
        return component_name(each.name, object_name(app.name, release.version, revision), release.version, revision)

    def own(each: Object) -> dict[str, Any]:
        return _corresponding(_labelled(each, app, {**shared, **coloured}), component(each))

    desired = Desired(
        app=app,
        commit=release.commit,
        version=release.version,
        revision=revision,
        slot=slot,
        components=tuple(
            Component(
                component(each),
                replicas_of(each),
                _stamped(annotated(_workload(own(each), coloured, release, slot), noted_kinds(objects))),
            )
            for each in objects.workloads
        ),
        front=_stamped(annotated(_labelled(objects.front, app, shared), policy_notes(app))),
        services=tuple(_stamped(_labelled(each, app, shared)) for each in objects.services),
        configs=tuple(_stamped(own(each)) for each in objects.configs),
        extras=tuple(_further(each, app, shared, coloured) for each in objects.others),
        approved=release.approved,
        preview=_preview(objects, app, shared, coloured),
    )
    return replace(desired, jobs=job_templates(desired, release.jobs, variables(app, release, revision, slot)))


def written(app: App, release: Release, slot: Slot) -> tuple[Field, ...]:
    """The objects as the templates wrote them, each with where every field stands; raises what `identify` does."""
    objects = _objects(app, release, identify(app, release), slot)
    preview = (objects.preview,) if objects.preview else ()
    found = (*objects.coloured, *objects.services, *preview, objects.front, *objects.others)
    return tuple(each.root for each in found)


def variables(app: App, release: Release, revision: str, slot: Slot) -> dict[str, Any]:
    """What templates can use; `manifests/README.md` describes each."""
    return {
        "app": app.name,
        "namespace": app.namespace,
        "version": release.version,
        "revision": revision,
        "colour": slot.colour.value,
        "name": object_name(app.name, release.version, revision),
        "values": release.values,
        "commit": slot.commit,
        "active_service": app.strategy.active_service,
        "active_ingress": app.strategy.active_ingress,
        "preview_service": app.strategy.preview_service,
    }


@dataclass(frozen=True, slots=True)
class _Question:
    """An app and release, equal to another one if `identify` must give the same answer."""

    key: tuple[Any, ...]
    app: App = field(compare=False)
    release: Release = field(compare=False)


def _key(app: App, release: Release) -> tuple[Any, ...]:
    values = json.dumps(release.values, sort_keys=True)
    about_app = (app.name, app.namespace, app.source, app.strategy.active_service, *app.strategy.front)
    return (
        *about_app,
        app.strategy.preview_service,
        app.templates is None,
        app.powers,
        app.kinds,
        release.version,
        values,
        release.templates,
    )


# `render` asks again right after `identify`, and the same release is looked at in every cycle.
@lru_cache(maxsize=1024)
def _identified(question: _Question) -> str:
    try:
        return _revision_of(question.app, question.release)
    except Invalid as error:
        raise _readable(error, question.app, question.release) from None


def _readable(error: Invalid, app: App, release: Release) -> Invalid:
    """Without placeholders; and the built-in templates are not where their user can mend anything."""
    what, todo = (_PLACEHOLDER.sub("<revision>", text) for text in (error.what, error.todo))
    if app.templates is None and error.where.startswith("manifests/"):
        places = ", ".join(each.at() for each in release.written if each.holds())
        source = f"The built-in templates have it from `values`{f' ({places})' if places else ''}"
        todo = f"{todo}. {source}" if todo else source
    return Invalid(what, where=error.where, untouched=error.untouched, todo=todo)


def _revision_of(app: App, release: Release) -> str:
    if app.templates is None:
        builtin_values.check(release.values, lambda *keys: release.place_of(*keys) or f"app {app.name}")
    one = _objects(app, release, _ONE, _PLACE)
    _check_apart(one, _objects(app, release, _OTHER, _PLACE), app)
    first, *others = one.workloads
    content = {
        "app": app.name,
        "version": release.version,
        "template": first.data["spec"]["template"],
        "configs": [_content(each) for each in one.configs if each.kind != "Service"],
    }
    # What an app of one Deployment lacks adds nothing, so that its revisions are called as they always were.
    further = [_content(each) for each in one.coloured if each.kind == "Service" or each in others]
    further += [_content(first)] if first.kind != "Deployment" else []
    further += further_content(one, _ONE)
    return short_hash({**content, "further": further} if further else content)


def _objects(app: App, release: Release, revision: str, slot: Slot) -> Objects:
    context = variables(app, release, revision, slot)
    documents = [each for template in release.templates for each in _parsed(draw(template, context))]
    objects = sort_out(documents, app, revision)
    check_powers(documents, app.powers)
    for workload in objects.workloads:
        check_workload(workload)
    for service in objects.selecting:
        check_service(service, objects.workloads)
        if service in objects.configs:
            check_not_unique(service)
    check_further(objects)
    _check_selectors(objects, _colour_labels(app, revision, slot))
    return objects


def _parsed(rendered: Rendered) -> tuple[strictyaml.Document, ...]:
    return strictyaml.load(rendered.text, rendered.template, lines=rendered.lines)


def _content(each: Object) -> Mapping[str, Any]:
    """What of an object makes a revision another one; how many pods a workload has does not."""
    keys = ("kind", "metadata", "type", "immutable", "data", "stringData", "binaryData")
    content = {key: each.data.get(key) for key in keys}
    spec = {key: value for key, value in each.data.get("spec", {}).items() if key != "replicas"}
    return {**content, "metadata": each.name, **({"spec": spec} if spec else {})}


def _check_selectors(objects: Objects, injected: Mapping[str, str]) -> None:
    """Every selector must find pods of its own revision, and a workload's no other workload's."""
    labels = {(each.kind, each.name): {**pod_labels(each), **injected} for each in objects.workloads}
    for workload in objects.workloads:
        own = workload.root["spec"]["selector"]["matchLabels"]
        _check_match(own, labels[workload.kind, workload.name], workload)
        match_labels(workload)
        for other in objects.workloads:
            if other is not workload and _finds(own, labels[other.kind, other.name]):
                raise own.fault(
                    f"would also select the pods of {other.kind} {other.name}",
                    "Give each workload's pods a label of their own, and select by it",
                )
    for service in objects.selecting:
        selector = service.root["spec"]["selector"]
        if len(objects.workloads) == 1:
            _check_match(selector, labels[workload.kind, workload.name], workload)
            continue
        found = [each for each in objects.workloads if _finds(selector, labels[each.kind, each.name])]
        if not found:
            raise selector.fault("finds the pods of no workload", "Use the labels of one of the pod templates")
        check_target_ports(service, found)


def _check_match(selector: Field, labels: Mapping[str, str], workload: Object) -> None:
    for key, entry in selector.entries():
        if labels.get(key) != (entry.value or ""):
            raise entry.fault(
                f"does not match the labels of the pods in this {workload.kind}'s template",
                f"Give `spec.template.metadata.labels` of {workload.kind} {workload.name} the same",
            )


def _finds(selector: Field, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == (entry.value or "") for key, entry in selector.entries())


def _check_apart(one: Objects, other: Objects, app: App) -> None:
    """Nothing of one revision may be, or select, anything of another revision of the same version."""
    names = {(each.kind, each.name) for each in other.coloured}
    for each in one.coloured:
        if (each.kind, each.name) in names:
            raise each.root["metadata"]["name"].fault(
                "is the same for every revision, so that two could not run side by side",
                "Write `name: {{ name }}`",
            )
    for workload in other.workloads:
        strangers = {**pod_labels(workload), **_colour_labels(app, _OTHER, _PLACE)}
        for selector in _selectors(one):
            if _finds(selector, strangers):
                raise selector.fault(
                    "would also select the pods of the other colour",
                    f"Add `{LABEL_REVISION}: {{{{ revision }}}}` there",
                )
    _check_references(one, other)
    if one.front.kind == "Ingress":
        _check_backends(one, other)
        refuse_traffic(one, app)


def _check_references(one: Objects, other: Objects) -> None:
    """A name that changes with the revision can only be that of an object rendered here."""
    rendered = {each.name for each in (*one.configs, *one.others)}
    fixed = {name.value for workload in other.workloads for name in references(workload)}
    for name in (each for workload in one.workloads for each in references(workload)):
        if name.value is not None and name.value not in fixed | rendered:
            raise name.fault(
                "changes with the revision, but no template renders a ConfigMap, Secret or Service of that name",
                "Use the name that the template of that object has",
            )


def _check_backends(one: Objects, other: Objects) -> None:
    """An Ingress is switched by the names of its Services: some must be a revision's own, and those be rendered."""
    own = {each.name for each in one.configs if each.kind == "Service"}
    fixed = {each["name"].value for each in backends(other.front)}
    found = [each["name"] for each in backends(one.front)]
    for name in found:
        if name.value not in fixed | own:
            raise name.fault("changes with the revision, but no template renders a Service of that name")
    if not any(name.value in own for name in found):
        raise found[0].fault(
            "leads to the same Service for every revision, so that nothing could be switched",
            "Give the Service and this backend a name with {{ name }} in it, as `{{ name }}-a`",
        )


def _selectors(objects: Objects) -> tuple[Field, ...]:
    return (
        *(each.root["spec"]["selector"]["matchLabels"] for each in objects.workloads),
        *(each.root["spec"]["selector"] for each in objects.selecting),
    )


def _colour_labels(app: App, revision: str, slot: Slot) -> dict[str, str]:
    return {LABEL_APP: app.name, LABEL_REVISION: revision, LABEL_COLOUR: slot.colour.value}


def _labelled(rendered: Object, app: App, labels: Mapping[str, str]) -> dict[str, Any]:
    manifest: dict[str, Any] = _copied(rendered.data)
    manifest.pop("status", None)
    metadata = manifest["metadata"]
    metadata["namespace"] = app.namespace
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    return manifest


def _preview(objects: Objects, app: App, labels: Mapping[str, str], coloured: Mapping[str, str]) -> Manifest | None:
    """The preview Service, leading to this revision; one of our own making if the templates have none."""
    if not app.strategy.preview_service:
        return None
    manifest: Manifest = (
        _labelled(objects.preview, app, labels) if objects.preview else headless(objects, app, labels, coloured)
    )
    own = {key: coloured[key] for key in (LABEL_APP, LABEL_REVISION)}
    spec = {**manifest["spec"], "selector": {**manifest["spec"]["selector"], **own}}
    return _stamped({**manifest, "spec": spec})


def _further(rendered: Object, app: App, labels: Mapping[str, str], coloured: Mapping[str, str]) -> Manifest:
    own = coloured if is_coloured(rendered.name, coloured[LABEL_REVISION]) else {}
    return finished(_labelled(rendered, app, labels), app.namespace, own)


def _stamped(manifest: Manifest) -> dict[str, Any]:
    """With its name and the hash of itself: without the route, which is the switch's, and without data, which may be
    secret (and changes the object's name anyway)."""
    left_out = {"selector", *ROUTE_FIELDS.get(manifest["kind"], ())}
    spec = {key: value for key, value in manifest.get("spec", {}).items() if key not in left_out}
    metadata = manifest["metadata"]
    stamp = {ANNOTATION_RENDERING: f"{metadata['name']}@{short_hash({'metadata': metadata, 'spec': spec})}"}
    return {**manifest, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **stamp}}}


def _copied(value: Any) -> Any:
    """A copy in which nothing is shared, unlike `deepcopy`: YAML aliases make one mapping stand in two places."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _corresponding(manifest: dict[str, Any], component: str) -> dict[str, Any]:
    if component != SOLE:
        metadata = manifest["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION_COMPONENT: component}
    return manifest


def _workload(manifest: dict[str, Any], on_pods: Mapping[str, str], release: Release, slot: Slot) -> dict[str, Any]:
    noted = {ANNOTATION_VERSION: release.version, ANNOTATION_COMMIT: slot.commit}
    manifest["metadata"]["annotations"] = {**(manifest["metadata"].get("annotations") or {}), **noted}
    manifest["spec"].pop("replicas", None)
    template = manifest["spec"]["template"]
    metadata = template["metadata"] = template.get("metadata") or {}
    metadata["labels"] = {**(metadata.get("labels") or {}), **on_pods}
    return manifest

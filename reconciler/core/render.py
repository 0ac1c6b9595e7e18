"""Templates, version and values → the objects of one revision.

Two passes. `identify` renders with placeholders for what depends on the release's place in the cluster, and
hashes what the pods are made of; `render` then knows the revision's name, and renders what is applied. So the
revision is a function of Git and the configuration alone: not of the colour, the commit, or the time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from reconciler.core import builtin_values, strictyaml
from reconciler.core.field import Field
from reconciler.core.further import check_further, finished, further_content, is_coloured, noted_kinds
from reconciler.core.model import (
    ANNOTATION_RENDERING,
    LABEL_APP,
    LABEL_COLOUR,
    LABEL_MANAGED_BY,
    LABEL_REVISION,
    MANAGED_BY,
    PREFIX,
    App,
    Colour,
    Desired,
    Manifest,
    Release,
    Slot,
)
from reconciler.core.objects import Object, Objects, sort_out
from reconciler.core.revision import HASH_LENGTH, object_name, short_hash
from reconciler.core.template import Rendered, draw
from reconciler.core.workload import (
    check_deployment,
    check_service,
    match_labels,
    pod_labels,
    references,
    replicas_of,
)
from reconciler.errors import Invalid

ANNOTATION_VERSION = PREFIX + "version"
ANNOTATION_COMMIT = PREFIX + "commit"

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

    `Desired.workload` has no `spec.replicas`: how many is for the planner to say, starting from
    `Desired.replicas`. The result shares nothing with any cache.

    Raises:
        Invalid: as `identify`.
    """
    revision = identify(app, release)
    objects = _objects(app, release, revision, slot)
    shared = {LABEL_APP: app.name, LABEL_MANAGED_BY: MANAGED_BY}
    coloured = _colour_labels(app, revision, slot)
    return Desired(
        app=app,
        commit=release.commit,
        version=release.version,
        revision=revision,
        slot=slot,
        replicas=replicas_of(objects.deployment),
        workload=_stamped(
            _workload(objects.deployment, app, {**shared, **coloured}, coloured, release, slot, noted_kinds(objects))
        ),
        service=_stamped(_labelled(objects.service, app, shared)),
        configs=tuple(_stamped(_labelled(each, app, {**shared, **coloured})) for each in objects.configs),
        extras=tuple(_further(each, app, shared, coloured) for each in objects.others),
    )


def written(app: App, release: Release, slot: Slot) -> tuple[Field, ...]:
    """The objects as the templates wrote them, each with where every field stands; raises what `identify` does."""
    objects = _objects(app, release, identify(app, release), slot)
    return tuple(each.root for each in (*objects.configs, objects.deployment, objects.service, *objects.others))


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
    }


@dataclass(frozen=True, slots=True)
class _Question:
    """An app and release, equal to another one if `identify` must give the same answer."""

    key: tuple[Any, ...]
    app: App = field(compare=False)
    release: Release = field(compare=False)


def _key(app: App, release: Release) -> tuple[Any, ...]:
    values = json.dumps(release.values, sort_keys=True)
    about_app = (app.name, app.namespace, app.strategy.active_service, app.templates is None, app.source, app.kinds)
    return (*about_app, release.version, values, release.templates)


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
    return short_hash(
        {
            "app": app.name,
            "version": release.version,
            "template": one.deployment.data["spec"]["template"],
            "configs": [_content(config) for config in one.configs],
            **({"others": others} if (others := further_content(one, _ONE)) else {}),
        }
    )


def _objects(app: App, release: Release, revision: str, slot: Slot) -> Objects:
    context = variables(app, release, revision, slot)
    documents = [each for template in release.templates for each in _parsed(draw(template, context))]
    objects = sort_out(documents, app)
    check_deployment(objects.deployment)
    check_service(objects.service, objects.deployment)
    check_further(objects)
    _check_selectors(objects, _colour_labels(app, revision, slot))
    return objects


def _parsed(rendered: Rendered) -> tuple[strictyaml.Document, ...]:
    return strictyaml.load(rendered.text, rendered.template, lines=rendered.lines)


def _content(config: Object) -> Mapping[str, Any]:
    keys = ("kind", "metadata", "type", "immutable", "data", "stringData", "binaryData")
    content = {key: config.data.get(key) for key in keys}
    return {**content, "metadata": config.name}


def _check_selectors(objects: Objects, injected: Mapping[str, str]) -> None:
    """Both selectors must find the pods of their own revision."""
    labels = {**pod_labels(objects.deployment), **injected}
    for selector in _selectors(objects):
        for key, entry in selector.entries():
            if labels.get(key) != (entry.value or ""):
                raise entry.fault(
                    "does not match the labels of the pods in this Deployment's template",
                    f"Give `spec.template.metadata.labels` of Deployment {objects.deployment.name} the same",
                )
    match_labels(objects.deployment)


def _check_apart(one: Objects, other: Objects, app: App) -> None:
    """Nothing of one revision may be, or select, anything of another revision of the same version."""
    names = {(each.kind, each.name) for each in other.coloured}
    for each in one.coloured:
        if (each.kind, each.name) in names:
            raise each.root["metadata"]["name"].fault(
                "is the same for every revision, so that two could not run side by side",
                "Write `name: {{ name }}`",
            )
    strangers = {**pod_labels(other.deployment), **_colour_labels(app, _OTHER, _PLACE)}
    for selector in _selectors(one):
        if all(strangers.get(key) == (entry.value or "") for key, entry in selector.entries()):
            raise selector.fault(
                "would also select the pods of the other colour",
                f"Add `{LABEL_REVISION}: {{{{ revision }}}}` there",
            )
    _check_references(one, other)


def _check_references(one: Objects, other: Objects) -> None:
    """A name that changes with the revision can only be that of an object rendered here."""
    rendered = {each.name for each in (*one.configs, *one.others)}
    fixed = {name.value for name in references(other.deployment)}
    for name in references(one.deployment):
        if name.value is not None and name.value not in fixed | rendered:
            raise name.fault(
                "changes with the revision, but no template renders a ConfigMap or Secret of that name",
                "Use the name that the template of the ConfigMap or Secret has",
            )


def _selectors(objects: Objects) -> tuple[Field, Field]:
    return (
        objects.deployment.root["spec"]["selector"]["matchLabels"],
        objects.service.root["spec"]["selector"],
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


def _further(rendered: Object, app: App, labels: Mapping[str, str], coloured: Mapping[str, str]) -> Manifest:
    own = coloured if is_coloured(rendered.name, coloured[LABEL_REVISION]) else {}
    return finished(_labelled(rendered, app, labels), app.namespace, own)


def _stamped(manifest: dict[str, Any]) -> dict[str, Any]:
    """With its name and the hash of itself: without the selector, which is the switch's, and without data, which may be
    secret (and changes the object's name anyway)."""
    spec = {key: value for key, value in manifest.get("spec", {}).items() if key != "selector"}
    metadata = manifest["metadata"]
    stamp = {ANNOTATION_RENDERING: f"{metadata['name']}@{short_hash({'metadata': metadata, 'spec': spec})}"}
    return {**manifest, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **stamp}}}


def _copied(value: Any) -> Any:
    """A copy in which nothing is shared, unlike `deepcopy`: YAML aliases make one mapping stand in two places."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _workload(
    deployment: Object,
    app: App,
    labels: Mapping[str, str],
    on_pods: Mapping[str, str],
    release: Release,
    slot: Slot,
    kinds: Mapping[str, str],
) -> dict[str, Any]:
    manifest = _labelled(deployment, app, labels)
    noted = {ANNOTATION_VERSION: release.version, ANNOTATION_COMMIT: slot.commit, **kinds}
    manifest["metadata"]["annotations"] = {**(manifest["metadata"].get("annotations") or {}), **noted}
    manifest["spec"].pop("replicas", None)
    template = manifest["spec"]["template"]
    metadata = template["metadata"] = template.get("metadata") or {}
    metadata["labels"] = {**(metadata.get("labels") or {}), **on_pods}
    return manifest

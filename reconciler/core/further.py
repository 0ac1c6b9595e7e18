"""Objects of further kinds, as the templates render them: checked, labelled, and sorted by what they belong to. Pure.

One whose name holds the revision is *coloured*: there is one for each revision, and it goes with it. Any other is
*shared*: there is one for the app, which the active revision's templates describe. `core.plan.extras` says when each is
applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.core.model import (
    ANNOTATION_NAMESPACE,
    ANNOTATION_RENDERING,
    LABEL_COLOUR,
    LABEL_REVISION,
    PREFIX,
    WORKLOADS,
    Desired,
    Manifest,
)
from reconciler.core.objects import Objects
from reconciler.core.policy import (
    ABOUT_PODS,
    AUTOSCALER,
    is_followed,
    kind_name,
    read_resources,
    resource_of,
    write_resources,
)
from reconciler.core.revision import short_hash

ANNOTATION_KINDS = PREFIX + "kinds"
"""On a workload: the kinds that its revision renders of those which are watched on demand."""


def is_coloured(name: str, revision: str) -> bool:
    """Whether an object of that name belongs to the revision alone."""
    return revision in name


def check_further(objects: Objects) -> None:
    """Raises `Invalid` for an autoscaler of anything but the app's own workload (`own-things-only`)."""
    own = {(each.kind, each.name) for each in objects.coloured if each.kind in WORKLOADS}
    for each in objects.others:
        if kind_name(each.kind) == AUTOSCALER:
            target = each.root["spec"].mapping()["scaleTargetRef"].mapping()
            if (target["kind"].text(), target["name"].text()) not in own:
                raise target["name"].fault(
                    "is no workload that these templates render",
                    "Write its kind, and its name as in `name: {{ name }}`",
                )


def further_content(objects: Objects, revision: str) -> list[Mapping[str, Any]]:
    """What of them makes a revision: coloured ones count as ConfigMaps do, but for those which only tell about pods."""
    return [
        {**each.data, "metadata": each.name}
        for each in objects.others
        if is_coloured(each.name, revision) and kind_name(each.kind) not in ABOUT_PODS
    ]


def noted_kinds(objects: Objects) -> dict[str, str]:
    """The annotation of the Deployment; none if all kinds are watched anyway."""
    kinds = {each.kind for each in (*objects.others, *objects.configs) if is_followed(each.kind)}
    return {ANNOTATION_KINDS: write_resources(kinds)} if kinds else {}


def finished(manifest: dict[str, Any], namespace: str, coloured: Mapping[str, str]) -> Manifest:
    """The labelled object as it is applied: with `coloured` labels if it has any right to them, and stamped."""
    metadata = manifest["metadata"]
    labels = {key: value for key, value in metadata["labels"].items() if key not in (LABEL_REVISION, LABEL_COLOUR)}
    notes = {**(metadata.get("annotations") or {}), ANNOTATION_NAMESPACE: namespace}
    labelled = {**manifest, "metadata": {**metadata, "labels": {**labels, **coloured}, "annotations": notes}}
    stamp = {ANNOTATION_RENDERING: f"{metadata['name']}@{short_hash(labelled)}"}
    return {**labelled, "metadata": {**labelled["metadata"], "annotations": {**notes, **stamp}}}


def followed(desired: Desired) -> frozenset[str]:
    """The kinds, as resources, that have to be watched for the sake of this rendering, and not anyway."""
    return followed_of((*desired.extras, *desired.configs))


def followed_of(manifests: Iterable[Manifest]) -> frozenset[str]:
    """Of which kinds these are that are watched on demand."""
    return frozenset(filter(is_followed, map(resource_of, manifests)))


def noted_on(workload: Manifest) -> frozenset[str]:
    """The kinds on demand that objects of a live workload's revision may be of: what it says, and for one that was
    written when Secrets were always watched, what its pods use. A Secret of ours has the revision in its name."""
    meta, template = workload["metadata"], workload["spec"]["template"]
    kinds = read_resources((meta.get("annotations") or {}).get(ANNOTATION_KINDS, ""))
    revision = (template["metadata"].get("labels") or {}).get(LABEL_REVISION, "")
    uses = revision and any(is_coloured(each, revision) for each in _secrets_in(template.get("spec")))
    return kinds | {"Secret"} if uses else kinds


def _secrets_in(node: object, within: str = "") -> Iterator[str]:
    """The names of all Secrets that a pod's specification refers to, in whatever form (core/v1, PodSpec)."""
    if isinstance(node, list):
        for each in node:
            yield from _secrets_in(each, within)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if isinstance(value, str) and (key == "secretName" or (key == "name" and _refers(within))):
                yield value
            yield from _secrets_in(value, key)


def _refers(key: str) -> bool:
    """`secretRef`, `secretKeyRef`, those of volumes (`nodePublishSecretRef`), and two that are called otherwise."""
    return key in ("secret", "imagePullSecrets") or key.lower().endswith(("secretref", "secretkeyref"))


def is_autoscaler(manifest: Manifest) -> bool:
    """Whether it is a HorizontalPodAutoscaler."""
    return kind_name(resource_of(manifest)) == AUTOSCALER


def of_colour(desired: Desired) -> tuple[Manifest, ...]:
    """The coloured objects that are applied before the workload: all but autoscalers, which come with the traffic."""
    return tuple(each for each in desired.extras if LABEL_REVISION in _labels(each) and not is_autoscaler(each))


def of_active(desired: Desired) -> tuple[Manifest, ...]:
    """What there is only of the active revision: the shared objects, and its autoscalers."""
    return tuple(each for each in desired.extras if LABEL_REVISION not in _labels(each) or is_autoscaler(each))


def _labels(manifest: Manifest) -> Mapping[str, str]:
    labels: Mapping[str, str] = manifest["metadata"]["labels"]
    return labels

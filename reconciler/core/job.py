"""Jobs that prove a revision: which templates they have, what of them is not the template's to say. Pure.

A Job is no object of the app. It carries none of the app's own labels, so that no watch takes it for one, and its pods
can never be endpoints of anything that clients use. What its end means is told by `core.jobend`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.core import strictyaml
from reconciler.core.check import Check
from reconciler.core.field import Field
from reconciler.core.model import (
    LABEL_MANAGED_BY,
    MANAGED_BY,
    PREFIX,
    App,
    Desired,
    JobTemplate,
    Manifest,
    Template,
)
from reconciler.core.naming import wrong_subdomain
from reconciler.core.objects import check_annotations, check_metadata
from reconciler.core.powers import check_powers
from reconciler.core.probe import JobProbe
from reconciler.core.revision import short_hash, slug
from reconciler.core.template import draw
from reconciler.core.workload import check_pod
from reconciler.errors import Invalid

LABEL_GATE = PREFIX + "gate"
"""On a Job and its pods: the app that it is run for. The app's own label would make it an object of the app."""
ANNOTATION_GATE = PREFIX + "gate-of"
"""On a Job: which check it is a measurement of, as `identity` writes it."""
MOST_JOBS = 99
"""Jobs that one check may have at once, of failed attempts that are kept to be looked at."""

_PART = 24
"""Characters of an app's and a check's name in that of a Job. With revision and number that makes 63, of which a label
can hold no more (Kubernetes API reference, Job: `batch.kubernetes.io/job-name`)."""
_PLACEHOLDER = ("192.0.2.1",)
"""The address (RFC 5737) of a pod, to try a template before there is any."""
_NAMELESS = "job"
_KEPT = 3600
"""Seconds for which a finished Job stays, if its template does not say."""
_TTL = (60, 7 * 24 * 3600)
_MOST_RETRIES = 100
_MOST_SECONDS = 24 * 3600
_OURS = {
    "selector": "Kubernetes chooses it, so that no pod of another's is taken for one of the Job",
    "manualSelector": "Kubernetes chooses the selector, so that no pod of another's is taken for one of the Job",
    "suspend": "it would never run",
}


def job_paths(app: App) -> tuple[str, ...]:
    """The templates of the Jobs that the app's checks run, relative to its folder."""
    after = app.strategy.post_promotion
    checks = (*app.strategy.pre_promotion.checks, *(after.checks if after else ()))
    found = (each.probe.template for each in checks if isinstance(each.probe, JobProbe))
    return tuple(dict.fromkeys(found))


def job_templates(
    desired: Desired, templates: Mapping[str, Template], variables: Mapping[str, Any]
) -> Mapping[str, JobTemplate]:
    """The Jobs of `desired` by their paths, each tried with the address of a pod that does not exist.

    Raises:
        Invalid: one cannot be rendered, is no Job, or asks for what is not allowed to the app.
    """
    return {path: _tried(desired, template, variables) for path, template in templates.items()}


def written_jobs(templates: Iterable[Template], variables: Mapping[str, Any]) -> tuple[Field, ...]:
    """The Jobs as the templates write them for a pod that does not exist, each with where every field stands. Raises
    `Invalid` for what is no YAML."""
    known = _for_jobs(variables, _PLACEHOLDER)
    documents = (document for template in templates for document in _drawn(template, known))
    return tuple(Field(document, "Job", document.data) for document in documents)


def gate_key(check: Check, desired: Desired) -> str:
    """What tells that `desired` passed this very check: its key, and for a Job also what is run."""
    job = desired.jobs.get(check.probe.template) if isinstance(check.probe, JobProbe) else None
    return f"{check.key}.{job.digest}" if job else check.key


def job_of(check: Check, desired: Desired, addresses: Sequence[str], since: float) -> Manifest:
    """The Job that measures `check` for the pods at `addresses`, but for its name. `since`: see `core.check.Series`.

    Raises:
        Invalid: as `job_templates`, or its template was not read.
    """
    path = check.probe.template if isinstance(check.probe, JobProbe) else ""
    job = desired.jobs.get(path)
    if job is None:
        raise Invalid("the Job's template was not read with the app", where=f"app {desired.app.name}: {path}")
    rendered = _rendered(desired, job.template, job.variables, addresses)
    notes = {ANNOTATION_GATE: identity(check, desired, since)}
    return _finished(rendered, desired.app, notes, check.timeout)


def named(job: Manifest, name: str) -> Manifest:
    """The Job by its name."""
    return {**job, "metadata": {**job["metadata"], "name": name}}


def job_name(app: str, check: str, revision: str, number: int) -> str:
    """`APP-CHECK-REVISION-NUMBER`, the first two shortened: so a Job is found again whatever became of its maker."""
    parts = (slug(app)[:_PART].strip("-"), slug(check)[:_PART].strip("-"), revision, str(number))
    return "-".join(part for part in parts if part)


def identity(check: Check, desired: Desired, since: float) -> str:
    """Tells the measurements of one series from those of any other, for `ANNOTATION_GATE`."""
    known = {"check": gate_key(check, desired), "revision": desired.revision, "since": since}
    return json.dumps(known, separators=(",", ":"), sort_keys=True)


def is_gate_of(live: Manifest, app: str) -> bool:
    """Whether we made this Job for the app."""
    labels = live["metadata"].get("labels") or {}
    return labels.get(LABEL_GATE) == app and labels.get(LABEL_MANAGED_BY) == MANAGED_BY


def measures(live: Manifest, job: Manifest) -> bool:
    """Whether this Job measures the same as `job` would."""
    noted = (live["metadata"].get("annotations") or {}).get(ANNOTATION_GATE)
    return bool(noted == job["metadata"]["annotations"][ANNOTATION_GATE] and not is_deleted(live))


def is_deleted(live: Manifest) -> bool:
    """Whether it is on its way out."""
    return bool(live["metadata"].get("deletionTimestamp"))


def _tried(desired: Desired, template: Template, variables: Mapping[str, Any]) -> JobTemplate:
    rendered = _rendered(desired, template, variables, _PLACEHOLDER)
    return JobTemplate(template, short_hash({"text": template.text, "rendered": rendered}), variables)


def _rendered(
    desired: Desired, template: Template, variables: Mapping[str, Any], addresses: Sequence[str]
) -> dict[str, Any]:
    """The Job as the template writes it, held against all rules. Each time: it need not write the same each time."""
    documents = _drawn(template, _for_jobs(variables, addresses))
    if len(documents) != 1:
        raise Invalid(f"renders {len(documents)} objects, and must render one Job", where=template.name)
    document = documents[0]
    _check(Field(document, "Job", document.data), desired)
    check_powers(documents, desired.app.powers)
    # Of JSON data, in which nothing is shared: YAML aliases make one mapping stand in two places.
    data: dict[str, Any] = json.loads(json.dumps(document.data))
    return data


def _for_jobs(variables: Mapping[str, Any], addresses: Sequence[str]) -> Mapping[str, Any]:
    """With what only a Job's template has."""
    return {**variables, "preview": variables.get("preview_service", ""), "pods": list(addresses)}


def _drawn(template: Template, variables: Mapping[str, Any]) -> tuple[strictyaml.Document, ...]:
    drawn = draw(template, variables)
    return strictyaml.load(drawn.text, drawn.template, lines=drawn.lines)


def _check(root: Field, desired: Desired) -> None:
    kind = root.mapping()["kind"]
    if kind.text() != "Job":
        raise kind.fault("must be Job", "Keep other objects among the app's own templates")
    if root["apiVersion"].text() != "batch/v1":
        raise root["apiVersion"].fault("must be batch/v1 for a Job")
    metadata = root["metadata"]
    if metadata["name"].value is not None:
        metadata["name"].text(wrong_subdomain)
    check_metadata(metadata, desired.app)
    _refuse_own(metadata)
    spec = root["spec"].mapping()
    for key, why in _OURS.items():
        if spec[key].value not in (None, False):
            raise spec[key].fault(f"is not for a Job of a check: {why}", "Remove it")
    for key, low, high in (
        ("backoffLimit", 0, _MOST_RETRIES),
        ("parallelism", 1, _MOST_RETRIES),
        ("completions", 1, _MOST_RETRIES),
        ("activeDeadlineSeconds", 1, _MOST_SECONDS),
        ("ttlSecondsAfterFinished", *_TTL),
    ):
        if spec[key].value is not None:
            spec[key].integer(low, high)
    _check_pods(spec["template"].mapping(), desired)


def _check_pods(template: Field, desired: Desired) -> None:
    metadata = template["metadata"]
    labels = metadata["labels"].labels()
    check_annotations(metadata["annotations"])
    _refuse_own(metadata)
    for name, selector in _selectors(desired):
        if selector and selector.items() <= labels.items():
            raise metadata["labels"].fault(
                f"are those by which {name} finds the app's pods, so that the Job's would be taken for them",
                "Give the Job's pods other labels",
            )
    spec = template["spec"].mapping()
    restart = spec["restartPolicy"]
    if restart.value not in (None, "Never", "OnFailure"):
        raise restart.fault("must be Never or OnFailure in a Job", "Remove it, and it is Never")
    check_pod(spec)


def _refuse_own(metadata: Field) -> None:
    for kind in ("labels", "annotations"):
        for key, entry in metadata[kind].entries():
            if key.startswith(PREFIX):
                raise entry.fault("is for this daemon alone to set", "Remove it: the Job is no object of the app")


def _selectors(desired: Desired) -> Iterator[tuple[str, Mapping[str, str]]]:
    """By which labels the app's objects find its pods. None of them may find a Job's."""
    for each in desired.components:
        selector = each.manifest["spec"]["selector"]["matchLabels"]
        yield f"{each.manifest['kind']} {each.manifest['metadata']['name']}", selector
    for service in (*desired.fronts, *desired.configs):
        if service["kind"] == "Service":
            yield f"Service {service['metadata']['name']}", service["spec"].get("selector") or {}


def _finished(rendered: Mapping[str, Any], app: App, notes: Mapping[str, str], timeout: float) -> Manifest:
    """With what is ours to say: whose it is, and that it ends by itself whatever becomes of its maker."""
    metadata, spec = rendered.get("metadata") or {}, rendered["spec"]
    ours = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_GATE: app.name}
    deadline = max(1, int(timeout))
    return {
        **rendered,
        "metadata": {**_labelled(metadata, ours, notes), "name": _NAMELESS, "namespace": app.namespace},
        "spec": {
            **spec,
            "backoffLimit": spec.get("backoffLimit") or 0,
            "activeDeadlineSeconds": min(deadline, spec.get("activeDeadlineSeconds") or deadline),
            "ttlSecondsAfterFinished": spec.get("ttlSecondsAfterFinished") or _KEPT,
            "template": _pod_template(spec["template"], ours),
        },
    }


def _pod_template(template: Mapping[str, Any], ours: Mapping[str, str]) -> Mapping[str, Any]:
    metadata = _labelled(template.get("metadata") or {}, {LABEL_GATE: ours[LABEL_GATE]}, {})
    spec = {**template["spec"], "restartPolicy": template["spec"].get("restartPolicy") or "Never"}
    return {**template, "metadata": metadata, "spec": spec}


def _labelled(metadata: Mapping[str, Any], labels: Mapping[str, str], notes: Mapping[str, str]) -> dict[str, Any]:
    both = {"labels": {**(metadata.get("labels") or {}), **labels}}
    noted = {**(metadata.get("annotations") or {}), **notes}
    return {**metadata, **both, **({"annotations": noted} if noted else {})}

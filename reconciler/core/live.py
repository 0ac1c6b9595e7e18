"""The workloads of one app as they are: Deployments and StatefulSets, by revision, each with its pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from reconciler.core.evidence import Evidence, read_evidence
from reconciler.core.memory import Claim, Rejection, read_claim, read_rejection
from reconciler.core.model import (
    ANNOTATION_COMMIT,
    ANNOTATION_COMPONENT,
    ANNOTATION_VERSION,
    LABEL_COLOUR,
    LABEL_REVISION,
    PREFIX,
    SOLE,
    Colour,
    Manifest,
)
from reconciler.core.pods import Pod, timestamp

GIT_REPLICAS = PREFIX + "replicas"
"""Annotation of a workload: the count that Git asked for when it was last applied."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One Deployment or StatefulSet of ours with its pods. `replicas` is the wanted count, `noted_replicas` what Git
    asked for when it was last applied ('' if unknown). `total`, `updated` and `available` are what its status says at
    `observed_generation`, `failure` why pods cannot be made ('' if they can); `completed`, whether all of its
    pods were available at once before, whatever became of them since. `component` tells which workload of another
    revision it corresponds to."""

    kind: str
    name: str
    component: str
    uid: str
    resource_version: str
    revision: str
    version: str
    colour: Colour
    commit: str
    created: float
    deleting: bool
    replicas: int
    generation: int
    observed_generation: int
    total: int
    updated: int
    available: int
    min_ready_seconds: float
    completed: bool
    pod_labels: Mapping[str, str]
    claim: Claim | None
    rejection: Rejection | None
    noted_replicas: str
    failure: str
    pods: tuple[Pod, ...]
    live: Manifest
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class LiveRevision:
    """Those workloads of one revision that are there (one at least), sorted by name, and what they say together."""

    workloads: tuple[Workload, ...]

    @property
    def revision(self) -> str:
        """Its hash."""
        return self.workloads[0].revision

    @property
    def version(self) -> str:
        """The version that it is a rendering of."""
        return self.workloads[0].version

    @property
    def colour(self) -> Colour:
        """The slot that it holds."""
        return self.workloads[0].colour

    @property
    def commit(self) -> str:
        """The commit that first asked for it."""
        return self.workloads[0].commit

    @property
    def created(self) -> float:
        """When (epoch seconds) its first workload was made."""
        return min(each.created for each in self.workloads)

    @property
    def deleting(self) -> bool:
        """Whether any of its workloads is being deleted."""
        return any(each.deleting for each in self.workloads)

    @property
    def replicas(self) -> int:
        """How many pods it shall have in all."""
        return sum(each.replicas for each in self.workloads)

    @property
    def completed(self) -> bool:
        """Whether it was wholly available before."""
        return all(each.completed for each in self.workloads)

    @property
    def claim(self) -> Claim | None:
        """The latest claim: a daemon that was stopped between two workloads has left an older one on the second."""
        return max((each.claim for each in self.workloads if each.claim), key=lambda claim: claim.since, default=None)

    @property
    def rejection(self) -> Rejection | None:
        """The rejection that is noted on any of its workloads."""
        return next((each.rejection for each in self.workloads if each.rejection), None)

    @property
    def served(self) -> bool:
        """Whether it is on record that it had traffic, and was not given up since."""
        return self.rejection is None and any(each.evidence and each.evidence.served for each in self.workloads)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The pods of all of its workloads."""
        return tuple(pod for each in self.workloads for pod in each.pods)

    @property
    def named(self) -> str:
        """Its workloads for a reader: `Deployment a, StatefulSet b`."""
        return ", ".join(f"{each.kind} {each.name}" for each in self.workloads)

    def selected_by(self, selector: Mapping[str, str]) -> tuple[Workload, ...]:
        """The workloads whose pods a Service with this selector leads to; an empty one matches nothing."""
        return tuple(each for each in self.workloads if selector and selector.items() <= each.pod_labels.items())

    def find(self, kind: str, name: str) -> Workload | None:
        """The workload of that kind and name."""
        return next((each for each in self.workloads if (each.kind, each.name) == (kind, name)), None)


def read_revisions(objects: Iterable[Manifest], pods: Iterable[Pod]) -> tuple[LiveRevision, ...]:
    """Live Deployments and StatefulSets (apps/v1) of one app by revision, in the order of their workloads' names."""
    pods = tuple(pods)
    found = sorted((_workload(each, pods) for each in objects), key=lambda each: (each.revision, each.name, each.kind))
    revisions = (LiveRevision(tuple(each)) for _, each in groupby(found, key=lambda each: each.revision))
    return tuple(sorted(revisions, key=lambda each: each.workloads[0].name))


def _workload(live: Manifest, pods: Iterable[Pod]) -> Workload:
    meta, spec, status = live["metadata"], live["spec"], live.get("status") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    pod_labels = spec["template"]["metadata"].get("labels") or {}
    # Its pods carry the revision whatever a hand does to the workload's own labels. An adopted one's do not.
    revision = pod_labels.get(LABEL_REVISION) or labels.get(LABEL_REVISION, "")
    return Workload(
        kind=live["kind"],
        name=meta["name"],
        component=annotations.get(ANNOTATION_COMPONENT, SOLE),
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        revision=revision,
        version=annotations.get(ANNOTATION_VERSION, ""),
        colour=Colour.GREEN if labels.get(LABEL_COLOUR) == Colour.GREEN else Colour.BLUE,
        commit=annotations.get(ANNOTATION_COMMIT, ""),
        created=timestamp(meta.get("creationTimestamp")),
        deleting=bool(meta.get("deletionTimestamp")),
        replicas=int(spec.get("replicas", 1)),
        generation=int(meta.get("generation", 0)),
        observed_generation=int(status.get("observedGeneration", 0)),
        total=int(status.get("replicas", 0)),
        updated=int(status.get("updatedReplicas", 0)),
        available=int(status.get("availableReplicas", 0)),
        min_ready_seconds=float(spec.get("minReadySeconds", 0)),
        completed=_completed(live),
        pod_labels=pod_labels,
        claim=read_claim(annotations),
        rejection=read_rejection(annotations),
        noted_replicas=annotations.get(GIT_REPLICAS, ""),
        failure=_failure(status),
        pods=tuple(sorted(_pods_of(spec, revision, pods), key=lambda pod: pod.name)),
        live=live,
        evidence=read_evidence(annotations),
    )


def _pods_of(spec: Mapping[str, Any], revision: str, pods: Iterable[Pod]) -> Iterator[Pod]:
    selector = (spec.get("selector") or {}).get("matchLabels") or {}
    return (each for each in pods if each.revision == revision and selector.items() <= each.labels.items())


def _completed(live: Manifest) -> bool:
    """The Deployment controller's own word for it, which it does not take back (Deployment status, `Progressing`).
    A StatefulSet has no such condition: there only what is wholly available now is known to have been so."""
    status = live.get("status") or {}
    if live["kind"] == "StatefulSet":
        return int(status.get("availableReplicas", 0)) >= int(live["spec"].get("replicas", 1)) > 0
    conditions = (c for c in status.get("conditions") or [] if c.get("type") == "Progressing")
    return any(c.get("status") == "True" and c.get("reason") == "NewReplicaSetAvailable" for c in conditions)


def _failure(status: Mapping[str, Any]) -> str:
    """Why the controller cannot make pods: a quota, a policy, a missing account."""
    conditions = (c for c in status.get("conditions") or [] if c.get("type") == "ReplicaFailure")
    return next((str(c.get("message", ""))[:500] for c in conditions if c.get("status") == "True"), "")

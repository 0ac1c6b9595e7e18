"""What is sent to the API server: the rendered objects with what only the planner knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.core.action import Apply, Remember
from reconciler.core.evidence import Evidence, write_evidence
from reconciler.core.front import Route
from reconciler.core.live import GIT_REPLICAS, Workload
from reconciler.core.memory import (
    Active,
    Claim,
    Memory,
    Rejection,
    read_rejection,
    write_claim,
    write_memory,
    write_rejection,
)
from reconciler.core.model import Component, Desired, Manifest
from reconciler.core.objects import API_VERSIONS
from reconciler.core.observed import Front
from reconciler.core.plan.ports import held_ports
from reconciler.core.plan.view import ref_of


@dataclass(frozen=True, slots=True)
class Size:
    """How many replicas a workload shall have and why, and which count of Git's is noted as followed with that."""

    replicas: int
    noted: str
    why: str = ""


def workload_manifest(
    component: Component, size: Size, claim: Claim | None, rejection: Rejection | None = None
) -> Manifest:
    """The rendered workload with what only the planner knows: how many replicas, and its annotations.

    `replicas` is always sent, with the live count if it shall stay: server-side apply resets a field that its
    manager owned and no longer sends.
    """
    notes = {GIT_REPLICAS: size.noted}
    notes |= write_claim(claim) if claim else {}
    notes |= write_rejection(rejection) if rejection else {}
    manifest = annotated(component.manifest, notes)
    return {**manifest, "spec": {**manifest["spec"], "replicas": size.replicas}}


def switch_manifest(identity: Manifest, memory: Memory | None, route: Route, ports: Sequence[Any] = ()) -> Manifest:
    """What a switch of the object called as `identity` applies: its route, the memory if it holds that, and the `ports`
    that must move with them."""
    meta: dict[str, Any] = {key: identity["metadata"][key] for key in ("name", "namespace")}
    if memory is not None:
        meta["annotations"] = write_memory(memory)
    spec = {**route, **({"ports": list(ports)} if ports else {})}
    return {"apiVersion": identity["apiVersion"], "kind": identity["kind"], "metadata": meta, "spec": spec}


def remember(
    front: Front, memory: Memory, event: str, reason: str = "", began: float | None = None, of: Active | None = None
) -> Remember:
    """A write of the memory alone; `began` (epoch seconds) is when the step began that it ends, `of` the revision that
    it is about, if that is not the desired one."""
    manifest = switch_manifest(identity_of(front), memory, front.route, held_ports(front))
    return Remember(ref_of(front), manifest, event, reason, began, of)


def evidence_manifest(workload: Workload, evidence: Evidence) -> Manifest:
    """What the evidence's field manager applies of a workload."""
    meta = {key: workload.live["metadata"][key] for key in ("name", "namespace")}
    meta["annotations"] = write_evidence(evidence)
    return {"apiVersion": API_VERSIONS[workload.kind], "kind": workload.kind, "metadata": meta}


def identity_of(front: Front) -> Manifest:
    """The live object's apiVersion, kind, name and namespace: what a list leaves out of its items is put in."""
    return {"apiVersion": API_VERSIONS[front.kind], "kind": front.kind, "metadata": front.live["metadata"]}


def annotated(manifest: Manifest, notes: Mapping[str, str]) -> Manifest:
    """`manifest` with more annotations."""
    meta = manifest["metadata"]
    return {**manifest, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), **notes}}}


def with_reason(action: Remember | Apply, reason: str, desired: Desired) -> Remember | Apply:
    """A rejection whose reason was not known when it was planned, with that."""
    found = read_rejection(action.manifest["metadata"]["annotations"])
    at = found.at if found else 0.0
    rejection = Rejection(desired.revision, desired.version, desired.commit, reason, at)
    manifest = annotated(action.manifest, write_rejection(rejection))
    if isinstance(action, Apply):
        return replace(action, manifest=manifest, rejection=rejection)
    return replace(action, manifest=manifest, reason=reason)

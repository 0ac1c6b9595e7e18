"""What is sent to the API server: the rendered objects with what only the planner knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.action import Remember
from reconciler.core.memory import Claim, Memory, Rejection, write_claim, write_memory, write_rejection
from reconciler.core.model import Desired, Manifest
from reconciler.core.observed import GIT_REPLICAS, ActiveService
from reconciler.core.plan.ports import held_ports
from reconciler.core.plan.view import ref_of


@dataclass(frozen=True, slots=True)
class Size:
    """How many replicas a Deployment shall have and why, and which count of Git's is noted as followed with that."""

    replicas: int
    noted: str
    why: str = ""


def workload_manifest(
    desired: Desired, size: Size, claim: Claim | None, rejection: Rejection | None = None
) -> Manifest:
    """The rendered Deployment with what only the planner knows: how many replicas, and its annotations.

    `replicas` is always sent, with the live count if it shall stay: server-side apply resets a field that its
    manager owned and no longer sends.
    """
    notes = {GIT_REPLICAS: size.noted}
    notes |= write_claim(claim) if claim else {}
    notes |= write_rejection(rejection) if rejection else {}
    manifest = annotated(desired.workload, notes)
    return {**manifest, "spec": {**manifest["spec"], "replicas": size.replicas}}


def switch_manifest(
    desired: Desired, memory: Memory, selector: Mapping[str, str], ports: Sequence[Any] = ()
) -> Manifest:
    """What a switch applies: selector and memory, and the `ports` that must move with them."""
    rendered = desired.service
    meta = {key: rendered["metadata"][key] for key in ("name", "namespace")}
    spec: dict[str, Any] = {"selector": dict(selector)}
    if ports:
        spec["ports"] = list(ports)
    identity = {"apiVersion": rendered["apiVersion"], "kind": rendered["kind"]}
    return {**identity, "metadata": {**meta, "annotations": write_memory(memory)}, "spec": spec}


def remember(
    service: ActiveService, memory: Memory, event: str, reason: str = "", began: float | None = None
) -> Remember:
    """A write of the memory alone; `began` (epoch seconds) is when the step began that it ends."""
    live = service.live
    meta = {key: live["metadata"][key] for key in ("name", "namespace")}
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**meta, "annotations": write_memory(memory)},
        "spec": {"selector": dict(service.selector), **({"ports": held} if (held := held_ports(service)) else {})},
    }
    return Remember(ref_of("Service", service), manifest, event, reason, began)


def without_selector(service: Manifest) -> Manifest:
    """The rendered Service as its own field manager applies it: the selector is not its business."""
    return {**service, "spec": {key: value for key, value in service["spec"].items() if key != "selector"}}


def annotated(manifest: Manifest, notes: Mapping[str, str]) -> Manifest:
    """`manifest` with more annotations."""
    meta = manifest["metadata"]
    return {**manifest, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), **notes}}}

"""Keeping a revision that is in service, and the Service itself, as the commit says that it came from.

A pod template that is in service is never written (`never-cut-the-active`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.core.action import Apply, Purpose
from reconciler.core.memory import Claim
from reconciler.core.model import Manifest
from reconciler.core.observed import ActiveService, Workload
from reconciler.core.plan.extras import early, kept
from reconciler.core.plan.manifests import Size, without_selector, workload_manifest
from reconciler.core.plan.ports import clash, written_over
from reconciler.core.plan.purpose import purpose_of
from reconciler.core.plan.view import View, claim_of, compared, ref_of


def upkeep_of_active(view: View) -> tuple[Apply, ...]:
    """Repairs of the active revision while Git wants another one, which may be for days if that was rejected."""
    if view.standing is None or view.service is None:
        return ()
    of_active = replace(view, desired=view.standing, standing=None)
    if not of_active.desired_is_active or view.memory.confirmed_at is None or view.service.needs_handover:
        return ()
    target = of_active.target
    size = Size(target.replicas, target.noted_replicas) if target else None
    applies, _ = repairs(of_active, size)
    applies = (*applies, *service_repair(of_active, view.service), *kept(of_active))
    # A commit after that one may have changed it in place: then it is not known here how it shall be.
    return tuple(each for each in applies if each.purpose is Purpose.REPAIR)


def apply_configs(view: View) -> Iterator[Apply]:
    """The desired revision's ConfigMaps and Secrets that are missing or differ, and objects of further kinds."""
    yield from early(view)
    live = {(each.kind, each.name): each for each in view.observed.configs}
    for rendered in view.desired.configs:
        there = live.get((rendered["kind"], rendered["metadata"]["name"]))
        if there is None:
            yield Apply(rendered, Purpose.RELEASE if view.target is None else Purpose.REPAIR)
            continue
        manifest, found = compared(view, rendered, there.live)
        if found:
            yield Apply(manifest, purpose_of(found), ref_of(there.kind, there), found)


def repairs(view: View, size: Size | None = None) -> tuple[tuple[Apply, ...], str]:
    """Puts owned fields of the colour's objects back; its size is Git's, unless another is given.

    Returns what to apply, and why a drift of the pod template is left alone ('' if none).
    """
    applies = [*apply_configs(view)]
    refused = ""
    target = view.target
    if target is None:
        whole = Size(view.desired.replicas, str(view.desired.replicas))
        applies.append(Apply(workload_manifest(view.desired, whole, claim_of(view)), Purpose.REPAIR))
    elif not target.deleting:
        size = size or _size_in_service(view, target)
        manifest = workload_manifest(view.desired, size, _claim_in_service(view, target))
        manifest, found = compared(view, manifest, target.live)
        in_template = [str(each) for each in found if each.path.startswith(("spec.template", "spec.selector"))]
        if in_template:
            refused = f"Deployment {target.name} was edited by hand: {'; '.join(in_template)}"
        elif found or target.rejection:
            applies.append(Apply(manifest, purpose_of(found), ref_of("Deployment", target), found, reason=size.why))
    return tuple(applies), refused


def service_repair(view: View, service: ActiveService) -> Iterator[Apply]:
    """Puts owned fields of the Service back, all but the selector, which is the switch's."""
    rendered, found = compared(view, without_selector(view.desired.service), service.live)
    if found:
        over = _over(view, service) if clash(view.desired, service) else None
        yield Apply(rendered, purpose_of(found), ref_of("Service", service), found, over=over)


def _over(view: View, service: ActiveService) -> Manifest:
    meta = {key: service.live["metadata"][key] for key in ("name", "namespace")}
    identity = {"apiVersion": "v1", "kind": "Service", "metadata": meta}
    return {**identity, "spec": {"ports": written_over(view.desired, service)}}


def _claim_in_service(view: View, target: Workload) -> Claim | None:
    """The claim that belongs to the switch which made it active, written late if that went first (`promote`)."""
    active = view.memory.active
    if view.memory.confirmed_at is None or active is None or (target.claim and target.claim.commit == active.commit):
        return target.claim
    return Claim(active.commit, active.since)


def _size_in_service(view: View, target: Workload) -> Size:
    """The live count is respected (an autoscaler or a person set it) until Git asks for another one.

    Until the switch is confirmed it is no less than what the colour before it had, and what Git had asked of that one
    stays noted: whether Git asks for another count than before is told by it.
    """
    asked, left = view.desired.replicas, view.memory.history[:1]
    before = view.observed.workload(left[0].revision) if left and view.memory.confirmed_at is None else None
    noted = before.noted_replicas if before else target.noted_replicas
    changed = noted not in ("", str(asked))
    wanted, why = (asked, f"Git asks for {asked}") if changed else (target.replicas, "")
    if before and before.replicas > wanted:
        return Size(before.replicas, noted, "the colour before it had as many")
    return Size(wanted, noted if before else str(asked), why)

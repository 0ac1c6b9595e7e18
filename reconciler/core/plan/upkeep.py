"""Keeping a revision that is in service, and the Service itself, as the commit says that it came from.

A pod template that is in service is never written (`never-cut-the-active`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.core.action import Apply, Purpose
from reconciler.core.front import without_route
from reconciler.core.live import Workload
from reconciler.core.memory import Claim
from reconciler.core.model import Component, Manifest
from reconciler.core.observed import Front
from reconciler.core.plan.extras import early, kept
from reconciler.core.plan.manifests import Size, identity_of, switch_manifest, workload_manifest
from reconciler.core.plan.ports import clash, written_over
from reconciler.core.plan.purpose import purpose_of
from reconciler.core.plan.view import View, claim_of, compared, counterpart, live_of, ref_of


def upkeep_of_active(view: View) -> tuple[Apply, ...]:
    """Repairs of the active revision while Git wants another one, which may be for days if that was rejected."""
    if view.standing is None or view.front is None:
        return ()
    of_active = replace(view, desired=view.standing, standing=None)
    if not of_active.desired_is_active or view.memory.confirmed_at is None or view.front.needs_handover:
        return ()
    applies, _ = repairs(of_active, keep_size=True)
    # A commit after that one may have changed it in place: then it is not known here how it shall be.
    applies = (*applies, *front_repairs(of_active), *kept(of_active))
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
            yield Apply(manifest, purpose_of(found), ref_of(there), found)


def repairs(view: View, keep_size: bool = False) -> tuple[tuple[Apply, ...], str]:
    """Puts owned fields of the colour's objects back; its size is Git's, unless it is to be kept.

    Returns what to apply, and why a drift of a pod template is left alone ('' if none).
    """
    applies, refused = [*apply_configs(view)], []
    for component in view.desired.components:
        live = live_of(view, component)
        if live is None:
            whole = Size(component.replicas, str(component.replicas))
            applies.append(Apply(workload_manifest(component, whole, claim_of(view)), Purpose.REPAIR))
        elif not live.deleting:
            kept = Size(live.replicas, live.noted_replicas) if keep_size else _size_in_service(view, component, live)
            manifest = workload_manifest(component, kept, _claim_in_service(view, live))
            manifest, found = compared(view, manifest, live.live)
            in_template = [str(each) for each in found if each.path.startswith(("spec.template", "spec.selector"))]
            if in_template:
                refused.append(f"{live.kind} {live.name} was edited by hand: {'; '.join(in_template)}")
            elif found or live.rejection:
                applies.append(Apply(manifest, purpose_of(found), ref_of(live), found, reason=kept.why))
    return tuple(applies), "; ".join(refused)


def front_repairs(view: View) -> Iterator[Apply]:
    """Puts owned fields of the Services and the Ingress back, all but their routes, which are the switch's."""
    live = {(each.kind, each.name): each for each in view.observed.fronts}
    for rendered in view.desired.fronts:
        there = live.get((rendered["kind"], rendered["metadata"]["name"]))
        if there is None:
            continue
        manifest, found = compared(view, without_route(rendered), there.live)
        if found:
            over = _over(rendered, there) if clash(rendered, there) else None
            yield Apply(manifest, purpose_of(found), ref_of(there), found, over=over)


def _over(rendered: Manifest, service: Front) -> Manifest:
    return switch_manifest(identity_of(service), None, {}, written_over(rendered, service))


def _claim_in_service(view: View, target: Workload) -> Claim | None:
    """The claim that belongs to the switch which made it active, written late if that went first (`promote`)."""
    active = view.memory.active
    if view.memory.confirmed_at is None or active is None or (target.claim and target.claim.commit == active.commit):
        return target.claim
    return Claim(active.commit, active.since)


def _size_in_service(view: View, component: Component, target: Workload) -> Size:
    """The live count is respected (an autoscaler or a person set it) until Git asks for another one.

    Until the switch is confirmed it is no less than what the colour before it had, and what Git had asked of that one
    stays noted: whether Git asks for another count than before is told by it.
    """
    asked, left = component.replicas, view.memory.history[:1]
    earlier = view.observed.revision(left[0].revision) if left and view.memory.confirmed_at is None else None
    before = counterpart(view, component, earlier)
    noted = before.noted_replicas if before else target.noted_replicas
    changed = noted not in ("", str(asked))
    wanted, why = (asked, f"Git asks for {asked}") if changed else (target.replicas, "")
    if before and before.replicas > wanted:
        return Size(before.replicas, noted, "the colour before it had as many")
    return Size(wanted, noted if before else str(asked), why)

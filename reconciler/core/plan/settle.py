"""Desired is active: keep it as Git says, confirm the switch, let the old colour go.

A pod template that is in service is never written (`never-cut-the-active`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.core.action import Apply, Handover, Purpose
from reconciler.core.health import explain, is_ready, ready_pods
from reconciler.core.memory import Claim
from reconciler.core.observed import ActiveService, Workload
from reconciler.core.phase import Phase
from reconciler.core.plan.manifests import Size, remember, switch_manifest, without_selector, workload_manifest
from reconciler.core.plan.promote import apply_configs, cut_over
from reconciler.core.plan.purpose import purpose_of
from reconciler.core.plan.retire import clean_up
from reconciler.core.plan.view import Plan, View, claim_of, ref_of, seen_differences


def settle(view: View) -> Plan:
    """Keeps the active revision as Git says, confirms its switch, and lets the earlier ones go."""
    service, memory = view.service, view.memory
    assert service is not None
    noted = memory.active
    if noted is None or noted.revision != view.desired.revision:
        found = memory.switched(view.as_active(view.now))
        why = "the selector was found pointing here"
        return Plan(Phase.CONFIRMING, why, (remember(service, found, "switched", why),))
    if service.selector != view.desired.selector and view.target and is_ready(view.target):
        why = "the selector's form changed in the templates"
        return Plan(Phase.CONFIRMING, why, (cut_over(view, claim_of(view), why),))
    if service.needs_handover:
        manifest = switch_manifest(view.desired, memory, service.selector)
        handover = Handover(ref_of("Service", service), without_selector(view.desired.service), manifest)
        return Plan(Phase.CONFIRMING, "the Service's fields are handed over", (handover,))
    repairs, refused = _repairs(view)
    # Notes on the Service go before repairs of it: whoever fights us over a field must not keep us from them.
    last = tuple(_service_repair(view, service))
    if memory.confirmed_at is None:
        return _confirm(view, service, repairs, last)
    phase, reason = _settled_phase(view, refused), refused or _shortfall(view.target)
    if memory.rejection:
        forgotten = replace(memory, rejection=None)
        return Plan(phase, reason, (*repairs, remember(service, forgotten, "rejection_cleared"), *last))
    leftovers, due = clean_up(view)
    return Plan(phase, reason, (*repairs, *leftovers, *last), due)


def _settled_phase(view: View, refused: str) -> Phase:
    if refused:
        return Phase.DRIFTED
    if _is_down(view.target):
        return Phase.DEGRADED
    alone = all(each.revision == view.desired.revision for each in view.observed.workloads)
    return Phase.STABLE if alone else Phase.RETAINING


def _is_down(target: Workload | None) -> bool:
    """Whether nobody is served, though somebody should be: a Deployment scaled to zero by hand is meant so."""
    return target is None or (target.replicas > 0 and not ready_pods(target))


def _shortfall(target: Workload | None) -> str:
    """What the active revision lacks, in words; '' if nothing."""
    if target is None:
        return "its Deployment is gone"
    return explain(target) if len(ready_pods(target)) < target.replicas else ""


def _confirm(view: View, service: ActiveService, repairs: tuple[Apply, ...], last: tuple[Apply, ...]) -> Plan:
    """A switch counts as done when all of the new colour's ready pods, and no pods of another, are the endpoints."""
    wanted = ready_pods(view.target) if view.target else frozenset()
    others = [pod for pod, revision in service.endpoints.items() if revision != view.desired.revision]
    if not wanted or others or not wanted <= service.endpoints.keys():
        if _is_down(view.target):
            return Plan(Phase.DEGRADED, _shortfall(view.target), (*repairs, *last))
        reason = f"{len(service.endpoints)} endpoints, {len(others)} of them not of {view.desired.version}"
        return Plan(Phase.CONFIRMING, reason, (*repairs, *last))
    confirmed = replace(view.memory, confirmed_at=view.now, rejection=None)
    reason = f"{len(wanted)} endpoints, all of {view.desired.version}"
    switched_at = view.memory.active.since if view.memory.active else None
    noted = remember(service, confirmed, "switch_confirmed", reason, switched_at)
    return Plan(Phase.CONFIRMING, reason, (*repairs, noted, *last))


def _repairs(view: View) -> tuple[tuple[Apply, ...], str]:
    """Puts owned fields of the colour's objects back. Returns what to apply, and why a drift of the pod template is
    left alone ('' if none)."""
    applies = [*apply_configs(view)]
    refused = ""
    target = view.target
    if target is None:
        whole = Size(view.desired.replicas, str(view.desired.replicas))
        applies.append(Apply(workload_manifest(view.desired, whole, claim_of(view)), Purpose.REPAIR))
    elif not target.deleting:
        size = _size_in_service(view, target)
        manifest = workload_manifest(view.desired, size, _claim_in_service(view, target))
        found = seen_differences(view, manifest, target.live)
        in_template = [str(each) for each in found if each.path.startswith(("spec.template", "spec.selector"))]
        if in_template:
            refused = f"Deployment {target.name} was edited by hand: {'; '.join(in_template)}"
        elif found or target.rejection:
            applies.append(Apply(manifest, purpose_of(found), ref_of("Deployment", target), found, reason=size.why))
    return tuple(applies), refused


def _service_repair(view: View, service: ActiveService) -> Iterator[Apply]:
    rendered = without_selector(view.desired.service)
    found = seen_differences(view, rendered, service.live)
    if found:
        yield Apply(rendered, purpose_of(found), ref_of("Service", service), found)


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
    wanted, why = (asked, f"Git asks for {asked}") if noted != str(asked) else (target.replicas, "")
    if before and before.replicas > wanted:
        return Size(before.replicas, noted, "the colour before it had as many")
    return Size(wanted, noted if before else str(asked), why)

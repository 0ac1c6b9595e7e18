"""Desired is active: keep it as Git says, confirm the switch, let the old colour go.

A pod template that is in service is never written (`never-cut-the-active`).
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.action import Apply, Handover
from reconciler.core.health import explain, ready_pods
from reconciler.core.memory import Active, Memory
from reconciler.core.observed import ActiveService, Workload
from reconciler.core.phase import Phase
from reconciler.core.plan.extras import note_after, note_before, tend
from reconciler.core.plan.manifests import remember, switch_manifest, without_selector
from reconciler.core.plan.promote import cut_over
from reconciler.core.plan.retire import clean_up
from reconciler.core.plan.upkeep import repairs, service_repair
from reconciler.core.plan.view import Plan, View, claim_of, is_fit, ref_of


def settle(view: View) -> Plan:
    """Keeps the active revision as Git says, confirms its switch, and lets the earlier ones go."""
    service, memory = view.service, view.memory
    assert service is not None
    noted = memory.active
    if noted is None or noted.revision != view.desired.revision:
        found = _with_forgotten(view, memory.switched(view.as_active(view.now)))
        why = "the selector was found pointing here"
        return Plan(Phase.CONFIRMING, why, (remember(service, found, "switched", why),))
    if service.selector != view.desired.selector and view.target and is_fit(view, view.target):
        why = "the selector's form changed in the templates"
        return Plan(Phase.CONFIRMING, why, (cut_over(view, claim_of(view), why),))
    if service.needs_handover:
        manifest = switch_manifest(view.desired, memory, service.selector)
        handover = Handover(ref_of("Service", service), without_selector(view.desired.service), manifest)
        return Plan(Phase.CONFIRMING, "the Service's fields are handed over", (handover,))
    applies, refused = repairs(view)
    # Notes on the Service go before repairs of it: whoever fights us over a field must not keep us from them.
    last = tuple(service_repair(view, service))
    phase, reason = _settled_phase(view, refused), refused or _shortfall(view.target) or _strays(view)
    if used := note_before(view):
        return Plan(Phase.CONFIRMING if memory.confirmed_at is None else phase, reason, (used, *applies))
    if memory.confirmed_at is None:
        return _confirm(view, service, applies, last)
    if memory.rejection:
        forgotten = replace(memory, rejection=None)
        return Plan(phase, reason, (*applies, remember(service, forgotten, "rejection_cleared"), *last))
    leftovers, due = clean_up(view)
    # What the API server may refuse for good goes last, and a note of what there is no more after all of it.
    actions = (*applies, *leftovers, *last, *tend(view))
    unused = None if actions else note_after(view)
    return Plan(phase, reason, (unused,) if unused else actions, due)


def _with_forgotten(view: View, memory: Memory) -> Memory:
    """If the memory was lost (somebody wiped the annotations), every colour that was whole before counts as a former
    one: it is kept as long as a former one is."""
    if view.memory.active is not None:
        return memory
    others = (w for w in view.observed.workloads if w.revision != view.desired.revision and w.completed)
    former = (Active(w.revision, w.version, w.colour, w.commit, w.created, view.now) for w in others)
    return replace(memory, history=tuple(former))


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


def _strays(view: View) -> str:
    """Services that are not the active one (any more): what they lead to is kept for them."""
    names = ", ".join(view.observed.strays)
    return f"{names}: not the active Service any more. Delete it when no client uses it" if names else ""


def _shortfall(target: Workload | None) -> str:
    """What the active revision lacks, in words; '' if nothing."""
    if target is None:
        return "its Deployment is gone"
    return explain(target) if len(ready_pods(target)) < target.replicas else ""


def _confirm(view: View, service: ActiveService, applies: tuple[Apply, ...], last: tuple[Apply, ...]) -> Plan:
    """A switch counts as done when all of the new colour's ready pods, and no pods of another, are the endpoints."""
    wanted = ready_pods(view.target) if view.target else frozenset()
    others = [pod for pod, revision in service.endpoints.items() if revision != view.desired.revision]
    if not wanted or others or not wanted <= service.endpoints.keys():
        if _is_down(view.target):
            return Plan(Phase.DEGRADED, _shortfall(view.target), (*applies, *last))
        reason = f"{len(service.endpoints)} endpoints, {len(others)} of them not of {view.desired.version}"
        return Plan(Phase.CONFIRMING, reason, (*applies, *last))
    confirmed = replace(view.memory, confirmed_at=view.now, rejection=None)
    reason = f"{len(wanted)} endpoints, all of {view.desired.version}"
    switched_at = view.memory.active.since if view.memory.active else None
    noted = remember(service, confirmed, "switch_confirmed", reason, switched_at)
    return Plan(Phase.CONFIRMING, reason, (*applies, noted, *last))

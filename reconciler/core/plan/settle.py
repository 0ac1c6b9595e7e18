"""Desired is active: keep it as Git says, confirm the switch, let the old colour go.

A pod template that is in service is never written (`never-cut-the-active`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.core.action import Apply, Handover
from reconciler.core.front import route_of, same_route, without_route
from reconciler.core.health import explain, is_down, ready_pods
from reconciler.core.live import LiveRevision
from reconciler.core.observed import Front
from reconciler.core.phase import Phase
from reconciler.core.plan.astray import follow
from reconciler.core.plan.confirm import confirmed, has_arrived
from reconciler.core.plan.cutover import cut_over, pods_on_trial
from reconciler.core.plan.extras import note_after, note_before, tend
from reconciler.core.plan.forgotten import forgotten
from reconciler.core.plan.gate import note_of_service
from reconciler.core.plan.kept import is_idle
from reconciler.core.plan.manifests import remember, switch_manifest
from reconciler.core.plan.preview import idle
from reconciler.core.plan.retire import clean_up
from reconciler.core.plan.trial import Trial, ended, go_back, trial_of
from reconciler.core.plan.upkeep import front_repairs, repairs
from reconciler.core.plan.view import Plan, View, claim_of, is_fit, ref_of


def settle(view: View) -> Plan:
    """Keeps the active revision as Git says, confirms its switch, watches it, and lets the earlier ones go."""
    trial = trial_of(view)
    made = _settle(view, trial)
    # What was measured counts until it is on record, whatever else is to be done first.
    return replace(made, checks=trial.checks) if trial else made


def _settle(view: View, trial: Trial | None) -> Plan:
    front, memory = view.front, view.memory
    assert front is not None
    # Before all else: what is to be put right here may be refused, and clients see the failure meanwhile.
    if trial and trial.failed:
        back = go_back(view, front, trial.reason)
        if back.actions:
            return back
        trial = replace(trial, reason=back.reason)  # until it can go back, this one is kept as Git says
    if route := _put_right(view, front):
        return route
    applies, refused = repairs(view)
    # Notes on the Service go before repairs of it: whoever fights us over a field must not keep us from them.
    last = tuple(front_repairs(view))
    phase, reason = _settled_phase(view, refused), refused or _shortfall(view.target) or _strays(view)
    if trial and memory.confirmed_at is not None:
        phase, reason = Phase.DEGRADED if is_down(view.target) else Phase.WATCHING, trial.reason
    if used := note_before(view):
        return Plan(Phase.CONFIRMING if memory.confirmed_at is None else phase, reason, (used, *applies))
    if memory.confirmed_at is None:
        return _confirm(view, front, applies, last)
    if trial and trial.over:
        return Plan(Phase.WATCHING, trial.reason, (ended(view, front, trial), *applies, *last))
    if memory.rejection:
        forgotten = replace(memory, rejection=None)
        return Plan(phase, reason, (*applies, remember(front, forgotten, "rejection_cleared"), *last))
    (leftovers, due), (preview, preview_due) = clean_up(view), idle(view)
    # What the API server may refuse for good goes last, and a note of what there is no more after all of it.
    actions = (*note_of_service(view), *applies, *leftovers, *last, *tend(view), *preview)
    unused = None if actions else note_after(view)
    wake_at = min(filter(None, (due, preview_due, trial.wake_at if trial else None)), default=None)
    return Plan(phase, reason, (unused,) if unused else actions, wake_at)


def _put_right(view: View, front: Front) -> Plan | None:
    """What comes before all else: that the memory says what the routes show, that all lead to one revision, and that
    every field has its owner."""
    noted = view.memory.active
    if noted is None or noted.revision != view.desired.revision:
        to = replace(view.as_active(view.now), on_trial=pods_on_trial(view))
        found = view.memory.switched(to)
        # What was delivered is not known any more either.
        found = replace(found, history=forgotten(view), deployments=()) if noted is None else found
        why = "the selector was found pointing here"
        return Plan(Phase.CONFIRMING, why, (remember(front, found, "switched", why),))
    if not same_route(front.route, route_of(view.desired.front)) and view.target and is_fit(view, view.target):
        what = "rules" if front.kind == "Ingress" else "selector's form"
        why = f"the {what} changed in the templates"
        return Plan(Phase.CONFIRMING, why, (cut_over(view, claim_of(view), why),))
    if moved := follow(view):
        return Plan(Phase.CONFIRMING, moved.reason, (moved,))
    handovers = tuple(_handovers(view, front))
    return Plan(Phase.CONFIRMING, "fields are handed over", handovers) if handovers else None


def _handovers(view: View, front: Front) -> Iterator[Handover]:
    live = {(each.kind, each.name): each for each in view.observed.fronts}
    for rendered in view.desired.fronts:
        there = live.get((rendered["kind"], rendered["metadata"]["name"]))
        if there and there.needs_handover:
            kept = switch_manifest(rendered, view.memory if there is front else None, there.route)
            yield Handover(ref_of(there), without_route(rendered), kept)


def _settled_phase(view: View, refused: str) -> Phase:
    if refused:
        return Phase.DRIFTED
    if is_down(view.target):
        return Phase.DEGRADED
    alone = all(each.revision == view.desired.revision or is_idle(view, each) for each in view.observed.revisions)
    return Phase.STABLE if alone else Phase.RETAINING


def _strays(view: View) -> str:
    """What Git does not know (any more): where that leads to is kept for it."""
    names = ", ".join(f"{each.kind} {each.name}" for each in view.strays)
    return f"{names}: not in the templates any more. Delete it when no client uses it" if names else ""


def _shortfall(target: LiveRevision | None) -> str:
    """What the active revision lacks, in words; '' if nothing."""
    if target is None:
        return "its workloads are gone"
    return explain(target) if len(ready_pods(target)) < target.replicas else ""


def _confirm(view: View, front: Front, applies: tuple[Apply, ...], last: tuple[Apply, ...]) -> Plan:
    """A switch counts as done when all of the new colour's ready pods, and no pods of another, are the endpoints."""
    arrived, reason = has_arrived(view, view.desired.revision, view.desired.version)
    if arrived:
        return Plan(Phase.CONFIRMING, reason, (*applies, confirmed(view, front, reason, view.memory.rejection), *last))
    if is_down(view.target):
        return Plan(Phase.DEGRADED, _shortfall(view.target), (*applies, *last))
    return Plan(Phase.CONFIRMING, reason, (*applies, *last))

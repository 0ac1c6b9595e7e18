"""Desired is not active: bring it up, wait until it is ready, then cut over.

`ready-before-switch` is kept here: `promotion` is reached only for a revision that `view.is_fit` holds for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.core.action import Action, Adopt, Apply, Follow, Purpose, RequireFree, RequireRoom, Switch
from reconciler.core.health import explain, is_ready, is_unseen, trouble_from
from reconciler.core.live import LiveRevision, Workload
from reconciler.core.memory import Cause, Claim, Rejection
from reconciler.core.model import WORKLOADS, Component
from reconciler.core.phase import Phase
from reconciler.core.plan.astray import put_back
from reconciler.core.plan.cutover import noted_on_workload, promotion
from reconciler.core.plan.extras import note_before
from reconciler.core.plan.gate import Gate, approval, closed_gate, evidence_of, note_of, results_used, unready_since
from reconciler.core.plan.kept import is_spent
from reconciler.core.plan.manifests import Size, remember, workload_manifest
from reconciler.core.plan.preview import bring_up, require_free
from reconciler.core.plan.purpose import purpose_of
from reconciler.core.plan.retire import clean_up
from reconciler.core.plan.stand_in import stand_in
from reconciler.core.plan.upkeep import apply_configs, upkeep_of_active
from reconciler.core.plan.view import (
    Plan,
    View,
    claim_of,
    compared,
    counterpart,
    is_doomed,
    is_fit,
    live_of,
    ref_of,
    serves,
    was_serving,
)


def promote(view: View) -> Plan:
    """Brings the desired revision up, and cuts over to it once it is ready."""
    target = view.target
    if target and target.deleting:
        return Plan(Phase.APPLYING, f"{target.named} of an earlier attempt is still being deleted")
    claim = claim_of(view)
    applies = tuple(_bring_up(view, claim))
    if target is None or any(each.purpose not in _NEED_NO_WAIT for each in applies):
        return _await_ready(view, claim, applies, Phase.APPLYING)
    if not is_fit(view, target):
        was_fit = evidence_of(target, claim).ready_at is not None
        if was_fit and is_unseen(target):
            return _go_on(view, claim, target, applies)
        return _await_ready(view, claim, applies, Phase.PROGRESSING)
    if gate := closed_gate(view, claim, target):
        return _hold_back(view, claim, target, applies, gate)
    # Traffic moves first. (A write on a workload just before would keep its controller, and so kube-proxy, busy in
    # the very moment of a rollback.) What is left to be noted there, `settle` does when the switch is confirmed.
    first = applies if is_doomed(view) else ()
    moved = promotion(view, claim, approval(view, target))
    return Plan(Phase.SWITCHING, explain(target), (*first, moved), checks=results_used(view, claim, target))


_NEED_NO_WAIT = (Purpose.REUSE, Purpose.NOTE)


def _hold_back(view: View, claim: Claim, target: LiveRevision, applies: tuple[Apply, ...], gate: Gate) -> Plan:
    """Ready, but not let through yet. What was shown counts for one claim, so that is written first."""
    if gate.failed:
        made = _reject(view, target, claim, gate.reason, Cause.CHECKS)
        return replace(made, checks=gate.checks)
    made = _meanwhile(view, gate.phase, gate.reason, applies, gate.wake_at)
    if target.claim is None or target.claim.since != claim.since:
        return made
    noted = () if any(isinstance(each, Switch | Follow) for each in made.actions) else note_of(gate, claim, target)
    return replace(made, checks=gate.checks, actions=(*made.actions, *noted))


def _go_on(view: View, claim: Claim, target: LiveRevision, applies: tuple[Apply, ...]) -> Plan:
    """It was fit, and what was noted or approved since, its controller has not seen yet. That moment ends no check, and
    is nothing for `progressDeadline` to count; but traffic does not move in it."""
    if gate := closed_gate(view, claim, target):
        return _hold_back(view, claim, target, applies, gate)
    made = _meanwhile(view, Phase.PROGRESSING, "its controller has not seen the latest note yet", applies, None)
    return replace(made, checks=results_used(view, claim, target))


def _await_ready(view: View, claim: Claim, applies: tuple[Apply, ...], phase: Phase) -> Plan:
    limit, target = view.desired.app.strategy.progress_deadline, view.target
    deadline = limit + (unready_since(target, claim) if target else claim.since)
    if target and not applies and view.now >= deadline and not was_serving(view):
        return _reject(view, target, claim, f"not ready within {limit:g} s: {explain(target)}")
    ahead = deadline if deadline > view.now else None
    told = trouble_from(target, view.now) if target else None
    absent = f"revision {view.desired.revision} of {view.desired.version} is not there yet"
    reason = explain(target) if target else absent
    return _meanwhile(view, phase, reason, applies, min(filter(None, (ahead, told)), default=None))


def _meanwhile(view: View, phase: Phase, reason: str, applies: tuple[Apply, ...], wake_at: float | None) -> Plan:
    """What goes on while traffic stays where it is."""
    if moved := put_back(view):
        return Plan(phase, moved.reason, (moved,))
    leftovers, due = clean_up(view)
    writes = (*leftovers, *applies, *stand_in(view), *upkeep_of_active(view), *bring_up(view))
    noted, free = (used,) if (used := note_before(view)) else (), require_free(view)
    wake_at = min(filter(None, (wake_at, due)), default=None)
    return Plan(phase, reason, (*preconditions(view, writes), *free, *_room(view, applies), *noted, *writes), wake_at)


def _room(view: View, applies: tuple[Apply, ...]) -> tuple[RequireRoom, ...]:
    """Asked for before a colour is begun beside the active one alone: what other colours leave behind is about to be
    free, and the quotas do not show it yet."""
    active = view.active.revision if view.active else ""
    if view.target or any(each.revision != active and not is_spent(view, each) for each in view.observed.revisions):
        return ()
    workloads = tuple(each.manifest for each in applies if each.manifest["kind"] in WORKLOADS)
    return (RequireRoom(workloads),) if workloads else ()


def preconditions(view: View, writes: tuple[Action, ...]) -> tuple[Action, ...]:
    """That we can create a Service which is missing is known before anything else is written: its name may belong to
    somebody else, or to one of ours that lost its labels and is serving. What may be adopted is adopted first."""
    there = {(each.kind, each.name) for each in view.observed.fronts}
    missing = [each for each in view.desired.fronts if (each["kind"], each["metadata"]["name"]) not in there]
    if not missing or not writes:
        return ()
    free = tuple(map(RequireFree, missing))
    adoptable = view.front is None and view.desired.app.adopt and view.desired.front["kind"] == "Service"
    return (Adopt(view.desired.front), *free) if adoptable else free


def _bring_up(view: View, claim: Claim) -> Iterator[Apply]:
    """Applies what the desired revision lacks. Of a warm, ready revision only the claim is written (`REUSE`), or a
    rejection that no longer holds taken off."""
    yield from apply_configs(view)
    for component in view.desired.components:
        yield from _bring_up_one(view, component, claim)


def _bring_up_one(view: View, component: Component, claim: Claim) -> Iterator[Apply]:
    live, size = live_of(view, component), _size_for_promotion(view, component)
    manifest = workload_manifest(component, size, claim)
    if live is None:
        yield Apply(manifest, Purpose.RELEASE)
        return
    manifest, found = compared(view, manifest, live.live)
    if serves(view, live.revision) and any(each.path.startswith("spec.template") for each in found):
        return  # never-cut-the-active: `settle` tells of it
    if found or live.rejection:
        yield Apply(manifest, purpose_of(found), ref_of(live), found, reason=size.why)


def _size_for_promotion(view: View, component: Component) -> Size:
    """As many as the active colour has at this moment, or more if this commit asks for more. A former revision that is
    ready goes first as it is: `settle` lets it catch up once traffic is there.

    What Git asked of the active colour stays noted: after the switch, `settle` sees by it whether Git wants another
    count than it did before.
    """
    live, active, asked = live_of(view, component), counterpart(view, component, view.active), component.replicas
    noted = active.noted_replicas if active else str(asked)
    if live and view.target and view.memory.former(live.revision) and is_fit(view, view.target):
        return Size(live.replicas, noted)
    wanted, why = (active.replicas, "the active colour has as many") if active and active.replicas else (asked, "")
    if wanted < asked and noted not in ("", str(asked)):
        wanted, why = asked, ""
    if _starts_small(view, live, wanted):
        preview = view.desired.app.strategy.preview_replica_count or wanted
        return Size(max(preview, live.replicas if live else 0), noted, "previewReplicaCount")
    return Size(max(live.replicas, wanted) if live else wanted, noted, why or f"Git asks for {asked}")


def _starts_small(view: View, live: Workload | None, wanted: int) -> bool:
    """Whether a workload shall first prove itself with `previewReplicaCount` pods: it is not there yet, or is that
    small and its revision not ready. Without an active colour there is nothing to be spared beside it, and one that was
    active before has proved itself."""
    preview = view.desired.app.strategy.preview_replica_count
    proved = live is not None and view.memory.former(live.revision) is not None
    if preview is None or preview >= wanted or view.active is None or proved:
        return False
    return live is None or view.target is None or (live.replicas <= preview and not is_ready(view.target))


def _reject(view: View, target: LiveRevision, claim: Claim, reason: str, cause: Cause = Cause.PROGRESS) -> Plan:
    """Traffic stays where it is, and the revision is not tried again for this commit."""
    rejection = Rejection(target.revision, view.desired.version, view.desired.commit, reason, view.now, cause)
    if view.front:
        memory = replace(view.memory, rejection=rejection)
        action: Action | None = remember(view.front, memory, "rejected", reason, claim.since)
    else:
        action = noted_on_workload(view, rejection)
    return Plan(Phase.REJECTED, reason, (action,) if action else ())

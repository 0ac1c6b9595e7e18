"""Desired is not active: bring it up, wait until it is ready, then cut over.

`ready-before-switch` is kept here: `cut_over` is reached only for a revision that `health.is_ready` holds for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.core.action import Action, Apply, CreateService, Purpose, RequireFree, Switch
from reconciler.core.diff import Difference
from reconciler.core.health import explain, is_ready, ready_from
from reconciler.core.memory import Active, Claim, Memory, Rejection, write_memory
from reconciler.core.observed import Workload
from reconciler.core.phase import Phase
from reconciler.core.plan.manifests import annotated, moving_ports, remember, switch_manifest, workload_manifest
from reconciler.core.plan.retire import clean_up, retirement_due
from reconciler.core.plan.view import Plan, View, claim_of, ref_of, seen_differences

CLAIM_MARGIN = 20.0
"""Seconds before its retirement from which on a revision is claimed before it is switched to: more than the clocks of
two daemons may differ by."""


def promote(view: View) -> Plan:
    """Brings the desired revision up, and cuts over to it once it is ready."""
    target = view.target
    if target and target.deleting:
        return Plan(Phase.APPLYING, f"Deployment {target.name} of an earlier attempt is still being deleted")
    claim = claim_of(view)
    applies = tuple(_bring_up(view, claim))
    unready = target is None or any(each.purpose is not Purpose.REUSE for each in applies)
    if target is None or unready or not is_ready(target, view.now):
        return _await_ready(view, claim, applies, Phase.APPLYING if unready else Phase.PROGRESSING)
    first = () if _far_from_its_end(view, target) else applies
    return Plan(Phase.SWITCHING, explain(target), (*first, cut_over(view, claim)))


def _far_from_its_end(view: View, target: Workload) -> bool:
    """Whether no daemon can be about to retire this warm revision: then traffic moves first, and `settle` writes the
    claim once the switch is confirmed. (A write on the Deployment just before would keep its controller, and so
    kube-proxy, busy in the very moment of a rollback.)"""
    due = retirement_due(view, target)
    return due is not None and due - view.now > CLAIM_MARGIN


def _await_ready(view: View, claim: Claim, applies: tuple[Apply, ...], phase: Phase) -> Plan:
    deadline = claim.since + view.desired.app.strategy.progress_deadline
    if view.target and not applies and view.now >= deadline and not _was_serving(view, view.target):
        return _reject(view, view.target, claim)
    leftovers, due = clean_up(view)
    ahead = deadline if deadline > view.now else None
    soonest = [ready_from(view.target, view.now) if view.target else None, ahead, due]
    wake_at = min((each for each in soonest if each is not None), default=None)
    absent = f"revision {view.desired.revision} of {view.desired.version} is not there yet"
    reason = explain(view.target) if view.target else absent
    return Plan(phase, reason, (*leftovers, *_preconditions(view), *applies), wake_at)


def _preconditions(view: View) -> tuple[RequireFree, ...]:
    """A first release must be able to create its Service in the end: that is known before a pod is started."""
    return (RequireFree(view.desired.service),) if view.service is None and view.target is None else ()


def _was_serving(view: View, target: Workload) -> bool:
    """Whether this is no promotion but a repair: the selector was moved by hand. The claim is an old one then, and a
    pod that is unready just now no reason to give up what Git wants."""
    noted = view.memory.active
    return noted is not None and noted.revision == target.revision


def _bring_up(view: View, claim: Claim) -> Iterator[Apply]:
    """Applies what the desired revision lacks. Of a warm, ready revision only the claim is written (`REUSE`), or a
    rejection that no longer holds taken off."""
    yield from apply_configs(view)
    target, replicas = view.target, _replicas_for_promotion(view)
    manifest = workload_manifest(view.desired, replicas, claim)
    if target is None:
        yield Apply(manifest, Purpose.RELEASE)
        return
    found = seen_differences(view, manifest, target.live)
    if found or target.rejection:
        yield Apply(manifest, purpose_of(found), ref_of("Deployment", target), found)


def apply_configs(view: View) -> Iterator[Apply]:
    """The desired revision's ConfigMaps and Secrets that are missing or differ."""
    live = {(each.kind, each.name): each for each in view.observed.configs}
    for manifest in view.desired.configs:
        there = live.get((manifest["kind"], manifest["metadata"]["name"]))
        if there is None:
            yield Apply(manifest, Purpose.RELEASE if view.target is None else Purpose.REPAIR)
        elif found := seen_differences(view, manifest, there.live):
            yield Apply(manifest, Purpose.REPAIR, ref_of(there.kind, there), found)


def purpose_of(found: tuple[Difference, ...]) -> Purpose:
    """What an apply of a Deployment with these differences is for."""
    paths = [each.path for each in found]
    if any(path == "spec.replicas" for path in paths):
        return Purpose.SCALE
    if all(path.startswith("metadata.annotations") for path in paths):
        return Purpose.REUSE
    return Purpose.REPAIR


def _replicas_for_promotion(view: View) -> int:
    """As many as the active colour has at this moment. A former revision that is ready goes first as it is:
    `settle` lets it catch up once traffic is there."""
    target, active = view.target, view.active
    wanted = active.replicas if active and active.replicas else view.desired.replicas
    if target is None:
        return wanted
    if view.memory.former(target.revision) and is_ready(target, view.now):
        return target.replicas
    return max(target.replicas, wanted)


def cut_over(view: View, claim: Claim) -> CreateService | Switch:
    """The one write that moves traffic: a Service that already points to the revision, or a moved selector."""
    to = view.as_active(view.now)
    if not view.service:
        memory = Memory(active=to)
        manifest = annotated(view.desired.service, write_memory(memory))
        return CreateService(manifest, to, claim.since)
    source = _source(view)
    memory = view.memory.switched(to, source)
    ports = moving_ports(view.desired, view.service)
    manifest = switch_manifest(view.desired, memory, view.desired.selector, ports)
    return Switch(
        ref_of("Service", view.service),
        manifest,
        to,
        source,
        began=claim.since,
        rollback=view.memory.former(to.revision) is not None,
        reason=_why_switch(view, source),
    )


def _source(view: View) -> Active | None:
    """What the selector points to before the switch: by the selector itself, the memory only adds to it."""
    active, noted = view.active, view.memory.active
    if active is None:
        return noted
    if noted and noted.revision == active.revision:
        return noted
    return Active(active.revision, active.version, active.colour, active.commit, view.now)


def _why_switch(view: View, source: Active | None) -> str:
    noted = view.memory.active
    if noted and (source is None or source.revision != noted.revision or noted.revision == view.desired.revision):
        return "the selector had been moved by hand"
    wanted = view.desired
    changed = (
        "" if source is None or source.version != wanted.version else " with another template, value or configuration"
    )
    return f"commit {wanted.commit[:12]} wants {wanted.version}{changed}"


def _reject(view: View, target: Workload, claim: Claim) -> Plan:
    """Traffic stays where it is, and the revision is not tried again for this commit."""
    limit = view.desired.app.strategy.progress_deadline
    reason = f"not ready within {limit:g} s: {explain(target)}"
    rejection = Rejection(target.revision, view.desired.version, view.desired.commit, reason, view.now)
    if view.service:
        memory = replace(view.memory, rejection=rejection)
        action: Action = remember(view.service, memory, "rejected", reason, claim.since)
    else:
        manifest = workload_manifest(view.desired, target.replicas, target.claim, rejection)
        found = seen_differences(view, manifest, target.live)
        action = Apply(manifest, Purpose.REJECT, ref_of("Deployment", target), found, rejection)
    return Plan(Phase.REJECTED, reason, (action,))

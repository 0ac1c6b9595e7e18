"""Desired is not active: bring it up, wait until it is ready, then cut over.

`ready-before-switch` is kept here: `cut_over` is reached only for a revision that `view.is_fit` holds for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.core.action import Action, Adopt, Apply, CreateService, Purpose, RequireFree, RequireRoom, Switch
from reconciler.core.further import resources
from reconciler.core.health import can_serve, explain, is_ready, trouble_from
from reconciler.core.memory import Active, Claim, Memory, Rejection, write_memory
from reconciler.core.observed import Workload
from reconciler.core.phase import Phase
from reconciler.core.plan.extras import note_before
from reconciler.core.plan.manifests import (
    Size,
    annotated,
    remember,
    switch_manifest,
    workload_manifest,
)
from reconciler.core.plan.ports import clash, moving_ports, written_over
from reconciler.core.plan.purpose import purpose_of
from reconciler.core.plan.retire import clean_up
from reconciler.core.plan.upkeep import apply_configs, upkeep_of_active
from reconciler.core.plan.view import (
    Plan,
    View,
    claim_of,
    compared,
    is_doomed,
    is_fit,
    ref_of,
    serves,
)


def promote(view: View) -> Plan:
    """Brings the desired revision up, and cuts over to it once it is ready."""
    target = view.target
    if target and target.deleting:
        return Plan(Phase.APPLYING, f"Deployment {target.name} of an earlier attempt is still being deleted")
    claim = claim_of(view)
    applies = tuple(_bring_up(view, claim))
    unready = target is None or any(each.purpose not in _NEED_NO_WAIT for each in applies)
    if target is None or unready or not is_fit(view, target):
        return _await_ready(view, claim, applies, Phase.APPLYING if unready else Phase.PROGRESSING)
    # Traffic moves first. (A write on the Deployment just before would keep its controller, and so kube-proxy, busy in
    # the very moment of a rollback.) What is left to be noted there, `settle` does when the switch is confirmed.
    first = applies if is_doomed(view) else ()
    return Plan(Phase.SWITCHING, explain(target), (*first, cut_over(view, claim)))


_NEED_NO_WAIT = (Purpose.REUSE, Purpose.NOTE)


def _await_ready(view: View, claim: Claim, applies: tuple[Apply, ...], phase: Phase) -> Plan:
    deadline = claim.since + view.desired.app.strategy.progress_deadline
    if view.target and not applies and view.now >= deadline and not _was_serving(view, view.target):
        return _reject(view, view.target, claim)
    if moved := put_back(view):
        return Plan(phase, moved.reason, (moved,))
    leftovers, due = clean_up(view)
    ahead = deadline if deadline > view.now else None
    absent = f"revision {view.desired.revision} of {view.desired.version} is not there yet"
    reason = explain(view.target) if view.target else absent
    writes = (*leftovers, *applies, *stand_in(view), *upkeep_of_active(view))
    told = trouble_from(view.target, view.now) if view.target else None
    wake_at = min(filter(None, (ahead, due, told)), default=None)
    noted = (used,) if (used := note_before(view)) else ()
    return Plan(phase, reason, (*preconditions(view, writes), *_room(view, applies), *noted, *writes), wake_at)


def _room(view: View, applies: tuple[Apply, ...]) -> tuple[RequireRoom, ...]:
    """Asked for before a colour is begun beside the active one alone: what other colours leave behind is about to be
    free, and the quotas do not show it yet."""
    active = view.active.revision if view.active else ""
    if view.target or any(each.revision != active for each in view.observed.workloads):
        return ()
    return tuple(RequireRoom(each.manifest) for each in applies if each.manifest["kind"] == "Deployment")


def preconditions(view: View, writes: tuple[Action, ...]) -> tuple[Action, ...]:
    """Without a Service of ours, that we can create it is known before anything else is written: its name may belong to
    somebody else, or to one of ours that lost its labels and is serving. What may be adopted is adopted first."""
    if view.service is not None or not writes:
        return ()
    free = RequireFree(view.desired.service)
    return (Adopt(view.desired.service), free) if view.desired.app.adopt else (free,)


def put_back(view: View) -> Switch | None:
    """While Git wants another revision, a selector that a hand moved goes back to where it was last switched to."""
    if view.service is None or view.standing is None or view.service.selector == view.standing.selector:
        return None
    of_active = replace(view, desired=view.standing, standing=None)
    if of_active.target is None or not is_fit(of_active, of_active.target):
        return None
    back = cut_over(of_active, claim_of(of_active), "the selector had been moved by hand")
    return back if isinstance(back, Switch) else None


def stand_in(view: View) -> tuple[CreateService, ...]:
    """Without a Service nobody is served: until what Git wants is ready, one of ours that can serve gets the traffic.

    Somebody deleted the Service, and with it the memory of which revision it pointed to; the latest is likely that.
    """
    others = [w for w in view.observed.workloads if w.revision != view.desired.revision and can_serve(w)]
    if view.service is not None or not others:
        return ()
    chosen = max(others, key=lambda w: w.claim.since if w.claim else 0.0)
    to = Active(chosen.revision, chosen.version, chosen.colour, chosen.commit, view.now)
    rendered = view.desired.service
    selector = {key: chosen.pod_labels.get(key, value) for key, value in view.desired.selector.items()}
    manifest = annotated(rendered, write_memory(Memory(active=to)))
    return (CreateService({**manifest, "spec": {**rendered["spec"], "selector": selector}}, to, view.now),)


def _was_serving(view: View, target: Workload) -> bool:
    """Whether this is no promotion but a repair: the selector was moved by hand. The claim is an old one then, and a
    pod that is unready just now no reason to give up what Git wants."""
    noted = view.memory.active
    return noted is not None and noted.revision == target.revision


def _bring_up(view: View, claim: Claim) -> Iterator[Apply]:
    """Applies what the desired revision lacks. Of a warm, ready revision only the claim is written (`REUSE`), or a
    rejection that no longer holds taken off."""
    yield from apply_configs(view)
    target, size = view.target, _size_for_promotion(view)
    manifest = workload_manifest(view.desired, size, claim)
    if target is None:
        yield Apply(manifest, Purpose.RELEASE)
        return
    manifest, found = compared(view, manifest, target.live)
    if serves(view, target) and any(each.path.startswith("spec.template") for each in found):
        return  # never-cut-the-active: `settle` tells of it
    if found or target.rejection:
        yield Apply(manifest, purpose_of(found), ref_of("Deployment", target), found, reason=size.why)


def _size_for_promotion(view: View) -> Size:
    """As many as the active colour has at this moment, or more if this commit asks for more. A former revision that is
    ready goes first as it is: `settle` lets it catch up once traffic is there.

    What Git asked of the active colour stays noted: after the switch, `settle` sees by it whether Git wants another
    count than it did before.
    """
    target, active, asked = view.target, view.active, view.desired.replicas
    noted = active.noted_replicas if active else str(asked)
    if target and view.memory.former(target.revision) and is_fit(view, target):
        return Size(target.replicas, noted)
    wanted, why = (active.replicas, "the active colour has as many") if active and active.replicas else (asked, "")
    if wanted < asked and noted not in ("", str(asked)):
        wanted, why = asked, ""
    if _starts_small(view, wanted):
        preview = view.desired.app.strategy.preview_replica_count or wanted
        return Size(max(preview, target.replicas if target else 0), noted, "previewReplicaCount")
    return Size(max(target.replicas, wanted) if target else wanted, noted, why or f"Git asks for {asked}")


def _starts_small(view: View, wanted: int) -> bool:
    """Whether the revision shall first prove itself with `previewReplicaCount` pods: it is not there yet, or is that
    small and not ready. Without an active colour there is nothing to be spared beside it."""
    preview, target = view.desired.app.strategy.preview_replica_count, view.target
    if preview is None or preview >= wanted or view.active is None:
        return False
    return target is None or (target.replicas <= preview and not is_ready(target))


def cut_over(view: View, claim: Claim, reason: str = "") -> CreateService | Switch:
    """The one write that moves traffic: a Service that already points to the revision, or a moved selector. `reason`,
    if it is none of the usual ones."""
    to = view.as_active(view.now)
    if not view.service:
        memory = Memory(active=to, inventory=resources(view.desired.extras))
        manifest = annotated(view.desired.service, write_memory(memory))
        return CreateService(manifest, to, claim.since)
    source = _source(view)
    memory = view.memory.switched(to, source)
    memory = replace(memory, inventory=memory.inventory | resources(view.desired.extras))
    over = clash(view.desired, view.service)
    ports = written_over(view.desired, view.service) if over else moving_ports(view.desired, view.service)
    manifest = switch_manifest(view.desired, memory, view.desired.selector, ports)
    return Switch(
        ref_of("Service", view.service),
        manifest,
        to,
        source,
        began=claim.since,
        rollback=view.memory.former(to.revision) is not None and (source is None or source.revision != to.revision),
        reason=reason or _why_switch(view, source),
        over=over,
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
        manifest = workload_manifest(
            view.desired, Size(target.replicas, target.noted_replicas), target.claim, rejection
        )
        manifest, found = compared(view, manifest, target.live)
        action = Apply(manifest, Purpose.REJECT, ref_of("Deployment", target), found, rejection)
    return Plan(Phase.REJECTED, reason, (action,))

"""The writes that move traffic. Nothing else in this project writes a route.

An app's further Services move first, one right after the other, and the active one, which holds the memory, last: what
it says is active has been switched to as a whole. A daemon that is killed in between, or finds a Service elsewhere for
another reason, does what is left in its next cycle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.core.action import Apply, CreateFront, Move, Purpose, Remember, Switch
from reconciler.core.front import Route, route_of, same_route
from reconciler.core.further import followed
from reconciler.core.memory import Active, Cause, Claim, Memory, Rejection, write_memory
from reconciler.core.model import Manifest
from reconciler.core.observed import SWITCH_MANAGER, Front
from reconciler.core.place import entries, holds
from reconciler.core.plan.forgotten import forgotten
from reconciler.core.plan.manifests import Size, annotated, identity_of, remember, switch_manifest, workload_manifest
from reconciler.core.plan.moved import moved_by_hand
from reconciler.core.plan.ports import clash, moving_ports, written_over
from reconciler.core.plan.view import View, compared, is_known_good, live_of, ref_of, was_serving


def cut_over(
    view: View, claim: Claim, reason: str = "", rejection: Rejection | None = None, held: Rejection | None = None
) -> CreateFront | Switch:
    """Moves traffic to the desired revision: a moved route, or a new Service that leads there already. `reason`, if it
    is none of the usual ones. `rejection` of what is led back from, if so; `held` is one that is remembered instead."""
    to = replace(view.as_active(view.now), on_trial=pods_on_trial(view))
    moves = along(view)
    if not view.front:
        first = replace(Memory().switched(to), inventory=followed(view.desired))
        memory = replace(first, history=forgotten(view))
        manifest = annotated(view.desired.front, write_memory(memory))
        return CreateFront(manifest, to, claim.since, moves)
    source = _source(view)
    memory = view.memory.switched(to, source)
    # A hand that moved the route is no reason to show users again what was rejected.
    still = held or rejection or (view.memory.rejection if was_serving(view) else None)
    memory = replace(memory, inventory=memory.inventory | followed(view.desired), rejection=still)
    if rejection:
        memory = replace(memory, history=tuple(_with_failure(each, rejection) for each in memory.history))
    move = _move(view.desired.front, view.front, memory)
    return Switch(
        ref_of(view.front),
        move.manifest,
        to,
        source,
        began=claim.since,
        rollback=is_known_good(view) and (source is None or source.revision != to.revision),
        reason=reason or _why_switch(view, source),
        over=move.over,
        along=moves,
        rejection=rejection,
    )


def pods_on_trial(view: View) -> int:
    """With how many pods the desired revision goes on trial; 0: no analysis follows. None does after a repair, nor
    after a switch to what was active before, unless it was led back from, or left before its analysis was over."""
    noted, former = view.memory.active, view.memory.former(view.desired.revision)
    proved = former is not None and not former.failed and not former.on_trial
    if view.desired.app.strategy.post_promotion is None or proved or view.target is None:
        return 0
    return noted.on_trial if noted and was_serving(view) else view.target.replicas


def _with_failure(former: Active, rejection: Rejection) -> Active:
    return replace(former, failed=True, on_trial=0) if former.revision == rejection.revision else former


def promotion(view: View, claim: Claim, approval: str = "") -> CreateFront | Switch:
    """As `cut_over`, with who approved it, and with what is written down if one of several Services refuses: else the
    same would be tried again and again. Also when only the active one is left to be moved: a daemon may have died in
    between."""
    made = cut_over(view, claim)
    if approval and isinstance(made, Switch):
        made = replace(made, reason=f"{made.reason}, {approval}")
    if view.front is None or not view.desired.services or not isinstance(made, Switch):
        return made
    return replace(made, refused=_refused(view, view.front, claim))


def along(view: View) -> tuple[Move, ...]:
    """What leads the further Services to the desired revision: those that are missing or lead elsewhere."""
    live = {each.name: each for each in view.services}
    moves = []
    for rendered in view.desired.services:
        there = live.get(rendered["metadata"]["name"])
        if there is None:
            moves.append(Move(rendered))
        elif not same_route(there.route, route_of(rendered)):
            moves.append(_move(rendered, there))
    return tuple(moves)


def _move(rendered: Manifest, live: Front, memory: Memory | None = None) -> Move:
    ports_clash, route = clash(rendered, live), route_of(rendered)
    ports = written_over(rendered, live) if ports_clash else moving_ports(rendered, live)
    if others := _held_by_others(route, live):
        route = {**dict.fromkeys(others), **route}
    over = ports_clash or bool(others)
    manifest = switch_manifest(rendered, memory, route, ports)
    held: list[Any] = live.live["spec"]["ports"] if ports else []
    return Move(manifest, ref_of(live), over, switch_manifest(identity_of(live), None, live.route, held))


def _held_by_others(route: Route, live: Front) -> list[str]:
    """Fields of the live route that differ and that an apply would not take away, since the switch is not their only
    owner: a hand has added a `defaultBackend`. (A selector and a list of rules are atomic, and an apply's whole.)"""
    backend = live.route.get("defaultBackend")
    owners = [each for each in entries(live.live) if holds(each, ("spec", "defaultBackend"))]
    alone = [(each.get("manager"), each.get("operation")) for each in owners] == [(SWITCH_MANAGER, "Apply")]
    return [] if alone or not backend or backend == route.get("defaultBackend") else ["defaultBackend"]


def _refused(view: View, front: Front, claim: Claim) -> tuple[Remember | Apply, ...]:
    """Ways to note the rejection, the better one first: what refuses to be moved may refuse every write."""
    wanted = view.desired
    rejection = Rejection(wanted.revision, wanted.version, wanted.commit, "", view.now, Cause.REFUSED)
    noted = remember(front, replace(view.memory, rejection=rejection), "rejected", "", claim.since)
    on_workload = noted_on_workload(view, rejection)
    return (noted, on_workload) if on_workload else (noted,)


def noted_on_workload(view: View, rejection: Rejection) -> Apply | None:
    """Where no Service can hold it, the first of the revision's workloads holds the memory of a rejection."""
    there = ((each, live) for each in view.desired.components if (live := live_of(view, each)))
    component, live = next(there, (None, None))
    if component is None or live is None:
        return None
    manifest = workload_manifest(component, Size(live.replicas, live.noted_replicas), live.claim, rejection)
    manifest, found = compared(view, manifest, live.live)
    return Apply(manifest, Purpose.REJECT, ref_of(live), found, rejection)


def _source(view: View) -> Active | None:
    """What the route leads to before the switch: by the route itself, the memory only adds to it."""
    active, noted = view.active, view.memory.active
    if active is None:
        return noted
    if noted and noted.revision == active.revision:
        return noted
    return Active(active.revision, active.version, active.colour, active.commit, view.now)


def _why_switch(view: View, source: Active | None) -> str:
    noted = view.memory.active
    if noted and (source is None or source.revision != noted.revision or noted.revision == view.desired.revision):
        return moved_by_hand(view.front)
    wanted = view.desired
    changed = (
        "" if source is None or source.version != wanted.version else " with another template, value or configuration"
    )
    return f"commit {wanted.commit[:12]} wants {wanted.version}{changed}"

"""Desired was rejected for this commit: hold the last good revision until Git changes."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core.action import Apply, Purpose, Remember, RevertInGit
from reconciler.core.health import ready_pods
from reconciler.core.live import LiveRevision
from reconciler.core.memory import Cause, Rejection
from reconciler.core.phase import Phase
from reconciler.core.plan.astray import put_back
from reconciler.core.plan.confirm import confirmed, has_arrived
from reconciler.core.plan.manifests import Size, workload_manifest
from reconciler.core.plan.preview import idle
from reconciler.core.plan.promote import preconditions
from reconciler.core.plan.retire import clean_up, drained_from
from reconciler.core.plan.stand_in import stand_in
from reconciler.core.plan.upkeep import upkeep_of_active
from reconciler.core.plan.view import Plan, View, compared, is_fit, live_of, nobody_serves, ref_of, serves


def hold(view: View, rejection: Rejection) -> Plan:
    """Nothing moves until Git changes; the failed pods stay a while to be looked at, then scale to zero."""
    if moved := put_back(view):
        return Plan(Phase.REJECTED, rejection.reason, (moved,))
    if arrived := _arrived(view):
        return Plan(Phase.REJECTED, rejection.reason, (arrived,))
    target, due_down, (preview, preview_due) = view.target, _due_down(view, rejection), idle(view)
    if target is None or due_down is None or not _may_go(view, target) or view.now < due_down:
        leftovers, due = clean_up(view)
        wait = due_down if target and _may_go(view, target) else None
        wake_at = min(filter(None, (due, wait, preview_due)), default=None)
        writes = (*leftovers, *stand_in(view), *upkeep_of_active(view), *preview, *_revert(view, rejection))
        return Plan(Phase.REJECTED, rejection.reason, (*preconditions(view, writes), *writes), wake_at)
    leftovers, due = clean_up(view, going=target.workloads)
    kept = (*upkeep_of_active(view), *preview, *_revert(view, rejection))
    writes = (*leftovers, *_scale_down(view, rejection), *kept)
    wake_at = min(filter(None, (due, preview_due)), default=None)
    return Plan(Phase.REJECTED, rejection.reason, (*preconditions(view, writes), *writes), wake_at)


def _arrived(view: View) -> Remember | None:
    """The confirmation of the switch that led traffic back, once it has arrived."""
    active = view.memory.active
    if view.front is None or active is None or view.memory.confirmed_at is not None:
        return None
    arrived, reason = has_arrived(view, active.revision, active.version)
    return confirmed(view, view.front, reason, view.memory.rejection) if arrived else None


def _due_down(view: View, rejection: Rejection) -> float | None:
    """When (epoch seconds) the failed pods may go; None: that is not known yet, since they had traffic."""
    due, drained = rejection.at + view.desired.app.strategy.abort_scale_down_delay, drained_from(view)
    if view.memory.former(rejection.revision) is None:
        return due
    return None if drained is None else max(due, drained)


def _revert(view: View, rejection: Rejection) -> Iterator[RevertInGit]:
    """Last of all, since a Git host may refuse it: Git shall say what has the traffic."""
    active, asked = view.memory.active, view.desired.app.strategy.revert_in_git
    led_back = rejection.cause is Cause.ANALYSIS and active is not None and active.revision != rejection.revision
    if asked and led_back and active and view.memory.confirmed_at is not None:
        bad = view.memory.former(rejection.revision)
        yield RevertInGit(rejection, active, bad.commit if bad else rejection.commit)


def _may_go(view: View, target: LiveRevision) -> bool:
    """Whether there are pods that nobody needs."""
    needed = serves(view, target.revision) or (nobody_serves(view) and ready_pods(target))
    return target.replicas > 0 and not needed


def _scale_down(view: View, rejection: Rejection) -> Iterator[Apply]:
    for component in view.desired.components:
        live = live_of(view, component)
        if live is None or live.replicas == 0:
            continue
        # Users saw it fail. If the Service is deleted, and with it the memory of that, this one is still there.
        noted = rejection if live.rejection or rejection.cause is Cause.ANALYSIS else None
        manifest = workload_manifest(component, Size(0, live.noted_replicas), live.claim, noted)
        manifest, found = compared(view, manifest, live.live)
        yield Apply(manifest, Purpose.SCALE, ref_of(live), found, reason="it was rejected")


def late_but_ready(view: View) -> bool:
    """Whether a revision that was given up, since it was not ready in time, can serve after all while nobody does: then
    there is nothing good to hold instead of it."""
    late = view.rejection is not None and view.rejection.cause in (Cause.PROGRESS, Cause.REFUSED)
    return late and view.target is not None and nobody_serves(view) and is_fit(view, view.target)

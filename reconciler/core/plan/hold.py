"""Desired was rejected for this commit: hold the last good revision until Git changes."""

from __future__ import annotations

from reconciler.core.action import Apply, Purpose
from reconciler.core.health import is_ready, ready_pods
from reconciler.core.memory import Rejection
from reconciler.core.phase import Phase
from reconciler.core.plan.manifests import workload_manifest
from reconciler.core.plan.retire import clean_up
from reconciler.core.plan.view import Plan, View, ref_of, seen_differences, serves


def hold(view: View, rejection: Rejection) -> Plan:
    """Nothing moves until Git changes; the failed pods stay a while to be looked at, then scale to zero."""
    leftovers, due = clean_up(view)
    due_down = rejection.at + view.desired.app.strategy.abort_scale_down_delay
    target = view.target
    if target is None or target.replicas == 0 or serves(view, target) or (view.service is None and ready_pods(target)):
        return Plan(Phase.REJECTED, rejection.reason, leftovers, due)
    if view.now < due_down:
        soonest = min(due_down, due) if due is not None else due_down
        return Plan(Phase.REJECTED, rejection.reason, leftovers, soonest)
    noted = rejection if target.rejection else None
    manifest = workload_manifest(view.desired, 0, target.claim, noted)
    found = seen_differences(view, manifest, target.live)
    down = Apply(manifest, Purpose.SCALE, ref_of("Deployment", target), found)
    return Plan(Phase.REJECTED, rejection.reason, (*leftovers, down), due)


def late_but_ready(view: View) -> bool:
    """Whether a revision that was given up got ready after all while there is no Service: then there is nothing good
    to hold instead of it, and nobody is served until it is tried again."""
    return view.service is None and view.target is not None and is_ready(view.target, view.now)

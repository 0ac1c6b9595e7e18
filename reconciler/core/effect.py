"""Whether an action whose answer was lost took effect after all. Pure.

A write can succeed and its answer be lost with the connection, as when an API server restarts. The next cycle plans
from what is there and needs no answer; only the event that tells of the step would be missing.
"""

from __future__ import annotations

from reconciler.core.action import (
    Action,
    Adopt,
    Apply,
    CreateService,
    Handover,
    Prune,
    Remember,
    RequireFree,
    RequireRoom,
    Retire,
    Switch,
)
from reconciler.core.diff import differences
from reconciler.core.model import Manifest
from reconciler.core.observed import Observed
from reconciler.core.policy import resource_of


def took_effect(action: Action, observed: Observed) -> bool:
    """Whether the cluster holds what `action` writes. The memory and the claim carry times of their own, so another
    daemon's write of the same kind is not taken for this one."""
    match action:
        case RequireFree() | RequireRoom() | Adopt():
            return False
        case Retire():
            return observed.workload(action.revision) is None
        case Prune():
            there = {(each.kind, each.name) for each in (*observed.configs, *observed.shared)}
            return (action.object.kind, action.object.name) not in there
        case Handover():
            return observed.service is not None and not observed.service.needs_handover
        case Apply() | CreateService() | Switch() | Remember():
            live = _live(action.manifest, observed)
            return live is not None and not differences(action.manifest, live)


def _live(manifest: Manifest, observed: Observed) -> Manifest | None:
    known = [each.live for each in observed.workloads]
    known += [each.live for each in (*observed.configs, *observed.shared)]
    known += [observed.service.live] if observed.service else []
    wanted = resource_of(manifest), manifest["metadata"]["name"]
    return next((live for live in known if (resource_of(live), live["metadata"]["name"]) == wanted), None)

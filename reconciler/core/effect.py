"""Whether an action whose answer was lost took effect after all. Pure.

A write can succeed and its answer be lost with the connection, as when an API server restarts. The next cycle plans
from what is there and needs no answer; only the event that tells of the step would be missing.
"""

from __future__ import annotations

from reconciler.core.action import (
    Action,
    Adopt,
    Apply,
    CreateFront,
    Follow,
    Handover,
    NoteEvidence,
    Preview,
    Prune,
    Remember,
    RequireFree,
    RequireRoom,
    Retire,
    RevertInGit,
    ScaleDown,
    Switch,
)
from reconciler.core.diff import differences
from reconciler.core.live import Workload
from reconciler.core.model import Manifest
from reconciler.core.observed import Config, Front, Observed
from reconciler.core.policy import resource_of


def took_effect(action: Action, observed: Observed) -> bool:
    """Whether the cluster holds what `action` writes. The memory and the claim carry times of their own, so another
    daemon's write of the same kind is not taken for this one."""
    match action:
        case RequireFree() | RequireRoom() | Adopt() | RevertInGit():
            return False
        case Retire():
            return observed.revision(action.revision) is None
        case Prune():
            there: tuple[Config | Front, ...] = (*observed.configs, *observed.shared, *_services(observed))
            return not any((e.kind, e.name) == (action.object.kind, action.object.name) for e in there)
        case Handover():
            wanted = action.front.kind, action.front.name
            return any((e.kind, e.name) == wanted and not e.needs_handover for e in observed.fronts)
        case Follow():
            return all(_holds(each.manifest, observed) for each in action.moves)
        case Apply() | CreateFront() | Switch() | Preview() | Remember() | NoteEvidence() | ScaleDown():
            return _holds(action.manifest, observed)


def _services(observed: Observed) -> tuple[Front, ...]:
    """Services that are no revision's own, and an Ingress."""
    return (*observed.fronts, observed.preview) if observed.preview else observed.fronts


def _holds(manifest: Manifest, observed: Observed) -> bool:
    known: tuple[Workload | Config | Front, ...] = (
        *observed.workloads,
        *observed.configs,
        *observed.shared,
        *_services(observed),
    )
    wanted = resource_of(manifest), manifest["metadata"]["name"]
    live = next((each.live for each in known if (each.kind, each.name) == wanted), None)
    return live is not None and not differences(manifest, live)

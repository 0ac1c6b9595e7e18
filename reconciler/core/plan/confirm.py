"""Whether a switch has arrived: EndpointSlices show the new colour's ready pods, and no others."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.action import Remember
from reconciler.core.health import ready_pods
from reconciler.core.memory import Rejection
from reconciler.core.observed import Front, led_workloads
from reconciler.core.plan.manifests import remember
from reconciler.core.plan.view import View


def has_arrived(view: View, revision: str, version: str) -> tuple[bool, str]:
    """Whether the ready pods of `revision`, and no others, are the endpoints; and how many there are, in words."""
    fronts = (*view.services, *((view.front,) if view.front else ()))
    others = sum(1 for each in fronts for found in each.endpoints.values() if found != revision)
    count = len({pod for each in fronts for pod in each.endpoints})
    if others or not all(_has_all(view, each, revision) for each in fronts):
        return False, f"{count} endpoints, {others} of them not of {version}"
    return True, f"{count} endpoints, all of {version}"


def confirmed(view: View, front: Front, reason: str, rejection: Rejection | None = None) -> Remember:
    """The note that it has, with the rejection that still holds."""
    active = view.memory.active
    memory = replace(view.memory, confirmed_at=view.now, rejection=rejection)
    return remember(front, memory, "switch_confirmed", reason, active.since if active else None, of=active)


def _has_all(view: View, front: Front, revision: str) -> bool:
    """Whether every ready pod that it leads to is an endpoint, and there is one."""
    led = (each for each in led_workloads(view.observed, front) if each.revision == revision)
    wanted = {pod for each in led for pod in ready_pods(each)}
    return bool(wanted) and wanted <= front.endpoints.keys()

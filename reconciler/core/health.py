"""Whether a revision is ready for traffic, and if not, why not. Pure.

Pods are counted rather than the Deployment's status: a pod turns Ready about 10 ms before the status
says so. The status is still asked whether the Deployment controller has seen the latest spec, and it has the
last word whenever pods of an earlier object of the same name are still about.
"""

from __future__ import annotations

from reconciler.core.observed import Pod, Workload

_CLOCKS = 2.0
"""Seconds by which two API servers that stamp objects may differ, and those stamps are cut to whole seconds."""


def is_ready(workload: Workload, now: float) -> bool:
    """True when every wanted replica, at the generation that was asked for, has been ready long enough.

    `now` in epoch seconds; it matters for `minReadySeconds` only. A revision of no replicas is never ready.
    """
    if workload.deleting or workload.replicas < 1 or not _settled(workload):
        return False
    ready = [pod for pod in _own(workload) if pod.ready and _ready_at(workload, pod) <= now]
    if len(ready) < workload.replicas:
        return False
    strays = len(workload.pods) > workload.replicas
    return not strays or workload.ready_count >= workload.replicas


def ready_from(workload: Workload, now: float) -> float | None:
    """The time at which `minReadySeconds` will have passed for a pod that is ready already, if that is ahead."""
    ahead = [_ready_at(workload, pod) for pod in _own(workload) if pod.ready and _ready_at(workload, pod) > now]
    return min(ahead, default=None)


def ready_pods(workload: Workload) -> frozenset[str]:
    """Names of the pods that should be endpoints of a Service which selects this revision."""
    return frozenset(pod.name for pod in workload.pods if pod.ready and not pod.terminating)


def trouble(workload: Workload) -> str:
    """The first pod's trouble in the kubelet's own words, or '' while nothing is wrong."""
    return next((f"pod {pod.name}: {pod.trouble}" for pod in _own(workload) if pod.trouble), "")


def explain(workload: Workload) -> str:
    """How far the revision is, in one line, with the first pod's trouble, or why it is not ready."""
    ready = sum(1 for pod in _own(workload) if pod.ready)
    progress = f"{ready} of {workload.replicas} pods ready"
    unready = (f"pod {pod.name}: {pod.unready}" for pod in _own(workload) if not pod.ready and pod.unready)
    return "; ".join(part for part in (progress, trouble(workload) or next(unready, "")) if part)


def _settled(workload: Workload) -> bool:
    """The controller has acted on the latest spec, and no pod of an older template is left."""
    seen = workload.observed_generation >= workload.generation
    return seen and workload.updated >= workload.replicas and workload.total == workload.updated


def _own(workload: Workload) -> list[Pod]:
    """Pods that this very Deployment can have made: not those of a deleted one of the same name."""
    return [pod for pod in workload.pods if not pod.terminating and pod.created > workload.created - _CLOCKS]


def _ready_at(workload: Workload, pod: Pod) -> float:
    return pod.ready_since + workload.min_ready_seconds

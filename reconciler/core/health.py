"""Whether a revision is ready for traffic, and if not, why not. Pure.

Two witnesses, and both have to agree. The *pods* are what the kubelet says now: one that turned unready is seen at
once. The *Deployment's status* is what Kubernetes' controllers know: the controller that fills EndpointSlices reads the
same cache of pods as the one that counts them there (and counts none of another Deployment's). When a control plane
comes back from an outage that cache may be up to a minute behind ours, and a selector that moved before it had caught
up would lead to no endpoint at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from reconciler.core.observed import Pod, Workload

PATIENCE = 15.0
"""Seconds for which a container may run without being ready before that is told."""


def is_ready(workload: Workload) -> bool:
    """True when every wanted replica, at the generation that was asked for, is ready, and enough are known to be.

    Available is what has been ready for `minReadySeconds`, by the clock of Kubernetes' own controller. A revision of no
    replicas is never ready.
    """
    if workload.deleting or workload.replicas < 1 or not _settled(workload):
        return False
    ready = sum(1 for pod in _staying(workload) if pod.ready)
    return ready >= workload.replicas and workload.available >= known_enough(workload)


def known_enough(workload: Workload) -> int:
    """How many pods the controllers must know to be available before traffic may move.

    Of three or more, the news of the last one may still be on its way (some 10 ms): the others already prove that the
    controllers hear of pods, and have endpoints. Not with `minReadySeconds`, which only the controllers count.
    """
    on_its_way = workload.replicas >= 3 and not workload.min_ready_seconds
    return workload.replicas - 1 if on_its_way else workload.replicas


def can_serve(workload: Workload) -> bool:
    """Whether at least one pod of a revision that was wholly available before is ready, and known to be.

    Less than `is_ready`: enough where the alternative is that nobody is served.
    """
    ready = any(pod.ready and not pod.terminating for pod in workload.pods)
    return not workload.deleting and workload.completed and ready and workload.available > 0


def ready_pods(workload: Workload) -> frozenset[str]:
    """Names of the pods that should be endpoints of a Service which selects this revision."""
    return frozenset(pod.name for pod in workload.pods if pod.ready and not pod.terminating)


def trouble(workload: Workload, now: float) -> str:
    """What keeps the revision from getting ready, in the words of Kubernetes; '' while nothing is wrong.

    `now` in epoch seconds: a container that runs and does not get ready is no trouble before `PATIENCE` is over.
    """
    if workload.failure:
        return workload.failure
    found = (f"pod {pod.name}: {_pod_trouble(workload, pod, now)}" for pod in _staying(workload))
    return next((each for each in found if not each.endswith(": ")), "")


def trouble_from(workload: Workload, now: float) -> float | None:
    """When (epoch seconds) a container that is not ready yet becomes a trouble, if that is ahead."""
    due = (pod.waiting_since + PATIENCE for pod in _staying(workload) if pod.waiting)
    return min((each for each in due if each > now), default=None)


def explain(workload: Workload) -> str:
    """How far the revision is, in one line, with the first trouble, or why it is not ready."""
    ready = sum(1 for pod in _staying(workload) if pod.ready)
    progress = f"{ready} of {workload.replicas} pods ready"
    known = f"{workload.available} available by the Deployment's status" if workload.available < ready else ""
    unready = (f"pod {pod.name}: {pod.unready}" for pod in _staying(workload) if not pod.ready and pod.unready)
    return "; ".join(part for part in (progress, known, trouble(workload, inf) or next(unready, "")) if part)


def _pod_trouble(workload: Workload, pod: Pod, now: float) -> str:
    if pod.trouble or not pod.waiting or pod.waiting_since + PATIENCE > now:
        return pod.trouble
    containers = workload.live["spec"]["template"]["spec"]["containers"]
    probe = next((each.get("readinessProbe") for each in containers if each["name"] == pod.waiting), None)
    return f"container {pod.waiting} runs, but {_asked(probe or {})} does not succeed"


def _asked(probe: Mapping[str, Any]) -> str:
    """A readiness probe in words: a wrong path or port is the most usual fault of a first release."""
    http, tcp = probe.get("httpGet"), probe.get("tcpSocket")
    if http:
        return f"its readiness probe, GET {http.get('path', '/')} on port {http.get('port')},"
    return f"its readiness probe, a connection to port {tcp.get('port')}," if tcp else "its readiness probe"


def _settled(workload: Workload) -> bool:
    """The controller has acted on the latest spec, and no pod of an older template is left."""
    seen = workload.observed_generation >= workload.generation
    return seen and workload.updated >= workload.replicas and workload.total == workload.updated


def _staying(workload: Workload) -> list[Pod]:
    return [pod for pod in workload.pods if not pod.terminating]

"""Whether a revision is ready for traffic, and if not, why not. Pure.

Two witnesses, and both have to agree. The *pods* are what the kubelet says now: one that turned unready is seen at
once. The *workload's status* is what Kubernetes' controllers know: the controller that fills EndpointSlices reads the
same cache of pods as the one that counts them there (and counts none of another Deployment's). When a control plane
comes back from an outage that cache may be up to a minute behind ours, and a selector that moved before it had caught
up would lead to no endpoint at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

from reconciler.core.live import LiveRevision, Workload
from reconciler.core.pods import Pod

PATIENCE = 15.0
"""Seconds for which a container may run without being ready before that is told."""


def is_ready(revision: LiveRevision) -> bool:
    """True when every wanted pod of every workload, at the generation that was asked for, is ready, and enough are
    known to be.

    Available is what has been ready for `minReadySeconds`, by the clock of Kubernetes' own controller. A workload of no
    replicas is never ready.
    """
    return all(map(_is_ready, revision.workloads))


def _is_ready(workload: Workload) -> bool:
    if workload.deleting or workload.replicas < 1 or not _settled(workload):
        return False
    ready = sum(1 for pod in _staying(workload) if pod.ready)
    return ready >= workload.replicas and workload.available >= known_enough(workload)


def is_unseen(revision: LiveRevision) -> bool:
    """Whether all that is missing to be ready is that a controller has taken notice of the latest write.

    To the API server each change of a Deployment's annotations is a new generation, as one of its spec is. So a note of
    ours, or an approval, leaves it behind for a moment.
    """
    behind = any(each.observed_generation < each.generation for each in revision.workloads)
    seen = (replace(each, observed_generation=each.generation) for each in revision.workloads)
    return behind and all(map(_is_ready, seen))


def known_enough(workload: Workload) -> int:
    """How many pods the controllers must know to be available before traffic may move.

    Of three or more, the news of the last one may still be on its way (some 10 ms): the others already prove that the
    controllers hear of pods, and have endpoints. Not with `minReadySeconds`, which only the controllers count.
    """
    on_its_way = workload.replicas >= 3 and not workload.min_ready_seconds
    return workload.replicas - 1 if on_its_way else workload.replicas


def can_serve(revision: LiveRevision) -> bool:
    """Whether of each workload of a revision that was wholly available before at least one pod is ready, and known to
    be.

    Less than `is_ready`: enough where the alternative is that nobody is served.
    """
    return all(map(_can_serve, revision.workloads))


def _can_serve(workload: Workload) -> bool:
    ready = any(pod.ready and not pod.terminating for pod in workload.pods)
    return not workload.deleting and workload.completed and ready and workload.available > 0


def ready_pods(of: LiveRevision | Workload) -> frozenset[str]:
    """Names of the pods that should be endpoints of a Service which selects them."""
    return frozenset(pod.name for pod in of.pods if pod.ready and not pod.terminating)


def is_down(revision: LiveRevision | None) -> bool:
    """Whether of some workload nobody is served, though somebody should be: one scaled to zero by hand is meant so."""
    return revision is None or any(each.replicas > 0 and not ready_pods(each) for each in revision.workloads)


def trouble(revision: LiveRevision, now: float) -> str:
    """What keeps the revision from getting ready, in the words of Kubernetes; '' while nothing is wrong.

    `now` in epoch seconds: a container that runs and does not get ready is no trouble before `PATIENCE` is over.
    """
    return next(filter(None, (_trouble(each, now) for each in revision.workloads)), "")


def _trouble(workload: Workload, now: float) -> str:
    if workload.failure:
        return workload.failure
    found = (f"pod {pod.name}: {_pod_trouble(workload, pod, now)}" for pod in _staying(workload))
    return next((each for each in found if not each.endswith(": ")), "")


def trouble_from(revision: LiveRevision, now: float) -> float | None:
    """When (epoch seconds) a container that is not ready yet becomes a trouble, if that is ahead."""
    due = (pod.waiting_since + PATIENCE for each in revision.workloads for pod in _staying(each) if pod.waiting)
    return min((each for each in due if each > now), default=None)


def explain(revision: LiveRevision) -> str:
    """How far the revision is, in one line, with the first trouble, or why it is not ready."""
    staying = [pod for each in revision.workloads for pod in _staying(each)]
    ready = sum(1 for pod in staying if pod.ready)
    progress = f"{ready} of {revision.replicas} pods ready"
    unready = (f"pod {pod.name}: {pod.unready}" for pod in staying if not pod.ready and pod.unready)
    why = trouble(revision, inf) or next(unready, "")
    return "; ".join(part for part in (progress, *map(_lag, revision.workloads), why) if part)


def _lag(workload: Workload) -> str:
    """Pods that are ready, and not yet available to the controllers."""
    ready = sum(1 for pod in _staying(workload) if pod.ready)
    return f"{workload.available} available by the {workload.kind}'s status" if workload.available < ready else ""


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

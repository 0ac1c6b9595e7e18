"""What became of a Job that measures something: read off its conditions and its pods. Pure.

Sources: the Kubernetes API reference for JobStatus and PodStatus, and "Pod disruption conditions".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.core.check import Outcome
from reconciler.core.model import Manifest
from reconciler.core.pods import read_pod, timestamp
from reconciler.errors import printable

LOG_LINES = 20
LOG_BYTES = 64 * 1024
"""What is read of a log: its last lines, but no more than so many bytes of them."""
_SHOWN = 1800
"""Characters of a log that are told: with a line about the Job that is as much as an event holds."""


def outcome_of(job: Manifest, pods: Sequence[Manifest]) -> Outcome | None:
    """How a Job ended; None while it has not. A pod that was taken away says nothing about the revision."""
    if _condition(job, "Complete"):
        return Outcome.PASSED
    if not _condition(job, "Failed"):
        return None
    return Outcome.INCONCLUSIVE if any(map(_disrupted, pods)) else Outcome.FAILED


def is_finished(job: Manifest) -> bool:
    """Whether it has ended, well or not."""
    return bool(_condition(job, "Complete") or _condition(job, "Failed"))


def why(job: Manifest, pods: Sequence[Manifest]) -> str:
    """Why a Job ended so, in the words of its controller and its pods."""
    ended = _condition(job, "Complete") or _condition(job, "Failed")
    if ended.get("type") == "Complete":
        return "the Job completed"
    taken = next(map(_disruption, filter(_disrupted, pods)), "")
    said = f"{ended.get('reason', '')}: {ended.get('message', '')}".strip(": ")
    return printable("; ".join(each for each in (said, taken, *_troubles(pods)) if each))


def why_unfinished(pods: Sequence[Manifest] | None, seconds: float) -> str:
    """Why a Job that had `seconds` is not finished. `pods` None: they could not be seen."""
    late = f"the Job was not complete after {seconds:g}s"
    if pods is None:
        return f"{late}, and it could not be seen whether it ran at all"
    if has_started(pods):
        return late
    nothing = f"no container of the Job was started within {seconds:g}s"
    if not pods:
        return (
            f"{nothing}: there is no pod of it. A quota or a policy may not allow one: look at the namespace's events"
        )
    return printable("; ".join((nothing, *_troubles(pods))))


def has_started(pods: Iterable[Manifest]) -> bool:
    """Whether any container ever ran."""
    states = ((each.get("state") or {}, each.get("lastState") or {}) for pod in pods for each in _containers(pod))
    return any("running" in now or "terminated" in now or "terminated" in before for now, before in states)


def measured(job: Manifest, log: str) -> str:
    """How long it took, and the end of its log, for an event."""
    status = job.get("status") or {}
    began, ended = timestamp(status.get("startTime")), timestamp(status.get("completionTime"))
    took = f" after {ended - began:g}s" if began and ended else ""
    verdict = "complete" if _condition(job, "Complete") else "failed" if _condition(job, "Failed") else "unfinished"
    end = tail(log)
    told = f"; its log ends with\n{end}" if end else ""
    return f"Job {job['metadata']['name']} {verdict}{took}{told}"


def tail(log: str) -> str:
    """The last lines of a log, harmless to a terminal."""
    lines = [line.rstrip() for line in log.splitlines()][-LOG_LINES:]
    text = printable("\n".join(lines)).strip("\n")
    return text if len(text) <= _SHOWN else f"…{text[1 - _SHOWN :]}"


def speaker(pods: Sequence[Manifest]) -> tuple[str, str] | None:
    """Pod and container whose log says most: the latest pod that failed, or else the latest; in it the container that
    failed, or else the first. None if there is no pod."""
    if not pods:
        return None
    ordered = sorted(pods, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]))
    failed = [pod for pod in ordered if (pod.get("status") or {}).get("phase") == "Failed"]
    pod = (failed or ordered)[-1]
    bad = [each["name"] for each in _containers(pod) if _exit_code(each)]
    return pod["metadata"]["name"], (bad or [pod["spec"]["containers"][0]["name"]])[0]


def owned(pods: Iterable[Manifest], uid: str) -> list[Manifest]:
    """Those pods which this very Job made; one of the same name may have been before."""
    return [pod for pod in pods if any(o.get("uid") == uid for o in pod["metadata"].get("ownerReferences") or [])]


def _condition(job: Manifest, kind: str) -> Mapping[str, Any]:
    found = (job.get("status") or {}).get("conditions") or []
    return next((c for c in found if c.get("type") == kind and c.get("status") == "True"), {})


def _containers(pod: Manifest) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def _exit_code(container: Mapping[str, Any]) -> int:
    ended = (container.get("state") or {}).get("terminated") or {}
    return int(ended.get("exitCode") or 0)


def _troubles(pods: Iterable[Manifest]) -> list[str]:
    return list(dict.fromkeys(trouble for pod in pods if (trouble := read_pod(pod).trouble)))[:3]


def _disrupted(pod: Manifest) -> bool:
    """Taken away by Kubernetes: evicted, pre-empted, or its node went."""
    return bool(_disruption(pod))


def _disruption(pod: Manifest) -> str:
    found = (pod.get("status") or {}).get("conditions") or []
    gone = next((c for c in found if c.get("type") == "DisruptionTarget" and c.get("status") == "True"), None)
    return f"its pod was taken away: {gone.get('reason', '')}: {gone.get('message', '')}" if gone else ""

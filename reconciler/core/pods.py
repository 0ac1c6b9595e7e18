"""One pod, read from what the kubelet and the scheduler say of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.core.model import LABEL_REVISION, Manifest
from reconciler.core.text import shortened

_SHOWN = 300
"""Characters of what the kubelet or the scheduler says."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. `ready_since` (seconds since the epoch) is when it last turned ready, or unready; `trouble` is its own
    words, or ''; `unready` is the kubelet's reason why it is not ready, also while nothing is wrong yet. `waiting`
    names a container that runs and is not ready ('' if none), `waiting_since` is when it was started. `address` is its
    IP, or ''."""

    name: str
    revision: str
    labels: Mapping[str, str]
    ready: bool
    ready_since: float
    terminating: bool
    trouble: str
    unready: str = ""
    waiting: str = ""
    waiting_since: float = 0.0
    address: str = ""


def timestamp(text: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 time such as Kubernetes writes; 0.0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def read_pod(live: Manifest) -> Pod:
    """A live Pod (v1), as the watch caches keep it."""
    meta, status = live["metadata"], live.get("status") or {}
    labels = meta.get("labels") or {}
    condition: Mapping[str, Any] = next((c for c in status.get("conditions") or [] if c.get("type") == "Ready"), {})
    waiting = _waiting_container(status)
    return Pod(
        name=meta["name"],
        revision=labels.get(LABEL_REVISION, ""),
        labels=labels,
        ready=condition.get("status") == "True",
        ready_since=timestamp(condition.get("lastTransitionTime")),
        terminating=bool(meta.get("deletionTimestamp")),
        trouble=_trouble(status),
        unready=shortened(str(condition.get("message", "")), _SHOWN),
        waiting=str(waiting.get("name", "")),
        waiting_since=timestamp(((waiting.get("state") or {}).get("running") or {}).get("startedAt")),
        address=str(status.get("podIP", "")),
    )


def _waiting_container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first container that runs and is not ready: its readiness probe has not passed."""
    running = (c for c in status.get("containerStatuses") or [] if "running" in (c.get("state") or {}))
    return next((each for each in running if not each.get("ready")), {})


def _trouble(status: Mapping[str, Any]) -> str:
    """Why a pod is not getting on, in the kubelet's or scheduler's own words; '' when nothing is wrong."""
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in containers:
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return _container_trouble(container, _waiting(waiting))
        ended = state.get("terminated") or {}
        if ended and ended.get("exitCode") != 0:
            return _container_trouble(container, str(ended.get("reason", "Error")))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return shortened(f"{condition.get('reason', 'Unschedulable')}: {condition.get('message', '')}", _SHOWN)
    return ""


def _waiting(waiting: Mapping[str, Any]) -> str:
    """Why a container waits. A back-off's message says no more than the last exit code that is told anyway."""
    reason, message = str(waiting["reason"]), str(waiting.get("message", ""))
    return reason if reason == "CrashLoopBackOff" or not message else f"{reason} ({shortened(message, _SHOWN)})"


def _container_trouble(container: Mapping[str, Any], reason: str) -> str:
    last = (container.get("lastState") or {}).get("terminated") or (container.get("state") or {}).get("terminated")
    parts = [f"container {container.get('name')}: {reason}"]
    if last:
        parts.append(f"last exit code {last.get('exitCode')}")
    if container.get("restartCount"):
        parts.append(f"{container['restartCount']} restarts")
    return ", ".join(parts)

"""A promotion that is in its middle for as long as a test wants it to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rig.cluster import Manifest
from rig.scene import Scene
from rig.waiting import until
from tests.e2e.harness.http import set_ready

NOT_READY: Mapping[str, Any] = {"env": {"READY": "false"}}
"""Values of a version whose pods run, and are not ready until they are told to be."""
_PODS = 2
"""As many as the rig's own values say."""


def make_ready(scene: Scene, version: str) -> None:
    """Tells the pods of a version to be ready, as soon as all of them run."""
    for each in until(lambda: _running(scene, version), f"{_PODS} pods of {version}", 120, poll=0.1):
        set_ready(each, ready=True)


def _running(scene: Scene, version: str) -> list[Manifest]:
    pods = [each for each in scene.cluster.find("Pod", version=version) if _runs(each)]
    return pods if len(pods) == _PODS else []


def _runs(pod: Manifest) -> bool:
    statuses = pod["status"].get("containerStatuses") or []
    return bool(statuses) and all("running" in each["state"] for each in statuses)

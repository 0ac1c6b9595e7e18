"""An app of two Deployments and a StatefulSet, by the templates that are the users' example of such an app."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rig.cluster import Manifest, is_ready
from rig.daemon import Daemon
from rig.scene import Scene
from rig.waiting import until
from tests.e2e.harness.http import set_ready

_TEMPLATES = Path(__file__).parents[3] / "manifests" / "multi-service"
_STARTED = 60.0

UNREADY: Mapping[str, Any] = {"components": {"store": {"env": {"READY": "false"}}}}
"""Values with which the StatefulSet never gets ready by itself."""


def describe(scene: Scene, strategy: Mapping[str, Any], a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """Commits the templates, and writes a configuration with the components `a`, `b` and `store`."""
    files = {f"templates/{each.name}": each.read_text(encoding="utf-8") for each in _TEMPLATES.glob("*.yaml")}
    scene.repository.commit("Templates", files)
    components = {
        "a": _component(scene, **a),
        "b": _component(scene, **b),
        "store": _component(scene, kind="StatefulSet", replicas=1, exposed=False),
    }
    scene.configure(templates="templates", strategy=strategy, values={"components": components})


def _component(scene: Scene, **own: Any) -> dict[str, Any]:
    return {
        "image": scene.sandbox.sample_image,
        "replicas": 2,
        "preStopSleepSeconds": 2,
        "terminationGracePeriodSeconds": 5,
        "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}},
        **own,
    }


def hold(scene: Scene, daemon: Daemon, version: str) -> tuple[str, str, Manifest]:
    """Releases a version whose StatefulSet is not ready, and returns when everything else of it is.

    Returns its commit, its revision, and the one pod that is missing: for `let_go`.
    """
    commit = scene.release(version, UNREADY)
    revision = str(daemon.wait_for("revision_applied", commit=commit)["revision"])
    until(lambda: _ready(scene, revision) == 4, f"all but the StatefulSet of {version} ready", _STARTED, poll=0.1)
    return commit, revision, until(lambda: _store(scene, revision), "the pod of the StatefulSet", _STARTED, poll=0.1)


def let_go(pod: Manifest) -> None:
    """Lets the last pod get ready."""
    set_ready(pod, True)


def _ready(scene: Scene, revision: str) -> int:
    return sum(is_ready(each) for each in scene.cluster.pods(revision))


def _store(scene: Scene, revision: str) -> Manifest | None:
    """Once its program runs, so that it can be told to be ready."""
    pods = [each for each in scene.cluster.pods(revision) if each["metadata"]["labels"]["component"] == "store"]
    return next((each for each in pods if _runs(each)), None)


def _runs(pod: Manifest) -> bool:
    states = pod.get("status", {}).get("containerStatuses") or []
    return bool(pod.get("status", {}).get("podIP") and states and "running" in states[0]["state"])

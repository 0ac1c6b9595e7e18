"""Kubernetes' own controllers are late: what the daemon sees of the pods is not yet what traffic would go by."""

from __future__ import annotations

import pytest

from rig.cluster import is_ready
from rig.scene import Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed

pytestmark = pytest.mark.alone

LONG_ENOUGH = 1000
"""Requests, some 5 s of them: far longer than a switch takes."""


def test_pods_that_only_their_node_knows_to_be_ready_get_no_traffic(scene: Scene) -> None:
    """v2 gets ready while the controllers hang: it would have no endpoints, so v1 keeps the traffic until they work."""
    scene.first_release("v1.0.0")
    commit = scene.release("v2.0.0", {"env": {"STARTUP_DELAY": "5s"}})
    revision = str(scene.daemon.wait_for("revision_applied", commit=commit)["revision"])
    until(lambda: _all_made(scene, revision), "both pods of v2.0.0 made and counted")
    with scene.sandbox.paused("controller-manager"):
        assert _ready(scene, revision) == 0, "the controllers were halted too late"
        until(lambda: _ready(scene, revision) == 2, "both pods of v2.0.0 ready")
        scene.load.wait_for_count(LONG_ENOUGH)
        assert scene.selected() == "v1.0.0", "the selector was moved to pods that are nobody's endpoints"
    scene.settle(commit)
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)


def _all_made(scene: Scene, revision: str) -> bool:
    live = scene.deployments()[revision]
    return bool(live.get("status", {}).get("updatedReplicas") == live["spec"]["replicas"])


def _ready(scene: Scene, revision: str) -> int:
    return sum(map(is_ready, scene.cluster.pods(revision)))

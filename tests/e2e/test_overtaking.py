"""A newer commit overtakes a promotion under way, without waiting for it and without a trace of it."""

from __future__ import annotations

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed

SLOW = {"env": {"STARTUP_DELAY": "60s"}}
"""Longer than these tests last: what overtakes it cannot have waited for it."""


def test_bump_overtaken_by_a_bump(scene: Scene) -> None:
    """v3 is committed while v2 is starting: v2 never gets a request, and nothing of it is left."""
    scene.first_release("v1.0.0")
    scene.daemon.wait_for("revision_applied", commit=scene.release("v2.0.0", SLOW))
    commit = scene.release("v3.0.0")
    scene.daemon.wait_for("overtaken", version="v2.0.0")
    scene.settle(commit)
    scene.load.wait_for("v3.0.0")
    until(lambda: scene.versions() <= {"v1.0.0", "v3.0.0"}, "v2.0.0's Deployment gone")
    no_request_failed(scene.load)
    assert set(scene.load.versions()) == {"v1.0.0", "v3.0.0"}
    assert not scene.daemon.find("switched", version="v2.0.0")
    moved(scene, 1)


def test_revert_in_the_middle_of_a_promotion(scene: Scene) -> None:
    """Git is back at what is active: the promotion ends, and the selector is not touched."""
    scene.first_release("v1.0.0")
    scene.daemon.wait_for("revision_applied", commit=scene.release("v2.0.0", SLOW))
    commit = scene.repository.revert()
    scene.daemon.wait_for("overtaken", version="v2.0.0", commit=commit)
    until(lambda: scene.versions() == {"v1.0.0"}, "v2.0.0's Deployment gone")
    scene.load.wait_for_count(100)
    assert scene.cluster.endpoints(APP) and scene.selected() == "v1.0.0"
    no_request_failed(scene.load)
    assert set(scene.load.versions()) == {"v1.0.0"}
    moved(scene, 0)


def test_a_warm_colour_is_gone_back_to_while_another_starts(scene: Scene) -> None:
    """v2 is active and v1 warm; v3 is starting when everything is reverted to v1: the switch does not wait for v3."""
    scene.configure(strategy={"scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    scene.settle(scene.release("v2.0.0"))
    scene.daemon.wait_for("revision_applied", commit=scene.release("v3.0.0", SLOW))
    commit = scene.release("v1.0.0")
    scene.daemon.wait_for("rolled_back", commit=commit, from_version="v2.0.0")
    scene.settle(commit)
    until(lambda: scene.versions() == {"v1.0.0", "v2.0.0"}, "v3.0.0's Deployment gone")
    no_request_failed(scene.load)
    assert "v3.0.0" not in scene.load.versions()
    moved(scene, 2)

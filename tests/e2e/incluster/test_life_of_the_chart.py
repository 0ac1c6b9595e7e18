"""Installed, used, upgraded in the middle of a promotion, uninstalled: users of the app notice nothing."""

from __future__ import annotations

import time

import pytest

from rig.incluster import InCluster
from rig.scene import Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.converged import converged
from tests.e2e.harness.starting import NOT_READY, make_ready

LONG = 1000
"""Requests, some five seconds of them: longer than a retention here."""


@pytest.mark.timeout(600)
def test_from_install_to_uninstall(scene: Scene, incluster: InCluster) -> None:
    """Install, commit, switch, revert, upgrade in the middle of a promotion, uninstall: with traffic throughout."""
    incluster.replicas = 1
    incluster.configure(strategy={"scaleDownDelay": "20s"})
    incluster.first_release("v1.0.0")
    incluster.settle(scene.release("v2.0.0"))
    scene.load.wait_for("v2.0.0")
    commit = scene.repository.revert()
    reverted = incluster.logs.wait_for("rolled_back", commit=commit)
    incluster.settle(commit)
    scene.load.wait_for("v1.0.0", since=time.time())
    _upgrade_in_the_middle_of_a_promotion(scene, incluster, reverted["pod"])
    moved(scene, 3)
    _uninstall(scene, incluster)
    moved(scene, 3)
    no_request_failed(scene.load)


def _upgrade_in_the_middle_of_a_promotion(scene: Scene, incluster: InCluster, former: str) -> None:
    """v3 is not ready before the daemon's pod has been replaced by one with other values."""
    incluster.configure(strategy={"scaleDownDelay": "1s"})
    commit = scene.release("v3.0.0", NOT_READY)
    incluster.logs.wait_for("revision_applied", commit=commit)
    # A proxy, which nobody is, is for what is outside: the API server is asked all the same.
    nobody = {"name": "HTTPS_PROXY", "value": "http://127.0.0.1:9"}
    incluster.apply(podAnnotations={"example.com/upgraded": "yes"}, extraEnv=[nobody])
    incluster.logs.wait_for("stopped", pod=former)  # it would confirm the switch, as it may until then
    assert scene.selected() == "v1.0.0"
    make_ready(scene, "v3.0.0")
    confirmed = incluster.settle(commit)
    assert confirmed["pod"] != former
    assert former not in incluster.pods()
    converged(scene, "v3.0.0")


def _uninstall(scene: Scene, incluster: InCluster) -> None:
    """What the app is made of stays, and serves; nobody writes any more."""
    before = scene.cluster.endpoints("my-app")
    incluster.chart.uninstall()
    until(lambda: not incluster.pods(), "no pod of the chart", 60)
    writes = len(scene.audit.writes())
    scene.load.wait_for_count(LONG)
    assert scene.cluster.endpoints("my-app") == before and scene.selected() == "v3.0.0"
    assert len(scene.audit.writes()) == writes

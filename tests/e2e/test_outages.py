"""The API server goes away and comes back: clients notice nothing, and the daemon goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rig.scene import Scene
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.recovery import afresh

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600), pytest.mark.usefixtures("undisturbed")]

RECOVERY = 180
"""Seconds. Kubernetes' own controllers back off during the outage, and take up to a minute or so to be there again."""

LATE = 1200
"""Requests, some 6 s of them: longer than the rig's `scaleDownDelay`, and shorter than what an outage adds."""


@pytest.fixture
def undisturbed(scene: Scene) -> Iterator[None]:
    """However a test ends, whoever comes next finds a cluster that has got over the outage."""
    yield
    afresh(scene)


def test_api_server_restart_in_the_middle_of_a_promotion(scene: Scene) -> None:
    """v2 is starting when the API server is restarted: the promotion goes on, one move of the selector."""
    scene.first_release("v1.0.0")
    commit = scene.release("v2.0.0", {"env": {"STARTUP_DELAY": "5s"}})
    scene.daemon.wait_for("revision_applied", commit=commit)
    scene.sandbox.restart("apiserver")
    scene.settle(commit, timeout=RECOVERY)
    scene.load.wait_for("v2.0.0", timeout=RECOVERY)
    scene.daemon.wait_for("retired", version="v1.0.0", timeout=RECOVERY)
    no_request_failed(scene.load)
    assert scene.daemon.lives == 1
    assert len(scene.audit.created("deployments")) == 2
    moved(scene, 1)


def test_a_node_that_hears_late_of_a_switch_after_an_outage(scene: Scene) -> None:
    """A node's kube-proxy comes back later than the daemon: the old pods stay until it can have heard of the switch."""
    scene.first_release("v1.0.0")
    with scene.sandbox.paused("kube-proxy"):
        scene.sandbox.restart("apiserver")
        scene.settle(scene.release("v2.0.0"), timeout=RECOVERY)
        scene.load.wait_for_count(LATE)
        assert scene.versions() == {"v1.0.0", "v2.0.0"}
        assert scene.load.versions().keys() == {"v1.0.0"}, "kube-proxy was not late at all"
    scene.load.wait_for("v2.0.0", timeout=RECOVERY)
    scene.daemon.wait_for("retired", version="v1.0.0", timeout=RECOVERY)
    no_request_failed(scene.load)
    moved(scene, 1)


def test_api_server_restart_while_idle(scene: Scene) -> None:
    """Nothing is under way: the outage is told, nothing is written after it, and the next commit is released."""
    scene.first_release("v1.0.0")
    since, writes = scene.daemon.mark(), len(scene.audit.writes())
    scene.sandbox.restart("apiserver")
    scene.daemon.wait_for("cluster_unreachable", since=since)
    scene.load.wait_for_count(1000)
    assert len(scene.audit.writes()) == writes
    scene.settle(scene.release("v2.0.0"), timeout=RECOVERY)
    scene.load.wait_for("v2.0.0", timeout=RECOVERY)
    no_request_failed(scene.load)
    moved(scene, 1)


def test_commit_while_the_api_server_is_away(scene: Scene) -> None:
    """The commit comes during the outage: it is released after it, without anybody doing anything."""
    scene.configure(strategy={"scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    scene.settle(scene.release("v2.0.0"))
    since = scene.daemon.mark()
    with scene.sandbox.stopped("apiserver"):
        scene.daemon.wait_for("cluster_unreachable", since=since)
        commit = scene.repository.revert()
        scene.daemon.wait_for("source_updated", commit=commit)
    scene.settle(commit, timeout=RECOVERY)
    scene.load.wait_for("v1.0.0", since=time.time(), timeout=RECOVERY)
    no_request_failed(scene.load)
    moved(scene, 2)

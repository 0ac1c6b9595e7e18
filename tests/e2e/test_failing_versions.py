"""A version that does not come up never gets traffic, says why, and the next good commit recovers."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.gating import reconfigured
from tests.e2e.harness.http import set_ready

CRASHING = {"env": {"STARTUP_DELAY": "30s", "CRASH_AFTER": "300ms"}}
UNREADY = {"env": {"READY": "false"}}
NO_IMAGE = {"image": "sandbox.local/not-there:v2.0.0", "imagePullPolicy": "Never"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [(CRASHING, "exit code 1"), (UNREADY, "0 of 2 pods ready"), (NO_IMAGE, "ErrImageNeverPull")],
    ids=["crashing", "unready", "no-image"],
)
def test_bad_version_never_gets_traffic(scene: Scene, values: dict[str, Any], reason: str) -> None:
    """It is rejected at its deadline with the pods' own words, and the next good commit goes through."""
    scene.first_release("v1.0.0")
    reconfigured(scene, strategy={"progressDeadline": "8s"})
    bad = scene.release("v2.0.0", values)
    rejected = scene.daemon.wait_for("rejected", commit=bad)
    assert reason in rejected["reason"] and "8 s" in rejected["reason"], rejected
    assert scene.selected() == "v1.0.0"
    moved(scene, 0)
    reconfigured(scene)
    good = scene.release("v2.0.1")
    scene.settle(good)
    scene.load.wait_for("v2.0.1")
    until(lambda: "v2.0.0" not in scene.versions(), "the rejected version's Deployment gone")
    no_request_failed(scene.load)
    assert "v2.0.0" not in scene.load.versions()
    assert not scene.daemon.find("switched", version="v2.0.0")
    moved(scene, 1)


def test_wrong_readiness_probe_is_named(scene: Scene) -> None:
    """The most usual fault of a first release: told long before the deadline, with what is asked of which container."""
    commit = scene.release("v1.0.0", {"readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}}})
    scene.daemon.start()
    told = scene.daemon.wait_for("revision_unhealthy", commit=commit)
    assert f"container {APP} runs, but its readiness probe, GET /healthz on port http," in told["reason"]


def test_quota_that_is_too_small_is_told_before_anything_is_applied(scene: Scene) -> None:
    """The second colour does not fit: told with the figures. Once the quota is raised, it goes through by itself."""
    scene.first_release("v1.0.0")
    meta = {"name": "small"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": {"pods": "3"}}}
    scene.cluster.create(quota)
    until(lambda: _used(scene) == "2", "the quota counted")
    commit = scene.release("v2.0.0")
    told = scene.daemon.wait_for("app_blocked", commit=commit)
    assert "pods: 2 more are needed, 1 of 3 are left in small" in told["reason"], told
    assert scene.versions() == {"v1.0.0"}
    scene.cluster.patch("ResourceQuota", "small", {"spec": {"hard": {"pods": "8"}}})
    scene.settle(commit)
    no_request_failed(scene.load)
    moved(scene, 1)


def _used(scene: Scene) -> str:
    live = scene.cluster.get("ResourceQuota", "small") or {}
    return str(live.get("status", {}).get("used", {}).get("pods", ""))


def test_rejected_version_is_not_tried_again_until_git_changes(scene: Scene) -> None:
    """Also a restarted daemon leaves it alone, and its failed pods are scaled away after a look at them."""
    scene.first_release("v1.0.0")
    reconfigured(scene, strategy={"progressDeadline": "4s", "abortScaleDownDelay": "1s"})
    bad = scene.release("v2.0.0", UNREADY)
    rejected = scene.daemon.wait_for("rejected", commit=bad)
    revision = str(rejected["revision"])
    until(lambda: scene.deployments()[revision]["spec"]["replicas"] == 0, "the failed pods scaled away")
    scene.daemon.kill()
    since = scene.daemon.mark()
    scene.daemon.start()
    scene.daemon.wait_for("phase_changed", since=since, phase="rejected")
    scene.load.wait_for_count(300)
    assert scene.deployments()[revision]["spec"]["replicas"] == 0
    names = scene.daemon.names(since=since)
    assert not {"revision_applied", "switched", "rejected"} & set(names)
    no_request_failed(scene.load)
    moved(scene, 0)


def test_revert_after_a_rejection_cleans_up(scene: Scene) -> None:
    """`git revert` of a bad version: nothing moves, and the failed revision's objects are removed."""
    scene.first_release("v1.0.0")
    reconfigured(scene, strategy={"progressDeadline": "4s"})
    scene.daemon.wait_for("rejected", commit=scene.release("v2.0.0", CRASHING))
    scene.repository.revert()
    until(lambda: scene.versions() == {"v1.0.0"}, "the rejected version's Deployment gone")
    no_request_failed(scene.load)
    moved(scene, 0)


def test_first_release_that_fails_makes_no_service(scene: Scene) -> None:
    """There is nothing to fall back to: no Service appears, until a good commit brings one up."""
    scene.configure(strategy={"progressDeadline": "5s"})
    scene.load.start()
    bad = scene.release("v1.0.0", CRASHING)
    scene.daemon.start()
    scene.daemon.wait_for("rejected", commit=bad)
    assert scene.cluster.get("Service", APP) is None
    reconfigured(scene)
    scene.settle(scene.release("v1.0.1"))
    scene.load.wait_for("v1.0.1")
    until(lambda: scene.versions() == {"v1.0.1"}, "the rejected version's Deployment gone")
    no_request_failed(scene.load)
    assert set(scene.load.versions()) == {"v1.0.1"}


def test_rollback_while_the_bad_active_colour_is_only_partly_ready(scene: Scene) -> None:
    """Two of the active colour's three pods turn unready: the revert does not wait for them."""
    scene.configure(values={"replicas": 3}, strategy={"scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    warm = scene.cluster.endpoints(APP)
    scene.settle(scene.release("v2.0.0"))
    pods = scene.cluster.pods(scene.cluster.active_revision(APP))
    for pod in pods[:2]:
        set_ready(pod, False)
    until(lambda: len(scene.cluster.endpoints(APP)) == 1, "one endpoint left")
    commit = scene.repository.revert()
    scene.daemon.wait_for("rolled_back", commit=commit, from_version="v2.0.0")
    scene.settle(commit)
    assert scene.cluster.endpoints(APP) == warm
    scene.load.wait_for("v1.0.0", since=time.time())
    no_request_failed(scene.load)
    moved(scene, 2)


def test_active_colour_that_loses_pods_is_left_alone(scene: Scene) -> None:
    """Pods of the active colour turn unready with nothing new in Git: the daemon neither scales nor switches."""
    scene.first_release("v1.0.0")
    since = scene.daemon.mark()
    pod, *_ = scene.cluster.pods(scene.cluster.active_revision(APP))
    writes = len(scene.audit.writes())
    set_ready(pod, False)
    until(lambda: len(scene.cluster.endpoints(APP)) == 1, "one endpoint left")
    set_ready(pod, True)
    until(lambda: len(scene.cluster.endpoints(APP)) == 2, "two endpoints again")
    no_request_failed(scene.load)
    assert len(scene.audit.writes()) == writes, scene.daemon.story(since)

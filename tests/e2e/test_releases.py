"""The main job: a commit moves live traffic, a revert moves it back, and no request fails meanwhile."""

from __future__ import annotations

import time

from rig.cluster import Change, Manifest, is_ready, ready_endpoints
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.http import set_ready


def test_first_release_never_shows_a_service_without_endpoints(scene: Scene) -> None:
    """The Service comes only after its pods are ready, and clients never meet it empty."""
    scene.load.start()
    with scene.cluster.watch("Pod") as pods, scene.cluster.watch("Service") as services:
        with scene.cluster.watch("EndpointSlice") as slices:
            commit = scene.release("v1.0.0")
            scene.daemon.start()
            scene.settle(commit)
            scene.load.wait_for("v1.0.0")
            scene.load.wait_for_count(300)
        created = services.changes[0]
    assert created.type == "ADDED" and created.name == APP
    ready = {each.name for each in pods.changes if is_ready(each.object) and each.version < created.version}
    assert len(ready) == 2, "the Service was created before both pods were ready"
    assert all(ready_endpoints(each.object) == ready for each in slices.changes), _told(slices.changes)
    assert scene.audit.created("services") == [APP]
    no_request_failed(scene.load)


def _told(changes: tuple[Change, ...]) -> str:
    return str([(each.type, ready_endpoints(each.object)) for each in changes])


def test_bump_moves_all_traffic_at_once_and_retires_the_old_colour(scene: Scene) -> None:
    """v1 → v2: both run side by side, one move of the selector, then v1 goes."""
    scene.first_release("v1.0.0")
    commit = scene.release("v2.0.0")
    switched = scene.daemon.wait_for("switched", commit=commit)
    assert (switched["version"], switched["from_version"]) == ("v2.0.0", "v1.0.0")
    first = scene.load.wait_for("v2.0.0")
    scene.settle(commit)
    retired = scene.daemon.wait_for("retired", version="v1.0.0")
    assert retired["colour"] != switched["colour"]
    until(lambda: scene.versions() == {"v2.0.0"}, "only v2.0.0 left")
    no_request_failed(scene.load)
    # The answers of v1 after the first one of v2 are those that were on their way when the rules changed.
    assert not [each for each in scene.load.requests if each.version == "v1.0.0" and each.start > first.end + 1]
    moved(scene, 1)
    assert len(scene.audit.created("deployments")) == 2


def test_switch_waits_for_the_last_pod(scene: Scene) -> None:
    """One of v2's two pods is ready: v1 keeps all the traffic, until the other one is ready, too."""
    scene.first_release("v1.0.0")
    commit = scene.release("v2.0.0", {"env": {"READY": "false"}})
    revision = str(scene.daemon.wait_for("revision_applied", commit=commit)["revision"])
    early, late = until(lambda: _started(scene, revision), "two running pods of v2.0.0")
    set_ready(early, True)
    until(lambda: is_ready(scene.cluster.get("Pod", early["metadata"]["name"]) or {}), "one pod of v2.0.0 ready")
    scene.load.wait_for_count(400)
    assert scene.selected() == "v1.0.0" and set(scene.load.versions()) == {"v1.0.0"}
    set_ready(late, True)
    scene.settle(commit)
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)


def _started(scene: Scene, revision: str) -> list[Manifest]:
    """The two pods of a revision, once both of them run."""
    running = [each for each in scene.cluster.pods(revision) if each["status"].get("phase") == "Running"]
    return running if len(running) == 2 else []


def test_revert_within_retention_reuses_the_warm_pods(scene: Scene) -> None:
    """The old colour is still warm: the revert moves traffic to the very same pods, and nothing is started."""
    scene.configure(strategy={"scaleDownDelay": "30s"})
    scene.first_release("v1.0.0")
    before = scene.cluster.endpoints(APP)
    scene.settle(scene.release("v2.0.0"))
    scene.load.wait_for("v2.0.0")
    since = scene.daemon.mark()
    commit = scene.repository.revert()
    scene.daemon.wait_for("rolled_back", commit=commit, from_version="v2.0.0")
    scene.settle(commit)
    names = scene.daemon.names(since=since)
    assert names[names.index("switched") + 1] == "rolled_back"
    assert scene.cluster.endpoints(APP) == before
    scene.load.wait_for("v1.0.0", since=time.time())
    no_request_failed(scene.load)
    moved(scene, 2)
    assert len(scene.audit.created("deployments")) == 2


def test_revert_after_retention_starts_the_old_version_again(scene: Scene) -> None:
    """The old colour is gone: the revert brings it up like any release, and switches when it is ready."""
    first = scene.first_release("v1.0.0")
    scene.settle(scene.release("v2.0.0"))
    scene.daemon.wait_for("retired", version="v1.0.0")
    commit = scene.repository.revert()
    scene.daemon.wait_for("revision_applied", commit=commit, version="v1.0.0")
    scene.settle(commit)
    assert scene.daemon.find("rolled_back", commit=commit), "a former revision that becomes active is a rollback"
    revisions = {each["revision"] for each in scene.daemon.find("switched", version="v1.0.0")}
    assert len(revisions) == 1 and first != commit
    scene.daemon.wait_for("retired", version="v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 2)

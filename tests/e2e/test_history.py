"""Former revisions that are kept with no pods: Git goes back to one of them, and no request fails meanwhile."""

from __future__ import annotations

import time

from rig.scene import Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import run


def test_revert_to_a_revision_that_is_kept_with_no_pods(scene: Scene) -> None:
    """v1 → v2 → v3, each former one scaled to zero; back to v1, which is scaled up, gets ready, and is switched to."""
    scene.configure(strategy={"revisionHistoryLimit": 2})
    scene.first_release("v1.0.0")
    for version, left in (("v2.0.0", "v1.0.0"), ("v3.0.0", "v2.0.0")):
        scene.settle(scene.release(version))
        scaled = scene.daemon.wait_for("revision_scaled", version=left)
        assert scaled["replicas"] == 0 and "revisionHistoryLimit" in scaled["reason"], scaled
    until(lambda: _pods(scene) == {"v1.0.0": 0, "v2.0.0": 0, "v3.0.0": 2}, "pods of v3.0.0 alone")
    scene.daemon.wait_for("phase_changed", version="v3.0.0", phase="stable")
    shown = run(scene, "status")
    assert shown.out.count(" kept ") == 2, shown
    before = {each["metadata"]["uid"] for each in scene.deployments().values()}
    since = scene.daemon.mark()
    commit = scene.release("v1.0.0")
    grown = scene.daemon.wait_for("revision_scaled", commit=commit, version="v1.0.0")
    assert grown["replicas"] == 2
    scene.daemon.wait_for("rolled_back", commit=commit, from_version="v3.0.0")
    scene.settle(commit)
    scene.load.wait_for("v1.0.0", since=time.time())
    names = scene.daemon.names(since=since)
    assert names.index("revision_scaled") < names.index("revision_ready") < names.index("switched")
    scene.daemon.wait_for("revision_scaled", commit=commit, version="v3.0.0", replicas=0)
    until(lambda: _pods(scene) == {"v1.0.0": 2, "v2.0.0": 0, "v3.0.0": 0}, "pods of v1.0.0 alone")
    assert {each["metadata"]["uid"] for each in scene.deployments().values()} == before
    assert not scene.daemon.find("retired")
    no_request_failed(scene.load)
    moved(scene, 3)
    assert len(scene.audit.created("deployments")) == 3


def test_a_lower_limit_deletes_what_is_kept(scene: Scene) -> None:
    scene.configure(strategy={"revisionHistoryLimit": 1})
    scene.first_release("v1.0.0")
    scene.settle(scene.release("v2.0.0"))
    scene.daemon.wait_for("revision_scaled", version="v1.0.0", replicas=0)
    scene.configure(strategy={"revisionHistoryLimit": 0})
    retired = scene.daemon.wait_for("retired", version="v1.0.0")
    assert "revisionHistoryLimit is 0" in retired["reason"], retired
    until(lambda: scene.versions() == {"v2.0.0"}, "only v2.0.0 left")
    no_request_failed(scene.load)


def _pods(scene: Scene) -> dict[str, int]:
    """How many pods there are of each version that has a Deployment."""
    found = scene.deployments()
    return {each["metadata"]["labels"]["version"]: len(scene.cluster.pods(name)) for name, each in found.items()}

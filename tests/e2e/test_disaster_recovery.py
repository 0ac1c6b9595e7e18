"""Nothing is to be backed up: what a cluster loses comes back from Git, and what a daemon loses, from the cluster.

docs/operations.md says what of it does not come back; this is where that was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rig.cluster import is_ready
from rig.daemon import Daemon
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import run
from tests.e2e.harness.converged import converged
from tests.e2e.harness.gating import reconfigured
from tests.e2e.harness.http import set_ready
from tests.e2e.test_gates_time import window

NOTES = "bluegreen.reconciler/"
OTHER = "db"
UNREADY = {"env": {"READY": "false"}}
FAILING = {"env": {"ERROR_RATE": "1"}}
SMOKE = {"name": "smoke", "http": {"failure": {"status": [500]}}}
GONE = 120.0
"""Seconds until a namespace has gone. A few tens; the rest is for a machine that does several other things."""


def notes(scene: Scene, app: str = APP) -> dict[str, str]:
    """The daemon's memory of an app, without the prefix of its names."""
    held = scene.cluster.service(app)["metadata"]["annotations"]
    return {key.removeprefix(NOTES): text for key, text in held.items() if key.startswith(NOTES)}


def both(scene: Scene, strategy: Mapping[str, Any], others: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The app that has the load, with this strategy, and another one beside it."""
    return [scene.app(strategy=strategy), scene.app(OTHER, path=OTHER, values={"replicas": 1}, strategy=others)]


def released(scene: Scene, strategy: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Both apps are active, and the one has load."""
    scene.configure(apps=both(scene, strategy, others))
    scene.repository.commit("The other app", {f"{OTHER}/version": "v7\n"})
    scene.first_release("v1.0.0")
    converged(scene, "v7", OTHER)


def fresh(scene: Scene, tmp_path: Path) -> Daemon:
    """A daemon of another machine: its data directory and its home are empty."""
    made = scene.another_daemon("fresh")
    home = tmp_path / "empty"
    home.mkdir()
    made.environment = {**made.environment, "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    assert not made.folder.exists()
    return made


def lose_the_cluster(scene: Scene) -> None:
    """The namespace with all that is in it goes, and one of that name comes, as on a cluster that was set up anew."""
    scene.load.stop()
    scene.daemon.kill()
    scene.cluster.delete_and_wait("Namespace", scene.namespace, GONE)
    scene.cluster.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": scene.namespace}})


def ready(scene: Scene, version: str, count: int) -> bool:
    """Whether so many pods of a version are ready."""
    found = scene.cluster.find("Pod", version=version, app=APP)
    return sum(map(is_ready, found)) == count


def test_an_empty_cluster_is_rebuilt_from_git_alone(scene: Scene, tmp_path: Path) -> None:
    """v2 waited for an approval when the cluster was lost. It is what Git says, so it is the first release of the new
    one: it passes its gates before there is a Service, and v1 and the history are not known any more. The other app has
    only a release window, which is closed: nobody is served who would need it."""
    closed = {"releaseWindows": [window(12)]}
    released(scene, {}, closed)
    reconfigured(scene, apps=both(scene, {"autoPromotionEnabled": False}, closed))
    commit = scene.release("v2.0.0")
    before = scene.daemon.wait_for("approval_awaited", commit=commit, app=APP)
    assert scene.selected() == "v1.0.0"

    lose_the_cluster(scene)
    daemon = fresh(scene, tmp_path).start()
    converged(scene, "v7", OTHER)
    awaited = daemon.wait_for("approval_awaited", commit=commit, app=APP)
    assert awaited["revision"] == before["revision"], "names differ from those of the former cluster"
    assert ready(scene, "v2.0.0", 2) and scene.cluster.get("Service", APP) is None
    assert scene.versions() == {"v2.0.0"}

    approved = run(scene, "approve", APP)
    assert approved.status == 0, approved
    switched = daemon.wait_for("switched", commit=commit, app=APP)
    assert not switched["from_revision"]
    daemon.wait_for("switch_confirmed", commit=commit, app=APP)
    converged(scene, "v2.0.0")
    assert notes(scene)["history"] == "", "the former cluster is not known to this one"
    again = scene.another_load("again")
    again.start()
    again.wait_for("v2.0.0")


def test_a_bad_version_in_git_is_not_served_by_a_rebuilt_cluster(scene: Scene, tmp_path: Path) -> None:
    """v8 was rejected by a check, and v7 went on serving. The new cluster knows neither: v8 is tried and rejected
    again, and until Git says otherwise there is no Service."""
    released(scene, {}, {"prePromotionAnalysis": {"checks": [SMOKE]}})
    bad = scene.repository.release("v8", FAILING, path=OTHER)
    scene.daemon.wait_for("rejected", commit=bad, app=OTHER)
    assert scene.cluster.service(OTHER)["spec"]["selector"]["version"] == "v7"

    lose_the_cluster(scene)
    daemon = fresh(scene, tmp_path).start()
    converged(scene, "v1.0.0")
    rejected = daemon.wait_for("rejected", commit=bad, app=OTHER)
    assert "check smoke failed" in rejected["reason"]
    assert scene.cluster.get("Service", OTHER) is None and scene.versions(OTHER) == {"v8"}
    since = daemon.mark()
    [given_up] = scene.deployments(OTHER).values()
    scene.cluster.delete("Deployment", given_up["metadata"]["name"])
    daemon.wait_for("rejected", since=since, commit=bad, app=OTHER)  # with the memory of it gone, it is tried again
    assert scene.cluster.get("Service", OTHER) is None
    good = scene.repository.revert()
    daemon.wait_for("switch_confirmed", commit=good, app=OTHER)
    converged(scene, "v7", OTHER)


def test_a_daemon_that_has_nothing_goes_on_in_the_middle_of_a_promotion(scene: Scene, tmp_path: Path) -> None:
    """Another data directory and another home: the approval that was given, the claim and the way back are known."""
    scene.first_release("v1.0.0")
    reconfigured(scene, strategy={"autoPromotionEnabled": False, "scaleDownDelay": "120s"})
    commit = scene.release("v2.0.0", UNREADY)
    scene.daemon.wait_for("revision_applied", commit=commit)
    approved = run(scene, "approve", APP)
    assert approved.status == 0, approved
    scene.daemon.kill()
    before = {revision: _claim(each) for revision, each in scene.deployments().items()}
    assert len(before) == 2

    daemon = fresh(scene, tmp_path).start()
    daemon.wait_for("phase_changed", app=APP, phase="progressing")
    assert {revision: _claim(each) for revision, each in scene.deployments().items()} == before
    new = scene.deployments().keys() - {scene.cluster.active_revision(APP)}
    for pod in _running(scene, *new):
        set_ready(pod, True)
    daemon.wait_for("switch_confirmed", commit=commit, app=APP)
    scene.load.wait_for("v2.0.0")
    assert not daemon.find("approval_awaited")
    back = scene.repository.revert()
    daemon.wait_for("rolled_back", commit=back, app=APP)
    daemon.wait_for("switch_confirmed", commit=back, app=APP)
    no_request_failed(scene.load)
    assert len(scene.audit.created("deployments")) == 2 and len(scene.audit.created("services")) == 1
    moved(scene, 2)


def _claim(deployment: dict[str, Any]) -> tuple[str, str]:
    held = deployment["metadata"]["annotations"]
    return held[NOTES + "promoted-for"], held[NOTES + "promoted-since"]


def _running(scene: Scene, revision: str) -> list[dict[str, Any]]:
    """The two pods of a revision, as soon as both answer."""

    def up() -> list[dict[str, Any]]:
        pods = [each for each in scene.cluster.pods(revision) if each["status"]["phase"] == "Running"]
        return pods if len(pods) == 2 else []

    return until(up, "both pods of the new revision run")

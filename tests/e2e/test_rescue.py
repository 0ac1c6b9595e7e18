"""Hands, and bad luck at the same time: clients are served again as soon as anything can serve them."""

from __future__ import annotations

import time

from rig.cluster import Manifest
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.gating import reconfigured
from tests.e2e.harness.http import set_ready

UNREADY = {"env": {"READY": "false"}}


def _one_unready(scene: Scene, revision: str) -> list[Manifest]:
    """Makes one of the revision's two pods unready, and returns both."""
    pods = scene.cluster.pods(revision)
    set_ready(pods[0], False)
    until(lambda: len(scene.cluster.endpoints(APP)) == 1, "one endpoint left")
    return pods


def _rejected(scene: Scene) -> str:
    """v1.0.0 serves, v2.0.0 was rejected. Returns the latter's commit."""
    scene.first_release("v1.0.0")
    reconfigured(scene, strategy={"progressDeadline": "3s", "abortScaleDownDelay": "1s"})
    commit = scene.release("v2.0.0", UNREADY)
    scene.daemon.wait_for("rejected", commit=commit)
    return commit


def test_selector_moved_by_hand_while_a_pod_is_unready(scene: Scene) -> None:
    """To wait for that pod would serve nobody."""
    scene.first_release("v1.0.0")
    _one_unready(scene, scene.cluster.active_revision(APP))
    no_request_failed(scene.load)
    scene.cluster.patch("Service", APP, {"spec": {"selector": {"app": "somebody-elses"}}})
    until(lambda: scene.cluster.service(APP)["spec"]["selector"]["app"] == APP, "the selector put back")
    until(lambda: len(scene.cluster.endpoints(APP)) == 1, "the ready pod behind the Service")
    assert not scene.daemon.find("rejected")


def test_service_deleted_by_hand_while_a_pod_is_unready(scene: Scene) -> None:
    """The promotion's deadline is long over: that is no reason to reject what serves."""
    scene.first_release("v1.0.0")
    reconfigured(scene, strategy={"progressDeadline": "2s"})
    scene.load.wait_for_count(600)
    _one_unready(scene, scene.cluster.active_revision(APP))
    scene.cluster.delete("Service", APP)
    until(lambda: scene.cluster.get("Service", APP), "a Service again")
    until(lambda: len(scene.cluster.endpoints(APP)) == 1, "the ready pod behind it")
    assert not scene.daemon.find("rejected")


def test_revert_to_a_colour_that_lost_a_pod_while_the_active_one_is_down(scene: Scene) -> None:
    """The last pod that can serve gets the traffic, instead of being waited for in vain and scaled away."""
    scene.configure(strategy={"scaleDownDelay": "120s"})
    scene.first_release("v1.0.0")
    old = scene.cluster.active_revision(APP)
    scene.settle(scene.release("v2.0.0"))
    reconfigured(scene, strategy={"scaleDownDelay": "120s", "progressDeadline": "3s"})
    no_request_failed(scene.load)
    set_ready(scene.cluster.pods(old)[0], False)
    for pod in scene.cluster.pods(scene.cluster.active_revision(APP)):
        set_ready(pod, False)
    scene.daemon.wait_for("degraded")
    scene.daemon.wait_for("rolled_back", commit=scene.repository.revert())
    after = scene.another_load("after").start()
    after.wait_for("v1.0.0", since=time.time())
    no_request_failed(after)
    assert len(scene.cluster.endpoints(APP)) == 1


def test_live_colour_is_looked_after_while_another_is_rejected(scene: Scene) -> None:
    """A rejection may stand for days: the Service and the colour that serves are repaired as ever."""
    _rejected(scene)
    no_request_failed(scene.load)
    port = {"port": 80, "targetPort": 9999, "name": "http", "nodePort": scene.node_port}
    scene.cluster.patch("Service", APP, {"spec": {"ports": [port]}})
    scene.daemon.wait_for("drift_repaired", object=f"Service/{APP}")
    assert scene.cluster.service(APP)["spec"]["ports"][0]["targetPort"] == "http"
    [active] = [each for each in scene.deployments().values() if each["metadata"]["labels"]["version"] == "v1.0.0"]
    scene.cluster.delete("Deployment", active["metadata"]["name"])
    scene.daemon.wait_for("drift_repaired", object=f"Deployment/{active['metadata']['name']}")
    until(lambda: len(scene.cluster.endpoints(APP)) == 2, "two endpoints again")
    assert scene.selected() == "v1.0.0"


def test_service_deleted_while_another_is_rejected(scene: Scene) -> None:
    """It comes back for the colour that can serve, not for the one that Git wants and that never got ready."""
    _rejected(scene)
    no_request_failed(scene.load)
    scene.cluster.delete("Service", APP)
    until(lambda: scene.cluster.get("Service", APP), "a Service again")
    assert scene.selected() == "v1.0.0"
    # kube-proxy takes the deletion and the new Service over up to a second later, one after the other.
    scene.another_load("meanwhile").start().wait_for_count(600)
    after = scene.another_load("after").start()
    after.wait_for("v1.0.0")
    no_request_failed(after)


def test_renamed_service_keeps_what_it_leads_to(scene: Scene) -> None:
    """Clients still use the old name: they are served until somebody deletes it."""
    scene.first_release("v1.0.0")
    strategy = {"activeService": "web"}
    scene.configure(values={"service": {"type": "ClusterIP", "port": 80}}, strategy=strategy)
    scene.daemon.wait_for("config_reloaded")
    until(lambda: scene.cluster.get("Service", "web"), "the Service of the new name")
    since = scene.daemon.mark()
    scene.daemon.wait_for("switch_confirmed", since=since, commit=scene.release("v2.0.0"))
    scene.load.wait_for_count(1500)  # longer than scaleDownDelay
    no_request_failed(scene.load)
    assert scene.versions() == {"v1.0.0", "v2.0.0"}
    scene.cluster.delete("Service", APP)
    scene.daemon.wait_for("retired", version="v1.0.0")


def test_port_with_another_number_moves_with_the_selector(scene: Scene) -> None:
    """v2 has another port and a hard-wired target: one write moves both, so no request meets the wrong pair."""
    scene.first_release("v1.0.0")
    service = {"type": "NodePort", "port": 81, "nodePort": scene.node_port}
    scene.settle(scene.release("v2.0.0", {"service": service, "ports": {"http": 8181}, "env": {"HTTP_PORT": "8181"}}))
    scene.load.wait_for("v2.0.0")
    assert [each["port"] for each in scene.cluster.service(APP)["spec"]["ports"]] == [81]
    scene.daemon.wait_for("retired", version="v1.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_preview_starts_small_and_is_whole_before_the_switch(scene: Scene) -> None:
    """With `previewReplicaCount` the second colour takes one pod until that is ready."""
    scene.configure(values={"replicas": 3}, strategy={"previewReplicaCount": 1})
    scene.first_release("v1.0.0")
    commit = scene.release("v2.0.0")
    assert scene.daemon.wait_for("revision_applied", commit=commit)["replicas"] == 1
    assert scene.daemon.wait_for("revision_ready", commit=commit)["replicas"] == 3
    scene.settle(commit)
    assert len(scene.cluster.endpoints(APP)) == 3
    no_request_failed(scene.load)
    moved(scene, 1)

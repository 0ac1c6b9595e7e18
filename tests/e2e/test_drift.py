"""What people do by hand: put right where it is ours, left alone where it is not."""

from __future__ import annotations

import json
import time

from reconciler.core.observed import SWITCH_MANAGER
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import kubectl

REVISION = "bluegreen.reconciler/revision"


def _both_colours(scene: Scene) -> tuple[str, str]:
    """v1 warm and v2 active, for long; returns their revisions."""
    scene.configure(strategy={"scaleDownDelay": "120s"})
    scene.first_release("v1.0.0")
    old = scene.cluster.active_revision(APP)
    scene.settle(scene.release("v2.0.0"))
    scene.load.wait_for("v2.0.0")
    return old, scene.cluster.active_revision(APP)


def test_hand_moved_selector_is_put_back(scene: Scene) -> None:
    """Somebody patches the selector to the old colour: Git wins, and it is told who was right."""
    old, new = _both_colours(scene)
    since = scene.daemon.mark()
    scene.cluster.patch("Service", APP, {"spec": {"selector": {REVISION: old, "version": "v1.0.0"}}})
    switched = scene.daemon.wait_for("switched", since=since, version="v2.0.0")
    assert "by hand, by kubectl-edit" in switched["reason"]
    assert (switched["from_revision"], switched["revision"]) == (old, new)
    until(lambda: scene.cluster.active_revision(APP) == new, "v2.0.0 selected again")
    scene.daemon.wait_for("switch_confirmed", since=since)
    no_request_failed(scene.load)
    assert scene.audit.moves(APP) == [(old, new), (new, old), (old, new)]
    assert scene.audit.movers(APP) == [SWITCH_MANAGER, "kubectl-edit", SWITCH_MANAGER]


def test_hand_edited_service_is_put_right(scene: Scene) -> None:
    """A field that the templates own is put back, by watch: the interval is longer than anything here is waited for.
    One that they do not mention is left to its owner, and so is one that is to be ignored, over a release too."""
    ignored = [{"kind": "Service", "jsonPointers": ["/spec/type"]}]
    scene.configure(sources=[scene.source(interval="10m")], ignoreDifferences=ignored)
    scene.first_release("v1.0.0")
    scene.cluster.patch(
        "Service", APP, {"metadata": {"annotations": {"team": "shop"}}, "spec": {"type": "LoadBalancer"}}
    )
    took = [_put_right(scene, f"somebody-elses-{number}") for number in range(3)]
    print(f"put back after {', '.join(f'{each * 1000:.0f} ms' for each in took)}")
    _is_as_left(scene)
    moved(scene, 0)
    scene.settle(scene.release("v2.0.0"))
    scene.load.wait_for("v2.0.0")
    scene.daemon.wait_for("retired", version="v1.0.0")
    _is_as_left(scene)
    assert not [each for each in scene.daemon.find("drift_repaired") if "spec.type" in json.dumps(each)]
    no_request_failed(scene.load)
    moved(scene, 1)


def _put_right(scene: Scene, label: str) -> float:
    """Edits a field of the Service. Returns after how many seconds it was put back; that is told with who edited it."""
    since = scene.daemon.mark()
    scene.cluster.patch("Service", APP, {"metadata": {"labels": {"app": label}}})
    began = time.monotonic()
    until(lambda: scene.cluster.service(APP)["metadata"]["labels"]["app"] == APP, "the label put back")
    took = time.monotonic() - began
    told = scene.daemon.wait_for("drift_repaired", since=since, object=f"Service/{APP}")
    by_whom = {"field": "metadata.labels.app", "wanted": APP, "found": label, "by": "kubectl-edit"}
    assert by_whom in told["differences"], told
    return took


def _is_as_left(scene: Scene) -> None:
    live = scene.cluster.service(APP)
    assert live["metadata"]["annotations"]["team"] == "shop"
    assert live["spec"]["type"] == "LoadBalancer"


def test_hand_deleted_service_comes_back(scene: Scene) -> None:
    """With the same port, pointing to the same revision. Its clients had no Service meanwhile; that is no switch."""
    _, new = _both_colours(scene)
    no_request_failed(scene.load)
    scene.cluster.delete("Service", APP)
    until(lambda: scene.cluster.get("Service", APP), "a Service again")
    assert scene.cluster.active_revision(APP) == new
    until(lambda: len(scene.cluster.endpoints(APP)) == 2, "two endpoints")
    # kube-proxy takes the deletion and the new Service over up to a second later, one after the other.
    scene.another_load("meanwhile").start().wait_for_count(600)
    after = scene.another_load("after").start()
    after.wait_for("v2.0.0")
    no_request_failed(after)
    assert set(after.versions()) == {"v2.0.0"}


def test_hand_deleted_deployments_come_back(scene: Scene) -> None:
    """The warm colour's is not missed by anybody; the active one's is made again, and serves."""
    old, new = _both_colours(scene)
    deployments = scene.deployments()
    scene.cluster.delete_and_wait("Deployment", deployments[old]["metadata"]["name"])
    no_request_failed(scene.load)
    scene.cluster.delete("Deployment", deployments[new]["metadata"]["name"])
    before = deployments[new]
    until(lambda: scene.deployments().get(new, before)["metadata"]["uid"] != before["metadata"]["uid"], "a new one")
    until(lambda: len(scene.cluster.endpoints(APP)) == 2, "two endpoints", 60)
    moved(scene, 1)


def test_hand_edited_preview_gets_no_traffic(scene: Scene) -> None:
    """Somebody adds a variable to a colour that is not in service yet: pods that Git does not know get no traffic."""
    scene.first_release("v1.0.0")
    commit = scene.release("v2.0.0", {"env": {"STARTUP_DELAY": "3s"}})
    applied = scene.daemon.wait_for("revision_applied", commit=commit)
    name = scene.deployments()[applied["revision"]]["metadata"]["name"]
    edited = kubectl(scene, "set", "env", f"deployment/{name}", "DEBUG=1")
    assert edited.status == 0, edited.err
    blocked = scene.daemon.wait_for("app_blocked", commit=commit)
    assert "env[DEBUG]" in blocked["reason"] and "kubectl" in blocked["reason"], blocked
    scene.load.wait_for_count(1200)  # longer than its start takes
    assert scene.selected() == "v1.0.0"
    scene.cluster.delete("Deployment", name)
    scene.settle(commit)
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_foreign_service_is_left_alone(scene: Scene) -> None:
    """A Service of the same name that somebody else made blocks the app, untouched, until it is out of the way."""
    port = {"port": 80, "targetPort": 8080, "nodePort": scene.node_port}
    spec = {"type": "NodePort", "selector": {"app": "somebody-elses"}, "ports": [port]}
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": APP}, "spec": spec}
    foreign = scene.cluster.create(manifest)
    commit = scene.release("v1.0.0")
    scene.daemon.start()
    blocked = scene.daemon.wait_for("app_blocked", app=APP)
    assert APP in blocked["reason"] and blocked["todo"], blocked
    assert scene.cluster.service(APP) == foreign
    scene.cluster.delete("Service", APP)
    scene.load.start()
    scene.settle(commit)
    scene.load.wait_for("v1.0.0")
    no_request_failed(scene.load)


def test_foreign_deployment_is_left_alone(scene: Scene) -> None:
    """Objects without our labels are nobody's business here, even under the app's own label."""
    labels = {"app": APP}
    container = {"name": "idle", "image": scene.sandbox.sample_image, "imagePullPolicy": "IfNotPresent"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    foreign = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "somebody-elses", "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    made = scene.cluster.create(foreign)
    scene.first_release("v1.0.0")
    scene.settle(scene.release("v2.0.0"))
    scene.daemon.wait_for("retired", version="v1.0.0")
    live = scene.cluster.get("Deployment", "somebody-elses")
    assert live is not None and live["spec"] == made["spec"]
    no_request_failed(scene.load)
    assert "somebody-elses" not in scene.audit.deleted("deployments")

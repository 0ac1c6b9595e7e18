"""What is a release and what is not: values, templates, replicas, configuration, ports, retention."""

from __future__ import annotations

import time

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import kubectl
from tests.e2e.harness.http import get_json
from tests.e2e.harness.templates import own_templates


def test_changed_value_is_a_new_revision_of_the_same_version(scene: Scene) -> None:
    """A changed environment changes the pod template: a new colour of the same version, switched like any other."""
    scene.first_release("v1.0.0")
    before = scene.cluster.endpoints(APP)
    commit = scene.release("v1.0.0", {"env": {"GREETING": "hello"}})
    switched = scene.daemon.wait_for("switched", commit=commit)
    assert switched["version"] == switched["from_version"] == "v1.0.0"
    assert switched["revision"] != switched["from_revision"]
    scene.settle(commit)
    after = scene.cluster.endpoints(APP)
    assert len(after) == 2 and not after & before
    until(lambda: scene.load.requests[-1].host in after, "an answer from a new pod")
    scene.daemon.wait_for("retired", revision=switched["from_revision"])
    no_request_failed(scene.load)
    moved(scene, 1)


def test_changed_template_is_a_new_revision(scene: Scene) -> None:
    """Templates of the app's own repository: a changed pod template releases, a changed Service does not."""
    scene.configure(templates="templates")
    scene.repository.commit("Own templates", own_templates())
    scene.first_release("v1.0.0")
    built_in = own_templates()
    service = built_in["templates/service.yaml"].replace("metadata:", "metadata:\n  annotations: {team: shop}")
    scene.repository.commit("Say whose it is", {"templates/service.yaml": service})
    until(lambda: scene.cluster.service(APP)["metadata"]["annotations"].get("team"), "the Service's annotation")
    moved(scene, 0)
    deployment = built_in["templates/deployment.yaml"].replace("    spec:\n", "    spec:\n      hostname: shop\n", 1)
    assert deployment != built_in["templates/deployment.yaml"]
    commit = scene.repository.commit("Name the pods", {"templates/deployment.yaml": deployment})
    scene.settle(commit)
    until(lambda: scene.load.requests[-1].host == "shop", "an answer from a pod with its new name")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_changed_replicas_are_no_new_revision(scene: Scene) -> None:
    """More replicas in Git scale the active colour; nothing is switched."""
    scene.first_release("v1.0.0")
    scene.release("v1.0.0", {"replicas": 4})
    until(lambda: len(scene.cluster.endpoints(APP)) == 4, "four endpoints")
    scene.release("v1.0.0", {"replicas": 1})
    until(lambda: len(scene.cluster.endpoints(APP)) == 1, "one endpoint")
    no_request_failed(scene.load)
    assert len(scene.deployments()) == 1
    assert len(scene.audit.created("deployments")) == 1
    moved(scene, 0)


def test_replicas_that_come_with_a_version(scene: Scene) -> None:
    """More are there before the switch, fewer only after it."""
    scene.first_release("v1.0.0")
    commit = scene.release("v2.0.0", {"replicas": 4})
    assert scene.daemon.wait_for("revision_ready", commit=commit)["replicas"] == 4
    scene.settle(commit)
    commit = scene.release("v3.0.0", {"replicas": 1})
    assert scene.daemon.wait_for("revision_ready", commit=commit)["replicas"] == 4
    scene.daemon.wait_for("revision_scaled", commit=commit, replicas=1, reason="Git asks for 1")
    until(lambda: len(scene.cluster.endpoints(APP)) == 1, "one endpoint")
    no_request_failed(scene.load)
    moved(scene, 2)


def test_new_colour_has_as_many_replicas_as_the_active_one_has_now(scene: Scene) -> None:
    """Somebody scaled the active colour by hand: the new one gets as many pods before it gets the traffic."""
    scene.first_release("v1.0.0")
    [before] = scene.deployments().values()
    scaled = kubectl(scene, "scale", "deployment", before["metadata"]["name"], "--replicas=4")
    assert scaled.status == 0, scaled.err
    until(lambda: len(scene.cluster.endpoints(APP)) == 4, "four endpoints")
    commit = scene.release("v2.0.0")
    ready = scene.daemon.wait_for("revision_ready", commit=commit)
    assert ready["replicas"] == 4
    scene.settle(commit)
    assert len(scene.cluster.endpoints(APP)) == 4
    no_request_failed(scene.load)
    moved(scene, 1)


def test_configuration_rolls_back_with_its_colour(scene: Scene) -> None:
    """`config` becomes a ConfigMap of the revision: a revert brings the old values back, and the rest is cleaned up."""
    scene.configure(strategy={"scaleDownDelay": "20s"})
    scene.first_release("v1.0.0", {"config": {"CFG_COLOUR": "blue"}})
    config = scene.url + "config"
    assert get_json(config) == {"CFG_COLOUR": "blue"}
    scene.settle(scene.release("v1.0.0", {"config": {"CFG_COLOUR": "green"}}))
    until(lambda: get_json(config) == {"CFG_COLOUR": "green"}, "the new configuration")
    commit = scene.repository.revert()
    scene.daemon.wait_for("rolled_back", commit=commit)
    until(lambda: get_json(config) == {"CFG_COLOUR": "blue"}, "the old configuration")
    scene.daemon.wait_for("retired", app=APP)
    labelled = {"bluegreen.reconciler/app": APP}
    until(lambda: len(scene.cluster.find("ConfigMap", **labelled)) == 1, "one ConfigMap left")
    no_request_failed(scene.load)


def test_changed_port_moves_in_the_same_write_as_the_selector(scene: Scene) -> None:
    """v2 listens on another port. Selector and targetPort change in one write, so no request meets the wrong pair."""
    scene.configure(templates="templates", strategy={"scaleDownDelay": "60s"})
    service = own_templates()["templates/service.yaml"]
    numbered = service.replace("targetPort: http", "targetPort: {{ values.ports.http }}")
    assert numbered != service
    scene.repository.commit("Own templates", own_templates(service=numbered))
    scene.first_release("v1.0.0", _listening(8080))
    scene.settle(scene.release("v2.0.0", _listening(8181)))
    scene.load.wait_for("v2.0.0")
    assert scene.cluster.service(APP)["spec"]["ports"][0]["targetPort"] == 8181
    commit = scene.repository.revert()
    scene.settle(commit)
    assert scene.cluster.service(APP)["spec"]["ports"][0]["targetPort"] == 8080
    scene.load.wait_for("v1.0.0", since=time.time())
    no_request_failed(scene.load)
    moved(scene, 2)


def _listening(port: int) -> dict[str, object]:
    return {"ports": {"http": port}, "env": {"HTTP_PORT": str(port)}}


def test_a_zero_in_the_templates_is_no_drift(scene: Scene) -> None:
    """The API server leaves out fields that are zero: they were not edited by hand, and are not written again."""
    scene.configure(values={"readinessProbe": {"initialDelaySeconds": 0}, "env": {"EMPTY": ""}})
    scene.first_release("v1.0.0")
    writes = len(scene.audit.writes())
    assert scene.daemon.stop() == 0
    since = scene.daemon.mark()
    scene.daemon.start()
    phase = scene.daemon.wait_for("phase_changed", since=since, app=APP)
    assert phase["phase"] == "stable", phase
    no_request_failed(scene.load)
    assert len(scene.audit.writes()) == writes


def test_retention_is_kept(scene: Scene) -> None:
    """The old colour is not deleted before scaleDownDelay is over, at full strength until then."""
    delay = 6.0
    scene.configure(strategy={"scaleDownDelay": f"{delay:g}s"})
    scene.first_release("v1.0.0")
    scene.settle(scene.release("v2.0.0"))
    [old] = [each for each in scene.deployments().values() if each["metadata"]["labels"]["version"] == "v1.0.0"]
    with scene.cluster.watch("Deployment") as deployments:
        gone = deployments.wait_for(lambda each: each.type == "DELETED", "v1.0.0's Deployment deleted")
    assert gone.name == old["metadata"]["name"]
    assert gone.object["spec"]["replicas"] == gone.object["status"]["readyReplicas"] == 2
    writes = scene.audit.writes()
    switched = next(each.at for each in writes if each.revision == scene.cluster.active_revision(APP))
    deleted = next(each.at for each in writes if each.verb == "delete" and each.name == gone.name)
    assert deleted - switched > delay - 0.5, "it counts from the decision to switch, a moment before the write"
    no_request_failed(scene.load)

"""What was made with kubectl, as in the classic example, is taken over and promoted from, and no client notices."""

from __future__ import annotations

import json
from typing import Any

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import kubectl

LABELS = {"app": APP, "version": "v1.0.0"}


def _by_hand(scene: Scene) -> list[dict[str, Any]]:
    """Service `my-app` and Deployment `my-app-v1`, three replicas, with the original's labels, ports and probes."""
    ports = [{"name": "http", "containerPort": 8080}, {"name": "probe", "containerPort": 8086}]
    container = {
        "name": APP,
        "image": scene.sandbox.sample_image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "VERSION", "value": "v1.0.0"}],
        "ports": ports,
        "livenessProbe": {"httpGet": {"path": "/live", "port": "probe"}, "initialDelaySeconds": 5, "periodSeconds": 5},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "probe"}, "periodSeconds": 5},
    }
    notes = {"prometheus.io/scrape": "true", "prometheus.io/port": "9101"}
    template = {"metadata": {"labels": LABELS, "annotations": notes}, "spec": {"containers": [container]}}
    deployment = {"replicas": 3, "selector": {"matchLabels": LABELS}, "template": template}
    port = {"name": "http", "port": 80, "targetPort": "http", "nodePort": scene.node_port}
    service = {"type": "NodePort", "selector": LABELS, "ports": [port]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "my-app-v1", "labels": LABELS}}
        | {"spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": APP, "labels": {"app": APP}}, "spec": service},
    ]


def test_what_kubectl_made_is_adopted_under_load(scene: Scene) -> None:
    """Not a pod is restarted by the adoption; then v2.0.0 is promoted from it, as large as it is."""
    for manifest in _by_hand(scene):
        applied = kubectl(scene, "apply", "-f", "-", stdin=json.dumps(manifest))
        assert applied.status == 0, applied.err
    scene.load.start()
    scene.load.wait_for("v1.0.0")
    until(lambda: len(scene.cluster.endpoints(APP)) == 3, "three endpoints")
    by_hand = scene.cluster.endpoints(APP)
    # Of the node port only Kubernetes knows, as it chose the original's.
    scene.configure(adopt=True, values={"service": {"type": "NodePort", "port": 80}})
    commit = scene.release("v2.0.0", {"env": {"STARTUP_DELAY": "3s"}})
    scene.daemon.start()
    scene.daemon.wait_for("adopted", object=f"Service/{APP}")
    scene.daemon.wait_for("revision_applied", commit=commit, replicas=3)
    assert scene.cluster.endpoints(APP) == by_hand, "no pod is touched"
    switched = scene.daemon.wait_for("switched", commit=commit)
    assert switched["from_version"] == "v1.0.0", switched
    scene.settle(commit)
    scene.load.wait_for("v2.0.0")
    scene.daemon.wait_for("retired", version="v1.0.0")
    until(lambda: scene.cluster.get("Deployment", "my-app-v1") is None, "the adopted Deployment gone")
    scene.settle(scene.release("v3.0.0"))
    scene.load.wait_for("v3.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)  # from v2.0.0 on: the adopted selector named no revision

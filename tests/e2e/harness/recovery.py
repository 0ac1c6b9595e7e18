"""The sandbox after an outage of its API server, as if there had been none."""

from __future__ import annotations

from rig.scene import Scene
from rig.waiting import until

_FOLLOWERS = ("controller-manager", "scheduler", "kubelet", "kube-proxy")
_TIMEOUT = 120.0


def afresh(scene: Scene) -> None:
    """Restarts everything that follows the API server by watches, and returns when a pod comes up again.

    client-go tries a watch again after up to 30 s, and forgets that only after two quiet minutes: the next hiccup would
    find some component half a minute behind, in a test that has nothing to do with it.
    """
    for component in _FOLLOWERS:
        scene.sandbox.restart(component)
    scene.cluster.create(_deployment(scene))
    until(lambda: _is_available(scene), "a pod that comes up after an outage", _TIMEOUT, poll=0.1)


def _is_available(scene: Scene) -> bool:
    live = scene.cluster.get("Deployment", "afresh") or {}
    return bool(live.get("status", {}).get("availableReplicas"))


def _deployment(scene: Scene) -> dict[str, object]:
    labels = {"app": "afresh"}
    container = {"name": "idle", "image": scene.sandbox.sample_image, "imagePullPolicy": "IfNotPresent"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "afresh"}, "spec": spec}

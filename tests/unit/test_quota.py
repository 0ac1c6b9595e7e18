"""Room for a second colour: counted as Kubernetes' quotas count, and told with the figures."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.phase import Phase
from reconciler.core.quota import shortages
from reconciler.errors import Blocked
from tests.fakes.world import NAMESPACE, World


def _workload(replicas: int, *containers: dict[str, Any], init: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    spec = {"containers": [{"resources": each} for each in containers]}
    if init:
        spec["initContainers"] = [_first(each) for each in init]
    return {"kind": "Deployment", "spec": {"replicas": replicas, "template": {"spec": spec}}}


def _first(resources: dict[str, Any]) -> dict[str, Any]:
    """An init container, or with `restart` a sidecar."""
    return {"resources": resources} | ({"restartPolicy": "Always"} if resources.pop("restart", False) else {})


def _quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}


SMALL = {"requests": {"cpu": "100m", "memory": "64Mi"}}


@pytest.mark.parametrize(
    ("workload", "quota", "told"),
    [
        (_workload(3, SMALL), _quota({"pods": "6"}, {"pods": "3"}), []),
        (_workload(3, SMALL), _quota({"pods": "5"}, {"pods": "3"}), ["pods: 3 more are needed, 2 of 5 are left in q"]),
        (
            _workload(3, SMALL),
            _quota({"cpu": "0.5"}, {"cpu": "300m"}),
            ["cpu: 0.3 more are needed, 0.2 of 0.5 are left in q"],
        ),
        (_workload(2, SMALL, SMALL), _quota({"requests.memory": "256Mi"}, {"requests.memory": "0"}), []),
        (
            _workload(2, SMALL, SMALL),
            _quota({"requests.memory": "255Mi"}, {}),
            ["requests.memory: 256Mi more are needed, 255Mi of 255Mi are left in q"],
        ),
        (
            _workload(1, {"limits": {"memory": "1Gi"}}),
            _quota({"requests.memory": "512Mi"}, {}),
            ["requests.memory: 1Gi more are needed, 512Mi of 512Mi are left in q"],
        ),
        (
            _workload(1, SMALL, init=({"requests": {"cpu": 2}},)),
            _quota({"requests.cpu": "1"}, {}),
            ["requests.cpu: 2 more are needed, 1 of 1 are left in q"],
        ),
        (_workload(9, SMALL), _quota({"pods": "1"}, {}, scopes=["BestEffort"]), []),
        (_workload(9, {}), _quota({"requests.cpu": "1", "services": "1"}, {"services": "1"}), []),
        (
            _workload(3, SMALL),
            _quota({"count/pods": "5"}, {"count/pods": "3"}),
            ["count/pods: 3 more are needed, 2 of 5 are left in q"],
        ),
        (
            _workload(3, SMALL),
            _quota({"count/deployments.apps": "1"}, {"count/deployments.apps": "1"}),
            ["count/deployments.apps: 1 more are needed, 0 of 1 are left in q"],
        ),
        (
            _workload(2, {"limits": {"example.com/gpu": 1}}),
            _quota({"requests.example.com/gpu": "3"}, {"requests.example.com/gpu": "2"}),
            ["requests.example.com/gpu: 2 more are needed, 1 of 3 are left in q"],
        ),
        (
            _workload(1, {"requests": {"ephemeral-storage": "2Gi"}}),
            _quota({"ephemeral-storage": "1Gi"}, {}),
            ["ephemeral-storage: 2Gi more are needed, 1Gi of 1Gi are left in q"],
        ),
        (
            _workload(1, SMALL, init=({"requests": {"cpu": "50m"}, "restart": True}, {"requests": {"cpu": "80m"}})),
            _quota({"requests.cpu": "0.149"}, {}),
            ["requests.cpu: 0.15 more are needed, 0.149 of 0.149 are left in q"],
        ),
        (_workload(2, SMALL), _quota({"pods": "1"}, {"pods": "3"}), ["pods: 2 more are needed, 0 of 1 are left in q"]),
    ],
)
def test_what_does_not_fit_is_told(workload: dict[str, Any], quota: dict[str, Any], told: list[str]) -> None:
    assert shortages([workload], [quota]) == told


def test_nothing_is_applied_while_the_second_colour_does_not_fit() -> None:
    world = World()
    world.release("v1.0.0")
    quota = {"kind": "ResourceQuota", **_quota({"pods": "5"}, {"pods": "3"})}
    quota["metadata"] = {"name": "q", "namespace": NAMESPACE}
    world.cluster.put(quota)
    world.commit("v2.0.0")
    world.daemon.poll()
    with pytest.raises(Blocked, match=r"v2\.0\.0 does not fit into the namespace's quotas: pods: 3 more are needed"):
        world.daemon.settle()
    assert world.versions() == ["v1.0.0"]
    world.cluster.put({**quota, "status": {"hard": {"pods": "9"}, "used": {"pods": "3"}}})
    assert world.run().phase is Phase.RETAINING

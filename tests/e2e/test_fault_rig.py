"""The rig's faults on a pod of the sample app: each does what it says, and is over when it says so."""

from __future__ import annotations

from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from rig.cluster import Manifest, is_ready
from rig.containers import Container, container_of, last_end, restarts
from rig.partition import INCOMING, OUTGOING, Direction, cut_off
from rig.podlogs import PodLogs
from rig.scene import Scene
from rig.waiting import until

NAME = "victim"
PATIENCE = 0.7
"""Seconds to wait for an answer that does not come: a pod on the same machine answers in some milliseconds."""
_OPENER = build_opener(ProxyHandler({}))


@pytest.fixture
def pod(scene: Scene) -> Manifest:
    """A ready pod with little memory, whose restarts kubelet does not put off."""
    container = {
        "name": NAME,
        "image": scene.sandbox.sample_image,
        "imagePullPolicy": "Never",
        "env": [{"name": "VERSION", "value": "v1"}],
        "resources": {"requests": {"memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8086}, "periodSeconds": 1},
    }
    meta = {"name": NAME}
    scene.cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}})
    return until(lambda: _ready(scene, 0), "a ready pod", 60)


def _ready(scene: Scene, life: int) -> Manifest | None:
    found = scene.cluster.get("Pod", NAME)
    return found if found and is_ready(found) and restarts(found, NAME) == life else None


def _container(scene: Scene, pod: Manifest) -> Container:
    return container_of(scene.sandbox, pod, NAME)


def _answers(pod: Manifest) -> bool:
    try:
        with _OPENER.open(f"http://{pod['status']['podIP']}:8080/", timeout=PATIENCE) as response:
            return bool(response.status == 200)
    except (URLError, TimeoutError, ConnectionError):
        return False


def test_killed_container_has_another_life(scene: Scene, pod: Manifest) -> None:
    """SIGKILL from outside; its logs are there for each life."""
    with PodLogs(scene.sandbox, scene.namespace, NAME) as logs:
        container = _container(scene, pod)
        assert container.alive and container.descriptors > 2 and container.resident > 2**20 and container.cpu > 0
        assert 2**20 < container.working_set < 64 * 2**20
        container.kill()
        assert not container.alive
        again = until(lambda: _ready(scene, 1), "a restarted container", 60)
        assert last_end(again, NAME) == "Error"
        until(lambda: _answers(again), "an answer of it")
        assert {(each.pod, each.life) for each in logs.lines} == {(NAME, 0), (NAME, 1)}
        assert all(each.text == "version v1 serves on port 8080" for each in logs.lines)


def test_halted_container_answers_afterwards(scene: Scene, pod: Manifest) -> None:
    container = _container(scene, pod)
    with container.halted():
        assert not _answers(pod)
    until(lambda: _answers(pod), "an answer")
    assert container.alive


@pytest.mark.parametrize("directions", [(OUTGOING, INCOMING), (OUTGOING,), (INCOMING,)], ids=["both", "out", "in"])
def test_pod_that_is_cut_off_answers_afterwards(scene: Scene, pod: Manifest, directions: tuple[Direction, ...]) -> None:
    with cut_off(scene.sandbox, pod["status"]["podIP"], directions):
        assert not _answers(pod)
    until(lambda: _answers(pod), "an answer")


def test_exhausted_container_is_killed_for_want_of_memory(scene: Scene, pod: Manifest) -> None:
    """The container's own process, as nothing else in its group counts as big."""
    _container(scene, pod).exhaust()
    again = until(lambda: _ready(scene, 1), "a restarted container", 60)
    assert last_end(again, NAME) == "OOMKilled"

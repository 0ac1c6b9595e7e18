"""The project's image runs as it is meant to: as nobody, where nothing can be written, and with all that it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rig.cluster import Manifest
from rig.scene import Scene
from rig.waiting import until
from sandbox import project
from tests.e2e.harness.commands import kubectl

_INSIDE = Path(__file__).parent / "harness" / "inside.py"
_ENDED = ("Succeeded", "Failed")


@pytest.fixture
def image(scene: Scene) -> project.ProjectImage:
    """Imported; `python -m sandbox image` has built it."""
    return scene.sandbox.project_image()


def _pod(image: str, command: list[str]) -> Manifest:
    """As Pod Security's `restricted` asks for."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "image"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "reconciler",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": "data", "mountPath": "/var/lib/reconciler"},
                        {"name": "temporary", "mountPath": "/tmp"},
                    ],
                }
            ],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "temporary", "emptyDir": {}}],
        },
    }


def _restrict(scene: Scene) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    done = kubectl(scene, "label", "namespace", scene.namespace, *(f"{key}={value}" for key, value in labels.items()))
    assert done.status == 0, done.err


def _run(scene: Scene, image: str, command: list[str]) -> str:
    """The log of a pod that ended well."""
    scene.cluster.create(_pod(image, command))

    def phase() -> str:
        pod = scene.cluster.get("Pod", "image")
        found = str(pod["status"].get("phase", "")) if pod else ""
        return found if found in _ENDED else ""

    ended = until(phase, "the pod has ended", 180.0, poll=0.2)
    log = kubectl(scene, "logs", "image")
    assert ended == "Succeeded", log.out[-2000:]
    return log.out


@pytest.fixture
def found(scene: Scene, image: project.ProjectImage) -> Any:
    """What a pod of the image finds inside."""
    _restrict(scene)
    script = _INSIDE.read_text()
    return json.loads(_run(scene, image.name, ["tini", "--", "python3", "-c", script]).splitlines()[-1])


def test_it_runs_restricted_and_has_all_that_the_program_needs(found: Any) -> None:
    """One pod for all questions: a start takes some seconds."""
    assert found["user"] == [65532, 65532]
    assert set(found["refused"].values()) == {"EROFS"}
    assert set(found["writable"].values()) == {""}
    assert found["help"]["status"] == 0, found["help"]
    assert "validate" in found["help"]["told"]
    for way in ("by path", "by file"):
        assert found[way]["status"] == 0, found[way]
        assert "v1.0.0" in found[way]["told"], found[way]
    assert "Connection refused" in found["ssh"]["told"], found["ssh"]
    assert "127.0.0.1 port 1" in found["https"]["told"], found["https"]
    assert {name: each for name, each in found["signatures"].items() if each["status"] != 0} == {}
    assert found["not importable"] == {}
    assert found["services"] > 100
    assert found["authorities"] > 100
    assert found["orphans"] == []


def test_its_entry_is_the_program(scene: Scene, image: project.ProjectImage) -> None:
    """`args` alone are enough, and the namespace's rules are met by the image's own user."""
    _restrict(scene)
    pod = _pod(image.name, [])
    del pod["spec"]["containers"][0]["command"]
    pod["spec"]["containers"][0]["args"] = ["version"]
    scene.cluster.create(pod)
    log = until(lambda: kubectl(scene, "logs", "image").out, "the pod has said its version", 120.0, poll=0.2)
    assert log.startswith("reconciler ")

"""`crash-anywhere` in the cluster: whoever looks after an app is killed after each step of its release, and another one
goes on, while two more replicas stand by."""

from __future__ import annotations

import pytest

from rig.incluster import InCluster
from rig.scene import APP, Scene
from tests.e2e.harness.asserts import moved, no_request_failed, none_twice
from tests.e2e.harness.faulting import Begun, Faults
from tests.e2e.harness.steps import BUMP, FIRST_RELEASE, ROLLBACK, Step, name_of

pytestmark = pytest.mark.timeout(900)


class Killer:
    """Kills the container that tells of a step; what all members tell of, the owner's."""

    def __init__(self, incluster: InCluster, faults: Faults, app: str = APP) -> None:
        self._incluster = incluster
        self._faults = faults
        self._app = app
        self._lives = incluster.containers()
        self._since = incluster.logs.mark()
        self._owner = incluster.due(app)

    def kill_after(self, step: Step) -> Begun:
        """To be made before the commit, called after it. Returns when the container has gone."""
        name, fields = step
        shared = name == "source_updated"
        about = fields if shared else {**fields, "app": self._app}
        told = self._incluster.logs.wait_for(name, since=self._since, **about)
        begun = self._faults.begin()
        self._lives[self._owner if shared else told["pod"]].kill()
        return begun


def _name(story: str, step: Step) -> str:
    return f"SIGKILL in a {story} after {name_of(step)}"


def test_owner_killed_after_each_step_of_a_first_release(scene: Scene, incluster: InCluster, faults: Faults) -> None:
    """An app for each step: one Deployment, one Service. Another app has load meanwhile."""
    names = [f"first-{number}" for number in range(1, len(FIRST_RELEASE) + 1)]
    apps = [scene.app(name, path=name, values={"replicas": 1}) for name in names]
    incluster.configure([scene.app(), *apps])
    incluster.first_release("v1.0.0")
    for name, step in zip(names, FIRST_RELEASE, strict=True):
        incluster.afresh()
        killer = Killer(incluster, faults, name)
        scene.repository.release("v1.0.0", path=name)
        begun = killer.kill_after(step)
        faults.end(_name("first release", step), begun, "v1.0.0", name)
    no_request_failed(scene.load)
    none_twice(scene.audit.created("deployments"), len(names) + 1)
    none_twice(scene.audit.created("services"), len(names) + 1)
    assert not any(scene.audit.moves(name) for name in (APP, *names))


def test_owner_killed_after_each_step_of_a_bump(scene: Scene, incluster: InCluster, faults: Faults) -> None:
    """A release for each step: one Deployment more, one move of the selector, one Deployment less."""
    incluster.configure(strategy={"scaleDownDelay": "1s"})
    incluster.first_release("v0.0.0")
    for number, (event, fields) in enumerate(BUMP, 1):
        incluster.afresh()
        killer = Killer(incluster, faults)
        scene.release(f"v{number}.0.0")
        former = {"version": f"v{number - 1}.0.0"} if event == "retired" else {}
        begun = killer.kill_after((event, fields | former))
        faults.end(_name("bump", (event, fields)), begun, f"v{number}.0.0")
    no_request_failed(scene.load)
    none_twice(scene.audit.created("deployments"), len(BUMP) + 1)
    none_twice(scene.audit.deleted("deployments"), len(BUMP))
    none_twice(scene.audit.created("services"), 1)
    moved(scene, len(BUMP))


def test_owner_killed_after_each_step_of_a_rollback(scene: Scene, incluster: InCluster, faults: Faults) -> None:
    """A revert for each step, to pods that are warm: nothing is created for it, the selector is moved once."""
    incluster.configure(strategy={"scaleDownDelay": "600s"})
    incluster.first_release("v0.0.0")
    incluster.settle(scene.release("v1.0.0"))
    warm = _pods(scene)
    for number, step in enumerate(ROLLBACK, 1):
        incluster.afresh()
        killer = Killer(incluster, faults)
        scene.repository.revert()
        begun = killer.kill_after(step)
        faults.end(_name("rollback", step), begun, f"v{(number + 1) % 2}.0.0", alone=False)
    no_request_failed(scene.load)
    assert _pods(scene) == warm
    none_twice(scene.audit.created("deployments"), 2)
    moved(scene, len(ROLLBACK) + 1)


def _pods(scene: Scene) -> set[str]:
    return {pod["metadata"]["name"] for revision in scene.deployments() for pod in scene.cluster.pods(revision)}

"""`crash-anywhere`: killed between any two steps and started again, it comes to the same end; nothing is done twice."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from rig.daemon import Daemon
from rig.proxy import Call, Cut, Proxy
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed, none_twice
from tests.e2e.harness.converged import converged, is_active
from tests.e2e.harness.steps import BUMP, FIRST_RELEASE, ROLLBACK, Step

LONG = 120.0
"""Seconds for one step of a daemon that dies at every write."""


def _kill_after(scene: Scene, step: Step, since: int, app: str = APP) -> None:
    name, fields = step
    about = fields if name == "source_updated" else {**fields, "app": app}
    scene.daemon.wait_for(name, since=since, **about)
    scene.daemon.kill()
    scene.daemon.start()


def test_killed_after_each_step_of_a_first_release(scene: Scene) -> None:
    """An app for each step: one Deployment, one Service, whatever step it died after. The first one has load."""
    names = [APP, *(f"app-{number}" for number in range(1, len(FIRST_RELEASE)))]
    scene.configure(apps=[scene.app(name, path=name, values={"replicas": 1}) for name in names])
    scene.load.start()
    scene.daemon.start()
    for name, step in zip(names, FIRST_RELEASE, strict=True):
        since = scene.daemon.mark()
        scene.repository.release("v1.0.0", path=name)
        _kill_after(scene, step, since, name)
        converged(scene, "v1.0.0", name)
    no_request_failed(scene.load)
    none_twice(scene.audit.created("deployments"), len(names))
    none_twice(scene.audit.created("services"), len(names))
    assert not any(scene.audit.moves(name) for name in names)


def test_killed_after_each_step_of_a_bump(scene: Scene) -> None:
    """A release for each step: one Deployment more, one move of the selector, one Deployment less."""
    scene.first_release("v0.0.0")
    for number, (name, fields) in enumerate(BUMP, 1):
        since = scene.daemon.mark()
        scene.release(f"v{number}.0.0")
        former = {"version": f"v{number - 1}.0.0"} if name == "retired" else {}
        _kill_after(scene, (name, fields | former), since)
        converged(scene, f"v{number}.0.0")
    no_request_failed(scene.load)
    none_twice(scene.audit.created("deployments"), len(BUMP) + 1)
    none_twice(scene.audit.deleted("deployments"), len(BUMP))
    moved(scene, len(BUMP))


def test_killed_after_each_step_of_a_rollback(scene: Scene) -> None:
    """A revert for each step: the warm colour is used again, as it is."""
    scene.configure(strategy={"scaleDownDelay": "600s"})
    scene.first_release("v0.0.0")
    before = scene.cluster.endpoints(APP)
    scene.settle(scene.release("v1.0.0"))
    warm = before, scene.cluster.endpoints(APP)
    for number, step in enumerate(ROLLBACK):
        since = scene.daemon.mark()
        scene.repository.revert()
        _kill_after(scene, step, since)
        converged(scene, f"v{number % 2}.0.0", alone=False)
        assert scene.cluster.endpoints(APP) == warm[number % 2]
    no_request_failed(scene.load)
    none_twice(scene.audit.created("deployments"), 2)
    assert not scene.audit.deleted("deployments")
    moved(scene, len(ROLLBACK) + 1)


class Reaper:
    """Ends every life of a daemon at its first write. `unheard`: before it hears of that write; else at the next one.

    Some steps take several writes, and a new life begins them anew. A life that begins with the same write as the one
    before it may write once more than that, so that it dies further on.
    """

    def __init__(self, daemon: Daemon, *, unheard: bool) -> None:
        self._daemon = daemon
        self._unheard = unheard
        self._life = 0
        self._written = 0
        self._allowed = 1
        self._first = ""

    def __call__(self, call: Call, answered: bool) -> None:
        """The proxy's hook."""
        if not call.write:
            return
        if self._life != self._daemon.lives:
            self._begin(_told(call))
        self._written += answered
        if self._written >= self._allowed and answered == self._unheard:
            self._daemon.signal(signal.SIGKILL)
            raise Cut

    def _begin(self, first: str) -> None:
        self._life, self._written = self._daemon.lives, 0
        self._allowed = self._allowed + 1 if first == self._first else 1
        self._first = first


def _told(call: Call) -> str:
    """A write in so far as a new life would make the same: without the version that it is conditional on."""
    return f"{call.method} {call.path} {call.manager} " + re.sub(r'"resourceVersion": ?"\d+"', "", call.body.decode())


@pytest.mark.timeout(4 * LONG + 120)
@pytest.mark.parametrize("unheard", [False, True], ids=["before-each-write", "after-each-write"])
def test_killed_at_every_single_write(scene: Scene, tmp_path: Path, unheard: bool) -> None:
    """First release, bump, rollback and clean-up by a daemon whose every life ends at its first or second write."""
    scene.configure(strategy={"scaleDownDelay": "90s"})
    scene.load.start()
    with Proxy(scene.sandbox.kubeconfig, tmp_path) as proxy:
        daemon = scene.another_daemon("mortal", proxy.kubeconfig)
        proxy.hook = Reaper(daemon, unheard=unheard)
        for version in ("v1.0.0", "v2.0.0"):
            scene.release(version)
            _live_until(lambda wanted=version: is_active(scene, wanted), daemon)  # type: ignore[misc]
        scene.repository.revert()
        _live_until(lambda: is_active(scene, "v1.0.0"), daemon)
        scene.configure(strategy={"scaleDownDelay": "1s"})
        _live_until(lambda: is_active(scene, "v1.0.0") and scene.versions() == {"v1.0.0"}, daemon)
    no_request_failed(scene.load)
    assert daemon.lives > 10, "the daemon was not killed as often as it should have been"
    assert len(scene.audit.created("deployments")) == 2 and len(scene.audit.created("services")) == 1
    assert len(scene.audit.deleted("deployments")) == 1
    moved(scene, 2)


def _live_until(holds: Callable[[], bool], daemon: Daemon) -> None:
    def found() -> bool:
        daemon.revive()
        return holds()

    until(found, "where Git wants it, over many deaths", LONG, poll=0.05)


def test_stopped_daemon_leaves_traffic_alone(scene: Scene) -> None:
    """`fail-static`: with no daemon at all everything stays as it is; a new one goes on with the retention."""
    scene.first_release("v1.0.0")
    scene.settle(scene.release("v2.0.0"))
    assert scene.daemon.stop() == 0
    writes = len(scene.audit.writes())
    scene.release("v3.0.0")
    scene.load.wait_for_count(1500)
    assert scene.versions() == {"v1.0.0", "v2.0.0"}
    assert len(scene.audit.writes()) == writes
    scene.daemon.start()
    converged(scene, "v3.0.0")
    scene.load.wait_for("v3.0.0")
    no_request_failed(scene.load)
    moved(scene, 2)


def test_sigterm_ends_it(scene: Scene) -> None:
    """In the middle of a promotion, with exit status 0, and says so; the next one goes on where it was."""
    scene.first_release("v1.0.0")
    scene.daemon.wait_for("revision_applied", commit=scene.release("v2.0.0", {"env": {"STARTUP_DELAY": "4s"}}))
    assert scene.daemon.stop() == 0
    [stopped] = scene.daemon.find("stopped")
    assert stopped["reason"] == "SIGTERM"
    scene.daemon.start()
    converged(scene, "v2.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)

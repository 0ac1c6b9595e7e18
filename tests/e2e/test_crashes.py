"""`crash-anywhere`: killed between any two steps and started again, it comes to the same end; nothing is done twice."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rig.daemon import Daemon
from rig.proxy import Call, Cut, Proxy
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.converged import converged, is_active
from tests.e2e.harness.steps import BUMP, FIRST_RELEASE, ROLLBACK, Step, name_of

LONG = 120.0
"""Seconds for one step of a daemon that dies at every write."""


def _kill_at(scene: Scene, name: str, fields: dict[str, Any], since: int) -> None:
    scene.daemon.wait_for(name, since=since, **fields)
    scene.daemon.kill()
    scene.daemon.start()


@pytest.mark.parametrize("step", FIRST_RELEASE, ids=name_of)
def test_killed_during_a_first_release(scene: Scene, step: Step) -> None:
    """One Deployment, one Service, whatever step it died after."""
    scene.load.start()
    scene.release("v1.0.0")
    scene.daemon.start()
    _kill_at(scene, *step, since=0)
    converged(scene, "v1.0.0")
    no_request_failed(scene.load)
    assert len(scene.audit.created("deployments")) == len(scene.audit.created("services")) == 1
    moved(scene, 0)


@pytest.mark.parametrize("step", BUMP, ids=name_of)
def test_killed_during_a_bump(scene: Scene, step: Step) -> None:
    """One Deployment more, one move of the selector, one Deployment less, whatever step it died after."""
    scene.first_release("v1.0.0")
    since = scene.daemon.mark()
    scene.release("v2.0.0")
    _kill_at(scene, *step, since=since)
    converged(scene, "v2.0.0")
    no_request_failed(scene.load)
    assert len(scene.audit.created("deployments")) == 2
    assert len(scene.audit.deleted("deployments")) == 1
    moved(scene, 1)


@pytest.mark.parametrize("step", ROLLBACK, ids=name_of)
def test_killed_during_a_rollback(scene: Scene, step: Step) -> None:
    """The warm colour is used again, once, whatever step it died after."""
    scene.configure(strategy={"scaleDownDelay": "10s"})
    scene.first_release("v1.0.0")
    before = scene.cluster.endpoints(APP)
    scene.settle(scene.release("v2.0.0"))
    since = scene.daemon.mark()
    scene.repository.revert()
    _kill_at(scene, *step, since=since)
    converged(scene, "v1.0.0")
    assert scene.cluster.endpoints(APP) == before
    no_request_failed(scene.load)
    assert len(scene.audit.created("deployments")) == 2
    assert len(scene.audit.deleted("deployments")) == 1
    moved(scene, 2)


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

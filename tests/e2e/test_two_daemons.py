"""`one-writer`: two daemons at once on the same app are useless, but harmless."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

from rig.daemon import Daemon
from rig.proxy import Call, Proxy
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import no_request_failed


def test_two_daemons_at_once_move_the_selector_forward_only(scene: Scene) -> None:
    """First release, two bumps and a revert, raced for: each move happens once, no late write takes one back."""
    scene.configure(strategy={"scaleDownDelay": "60s"})
    other = scene.another_daemon("other")
    commit = scene.release("v1.0.0")
    other.start()
    scene.daemon.start()
    scene.load.start()
    _settled(scene, "v1.0.0", commit, scene.daemon, other)
    revisions = [scene.cluster.active_revision(APP)]
    for version in ("v2.0.0", "v3.0.0"):
        _settled(scene, version, scene.release(version), scene.daemon, other)
        revisions.append(scene.cluster.active_revision(APP))
    _settled(scene, "v2.0.0", scene.repository.revert(), scene.daemon, other)
    revisions.append(revisions[1])
    no_request_failed(scene.load)
    assert scene.audit.moves(APP) == list(pairwise(revisions))
    assert len(scene.audit.created("deployments")) == 3 and len(scene.audit.created("services")) == 1
    refused = {each.code for each in scene.audit.writes() if not each.succeeded}
    # 422: the Service that the other one created has the NodePort.
    assert refused <= {404, 409, 422}, "only what came too late may have been refused"
    for daemon in (scene.daemon, other):
        assert daemon.running and not {"bug", "app_invalid", "app_blocked"} & set(daemon.names())


class Stall:
    """A proxy's hook that, once armed, stops everything at the first write of a text to a Service, until let go."""

    def __init__(self) -> None:
        self.armed_with: bytes | None = None
        self.held = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, call: Call, answered: bool) -> None:
        """Blocks the whole proxy: its daemon is cut off from the API server, with one write on its way."""
        if self.armed_with and call.write and call.resource == "services" and self.armed_with in call.body:
            self.armed_with = None
            self.held.set()
            self.go_on.wait(120)


def test_late_write_of_a_stalled_daemon_is_refused(scene: Scene, tmp_path: Path) -> None:
    """One daemon's switch to v2 hangs on its way; another one switches to v2 and v3. Then the late write arrives."""
    stall = Stall()
    with Proxy(scene.sandbox.kubeconfig, tmp_path, stall) as proxy:
        stalled = scene.another_daemon("stalled", proxy.kubeconfig).start()
        stall.armed_with = b"v2.0.0"
        scene.load.start()
        stalled.wait_for("switch_confirmed", commit=scene.release("v1.0.0"))
        commit = scene.release("v2.0.0")
        assert stall.held.wait(60), "the switch to v2.0.0 was not tried"
        scene.daemon.start()
        scene.settle(commit)
        scene.settle(scene.release("v3.0.0"))
        writes = len(scene.audit.writes("services"))
        stall.go_on.set()
        until(lambda: 409 in {each.code for each in scene.audit.writes("services")[writes:]}, "the late write refused")
        stalled.wait_for("phase_changed", version="v3.0.0")
        no_request_failed(scene.load)
    assert len(scene.audit.moves(APP)) == 2, scene.audit.moves(APP)
    assert scene.selected() == "v3.0.0"


def _settled(scene: Scene, version: str, commit: str, *daemons: Daemon) -> None:
    """Both know the commit, one of them has switched, and the switch is confirmed."""
    for daemon in daemons:
        daemon.wait_for("source_updated", commit=commit)
    until(lambda: any(each.find("switch_confirmed", commit=commit) for each in daemons), f"{version} confirmed", 60)
    scene.load.wait_for(version, since=time.time())

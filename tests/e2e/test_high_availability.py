"""Daemons that share the apps: each app has one at a time, and what a former one still sends fails."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rig.daemon import Daemon
from rig.proxy import Proxy
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import no_request_failed
from tests.e2e.test_two_daemons import Stall

LEASE = 4
DURATION = f"{LEASE}s"


def share(scene: Scene) -> None:
    """Every daemon that is started from now on shares the apps with the others."""
    held = yaml.safe_load(scene.config.read_text())
    held["highAvailability"] = {"group": "shop", "namespace": scene.namespace, "leaseDuration": DURATION}
    scene.config.write_text(yaml.safe_dump(held, sort_keys=False))


def members_of(daemon: Daemon) -> Sequence[str]:
    """Whom a daemon takes for alive."""
    told = daemon.find("membership_changed")
    return told[-1]["members"] if told else ()


def leases(scene: Scene) -> list[dict[str, Any]]:
    """The group's Leases."""
    return [dict(each) for each in scene.cluster.find("Lease", **{"bluegreen.reconciler/group": "shop"})]


def owner(scene: Scene) -> str:
    """Whose name stands on the active Service."""
    return str(scene.cluster.service(APP)["metadata"]["annotations"].get("bluegreen.reconciler/owner", ""))


def started(scene: Scene, *daemons: Daemon) -> None:
    """Starts them, and waits until all know of all."""
    for each in daemons:
        each.start()
    until(lambda: all(len(members_of(each)) == len(daemons) for each in daemons), "every daemon knows of all")


def acting(*daemons: Daemon, commit: str) -> list[Daemon]:
    """Which of them did something for that commit."""
    return [each for each in daemons if each.names(commit=commit, app=APP)]


def test_one_of_three_releases_and_another_goes_on_when_it_is_killed(scene: Scene) -> None:
    share(scene)
    daemons = [scene.daemon, scene.another_daemon("second"), scene.another_daemon("third")]
    started(scene, *daemons)
    scene.load.start()
    first = scene.release("v1.0.0")
    until(lambda: any(each.find("switch_confirmed", commit=first) for each in daemons), "the first release")
    (former,) = acting(*daemons, commit=first)
    others = [each for each in daemons if each is not former]
    scene.load.wait_for("v1.0.0")
    former.signal(signal.SIGKILL)
    second = scene.release("v2.0.0")
    until(lambda: any(each.find("switch_confirmed", commit=second) for each in others), "somebody else goes on")
    (successor,) = acting(*others, commit=second)
    taken = successor.wait_for("app_taken_over")
    assert owner(scene) == taken["holder"] != taken["from_holder"]
    scene.load.wait_for("v2.0.0")
    no_request_failed(scene.load)
    assert scene.audit.moves(APP) and len(scene.audit.created("deployments")) == 2
    for each in others:
        assert not {"bug", "app_invalid", "app_blocked"} & set(each.names())


def test_one_that_is_told_to_stop_lets_go_at_once(scene: Scene) -> None:
    share(scene)
    daemons = [scene.daemon, scene.another_daemon("second")]
    started(scene, *daemons)
    first = scene.release("v1.0.0")
    until(lambda: any(each.find("switch_confirmed", commit=first) for each in daemons), "the first release")
    (former,) = acting(*daemons, commit=first)
    (other,) = [each for each in daemons if each is not former]
    mark = other.mark()
    former.stop()
    taken = other.wait_for("app_taken_over", since=mark)
    assert owner(scene) == taken["holder"]
    assert len(leases(scene)) == 1  # it has left nothing behind
    other.stop()
    assert leases(scene) == []


def test_what_a_former_owner_sends_late_is_refused(scene: Scene, tmp_path: Path) -> None:
    """A daemon's switch hangs on its way for longer than its Lease lasts. The other one takes the app over, and has
    nothing to move, as Git wants what is active. Only the owner's name on the Service stands against the late write."""
    share(scene)
    stall = Stall()
    with Proxy(scene.sandbox.kubeconfig, tmp_path, stall) as proxy:
        stalled = scene.another_daemon("stalled", proxy.kubeconfig)
        started(scene, stalled)
        stall.armed_with = b"v2.0.0"
        scene.load.start()
        stalled.wait_for("switch_confirmed", commit=scene.release("v1.0.0"))
        scene.load.wait_for("v1.0.0")
        scene.release("v2.0.0")
        assert stall.held.wait(60), "the switch to v2.0.0 was not tried"
        scene.repository.revert()
        scene.daemon.start()
        taken = scene.daemon.wait_for("app_taken_over")
        writes = len(scene.audit.writes("services"))
        stall.go_on.set()
        until(lambda: 409 in {each.code for each in scene.audit.writes("services")[writes:]}, "the late write refused")
        assert scene.selected() == "v1.0.0" and owner(scene) == taken["holder"]
        stalled.wait_for("lease_recovered")  # from here on the app may be its again
        assert scene.audit.moves(APP) == []
        no_request_failed(scene.load)


def test_a_paused_daemon_sends_nothing_for_what_it_has_lost(scene: Scene) -> None:
    """SIGSTOP for longer than the Lease lasts; the other releases twice; after SIGCONT the former writes nothing."""
    share(scene)
    daemons = [scene.daemon, scene.another_daemon("second")]
    started(scene, *daemons)
    scene.load.start()
    first = scene.release("v1.0.0")
    until(lambda: any(each.find("switch_confirmed", commit=first) for each in daemons), "the first release")
    (former,) = acting(*daemons, commit=first)
    (other,) = [each for each in daemons if each is not former]
    scene.load.wait_for("v1.0.0")
    second = scene.release("v2.0.0")
    former.wait_for("revision_applied", commit=second)
    former.signal(signal.SIGSTOP)
    try:
        other.wait_for("switch_confirmed", commit=second)
        other.wait_for("switch_confirmed", commit=scene.release("v3.0.0"))
        writes = len(scene.audit.writes("services"))
        mark = former.mark()
    finally:
        former.signal(signal.SIGCONT)
    former.wait_for("lease_recovered", since=mark)
    assert scene.selected() == "v3.0.0"
    assert not former.find("switched", since=mark, version="v2.0.0")
    assert all(each.version in ("v3.0.0", "") for each in scene.audit.writes("services")[writes:] if each.succeeded)
    no_request_failed(scene.load)

"""An owner that is halted, cut off, replaced or out of memory in the middle of a promotion: another one ends it."""

from __future__ import annotations

import pytest

from reconciler.core.observed import SWITCH_MANAGER
from rig.audit import Write
from rig.containers import last_end
from rig.incluster import CONTAINER, InCluster
from rig.partition import INCOMING, OUTGOING, Direction, cut_off
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.admission import gate
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.faulting import Begun, Faults
from tests.e2e.harness.starting import NOT_READY, make_ready

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def owner(incluster: InCluster) -> str:
    """The pod that looks after the app, of which v1.0.0 is active and has load; no hand-over is due."""
    incluster.configure(strategy={"scaleDownDelay": "1s"})
    incluster.first_release("v1.0.0")
    incluster.afresh()
    due = incluster.due()
    until(lambda: incluster.owner() == due, f"the app handed over to {due}, whose it is by the members")
    return due


def _taken_over(incluster: InCluster, begun: Begun, former: str) -> str:
    """The pod that says that it looks after the app from now on, as soon as one says so that is not the former."""

    def others() -> list[str]:
        told = incluster.logs.find("app_taken_over", since=begun.mark, app=APP)
        return [str(each["pod"]) for each in told if each["pod"] != former]

    return until(others, f"another owner than {former}", 120)[0]


def test_halted_in_the_middle_of_a_switch(scene: Scene, incluster: InCluster, faults: Faults, owner: str) -> None:
    """SIGSTOP while the API server has the owner's switch in hand, for longer than its Lease; then SIGCONT.

    Git is reverted meanwhile, and another one takes over. When the API server then goes on with the switch, it fails:
    no clock of the daemon's stands between, as it is halted.
    """
    container = incluster.container(owner)
    with gate(scene) as switches:
        scene.release("v2.0.0")
        assert switches.wait() == owner
        begun = faults.begin()
        with container.halted():
            scene.repository.revert()
            _taken_over(incluster, begun, owner)
            faults.end("SIGSTOP in the middle of a switch", begun, "v1.0.0")
            switches.let_go()
            late = until(lambda: _switches(scene, owner, begun.at), "the late switch in the audit log", 60, poll=0.1)
            assert {each.code for each in late} == {409}, late
    incluster.logs.wait_for("lease_recovered", since=begun.mark, pod=owner)
    scene.load.wait_for_count(400)
    assert container.alive, "it was restarted: that was no pause"
    _no_harm(scene, moves=0)


def _switches(scene: Scene, pod: str, since: float) -> list[Write]:
    late = scene.audit.late(pod, since)
    return [each for each in late if each.resource == "services" and each.manager == SWITCH_MANAGER]


@pytest.mark.parametrize("directions", [(OUTGOING, INCOMING), (OUTGOING,), (INCOMING,)], ids=["both", "out", "in"])
def test_network_of_the_owner_dropped(
    scene: Scene, incluster: InCluster, faults: Faults, owner: str, directions: tuple[Direction, ...]
) -> None:
    """In the middle of a promotion, for longer than its Lease, one way or both."""
    address = incluster.pods()[owner]["status"]["podIP"]
    commit = scene.release("v2.0.0", NOT_READY)
    incluster.logs.wait_for("revision_applied", commit=commit)
    begun = faults.begin()
    with cut_off(scene.sandbox, address, directions):
        _taken_over(incluster, begun, owner)
        make_ready(scene, "v2.0.0")
        faults.end("network of the owner dropped", begun, "v2.0.0")
    until(lambda: incluster.members.names >= incluster.pods().keys(), "all pods members again", 60, poll=0.1)
    _no_harm(scene, moves=1)


def test_owner_out_of_memory(scene: Scene, incluster: InCluster, faults: Faults, owner: str) -> None:
    """The kernel kills it in the middle of a promotion, as what goes over its memory limit."""
    container = incluster.container(owner)
    commit = scene.release("v2.0.0", NOT_READY)
    incluster.logs.wait_for("revision_applied", commit=commit)
    begun = faults.begin()
    container.exhaust()
    make_ready(scene, "v2.0.0")
    faults.end("owner out of memory (OOM kill)", begun, "v2.0.0")
    until(lambda: last_end(incluster.pods()[owner], CONTAINER) == "OOMKilled", "kubelet's word for that", poll=0.1)
    _no_harm(scene, moves=1)


def test_all_pods_rolled(scene: Scene, incluster: InCluster, faults: Faults, owner: str) -> None:
    """`kubectl rollout restart` in the middle of a promotion: each says that it goes, so nobody waits for its Lease."""
    before = incluster.pods().keys()
    commit = scene.release("v2.0.0", NOT_READY)
    incluster.logs.wait_for("revision_applied", commit=commit)
    begun = faults.begin()
    incluster.roll()
    until(lambda: owner not in incluster.pods(), "the owner gone", 120, poll=0.1)
    make_ready(scene, "v2.0.0")
    faults.end("all pods rolled", begun, "v2.0.0")
    until(lambda: not before & incluster.pods().keys(), "other pods", 120, poll=0.1)
    incluster.afresh()
    for pod in before:
        incluster.logs.wait_for("stopped", pod=pod)
    _no_harm(scene, moves=1)


def _no_harm(scene: Scene, *, moves: int) -> None:
    """No request failed, the selector was moved so often, and nobody wrote who was not the owner."""
    no_request_failed(scene.load)
    assert not scene.audit.strays(APP)
    moved(scene, moves)

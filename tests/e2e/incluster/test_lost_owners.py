"""An owner that is halted, cut off, replaced or out of memory in the middle of a promotion: another one ends it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from reconciler.core.observed import SWITCH_MANAGER
from rig.audit import Write
from rig.cluster import Manifest
from rig.containers import last_end, started
from rig.incluster import CONTAINER, InCluster
from rig.partition import INCOMING, OUTGOING, Direction, cut_off
from rig.repository import version_file
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.faulting import Begun, Faults
from tests.e2e.harness.http import set_ready

pytestmark = pytest.mark.timeout(600)
STARTING = {"env": {"STARTUP_DELAY": "6s"}}
"""Values of a version that is in the middle of its promotion for twice as long as a Lease lasts here."""


@pytest.fixture
def owner(incluster: InCluster) -> str:
    """The pod that looks after the app, of which v1.0.0 is active and has load."""
    incluster.configure(strategy={"scaleDownDelay": "1s"})
    incluster.first_release("v1.0.0")
    incluster.afresh()
    return incluster.owner()


def _taken_over(incluster: InCluster, begun: Begun, former: str) -> str:
    """The pod that says that it looks after the app from now on, as soon as one says so that is not the former."""

    def others() -> list[str]:
        told = incluster.logs.find("app_taken_over", since=begun.mark, app=APP)
        return [str(each["pod"]) for each in told if each["pod"] != former]

    return until(others, f"another owner than {former}", 60)[0]


def test_halted_in_the_middle_of_a_switch(scene: Scene, incluster: InCluster, faults: Faults, owner: str) -> None:
    """SIGSTOP when it is about to switch, for longer than its Lease; then SIGCONT: it is a member again, of no harm."""
    container = incluster.container(owner)
    commit = scene.release("v2.0.0")
    incluster.logs.wait_for("phase_changed", commit=commit, app=APP, phase="switching", pod=owner)
    begun = faults.begin()
    with container.halted():
        _taken_over(incluster, begun, owner)
        faults.end("SIGSTOP in the middle of a switch", begun, "v2.0.0")
    incluster.logs.wait_for("lease_recovered", since=begun.mark, pod=owner)
    scene.load.wait_for_count(400)
    assert container.alive, "it was restarted: that was no pause"
    _no_harm(scene, moves=1)


def test_write_that_was_on_its_way_when_the_owner_was_lost(scene: Scene, incluster: InCluster, faults: Faults) -> None:
    """The owner's switch to v2 leaves it and does not arrive. Git is reverted, another takes over; then it arrives.

    The daemon is halted as soon as it has nothing more to do than to wait for the answer. What it sent is the kernel's
    by then, which sends it again when it can: no clock of the daemon's stands between.
    """
    incluster.lease = "6s"  # long enough for it to hear that v2 is ready, and to send the switch, before it is over
    incluster.replicas = 1
    others = [f"other-{number}" for number in range(1, 5)]
    incluster.configure([scene.app(), *(scene.app(name, path=name, values={"replicas": 1}) for name in others)])
    incluster.first_release("v1.0.0")
    owner = incluster.owner()
    container, address = incluster.container(owner), incluster.pods()[owner]["status"]["podIP"]
    # The others are for the connections that they leave open: a new one could not be made when it is cut off.
    bumped = {"version": version_file("v2.0.0", {"env": {"READY": "false"}})}
    commit = scene.repository.commit("All", bumped | {f"{name}/version": "v1.0.0\n" for name in others})
    incluster.logs.wait_for("phase_changed", commit=commit, app=APP, phase="progressing")
    pods = until(lambda: _started(scene, "v2.0.0"), "two pods of v2.0.0")
    begun = faults.begin()
    with ExitStack() as process:
        with cut_off(scene.sandbox, address, [OUTGOING]):
            for each in pods:
                set_ready(each, ready=True)
            incluster.logs.wait_for("phase_changed", since=begun.mark, app=APP, phase="switching", pod=owner)
            container.wait_until_idle()
            process.enter_context(container.halted())
            scene.repository.revert()
            incluster.replicas = 2
            incluster.apply(wait=False)
            _taken_over(incluster, begun, owner)
            faults.end("a switch on its way when its owner is lost", begun, "v1.0.0")
        late = until(lambda: _switches(scene, owner, begun.at), "the late switch in the audit log", 60, poll=0.1)
    assert {each.code for each in late} == {409}, late
    scene.load.wait_for_count(400)
    _no_harm(scene, moves=0)


def _switches(scene: Scene, pod: str, since: float) -> list[Write]:
    late = scene.audit.late(pod, since)
    return [each for each in late if each.resource == "services" and each.manager == SWITCH_MANAGER]


def _started(scene: Scene, version: str) -> list[Manifest]:
    """Both pods of a version, if their containers run."""
    pods = [each for each in scene.cluster.find("Pod", version=version) if started(each)]
    return pods if len(pods) == 2 else []


@pytest.mark.parametrize("directions", [(OUTGOING, INCOMING), (OUTGOING,), (INCOMING,)], ids=["both", "out", "in"])
def test_network_of_the_owner_dropped(
    scene: Scene, incluster: InCluster, faults: Faults, owner: str, directions: tuple[Direction, ...]
) -> None:
    """In the middle of a promotion, for longer than its Lease, one way or both."""
    address = incluster.pods()[owner]["status"]["podIP"]
    commit = scene.release("v2.0.0", STARTING)
    incluster.logs.wait_for("revision_applied", commit=commit)
    begun = faults.begin()
    with cut_off(scene.sandbox, address, directions):
        _taken_over(incluster, begun, owner)
        faults.end("network of the owner dropped", begun, "v2.0.0")
    until(lambda: incluster.members.names >= incluster.pods().keys(), "all pods members again", 60, poll=0.1)
    _no_harm(scene, moves=1)


def test_owner_out_of_memory(scene: Scene, incluster: InCluster, faults: Faults, owner: str) -> None:
    """The kernel kills it in the middle of a promotion, as what goes over its memory limit."""
    container = incluster.container(owner)
    commit = scene.release("v2.0.0", STARTING)
    incluster.logs.wait_for("revision_applied", commit=commit)
    begun = faults.begin()
    container.exhaust()
    faults.end("owner out of memory (OOM kill)", begun, "v2.0.0")
    until(lambda: last_end(incluster.pods()[owner], CONTAINER) == "OOMKilled", "kubelet's word for that", poll=0.1)
    _no_harm(scene, moves=1)


def test_all_pods_rolled(scene: Scene, incluster: InCluster, faults: Faults, owner: str) -> None:
    """`kubectl rollout restart` in the middle of a promotion: each says that it goes, so nobody waits for its Lease."""
    before = incluster.pods().keys()
    commit = scene.release("v2.0.0", STARTING)
    incluster.logs.wait_for("revision_applied", commit=commit)
    begun = faults.begin()
    incluster.roll()
    faults.end("all pods rolled", begun, "v2.0.0")
    until(lambda: not before & incluster.pods().keys(), "other pods", 120, poll=0.1)
    incluster.afresh()
    for pod in before:
        assert incluster.logs.find("stopped", pod=pod), f"{pod} did not end by itself"
    _no_harm(scene, moves=1)


def _no_harm(scene: Scene, *, moves: int) -> None:
    """No request failed, the selector was moved so often, and nobody wrote who was not the owner."""
    no_request_failed(scene.load)
    assert not scene.audit.strays(APP)
    moved(scene, moves)

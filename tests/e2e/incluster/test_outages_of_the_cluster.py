"""The API server or its store is away while three replicas are at work: nobody can prove to be an owner meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rig.incluster import InCluster
from rig.scene import APP, Scene
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.faulting import Faults
from tests.e2e.harness.recovery import afresh
from tests.e2e.harness.starting import NOT_READY, make_ready

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900), pytest.mark.usefixtures("undisturbed")]

RECOVERY = 180
"""Seconds. Kubernetes' own controllers back off during the outage, and take up to a minute or so to be there again."""
PAUSE = 20.0
"""Seconds for which etcd does nothing."""


@pytest.fixture
def undisturbed(scene: Scene) -> Iterator[None]:
    """However a test ends, whoever comes next finds a cluster that has got over the outage."""
    yield
    afresh(scene)


@pytest.fixture
def promotion(scene: Scene, incluster: InCluster) -> None:
    """v1.0.0 is active and has load, and the pods of v2.0.0 are not ready yet."""
    incluster.configure(strategy={"scaleDownDelay": "1s"})
    incluster.first_release("v1.0.0")
    incluster.afresh()
    commit = scene.release("v2.0.0", NOT_READY)
    incluster.logs.wait_for("revision_applied", commit=commit)


@pytest.mark.usefixtures("promotion")
def test_api_server_restarted_under_three_replicas(scene: Scene, incluster: InCluster, faults: Faults) -> None:
    """In the middle of a promotion: it goes on afterwards, one move of the selector."""
    begun = faults.begin()
    scene.sandbox.restart("apiserver")
    make_ready(scene, "v2.0.0")
    faults.end("API server restarted", begun, "v2.0.0", timeout=RECOVERY)
    _went_on(scene, incluster)


@pytest.mark.usefixtures("promotion")
def test_etcd_paused_under_three_replicas(scene: Scene, incluster: InCluster, faults: Faults) -> None:
    """For much longer than a Lease, in the middle of a promotion."""
    begun = faults.begin()
    with scene.sandbox.paused("etcd"):
        time.sleep(PAUSE)  # the fault itself
        assert incluster.logs.find("lease_lost", since=begun.mark)
    make_ready(scene, "v2.0.0")
    faults.end("etcd paused for 20 s", begun, "v2.0.0", timeout=RECOVERY)
    _went_on(scene, incluster)


def _went_on(scene: Scene, incluster: InCluster) -> None:
    """All pods are members again, none was restarted for what was not its fault, and nobody did another's work."""
    incluster.afresh()
    lives = {each["life"] for each in incluster.logs.events}
    assert lives == {0}, "a pod was restarted while the API server was away"
    no_request_failed(scene.load)
    assert not scene.audit.strays(APP)
    moved(scene, 1)

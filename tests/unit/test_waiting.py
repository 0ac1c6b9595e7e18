"""An app that has to wait for others: its promotion is not begun, and everything else goes on."""

from __future__ import annotations

import pytest

from reconciler.app.dependence import Standing, held
from reconciler.core.phase import Phase
from reconciler.errors import Transient
from tests.fakes.world import NAMESPACE, World

WHY = "waits for db (it is progressing)"


@pytest.fixture
def world() -> World:
    made = World()
    made.release("v1.0.0")
    made.daemon.cycle.held = lambda: WHY
    return made


def test_nothing_is_begun_until_it_may(world: World) -> None:
    made = world.release("v2.0.0")
    assert (made.phase, made.reason) == (Phase.APPLYING, WHY)
    assert world.versions() == ["v1.0.0"]
    assert world.told.names().count("waiting_for") == 1
    world.daemon.cycle.held = lambda: ""
    world.run()
    assert world.active_version == "v2.0.0"


def test_the_deadline_does_not_run_while_it_waits(world: World) -> None:
    world.release("v2.0.0")
    world.advance(3600)
    world.run()
    world.daemon.cycle.held = lambda: ""
    assert world.run().phase is Phase.RETAINING
    assert "rejected" not in world.told.names()


def test_a_rollback_to_a_warm_revision_waits_too(world: World) -> None:
    world.daemon.cycle.held = lambda: ""
    world.release("v2.0.0")
    world.daemon.cycle.held = lambda: WHY
    world.release("v1.0.0")
    assert world.active_version == "v2.0.0"
    world.daemon.cycle.held = lambda: ""
    world.run()
    assert world.active_version == "v1.0.0"


def test_what_is_active_is_kept_in_order_meanwhile(world: World) -> None:
    world.release("v2.0.0")
    (deployment,) = world.cluster.all("Deployment")
    world.cluster.put({**deployment, "spec": {**deployment["spec"], "minReadySeconds": 7}})
    service = world.cluster.get("Service", NAMESPACE, "my-app")
    assert service is not None
    ports = [{**each, "targetPort": "wrong"} for each in service["spec"]["ports"]]
    world.cluster.put({**service, "spec": {**service["spec"], "ports": ports}})
    world.run()
    assert "drift_repaired" in world.told.names()
    world.cluster.remove("Service", NAMESPACE, "my-app")
    world.run()
    assert world.active_version == "v1.0.0"


def test_what_was_begun_for_this_commit_goes_on(world: World) -> None:
    world.daemon.cycle.held = lambda: ""
    world.commit("v2.0.0")
    world.daemon.poll()
    world.daemon.settle()
    world.daemon.cycle.held = lambda: WHY
    world.run()
    assert world.active_version == "v2.0.0"


def test_a_selector_moved_by_hand_is_put_back_though_others_have_not_settled(world: World) -> None:
    world.daemon.cycle.held = lambda: ""
    world.release("v2.0.0")
    world.daemon.cycle.held = lambda: WHY
    service = world.cluster.get("Service", NAMESPACE, "my-app")
    assert service is not None
    old = next(each for each in world.observed.workloads if each.version == "v1.0.0")
    selector = {key: old.pod_labels[key] for key in service["spec"]["selector"]}
    world.cluster.put({**service, "spec": {**service["spec"], "selector": selector}})
    world.commit("v2.0.0")  # another commit, so that no claim of it says that it was begun
    world.run()
    assert world.active_version == "v2.0.0"


def test_a_deleted_service_comes_back_though_others_have_not_settled(world: World) -> None:
    world.commit("v1.0.0")  # another commit, for which nothing was begun
    world.cluster.remove("Service", NAMESPACE, "my-app")
    world.run()
    assert world.active_version == "v1.0.0"


@pytest.mark.parametrize(
    ("standing", "why"),
    [
        (Standing("db", Phase.STABLE, "c", "c"), ""),
        (Standing("db", Phase.RETAINING, "c", "c"), ""),
        (Standing("db", Phase.CONFIRMING, "c", "c"), "waits for db (it is confirming)"),
        (Standing("db", Phase.REJECTED, "c", "c"), "waits for db (it is rejected)"),
        (Standing("db", Phase.STABLE, "b", "c"), "waits for db (it is not yet at what Git wants)"),
        (Standing("db", None, None, "c"), "waits for db (it is not yet at what Git wants)"),
        (Standing("db", Phase.STABLE, None, None), "waits for db (it is not yet at what Git wants)"),
        (Standing("db", error=Transient("x", where="y")), "waits for db (it failed: y: x)"),
        (Standing("db", suspended=True), "waits for db (it is suspended)"),
        (Standing("db", known=False), "waits for db (there is no such app)"),
    ],
)
def test_who_has_settled(standing: Standing, why: str) -> None:
    assert held([standing]) == why

"""Some of an app's Services are moved and others not: by a crash, a refusal, a hand. It always ends."""

from __future__ import annotations

import pytest

from reconciler.core.observed import led_to
from reconciler.core.phase import Phase
from reconciler.errors import Blocked
from tests.fakes.whole import BY_SERVICES, whole_world
from tests.fakes.world import NAMESPACE, Killed, World

REFUSED = Blocked("a policy forbids it")


@pytest.fixture
def world() -> World:
    world = whole_world(BY_SERVICES)
    assert world.release("v1.0.0").phase is Phase.STABLE
    return world


def led(world: World) -> list[str]:
    """The versions that each Service leads to, the active one last."""
    found = world.observed
    return [",".join(each.version for each in led_to(found, front)) for front in found.fronts]


def ready_to_switch(world: World) -> None:
    """The next cycle moves the Services."""
    world.daemon.poll()
    world.daemon.settle()
    world.controllers.everything()


def lead_by_hand(world: World, name: str, version: str, part: str) -> None:
    live = world.cluster.get("Service", NAMESPACE, name)
    to = next(e for e in world.observed.workloads if e.version == version and e.name.endswith(f"-{part}"))
    assert live
    selector = dict(to.live["spec"]["selector"]["matchLabels"])
    world.cluster.put({**live, "spec": {**live["spec"], "selector": selector}}, "kubectl")


def test_what_a_dead_daemon_has_moved_goes_back_if_the_active_service_refuses(world: World) -> None:
    world.commit("v2.0.0")
    ready_to_switch(world)
    world.cluster.kill_after = 0
    with pytest.raises(Killed):
        world.daemon.turn()
    assert led(world) == ["v2.0.0", "v1.0.0"]
    world.cluster.refuse_moves_of = {"my-app": REFUSED}
    world.restart()
    assert world.run().phase is Phase.REJECTED
    assert led(world) == ["v1.0.0", "v1.0.0"]
    assert world.told.names().count("rejected") == 1


def test_a_service_that_takes_no_write_at_all_is_not_tried_again_and_again(world: World) -> None:
    world.commit("v2.0.0")
    ready_to_switch(world)
    world.cluster.refuse_writes_of = {"my-app": REFUSED}
    moves = len([each for each in world.cluster.writes if each == "apply Service/my-app-b"])
    world.daemon.settle()
    made = world.run()
    assert made.phase is Phase.REJECTED
    assert "a policy forbids it" in made.reason
    assert led(world) == ["v1.0.0", "v1.0.0"]
    again = len([each for each in world.cluster.writes if each == "apply Service/my-app-b"]) - moves
    assert again == 2, "there and back"
    assert world.told.names().count("rejected") == 1
    world.cluster.refuse_writes_of = {}
    world.release("v3.0.0")
    assert led(world) == ["v3.0.0", "v3.0.0"]


def test_a_former_rejection_does_not_hide_one_that_only_a_workload_holds(world: World) -> None:
    world.cluster.refuse_moves_of = {"my-app": REFUSED}
    world.release("v2.0.0")
    world.cluster.refuse_moves_of = {}
    world.commit("v3.0.0")
    ready_to_switch(world)
    world.cluster.refuse_writes_of = {"my-app": REFUSED}
    assert world.daemon.settle().phase is Phase.REJECTED
    assert world.told.names().count("rejected") == 2


def test_a_service_is_not_led_to_a_workload_that_is_gone(world: World) -> None:
    world.release("v2.0.0")
    lead_by_hand(world, "my-app-b", "v1.0.0", "b")
    gone = next(e for e in world.observed.workloads if e.version == "v2.0.0" and e.name.endswith("-b"))
    world.cluster.remove("Deployment", NAMESPACE, gone.name)
    world.daemon.settle()
    assert led(world) == ["v1.0.0", "v2.0.0"], "it serves where it is"
    world.run()
    assert led(world) == ["v2.0.0", "v2.0.0"]


def test_an_active_service_that_refuses_a_new_form_is_told_and_nothing_is_rejected(world: World) -> None:
    for part in ("a", "b"):
        path = f"templates/{part}-service.yaml"
        world.files[path] = world.files[path].replace(b"{part: ", b"{bluegreen.reconciler/app: my-app, part: ")
    world.cluster.refuse_moves_of = {"my-app": REFUSED}
    world.commit("v1.0.0", replicas=2)
    world.daemon.poll()
    with pytest.raises(Blocked, match="a policy forbids it"):
        world.daemon.settle()
    assert "rejected" not in world.told.names()


def test_the_old_colour_stays_until_every_node_has_seen_a_service_led_back(world: World) -> None:
    world.release("v2.0.0")
    lead_by_hand(world, "my-app-b", "v1.0.0", "b")
    world.controllers.everything()
    world.advance(100)
    assert world.run().phase is Phase.RETAINING
    assert led(world) == ["v2.0.0", "v2.0.0"]
    assert world.versions() == ["v1.0.0", "v2.0.0"], "a node's kube-proxy may still send requests there"
    world.advance(3)
    assert world.run().phase is Phase.STABLE
    assert world.versions() == ["v2.0.0"]


def test_a_switch_is_confirmed_when_every_service_has_followed(world: World) -> None:
    world.commit("v2.0.0")
    ready_to_switch(world)
    behind = world.cluster.get("EndpointSlice", NAMESPACE, "my-app-b-x")
    assert behind
    world.daemon.turn()
    world.controllers.endpoints()
    world.cluster.put(behind, "controller")
    assert world.daemon.settle().phase is Phase.CONFIRMING
    assert world.told.names().count("switch_confirmed") == 1, "that of v1.0.0"
    assert world.run().phase is Phase.RETAINING


def test_one_part_that_is_down_keeps_the_old_colour_and_is_told(world: World) -> None:
    made = world.release("v2.0.0")
    assert made.phase is Phase.RETAINING
    active = next(each for each in world.observed.revisions if each.version == "v2.0.0")
    part = next(each for each in active.workloads if each.name.endswith("-b"))
    world.controllers.broken.add(active.revision)
    for pod in part.pods:
        world.controllers.make_unready(pod.name)
    world.run()
    world.advance(700)
    assert world.run().phase is Phase.DEGRADED
    assert world.versions() == ["v1.0.0", "v2.0.0"]

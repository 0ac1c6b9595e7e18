"""Several workloads and Services are one app: nothing moves until all are ready, and then all or none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.front import services_in
from reconciler.core.model import App
from reconciler.core.observed import led_to
from reconciler.core.phase import Phase
from reconciler.errors import Blocked, Invalid
from tests.fakes.whole import BY_INGRESS, BY_SERVICES, whole_world
from tests.fakes.world import NAMESPACE, FakeDaemon, Killed, World


def released(app: App) -> World:
    world = whole_world(app)
    assert world.release("v1.0.0").phase is Phase.STABLE
    return world


def led(world: World) -> list[str]:
    """The versions that each Service or Ingress leads to."""
    found = world.observed
    return [",".join(each.version for each in led_to(found, front)) for front in found.fronts]


@pytest.mark.parametrize("app", [BY_SERVICES, BY_INGRESS])
def test_a_release_moves_everything_and_the_old_goes_later(app: App) -> None:
    world = released(app)
    world.release("v2.0.0")
    assert set(led(world)) == {"v2.0.0"}
    assert [len(each.workloads) for each in world.observed.revisions] == [3, 3]
    assert [each.replicas for each in world.observed.workloads] == [2] * 6
    world.advance(31)
    assert world.run().phase is Phase.STABLE
    assert world.versions() == ["v2.0.0"]
    assert {each.kind for each in world.observed.configs} == ({"Service"} if app is BY_INGRESS else set())
    assert {each.version for each in world.observed.workloads} == {"v2.0.0"}


@pytest.mark.parametrize("app", [BY_SERVICES, BY_INGRESS])
@pytest.mark.parametrize("part", ["a", "b", "db"])
def test_nothing_moves_until_all_are_ready(app: App, part: str) -> None:
    world = released(app)
    world.commit("v2.0.0")
    world.daemon.poll()
    world.daemon.settle()
    world.controllers.deployments()
    held = [each for each in world.cluster.all("Pod") if each["metadata"]["labels"]["part"] == part]
    world.controllers.everything()
    new = next(each for each in world.observed.revisions if each.version == "v2.0.0")
    pod = next(e for e in held if e["metadata"]["labels"]["bluegreen.reconciler/revision"] == new.revision)
    world.controllers.make_unready(pod["metadata"]["name"])
    world.controllers.deployments()
    assert world.daemon.settle().phase is Phase.PROGRESSING
    assert set(led(world)) == {"v1.0.0"}
    world.run()
    assert set(led(world)) == {"v2.0.0"}


@pytest.mark.parametrize("app", [BY_SERVICES, BY_INGRESS])
def test_a_revert_is_one_step(app: App) -> None:
    world = released(app)
    world.release("v2.0.0")
    before = len(world.cluster.writes)
    world.commit("v1.0.0")
    world.daemon.poll()
    outcome = world.daemon.turn()
    assert outcome
    assert outcome.plan.phase is Phase.SWITCHING
    assert set(led(world)) == {"v1.0.0"}
    assert len(world.cluster.writes) - before == (1 if app is BY_INGRESS else 2)


def test_an_ingress_moves_in_one_write() -> None:
    world = released(BY_INGRESS)
    world.release("v2.0.0")
    live = world.cluster.get("Ingress", NAMESPACE, "my-app")
    assert live
    new = next(each.revision for each in world.observed.revisions if each.version == "v2.0.0")
    assert all(new in name for name in services_in(live["spec"]))
    assert world.cluster.selector_writes.count(new) == 1


@pytest.mark.parametrize("error", [Blocked("a policy forbids it"), Invalid("the API server will not have it")])
@pytest.mark.parametrize("which", ["my-app-b", "my-app"])
def test_what_was_moved_goes_back_if_one_refuses(error: Blocked | Invalid, which: str) -> None:
    world = released(BY_SERVICES)
    world.commit("v2.0.0")
    world.cluster.refuse_moves_of = {which: error}
    made = world.run()
    assert made.phase is Phase.REJECTED
    assert made.reason.endswith(error.what)
    assert led(world) == ["v1.0.0", "v1.0.0"]
    taken_back = [each.fields["objects"] for each in world.told.events if each.name == "switch_taken_back"]
    assert taken_back == ([["Service/my-app-b"]] if which == "my-app" else [])
    assert world.told.names().count("rejected") == 1
    world.cluster.refuse_moves_of = {}
    world.release("v2.0.0", replicas=3)
    assert led(world) == ["v2.0.0", "v2.0.0"], "a new commit tries again"


@pytest.mark.parametrize("writes", range(8))
@pytest.mark.parametrize("after", [True, False])
def test_killed_anywhere_it_ends_with_one_version(writes: int, after: bool) -> None:
    world = released(BY_SERVICES)
    world.commit("v2.0.0")
    world.daemon.poll()
    setattr(world.cluster, "kill_after" if after else "kill_before", writes)
    for _ in range(6):
        try:
            world.daemon.settle()
        except Killed:
            world.restart()
        world.controllers.everything()
    world.cluster.kill_after = world.cluster.kill_before = None
    world.run()
    assert led(world) == ["v2.0.0", "v2.0.0"]


def test_a_service_that_was_moved_by_hand_comes_back() -> None:
    world = released(BY_SERVICES)
    world.release("v2.0.0")
    live = world.cluster.get("Service", NAMESPACE, "my-app-b")
    assert live
    old = next(e for e in world.observed.workloads if e.version == "v1.0.0" and e.name.endswith("-b"))
    moved = {**live, "spec": {**live["spec"], "selector": dict(old.live["spec"]["selector"]["matchLabels"])}}
    world.cluster.put(moved, "kubectl")
    world.run()
    assert led(world) == ["v2.0.0", "v2.0.0"]
    told = world.told.last("switched").fields
    assert told["objects"] == ["Service/my-app-b"]
    assert told["reason"] == "the selector had been moved by hand"


def test_a_service_that_a_commit_adds_leads_to_the_active_revision() -> None:
    world = released(BY_SERVICES)
    world.files["templates/c.yaml"] = world.files["templates/b-service.yaml"].replace(b"my-app-b", b"my-app-c")
    world.release("v1.0.0", replicas=2)
    assert led(world) == ["v1.0.0"] * 3


def test_a_service_that_leaves_the_templates_is_pruned_and_a_former_active_one_is_not() -> None:
    world = released(BY_SERVICES)
    del world.files["templates/b-service.yaml"]
    world.release("v1.0.0", replicas=2)
    assert led(world) == ["v1.0.0"]
    assert world.cluster.get("Service", NAMESPACE, "my-app-b") is None
    assert world.told.last("pruned").fields["object"] == "Service/my-app-b"
    world.daemon = FakeDaemon(world, replace(BY_SERVICES, strategy=replace(BY_SERVICES.strategy, active_service="web")))
    world.run()
    world.advance(1000)
    world.run()
    assert world.cluster.get("Service", NAMESPACE, "my-app") is not None, "clients may still use it"


def test_the_sizes_of_the_parts_are_those_of_the_active_ones() -> None:
    world = released(BY_SERVICES)
    live = next(each.live for each in world.observed.workloads if each.name.endswith("-b"))
    world.cluster.put({**live, "spec": {**live["spec"], "replicas": 4}}, "kubectl")
    world.run()
    world.release("v2.0.0")
    sizes = {each.component: each.replicas for each in world.observed.workloads if each.version == "v2.0.0"}
    assert sizes == {"*-a": 2, "*-b": 4, "*-db": 2}


@pytest.mark.parametrize("app", [BY_SERVICES, BY_INGRESS])
def test_while_there_is_no_front_the_old_serves(app: App) -> None:
    world = released(app)
    world.commit("v2.0.0")
    world.daemon.poll()
    world.daemon.settle()
    world.cluster.remove(app.strategy.front[0], NAMESPACE, "my-app")
    other = FakeDaemon(world)
    other.poll()
    other.settle()
    assert set(led(world)) == {"v1.0.0"}
    world.run()
    assert set(led(world)) == {"v2.0.0"}

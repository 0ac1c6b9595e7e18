"""`revisionHistoryLimit`: former revisions are kept with no pods, and scaled up again when Git goes back to one."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from reconciler import report
from reconciler.app.oneshot import Sight
from reconciler.core.action import RequireRoom
from reconciler.core.memory import write_memory
from reconciler.core.model import App, Strategy
from reconciler.core.observed import SCALE_MANAGER
from reconciler.core.phase import Phase
from tests.fakes.whole import BY_INGRESS, BY_SERVICES, whole_world
from tests.fakes.world import APP, NAMESPACE, FakeDaemon, Killed, World, drive


def keeping(limit: int, app: App = APP, preview: int | None = None) -> App:
    """The app, where that many former revisions are kept."""
    strategy = replace(app.strategy, revision_history_limit=limit, preview_replica_count=preview)
    return replace(app, strategy=strategy)


@pytest.fixture
def world() -> World:
    """v1.0.0 is active, and alone; two former revisions are to be kept."""
    made = World(keeping(2))
    made.release("v1.0.0")
    made.told.events.clear()
    return made


def pass_over(world: World, *versions: str) -> None:
    """Releases each version, and lets the retention of what it replaced pass."""
    for version in versions:
        world.release(version)
        world.advance(61)
        assert world.run().phase is Phase.STABLE


def sizes(world: World) -> dict[str, int]:
    """How many pods are wanted of each version in all."""
    return {each.version: each.replicas for each in world.observed.revisions}


def test_a_former_revision_is_scaled_to_zero_when_its_retention_is_over(world: World) -> None:
    first = world.observed.workloads[0]
    assert world.release("v2.0.0").phase is Phase.RETAINING
    assert sizes(world) == {"v1.0.0": 3, "v2.0.0": 3}
    world.advance(61)
    world.cluster.writes.clear()
    assert world.run().phase is Phase.STABLE
    assert [each.partition("/")[0] for each in world.cluster.writes] == ["apply Service", "apply Deployment"]
    assert sizes(world) == {"v1.0.0": 0, "v2.0.0": 3}
    told = world.told.last("revision_scaled").fields
    assert (told["version"], told["revision"], told["replicas"]) == ("v1.0.0", first.revision, 0)
    assert told["object"] == f"Deployment/{first.name}"
    assert told["reason"] == "kept for a revert: revisionHistoryLimit is 2"
    assert "retired" not in world.told.names()


def test_nothing_is_written_any_more_once_it_is_at_zero(world: World) -> None:
    pass_over(world, "v2.0.0")
    world.cluster.writes.clear()
    world.advance(7 * 24 * 3600)
    made = world.run()
    assert (made.phase, made.actions, world.cluster.writes) == (Phase.STABLE, (), [])


def test_what_goes_with_it_is_kept_too() -> None:
    world = World(replace(keeping(1), values={**APP.values, "config": {"colour": "red"}}))
    pass_over(world, "v1.0.0", "v2.0.0")
    revisions = {each.revision for each in world.observed.revisions}
    assert {each.revision for each in world.observed.configs} == revisions and len(revisions) == 2


def test_as_many_as_the_limit_are_kept_the_latest_ones(world: World) -> None:
    pass_over(world, "v2.0.0", "v3.0.0", "v4.0.0")
    assert sizes(world) == {"v2.0.0": 0, "v3.0.0": 0, "v4.0.0": 3}
    told = world.told.last("retired").fields
    assert (told["version"], told["reason"]) == (
        "v1.0.0",
        "revisionHistoryLimit is 2, and it is not among the latest",
    )


def test_the_latest_are_told_by_when_they_were_active_last(world: World) -> None:
    pass_over(world, "v2.0.0", "v1.0.0", "v3.0.0", "v4.0.0")
    assert sizes(world) == {"v1.0.0": 0, "v3.0.0": 0, "v4.0.0": 3}


@pytest.mark.parametrize("app", [APP, BY_SERVICES, BY_INGRESS], ids=["one workload", "several", "behind an Ingress"])
def test_a_revert_scales_it_up_to_the_active_size_and_switches(app: App) -> None:
    app = keeping(2, app)
    world = whole_world(app) if app.templates else World(app)
    pass_over(world, "v1.0.0", "v2.0.0", "v3.0.0")
    first = next(each for each in world.observed.revisions if each.version == "v1.0.0")
    grown = next(each.live for each in world.observed.workloads if each.version == "v3.0.0")
    world.cluster.put({**grown, "spec": {**grown["spec"], "replicas": 5}}, "kubectl")
    world.run()
    wanted = sizes(world)["v3.0.0"]
    world.told.events.clear()
    world.commit("v1.0.0")
    world.daemon.poll()
    world.daemon.settle()
    assert world.active_version == "v3.0.0", "not before it is ready"
    assert sizes(world)["v1.0.0"] == wanted
    assert world.run().phase is Phase.RETAINING
    assert world.active_version == "v1.0.0"
    there = world.observed.revision(first.revision)
    assert there and {each.uid for each in there.workloads} == {each.uid for each in first.workloads}
    names = world.told.names()
    assert names[names.index("switched") + 1] == "rolled_back"
    world.advance(61)
    assert world.run().phase is Phase.STABLE
    assert sizes(world) == {"v1.0.0": wanted, "v2.0.0": 0, "v3.0.0": 0}


def test_the_scale_up_takes_the_field_over_from_the_scale_down(world: World) -> None:
    pass_over(world, "v2.0.0")
    kept = next(each for each in world.observed.workloads if each.version == "v1.0.0")
    owners = world.cluster.owners["Deployment", NAMESPACE, kept.name]
    assert owners[SCALE_MANAGER, "Apply"] == {("spec", "replicas")}
    world.release("v1.0.0")
    assert ("spec", "replicas") in owners["reconciler", "Apply"]
    assert owners[SCALE_MANAGER, "Apply"] == set()


def test_a_proved_revision_does_not_start_small_again() -> None:
    world = World(keeping(1, preview=1))
    pass_over(world, "v1.0.0", "v2.0.0")
    world.commit("v1.0.0")
    world.daemon.poll()
    world.daemon.settle()
    assert sizes(world)["v1.0.0"] == 3


def test_one_that_does_not_get_ready_again_is_rejected_and_counts_on(world: World) -> None:
    pass_over(world, "v2.0.0")
    first = next(each for each in world.observed.revisions if each.version == "v1.0.0")
    world.controllers.broken.add(first.revision)
    world.release("v1.0.0")
    world.advance(61)
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v2.0.0"
    world.advance(11)
    world.run()
    assert sizes(world) == {"v1.0.0": 0, "v2.0.0": 3}
    world.commit("v2.0.0")
    assert world.run().phase is Phase.STABLE
    assert sizes(world) == {"v1.0.0": 0, "v2.0.0": 3}


def test_a_revert_that_is_overtaken_goes_back_to_zero(world: World) -> None:
    pass_over(world, "v2.0.0")
    world.commit("v1.0.0")
    world.daemon.poll()
    world.daemon.settle()
    assert sizes(world)["v1.0.0"] == 3
    world.release("v3.0.0")
    world.advance(61)
    world.run()
    assert sizes(world) == {"v1.0.0": 0, "v2.0.0": 0, "v3.0.0": 3}


def test_a_revision_that_never_was_active_does_not_count(world: World) -> None:
    world.commit("v2.0.0")
    world.daemon.poll()
    world.daemon.settle()
    bad = next(each.revision for each in world.observed.revisions if each.version == "v2.0.0")
    world.controllers.broken.add(bad)
    world.advance(61)
    assert world.run().phase is Phase.REJECTED
    pass_over(world, "v3.0.0")
    assert sizes(world) == {"v1.0.0": 0, "v3.0.0": 3}
    assert world.told.last("retired").fields["version"] == "v2.0.0"


def test_a_revision_that_failed_after_its_switch_is_not_kept(world: World) -> None:
    world.release("v2.0.0")
    front = world.observed.front
    assert front and front.memory.history
    failed = tuple(replace(each, failed=True) for each in front.memory.history)
    notes = write_memory(replace(front.memory, history=failed))
    meta = {**front.live["metadata"], "annotations": {**front.live["metadata"]["annotations"], **notes}}
    world.cluster.put({**front.live, "metadata": meta}, "reconciler-switch")
    world.advance(61)
    world.run()
    assert sizes(world) == {"v2.0.0": 3}


@pytest.mark.parametrize(("limit", "left"), [(1, {"v2.0.0": 0, "v3.0.0": 3}), (0, {"v3.0.0": 3})])
def test_a_lower_limit_deletes_the_surplus(limit: int, left: dict[str, int], world: World) -> None:
    pass_over(world, "v2.0.0", "v3.0.0")
    assert sizes(world) == {"v1.0.0": 0, "v2.0.0": 0, "v3.0.0": 3}
    world.daemon = FakeDaemon(world, keeping(limit))
    assert world.run().phase is Phase.STABLE
    assert sizes(world) == left


def test_nothing_is_scaled_down_while_the_active_colour_cannot_serve(world: World) -> None:
    world.release("v2.0.0")
    active = next(each.revision for each in world.observed.revisions if each.version == "v2.0.0")
    world.controllers.unready(active, 3)
    world.controllers.broken.add(active)
    world.advance(61)
    assert world.run().phase is Phase.DEGRADED
    assert sizes(world)["v1.0.0"] == 3


def test_pods_that_a_hand_gave_to_a_kept_revision_go_again(world: World) -> None:
    pass_over(world, "v2.0.0")
    live = next(e.live for e in world.observed.workloads if e.version == "v1.0.0")
    world.cluster.put({**live, "spec": {**live["spec"], "replicas": 2}}, "kubectl")
    assert world.run().phase is Phase.STABLE
    assert sizes(world) == {"v1.0.0": 0, "v2.0.0": 3}


def test_a_scaling_to_zero_that_was_decided_before_a_rollback_fails(world: World) -> None:
    """A daemon is stopped between its note that a colour is about to go, and the write; Git goes back to it."""
    gone = world.observed.workloads[0].revision
    world.release("v2.0.0")
    late = FakeDaemon(world)
    late.poll()
    late.settle()
    late.poll()
    world.advance(31)
    late.pause(1)
    front = world.observed.front
    assert front and [each.revision for each in front.memory.doomed] == [gone], "announced as a deletion is"
    world.commit("v1.0.0")
    assert world.run().phase is Phase.RETAINING
    late.turn()
    assert world.active_version == "v1.0.0"
    assert sizes(world)["v1.0.0"] == 3


@pytest.mark.parametrize("moment", range(6))
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_write_each_workload_is_scaled_down_and_told_once(when: str, moment: int) -> None:
    world = whole_world(keeping(1, BY_SERVICES))
    pass_over(world, "v1.0.0")
    world.release("v2.0.0")
    world.advance(61)
    setattr(world.cluster, f"kill_{when}", moment)
    try:
        world.run()
    except Killed:
        world.restart()
    world.cluster.kill_before = world.cluster.kill_after = None
    assert world.run().phase is Phase.STABLE
    wanted = sum(each.replicas for each in world.observed.workloads if each.version == "v2.0.0")
    assert sizes(world) == {"v1.0.0": 0, "v2.0.0": wanted}
    told = [each.fields["object"] for each in world.told.events if each.name == "revision_scaled"]
    assert len(told) == len(set(told)) >= 2


def test_the_autoscaler_of_a_kept_revision_comes_back_with_the_traffic() -> None:
    app = replace(
        keeping(1), values={**APP.values, "autoscaling": {"maxReplicas": 9, "targetCPUUtilizationPercentage": 80}}
    )
    world = World(app)
    pass_over(world, "v1.0.0", "v2.0.0")

    def targets() -> list[str]:
        found = world.cluster.all("HorizontalPodAutoscaler")
        names = {each.name: each.version for each in world.observed.workloads}
        return [names[each["spec"]["scaleTargetRef"]["name"]] for each in found]

    assert targets() == ["v2.0.0"]
    world.commit("v1.0.0")
    world.daemon.poll()
    world.daemon.settle()
    assert targets() == ["v2.0.0"]
    world.run()
    assert targets() == ["v1.0.0"]


def test_room_is_asked_for_beside_revisions_that_have_no_pods(world: World) -> None:
    pass_over(world, "v2.0.0")
    world.commit("v3.0.0")
    world.daemon.poll()
    assert world.daemon.tip
    _, _, made = drive(world.daemon.cycle.look(world.daemon.tip))
    assert [each for each in made.actions if isinstance(each, RequireRoom)]


def test_status_shows_what_is_kept(world: World) -> None:
    pass_over(world, "v2.0.0")
    assert world.daemon.tip
    desired, observed, made = drive(world.daemon.cycle.look(world.daemon.tip))
    out = io.StringIO()
    sight = Sight(world.app, desired, observed, made, at=world.clock.now())
    report.statuses([sight], Console(file=out, width=200))
    row = next(line for line in out.getvalue().splitlines() if " kept " in line)
    assert "v1.0.0" in row and row.rstrip().endswith("has no pods; a revert to it scales it up")


def test_by_default_none_is_kept() -> None:
    assert Strategy("my-app").revision_history_limit == 0

"""Analyses that nobody saw the end of, and what a hand can make the daemon forget of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.check import Check, Outcome, PostPromotion
from reconciler.core.model import PREFIX
from reconciler.core.phase import Phase
from reconciler.core.probe import HttpProbe
from tests.fakes.world import APP, NAMESPACE, World

ERRORS = Check("errors", HttpProbe(path="/errors"))
STRATEGY = replace(APP.strategy, post_promotion=PostPromotion(60.0, (ERRORS,)))


@pytest.fixture
def world() -> World:
    """v1.0.0 is active and stood its analysis; v2.0.0 was switched to, and is being watched."""
    made = World(replace(APP, strategy=STRATEGY))
    made.verdicts.outcomes["errors"] = Outcome.PASSED
    made.release("v1.0.0")
    made.advance(100)
    assert made.run().phase is Phase.STABLE
    made.verdicts.outcomes.clear()
    assert made.release("v2.0.0").phase is Phase.WATCHING
    made.advance(10)
    return made


def test_traffic_does_not_go_back_to_what_was_overtaken_in_its_analysis(world: World) -> None:
    """Users see errors of v2, and somebody commits a hotfix at once, which is no better."""
    world.release("v3.0.0")
    assert world.active_version == "v3.0.0"
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"


def test_what_was_overtaken_in_its_analysis_is_better_than_nothing_and_watched_again(world: World) -> None:
    former = next(w.name for w in world.observed.workloads if w.version == "v1.0.0")
    world.release("v3.0.0")
    world.cluster.remove("Deployment", NAMESPACE, former)
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    world.daemon.settle()
    assert world.active_version == "v2.0.0"
    front = world.observed.front
    assert front is not None and front.memory.active is not None
    assert front.memory.active.on_trial


def test_what_was_reverted_in_its_analysis_goes_back_at_once_and_is_watched_again(world: World) -> None:
    world.release("v1.0.0")
    assert world.active_version == "v1.0.0"
    assert world.release("v2.0.0").phase is Phase.WATCHING
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"


def test_an_analysis_whose_memory_was_wiped_is_made_all_the_same(world: World) -> None:
    live = world.cluster.all("Service")[0]
    notes = {k: v for k, v in live["metadata"]["annotations"].items() if not k.startswith(PREFIX)}
    world.cluster.put({**live, "metadata": {**live["metadata"], "annotations": notes}}, "kubectl")
    assert world.run().phase is Phase.WATCHING
    world.advance(100)
    assert world.run().phase is Phase.WATCHING
    assert world.versions() == ["v1.0.0", "v2.0.0"], "retention never ends before the analysis does"
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"


def test_a_service_deleted_in_the_middle_of_the_analysis_leaves_a_way_back(world: World) -> None:
    world.cluster.remove("Service", NAMESPACE, "my-app")
    assert world.run().phase is Phase.WATCHING
    assert world.active_version == "v2.0.0"
    assert world.versions() == ["v1.0.0", "v2.0.0"]
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"


def test_a_service_deleted_while_a_former_colour_is_warm_does_not_cost_it_its_retention() -> None:
    world = World()
    world.release("v1.0.0")
    world.release("v2.0.0")
    world.cluster.remove("Service", NAMESPACE, "my-app")
    world.run()
    assert world.active_version == "v2.0.0"
    assert world.versions() == ["v1.0.0", "v2.0.0"]
    world.advance(31)
    world.run()
    assert world.versions() == ["v2.0.0"]


def test_traffic_that_a_hand_led_to_what_cannot_serve_yet_goes_back(world: World) -> None:
    world.verdicts.outcomes["errors"] = Outcome.PASSED
    world.advance(100)
    world.run()
    world.commit("v3.0.0")
    world.daemon.poll()
    world.daemon.settle()
    there = next(w for w in world.observed.workloads if w.version == "v3.0.0")
    service = world.cluster.all("Service")[0]
    selector = dict(there.live["spec"]["selector"]["matchLabels"])
    world.verdicts.outcomes.clear()
    world.cluster.put({**service, "spec": {**service["spec"], "selector": selector}}, "kubectl")
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v2.0.0"
    assert "minReadyPercent" in world.told.last("rejected").fields["reason"]


def test_a_service_deleted_while_a_failed_revision_is_held_off_does_not_bring_it_back(world: World) -> None:
    """The Service took the rejection along. What failed in front of users is not shown to them again."""
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.REJECTED
    world.advance(20)
    world.run()
    assert {w.version: w.replicas for w in world.observed.workloads} == {"v1.0.0": 3, "v2.0.0": 0}
    world.cluster.selector_writes.clear()
    world.cluster.remove("Service", NAMESPACE, "my-app")
    world.restart()
    for _ in range(3):
        assert world.run().phase is Phase.REJECTED
        assert world.active_version == "v1.0.0"
        world.advance(50)
    assert len(world.cluster.selector_writes) == 1
    assert world.told.names().count("rejected") == 1
    world.verdicts.outcomes.clear()
    assert world.release("v3.0.0").phase is Phase.WATCHING

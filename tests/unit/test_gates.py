"""What stands between a ready revision and traffic, and what becomes of it afterwards, in whole releases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.check import Check, Inconclusive, Outcome, PostPromotion, PrePromotion
from reconciler.core.evidence import Evidence, read_evidence, write_evidence
from reconciler.core.memory import Cause
from reconciler.core.model import App
from reconciler.core.phase import Phase
from reconciler.core.plan import forecast
from reconciler.core.plan.retire import DRAIN_MARGIN
from reconciler.core.probe import HttpProbe, JobProbe
from reconciler.core.window import Window
from reconciler.errors import Blocked, Invalid
from tests.fakes.world import APP, NAMESPACE, World, drive

SMOKE, LOAD = Check("smoke", HttpProbe()), Check("load", HttpProbe(path="/load"))
ERRORS = Check("errors", HttpProbe(path="/errors"))


def app(**strategy: object) -> App:
    return replace(APP, strategy=replace(APP.strategy, **strategy))  # type: ignore[arg-type]


def gated(**more: object) -> World:
    """v1.0.0 is active; the next revision has two checks before it."""
    return _released(app(pre_promotion=PrePromotion((SMOKE, LOAD), **more)))  # type: ignore[arg-type]


def watched(**more: object) -> World:
    """v1.0.0 is active; the next revision is watched for 60 s after its switch."""
    return _released(app(post_promotion=PostPromotion(60.0, (ERRORS,), **more)))  # type: ignore[arg-type]


def _released(of: App) -> World:
    world = World(of)
    world.verdicts.outcomes = {"smoke": Outcome.PASSED, "load": Outcome.PASSED, "errors": Outcome.PASSED}
    world.release("v1.0.0")
    world.advance(100)
    assert world.run().phase is Phase.STABLE
    world.told.events.clear()
    world.verdicts.outcomes.clear()
    return world


def tip(world: World) -> str:
    return world.repository.branches["main"]


def events(world: World) -> list[str]:
    return [name for name in world.told.names() if name != "phase_changed"]


# --- before the switch --------------------------------------------------------------------------------------------


def test_traffic_moves_only_after_every_check_has_passed() -> None:
    world = gated()
    assert world.release("v2.0.0").phase is Phase.PROVING
    assert world.active_version == "v1.0.0"
    world.verdicts.outcomes["smoke"] = Outcome.PASSED
    assert world.run().phase is Phase.PROVING
    assert world.active_version == "v1.0.0"
    world.verdicts.outcomes["load"] = Outcome.PASSED
    assert world.run().phase is Phase.RETAINING
    assert world.active_version == "v2.0.0"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCONCLUSIVE])
def test_a_check_that_fails_or_cannot_be_evaluated_rejects(outcome: Outcome) -> None:
    world = gated()
    world.verdicts.outcomes = {"smoke": Outcome.PASSED, "load": outcome}
    assert world.release("v2.0.0").phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"
    assert "check load" in world.told.last("rejected").fields["reason"]
    world.advance(11)
    world.run()
    assert {w.version: w.replicas for w in world.observed.workloads} == {"v1.0.0": 3, "v2.0.0": 0}


def test_a_new_commit_makes_the_checks_again() -> None:
    world = gated()
    world.verdicts.outcomes = {"smoke": Outcome.PASSED, "load": Outcome.FAILED}
    world.release("v2.0.0")
    world.verdicts.outcomes["load"] = Outcome.PASSED
    world.daemon.analyst.begun.clear()
    world.advance(1)
    assert world.release("v2.0.0").phase is Phase.RETAINING
    assert {each.check.name for each in world.daemon.analyst.begun} == {"smoke", "load"}


def test_checks_are_made_one_after_the_other_if_that_is_asked_for() -> None:
    world = gated(sequential=True)
    world.release("v2.0.0")
    assert [each.check.name for each in world.daemon.analyst.running] == ["smoke"]
    world.verdicts.outcomes["smoke"] = Outcome.PASSED
    world.run()
    assert "load" in [each.check.name for each in world.daemon.analyst.running]
    assert world.active_version == "v1.0.0"


def test_what_was_passed_is_on_record_and_not_done_again_after_a_crash() -> None:
    world = gated()
    world.verdicts.outcomes["smoke"] = Outcome.PASSED
    world.release("v2.0.0")
    world.restart()
    world.verdicts.outcomes = {"load": Outcome.PASSED}
    assert world.run().phase is Phase.RETAINING
    assert [each.check.name for each in world.daemon.analyst.begun] == ["load"]


def test_another_definition_of_a_check_was_not_passed() -> None:
    assert SMOKE.key != replace(SMOKE, timeout=11.0).key
    assert SMOKE.key == Check("smoke", HttpProbe()).key


def test_a_revert_to_a_warm_revision_waits_for_nothing() -> None:
    world = gated()
    world.verdicts.outcomes = {"smoke": Outcome.PASSED, "load": Outcome.PASSED}
    world.release("v2.0.0")
    world.verdicts.outcomes.clear()
    world.commit("v1.0.0")
    world.daemon.poll()
    outcome = world.daemon.turn()
    assert outcome is not None
    assert outcome.plan.phase is Phase.SWITCHING
    assert world.active_version == "v1.0.0"


def test_checks_are_made_again_for_a_rollback_if_that_is_asked_for() -> None:
    world = gated(rerun=True)
    world.verdicts.outcomes = {"smoke": Outcome.PASSED, "load": Outcome.PASSED}
    world.release("v2.0.0")
    world.verdicts.outcomes.clear()
    assert world.release("v1.0.0").phase is Phase.PROVING
    assert world.active_version == "v2.0.0"


def test_the_soak_time_begins_anew_when_a_pod_was_unready() -> None:
    world = _released(app(pre_promotion=PrePromotion(soak=30.0)))
    assert world.release("v2.0.0").phase is Phase.PROVING
    world.advance(20)
    revision = next(w.revision for w in world.observed.workloads if w.version == "v2.0.0")
    world.controllers.unready(revision, 1)
    assert world.daemon.settle().phase is Phase.PROGRESSING
    made = world.run()
    assert made.phase is Phase.PROVING
    world.advance(20)
    assert world.run().phase is Phase.PROVING
    world.advance(11)
    assert world.run().phase is Phase.RETAINING


def test_a_pod_lost_long_after_the_deadline_gets_a_deadline_of_its_own() -> None:
    """An approval may take days. A pod that is replaced meanwhile is no reason to reject."""
    world, _, _ = waiting()
    world.advance(1000)
    revision = next(w.revision for w in world.observed.workloads if w.version == "v2.0.0")
    world.controllers.unready(revision, 1)
    assert world.daemon.settle().phase is Phase.PROGRESSING
    world.advance(61)
    assert world.daemon.settle().phase is Phase.REJECTED


def test_a_note_on_the_workload_ends_no_check_while_its_controller_has_not_seen_it() -> None:
    """To the API server a change of a Deployment's annotations is a new generation of it."""
    world = gated()
    world.daemon.analyst.begun.clear()
    world.release("v2.0.0")
    world.verdicts.outcomes["smoke"] = Outcome.PASSED
    assert world.daemon.settle().phase is Phase.PROVING  # and the controllers do not look
    assert world.daemon.settle().phase is Phase.PROVING
    world.verdicts.outcomes["load"] = Outcome.PASSED
    assert world.daemon.settle().phase is Phase.PROGRESSING
    assert world.active_version == "v1.0.0"
    assert world.run().phase is Phase.RETAINING
    assert [each.check.name for each in world.daemon.analyst.begun] == ["load", "smoke"]
    assert events(world).count("revision_ready") == 1


def test_a_newer_commit_overtakes_checks_under_way() -> None:
    world = gated()
    world.release("v2.0.0")
    world.verdicts.outcomes = {"smoke": Outcome.PASSED, "load": Outcome.PASSED}
    world.commit("v3.0.0")
    world.run()
    assert world.active_version == "v3.0.0"
    assert "v2.0.0" not in world.versions()


# --- approval ---------------------------------------------------------------------------------------------------------


def waiting() -> tuple[World, str, str]:
    world = _awaiting()
    commit = world.commit("v2.0.0")
    assert world.run().phase is Phase.WAITING
    assert world.active_version == "v1.0.0"
    return world, next(w.revision for w in world.observed.workloads if w.version == "v2.0.0"), commit


def _awaiting(**more: object) -> World:
    world = World(APP)
    world.release("v1.0.0")
    world.advance(100)
    world.run()
    world.told.events.clear()
    world.app = app(**{"auto_promotion": False, **more})
    world.restart()
    return world


def test_an_approval_lets_it_through() -> None:
    world, revision, commit = waiting()
    assert events(world).count("approval_awaited") == 1
    assert "waiting_for" not in events(world), "no other app is waited for"
    world.approve(revision, commit)
    assert world.run().phase is Phase.RETAINING
    assert world.active_version == "v2.0.0"
    assert "approved by ann" in world.told.last("switched").fields["reason"]


def test_an_approval_for_another_revision_or_commit_does_not_count() -> None:
    world, revision, commit = waiting()
    world.approve(revision, "0" * 40)
    assert world.run().phase is Phase.WAITING
    world.commit("v3.0.0")
    world.approve(revision, commit)
    assert world.run().phase is Phase.WAITING
    assert world.active_version == "v1.0.0"


def test_waiting_is_told_once_also_after_a_restart() -> None:
    world, _, _ = waiting()
    world.restart()
    world.run()
    assert events(world).count("approval_awaited") == 1


def test_it_goes_by_itself_after_a_while_if_that_is_asked_for() -> None:
    world = _awaiting(auto_promotion=True, auto_promotion_after=30.0)
    assert world.release("v2.0.0").phase is Phase.WAITING
    world.advance(20)
    world.restart()
    made = world.run()
    assert made.phase is Phase.WAITING
    assert made.wake_at is not None
    world.advance(11)
    assert world.run().phase is Phase.RETAINING


def test_an_approval_counts_however_late_it_is() -> None:
    """The approval makes a new generation of the Deployment: no reason to look at `progressDeadline`."""
    world, revision, commit = waiting()
    world.advance(10_000)
    world.approve(revision, commit)
    assert world.daemon.settle().phase is Phase.PROGRESSING
    assert world.run().phase is Phase.RETAINING
    assert world.active_version == "v2.0.0"


def test_a_revert_needs_no_approval() -> None:
    world, revision, commit = waiting()
    world.approve(revision, commit)
    world.run()
    world.commit("v1.0.0")
    assert world.run().phase is Phase.RETAINING
    assert world.active_version == "v1.0.0"


# --- release windows --------------------------------------------------------------------------------------------------


def test_a_switch_waits_for_a_release_window() -> None:
    world = _released(app())  # 2023-11-14 22:15 UTC
    night = Window("0 23 * * *", 3600.0, "UTC")
    world.app = app(release_windows=(night,))
    world.restart()
    made = world.release("v2.0.0")
    assert made.phase is Phase.WAITING
    assert made.wake_at is not None
    assert events(world).count("window_awaited") == 1
    world.clock.time = made.wake_at
    assert world.run().phase is Phase.RETAINING


def test_a_rollback_ignores_windows_and_a_first_release_needs_none() -> None:
    world = World(app(release_windows=(Window("0 23 * * *", 3600.0, "UTC"),)))
    assert world.release("v1.0.0").phase is Phase.STABLE, "nobody is served: there is nothing to protect"
    world.clock.time = world.release("v2.0.0").wake_at or 0.0
    assert world.run().phase is Phase.RETAINING
    world.advance(3601)
    world.app = app(release_windows=world.app.strategy.release_windows, scale_down_delay=10000.0)
    world.restart()
    world.run()
    assert world.release("v1.0.0").phase is Phase.RETAINING
    assert world.active_version == "v1.0.0"


# --- without a Service ------------------------------------------------------------------------------------------------


def test_where_the_service_was_deleted_nothing_unproved_stands_in() -> None:
    """v2.0.0 is ready and has not passed its checks, v3.0.0 is wanted; v1.0.0 is on record as having had traffic."""
    world = gated()
    world.release("v2.0.0")
    world.commit("v3.0.0")
    world.daemon.poll()
    world.cluster.remove("Service", NAMESPACE, "my-app")
    world.daemon.settle()
    assert world.active_version == "v1.0.0"


def test_what_had_traffic_gets_it_back_without_another_approval() -> None:
    world, revision, commit = waiting()
    world.approve(revision, commit)
    world.run()
    world.repository.commit({**world.repository.commits[tip(world)], "another-app": b"v7"})
    world.run()
    world.cluster.remove("Service", NAMESPACE, "my-app")
    world.run()
    assert world.active_version == "v2.0.0"


# --- after the switch -------------------------------------------------------------------------------------------------


def test_a_revision_that_stands_the_analysis_stays() -> None:
    world = watched()
    assert world.release("v2.0.0").phase is Phase.WATCHING
    world.verdicts.outcomes["errors"] = Outcome.PASSED
    assert world.run().phase is Phase.WATCHING
    world.advance(61)
    assert world.run().phase is Phase.STABLE
    assert events(world)[-2:] == ["analysis_passed", "retired"]


def test_the_former_colour_is_kept_for_as_long_as_the_analysis_lasts() -> None:
    world = watched()
    world.release("v2.0.0")
    world.advance(500)
    world.run()
    assert world.versions() == ["v1.0.0", "v2.0.0"], "retention (30 s) never ends before the analysis does"


def test_a_failed_analysis_leads_traffic_back_and_rejects_in_one_write() -> None:
    world = watched()
    world.release("v2.0.0")
    world.cluster.writes.clear()
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    outcome = world.daemon.turn()
    assert outcome is not None
    assert [write.split("/")[0] for write in world.cluster.writes] == ["apply Service"]
    assert world.active_version == "v1.0.0"
    assert world.run().phase is Phase.REJECTED
    front = world.observed.front
    assert front is not None
    assert front.memory.rejection is not None
    assert front.memory.rejection.cause is Cause.ANALYSIS
    assert front.memory.confirmed_at is not None
    names = events(world)
    assert names[names.index("switch_confirmed") + 1 :] == ["switched", "rolled_back", "rejected", "switch_confirmed"]
    back = world.told.last("rolled_back").fields
    assert (back["version"], back["from_version"]) == ("v1.0.0", "v2.0.0")
    assert world.told.last("rejected").fields["version"] == "v2.0.0"
    assert world.told.last("switch_confirmed").fields["version"] == "v1.0.0"


def test_the_failed_pods_stay_for_a_while_and_then_go() -> None:
    world = _failed()
    assert {w.version: w.replicas for w in world.observed.workloads} == {"v1.0.0": 3, "v2.0.0": 3}
    world.advance(11 + DRAIN_MARGIN)
    world.run()
    assert {w.version: w.replicas for w in world.observed.workloads} == {"v1.0.0": 3, "v2.0.0": 0}
    world.advance(1000)
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"


def _failed() -> World:
    world = watched()
    world.release("v2.0.0")
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.REJECTED
    world.verdicts.outcomes.clear()
    return world


def test_a_commit_that_says_the_same_of_the_app_does_not_try_it_again() -> None:
    """Users saw it fail; somebody else's commit in the same repository is no reason to show it to them again."""
    world = _failed()
    files = world.repository.commits[tip(world)]
    world.repository.commit({**files, "another-app": b"v7"})
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"
    world.advance(1)
    world.commit("v2.0.0", env="{GREETING: 'mended'}")
    assert world.run().phase is Phase.WATCHING
    assert world.active_version == "v2.0.0"


def test_a_revert_in_git_settles_it() -> None:
    world = _failed()
    world.commit("v1.0.0")
    assert world.run().phase is Phase.RETAINING
    assert events(world)[-1] == "rejection_cleared"


def test_a_failed_revision_that_is_wanted_again_has_to_prove_itself_again() -> None:
    world = _failed()
    world.commit("v1.0.0")
    world.run()
    world.told.events.clear()
    world.commit("v2.0.0")
    assert world.run().phase is Phase.WATCHING
    assert "rolled_back" not in events(world), "it is a release like any other"


@pytest.mark.parametrize(
    ("policy", "phase", "version"),
    [(Inconclusive.PROCEED, Phase.RETAINING, "v2.0.0"), (Inconclusive.ROLLBACK, Phase.REJECTED, "v1.0.0")],
)
def test_what_could_not_be_evaluated_goes_by_the_policy(policy: Inconclusive, phase: Phase, version: str) -> None:
    world = watched(inconclusive=policy)
    world.app = replace(world.app, strategy=replace(world.app.strategy, scale_down_delay=500.0))
    world.restart()
    world.release("v2.0.0")
    world.verdicts.outcomes["errors"] = Outcome.INCONCLUSIVE
    world.advance(61)
    assert world.run().phase is phase
    assert world.active_version == version


@pytest.mark.parametrize("lost", [2, 3])
def test_too_few_ready_pods_lead_traffic_back(lost: int) -> None:
    """Also when the colour that is left is wholly down: going back never depends on it."""
    world = watched()
    world.release("v2.0.0")
    revision = next(w.revision for w in world.observed.workloads if w.version == "v2.0.0")
    world.controllers.broken.add(revision)
    world.controllers.unready(revision, lost)
    world.daemon.settle()
    assert world.active_version == "v1.0.0"
    assert "minReadyPercent" in world.told.last("rolled_back").fields["reason"]


def test_a_colour_that_fails_before_the_switch_was_confirmed_is_left_too() -> None:
    world = watched()
    world.commit("v2.0.0")
    world.daemon.poll()
    while world.active_version != "v2.0.0":
        world.daemon.settle()
        world.controllers.deployments()
        world.controllers.kubelet(count=5)
    revision = next(w.revision for w in world.observed.workloads if w.version == "v2.0.0")
    world.controllers.broken.add(revision)
    world.controllers.unready(revision, 3)
    world.daemon.settle()
    assert world.active_version == "v1.0.0"


def test_it_waits_for_the_former_colour_if_that_is_not_ready() -> None:
    world = watched()
    world.release("v2.0.0")
    former = next(w.revision for w in world.observed.workloads if w.version == "v1.0.0")
    world.controllers.unready(former, 3)
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.daemon.settle().phase is Phase.WATCHING
    assert world.active_version == "v2.0.0"
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"


def test_while_it_waits_for_the_former_colour_the_active_one_is_put_right() -> None:
    world = watched()
    world.release("v2.0.0")
    former, active = (next(w for w in world.observed.workloads if w.version == v) for v in ("v1.0.0", "v2.0.0"))
    world.controllers.broken.add(former.revision)
    world.controllers.unready(former.revision, 3)
    world.cluster.remove("Deployment", NAMESPACE, active.name)
    world.controllers.everything()
    world.run()
    assert "v2.0.0" in world.versions()


def test_a_daemon_that_cannot_read_the_former_commit_goes_back_all_the_same() -> None:
    world = watched()
    first = tip(world)
    world.release("v2.0.0")
    del world.repository.commits[first]
    world.restart()
    world.run()
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"


def test_a_first_release_has_nothing_to_go_back_to_and_says_so() -> None:
    world = World(app(post_promotion=PostPromotion(60.0, (ERRORS,))))
    world.release("v1.0.0")
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    world.run()
    assert world.active_version == "v1.0.0"
    assert "no earlier revision" in world.told.last("analysis_failed").fields["reason"]


def test_a_revision_on_trial_is_watched_though_git_wants_another_one_already() -> None:
    """The next one may wait for an approval for days; clients are on this one meanwhile."""
    world = watched()
    world.app = replace(world.app, strategy=replace(world.app.strategy, auto_promotion=False))
    world.restart()
    world.commit("v2.0.0")
    world.run()
    world.approve(next(w.revision for w in world.observed.workloads if w.version == "v2.0.0"), tip(world))
    assert world.run().phase is Phase.WATCHING
    world.commit("v3.0.0")
    assert world.run().phase is Phase.WAITING
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.WAITING
    assert world.active_version == "v1.0.0"
    rejected = world.told.last("rejected").fields
    assert (rejected["version"], rejected["reason"].split(":")[0]) == ("v2.0.0", "check errors failed after the switch")


def test_a_trial_that_ends_well_while_git_wants_another_one_is_noted() -> None:
    world = watched()
    world.release("v2.0.0")
    world.app = replace(world.app, strategy=replace(world.app.strategy, auto_promotion=False))
    world.restart()
    world.commit("v3.0.0")
    assert world.run().phase is Phase.WAITING
    world.verdicts.outcomes["errors"] = Outcome.PASSED
    world.advance(61)
    world.run()
    assert world.told.last("analysis_passed").fields["version"] == "v2.0.0"
    assert world.active_version == "v2.0.0"


def test_an_autoscaler_at_work_is_no_failure() -> None:
    """What the new colour got since the switch may take its time to get ready."""
    world = watched()
    world.release("v2.0.0")
    live = next(w.live for w in world.observed.workloads if w.version == "v2.0.0")
    world.cluster.put({**live, "spec": {**live["spec"], "replicas": 9}}, "autoscaler")
    world.controllers.deployments()
    assert world.daemon.settle().phase is Phase.WATCHING
    assert world.active_version == "v2.0.0"


def test_a_first_release_that_fails_while_git_wants_another_one_is_told_too() -> None:
    world = World(app(post_promotion=PostPromotion(60.0, (ERRORS,))))
    world.release("v1.0.0")
    world.app = replace(world.app, strategy=replace(world.app.strategy, auto_promotion=False))
    world.restart()
    world.commit("v2.0.0")
    assert world.run().phase is Phase.WAITING
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    world.run()
    assert world.told.last("analysis_failed").fields["version"] == "v1.0.0"


def test_nobody_served_is_told_also_while_it_is_watched() -> None:
    """Both colours are down: there is no way back yet."""
    world = watched()
    world.release("v2.0.0")
    for each in world.observed.workloads:
        world.controllers.broken.add(each.revision)
        world.controllers.unready(each.revision, 3)
    assert world.daemon.settle().phase is Phase.DEGRADED
    assert "degraded" in events(world)


def test_what_was_led_back_from_goes_after_abort_scale_down_delay_also_when_git_was_reverted() -> None:
    world = watched()
    world.app = replace(world.app, strategy=replace(world.app.strategy, scale_down_delay=500.0))
    world.restart()
    world.release("v2.0.0")
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    world.run()
    world.commit("v1.0.0")
    world.run()
    world.advance(31)  # more than abortScaleDownDelay, and than what v1.0.0 needs to prove that it stands alone
    world.run()
    assert world.versions() == ["v1.0.0"]


def test_a_commit_in_the_middle_of_the_analysis_overtakes_it() -> None:
    world = watched()
    world.release("v2.0.0")
    world.commit("v3.0.0")
    assert world.run().phase is Phase.WATCHING
    assert world.active_version == "v3.0.0"


def test_the_analysis_begins_anew_after_a_crash() -> None:
    world = watched()
    world.release("v2.0.0")
    world.restart()
    world.advance(61)
    assert world.run().phase is Phase.WATCHING, "nothing was measured by this daemon"
    world.verdicts.outcomes["errors"] = Outcome.PASSED
    assert world.run().phase is Phase.STABLE


def test_an_analysis_that_is_taken_out_of_the_configuration_ends() -> None:
    world = watched()
    world.release("v2.0.0")
    world.app = APP
    world.restart()
    assert world.run().phase is Phase.RETAINING
    assert "analysis_ended" in events(world)


def test_a_rollback_by_hand_of_git_is_not_watched() -> None:
    world = watched()
    world.release("v2.0.0")
    world.verdicts.outcomes["errors"] = Outcome.PASSED
    world.advance(20)
    world.commit("v1.0.0")
    assert world.run().phase is Phase.RETAINING


# --- Git told the truth ----------------------------------------------------------------------------------------------


def reverting(**values: object) -> World:
    """v2.0.0 was switched to, and is being watched; if that fails the daemon reverts in Git."""
    world = watched()
    world.app = replace(world.app, strategy=replace(world.app.strategy, revert_in_git=True))
    world.restart()
    world.release("v2.0.0", **values)
    return world


def test_a_revision_that_is_led_back_from_is_reverted_in_git_and_all_settles() -> None:
    world = reverting()
    bad = tip(world)
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.RETAINING
    assert world.repository.parents[tip(world)] == bad
    assert world.repository.commits[tip(world)] == {"version": b"v1.0.0"}
    names = events(world)
    assert [n for n in names if n in ("rolled_back", "reverted_in_git", "rejection_cleared")] == [
        "rolled_back",
        "reverted_in_git",
        "rejection_cleared",
    ]
    assert world.told.last("reverted_in_git").fields["to_commit"] == tip(world)


def test_its_own_commit_is_not_taken_for_somebody_elses_before_git_was_looked_at_again() -> None:
    world = reverting()
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    for _ in range(10):
        if "reverted_in_git" not in events(world):
            world.daemon.poll()
            before = world.daemon.tip
            world.daemon.turn()
            world.controllers.everything()
    assert before is not None
    for _ in range(3):  # news of the cluster come before the look at Git has ended
        world.daemon.tip = before
        world.daemon.turn()
    assert [name for name in events(world) if name.startswith("revert")] == ["reverted_in_git"]
    world.advance(1)
    world.repository.branches["main"] = before.commit  # taken away again, by a force push
    world.daemon.poll()
    world.daemon.turn()
    assert [name for name in events(world) if name.startswith("revert")] == ["reverted_in_git"] * 2


def test_a_commit_that_came_between_wins() -> None:
    world = reverting()
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    theirs = world.commit("v3.0.0")
    for _ in range(4):
        world.daemon.turn()  # it has not looked at Git since
    world.verdicts.outcomes["errors"] = Outcome.PASSED
    world.run()
    assert tip(world) == theirs
    assert world.active_version == "v3.0.0"
    assert "reverted_in_git" not in events(world)


def test_a_commit_to_something_else_that_came_between_is_kept_and_the_revert_comes_on_top() -> None:
    """What it says it reverts is the commit that released what failed, not the innocent one that it stands on."""
    world = reverting()
    bad = tip(world)
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    theirs = world.repository.commit({**world.repository.commits[tip(world)], "another-app": b"v7"})
    assert world.run().phase is Phase.RETAINING
    assert world.repository.parents[tip(world)] == theirs
    assert world.repository.commits[tip(world)] == {"version": b"v1.0.0", "another-app": b"v7"}
    assert f"\nReconciler-Reverts: {bad}\n" in world.repository.messages[tip(world)]


def test_what_else_was_changed_in_the_version_file_stays() -> None:
    """Another number of pods makes no other revision, and is not what failed."""
    world = reverting(replicas=3)
    world.commit("v2.0.0", replicas=5)
    world.run()
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    assert world.run().phase is Phase.RETAINING
    assert b"v1.0.0" in (left := world.repository.commits[tip(world)]["version"])  # type: ignore[operator]
    assert b"replicas: 5" in left  # type: ignore[operator]


def test_a_rejection_of_what_git_wants_outlives_the_way_back() -> None:
    world = watched()
    world.app = app(pre_promotion=PrePromotion((SMOKE,)), post_promotion=world.app.strategy.post_promotion)
    world.restart()
    world.verdicts.outcomes["smoke"] = Outcome.PASSED
    world.release("v2.0.0")
    world.verdicts.outcomes["smoke"] = Outcome.FAILED
    assert world.release("v3.0.0").phase is Phase.REJECTED
    world.verdicts.outcomes = {"smoke": Outcome.PASSED, "errors": Outcome.FAILED}
    assert world.run().phase is Phase.REJECTED, "v3.0.0 is not tried again at this commit"
    assert world.active_version == "v1.0.0"


def test_it_is_not_reverted_if_the_version_file_is_not_what_changed() -> None:
    world = reverting()
    world.verdicts.outcomes["errors"] = Outcome.PASSED
    world.advance(61)
    world.run()
    world.app = replace(world.app, values={**world.app.values, "env": {"GREETING": "hello"}})
    world.restart()
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    before = tip(world)
    with pytest.raises(Blocked, match="version file alone"):
        world.run()
    assert tip(world) == before
    assert world.observed.front is not None
    assert world.observed.front.memory.rejection is not None


def test_a_daemon_killed_before_or_after_the_push_comes_to_the_same_end() -> None:
    for pushed in (False, True):
        world = reverting()
        world.verdicts.outcomes["errors"] = Outcome.FAILED
        world.repository.fail_with(None)
        for _ in range(2):
            world.daemon.turn()
            world.controllers.everything()
        if pushed:
            world.commit("v1.0.0")
        world.restart()
        assert world.run().phase is Phase.RETAINING
        assert world.active_version == "v1.0.0"
        assert world.repository.commits[tip(world)] == {"version": b"v1.0.0"}


# --- what is ahead, for people ----------------------------------------------------------------------------------------


def test_what_is_ahead_names_every_gate() -> None:
    world = World(APP)
    world.release("v1.0.0")
    world.app = app(
        pre_promotion=PrePromotion((SMOKE, LOAD), soak=30.0),
        auto_promotion=False,
        release_windows=(Window("0 23 * * *", 3600.0, "UTC"),),
        post_promotion=PostPromotion(60.0, (ERRORS,)),
    )
    world.restart()
    world.commit("v2.0.0")
    world.daemon.poll()
    assert world.daemon.tip is not None
    desired, observed, made = drive(world.daemon.cycle.look(world.daemon.tip))
    steps = forecast(desired, observed, world.clock.now(), made.phase)
    assert [step.split(",")[0].split(" (")[0] for step in steps] == [
        "every pod of v2.0.0 ready",
        "every pod ready for 30 s without a break",
        "checks passed",
        "approved: reconciler approve my-app",
        "a release window is open",
        f"switch Service my-app from {observed.revisions[0].revision} to {desired.revision}",
        "watched for 60 s",
        "v1.0.0",
    ]


# --- what is written down ---------------------------------------------------------------------------------------------


def test_evidence_is_read_as_it_was_written() -> None:
    evidence = Evidence(1.5, 2.5, frozenset({"a@1", "b@2"}), None)
    assert read_evidence(write_evidence(evidence)) == evidence


_HUGE = f'{{"since":1{"0" * 400},"ready_at":null,"passed":[],"awaiting":null}}'
_NEVER = '{"since":1,"ready_at":null,"passed":[],"awaiting":Infinity}'
_DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "7", '{"since": "x"}', '{"since":1,"passed":7}', _HUGE, _NEVER, _DEEP]
)
def test_unreadable_evidence_is_none(text: str) -> None:
    assert read_evidence({"bluegreen.reconciler/evidence": text}) is None


def test_evidence_stands_on_the_workload_so_that_kube_proxy_is_not_disturbed() -> None:
    world = gated()
    world.verdicts.outcomes["smoke"] = Outcome.PASSED
    world.cluster.writes.clear()
    world.release("v2.0.0")
    assert {write.split("/")[0] for write in world.cluster.writes} == {"apply Deployment"}
    assert world.cluster.get("Service", NAMESPACE, "my-app") is not None


def test_a_selector_moved_by_hand_is_put_back_and_what_was_rejected_stays_so() -> None:
    world = _failed()
    bad = next(w for w in world.observed.workloads if w.version == "v2.0.0")
    front = world.observed.front
    assert front is not None
    selector = {key: f"{value}-elsewhere" for key, value in front.selector.items()}
    world.cluster.put({**front.live, "spec": {**front.live["spec"], "selector": selector}}, "kubectl")
    world.advance(1)
    assert world.run().phase is Phase.REJECTED
    assert world.active_version == "v1.0.0"
    front = world.observed.front
    assert front is not None
    assert front.memory.rejection is not None
    assert front.memory.rejection.revision == bad.revision


def test_a_commit_that_cannot_be_used_does_not_end_the_watch_of_what_has_the_traffic() -> None:
    world = watched()
    world.release("v2.0.0")
    world.repository.commit({"version": b""})
    world.daemon.poll()
    world.verdicts.outcomes["errors"] = Outcome.FAILED
    for _ in range(4):
        with pytest.raises(Invalid, match="is empty"):
            world.daemon.turn()
    assert world.active_version == "v1.0.0"
    assert world.told.last("rejected").fields["version"] == "v2.0.0"


def test_a_trial_that_ends_well_under_a_commit_that_cannot_be_used_is_noted() -> None:
    world = watched()
    world.release("v2.0.0")
    world.repository.commit({"version": b""})
    world.daemon.poll()
    world.verdicts.outcomes["errors"] = Outcome.PASSED
    world.advance(61)
    for _ in range(4):
        with pytest.raises(Invalid, match="is empty"):
            world.daemon.turn()
    assert events(world)[-1] == "analysis_passed"
    assert world.active_version == "v2.0.0"


def test_a_job_that_is_changed_while_it_runs_is_run_anew() -> None:
    """What the former one comes to must not be put down to the new one."""
    job = "{apiVersion: batch/v1, kind: Job, spec: {template: {spec: {containers: [{name: a, image: 'b:1'}]}}}}"
    world = _released(APP)
    world.files["gate.yaml"] = job.encode()
    world.app = app(pre_promotion=PrePromotion((Check("books", JobProbe("gate.yaml")),)))
    world.commit("v1.0.0")
    world.restart()
    world.release("v2.0.0")
    assert [each.check.name for each in world.daemon.analyst.begun] == ["books"]
    world.files["gate.yaml"] = job.replace("b:1", "b:2").encode()
    assert world.release("v2.0.0").phase is Phase.PROVING
    assert [each.check.name for each in world.daemon.analyst.begun] == ["books", "books"]


def test_an_approval_that_a_commit_undid_is_asked_for_anew() -> None:
    world, revision, commit = waiting()
    world.app = replace(
        world.app,
        strategy=replace(world.app.strategy, release_windows=(Window("0 3 * * *", 3600.0, "UTC"),)),
    )
    world.restart()
    world.approve(revision, commit)
    assert "release window" in world.run().reason
    assert events(world).count("approval_awaited") == 1
    world.commit("v2.0.0")
    assert "approval" in world.run().reason
    assert events(world).count("approval_awaited") == 2

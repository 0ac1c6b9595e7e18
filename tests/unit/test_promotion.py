"""The planner through whole releases: what happens, in which order, and what never does.

`tests.fakes.world` holds every write against the invariants, so these tests need to say only what is special.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from reconciler.core.model import LABEL_MANAGED_BY, LABEL_REVISION
from reconciler.core.phase import Phase
from reconciler.core.plan.retire import DRAIN_MARGIN, NODES_BEHIND
from reconciler.errors import Blocked, Transient
from tests.fakes.world import APP, NAMESPACE, FakeDaemon, Killed, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def released(world: World) -> World:
    """v1.0.0 is active, and alone."""
    assert world.release("v1.0.0").phase is Phase.STABLE
    world.told.events.clear()
    return world


def test_first_release_creates_the_service_after_the_pods_are_ready(world: World) -> None:
    world.commit("v1.0.0")
    world.daemon.poll()
    world.daemon.settle()
    assert world.observed.front is None
    world.run()
    assert world.active_version == "v1.0.0"
    names = [name for name in world.told.names() if name != "phase_changed"]
    assert names == ["revision_applied", "revision_ready", "switched", "switch_confirmed"]
    assert world.told.last("switched").fields["from_revision"] is None


def test_the_first_service_belongs_to_its_field_managers(released: World) -> None:
    service = released.observed.front
    assert service is not None
    assert not service.needs_handover
    owners = released.cluster.owners["Service", NAMESPACE, "my-app"]
    assert ("spec", "selector") in owners["reconciler-switch", "Apply"]
    assert ("spec", "ports", "80/TCP") in owners["reconciler", "Apply"]
    assert ("reconciler-switch", "Update") not in owners


def test_bump_keeps_the_old_colour_warm_and_then_deletes_it(released: World) -> None:
    assert released.release("v2.0.0").phase is Phase.RETAINING
    assert released.active_version == "v2.0.0"
    assert released.versions() == ["v1.0.0", "v2.0.0"]
    released.advance(31)
    assert released.run().phase is Phase.STABLE
    assert released.versions() == ["v2.0.0"]
    assert released.told.names()[-2:] == ["retired", "phase_changed"]


def test_colours_alternate(released: World) -> None:
    first = released.observed.workloads[0].colour
    released.release("v2.0.0")
    assert {w.version: w.colour for w in released.observed.workloads} == {"v1.0.0": first, "v2.0.0": first.other}
    released.advance(31)
    released.run()
    released.release("v3.0.0")
    assert released.told.last("switched").fields["colour"] == first.value


def test_plan_says_when_to_wake_for_retention(released: World) -> None:
    made = released.release("v2.0.0")
    service = released.observed.front
    assert service is not None
    assert service.memory.active is not None
    assert made.wake_at == pytest.approx(service.memory.active.since + 30.0)


def test_revert_to_a_warm_colour_is_one_patch_and_the_claim_follows(released: World) -> None:
    released.release("v2.0.0")
    released.cluster.writes.clear()
    released.told.events.clear()
    released.commit("v1.0.0")
    released.daemon.poll()
    outcome = released.daemon.turn()
    assert outcome is not None
    assert outcome.plan.phase is Phase.SWITCHING
    assert [w.split("/")[0] for w in released.cluster.writes] == ["apply Service"]
    assert released.active_version == "v1.0.0"
    released.run()
    names = [name for name in released.told.names() if name != "phase_changed"]
    assert names == ["revision_ready", "switched", "rolled_back", "switch_confirmed", "revision_reused"]


def test_a_deletion_that_was_decided_before_a_rollback_fails(released: World) -> None:
    """A daemon is stopped between its note that a colour is about to go, and the deletion; Git goes back to it."""
    late, gone = _stopped_before_a_deletion(released)
    released.cluster.writes.clear()
    released.commit("v1.0.0")
    assert released.run().phase is Phase.RETAINING
    assert [w.split("/")[0] for w in released.cluster.writes][:2] == ["apply Deployment", "apply Service"]
    late.turn()
    assert released.active_version == "v1.0.0"
    assert gone in [w.revision for w in released.observed.workloads]


def test_a_switch_that_was_decided_before_a_deletion_fails(released: World) -> None:
    """A daemon is stopped just before it moves the selector; meanwhile Git goes back, and the other cleans up."""
    late = FakeDaemon(released)
    released.commit("v2.0.0")
    late.poll()
    late.turn()
    released.controllers.everything()
    late.pause(0)
    released.commit("v1.0.0")
    assert released.run().phase is Phase.STABLE
    assert released.versions() == ["v1.0.0"]
    late.turn()
    assert released.active_version == "v1.0.0"


def _stopped_before_a_deletion(released: World) -> tuple[FakeDaemon, str]:
    gone = released.observed.workloads[0].revision
    released.release("v2.0.0")
    late = FakeDaemon(released)
    late.poll()
    late.settle()
    late.poll()
    released.advance(31)
    late.pause(1)
    doomed = released.observed.front.memory.doomed if released.observed.front else frozenset()
    assert [each.revision for each in doomed] == [gone]
    return late, gone


def test_revert_does_not_need_the_colour_being_left(released: World) -> None:
    released.release("v2.0.0")
    bad = released.observed.front
    assert bad is not None
    assert bad.memory.active is not None
    released.controllers.unready(bad.memory.active.revision, 2)
    released.controllers.endpoints()
    released.commit("v1.0.0")
    released.daemon.poll()
    released.daemon.turn()
    assert released.active_version == "v1.0.0"


def test_revert_after_retention_brings_it_up_again_and_is_a_rollback(released: World) -> None:
    released.release("v2.0.0")
    released.advance(31)
    released.run()
    released.told.events.clear()
    released.release("v1.0.0")
    assert released.active_version == "v1.0.0"
    assert "revision_applied" in released.told.names()
    assert "rolled_back" in released.told.names()


def test_a_newer_commit_overtakes(released: World) -> None:
    released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    released.commit("v3.0.0")
    released.daemon.poll()
    released.daemon.turn()
    assert released.versions() == ["v1.0.0", "v3.0.0"]
    assert released.told.last("overtaken").fields["version"] == "v2.0.0"
    released.run()
    assert released.active_version == "v3.0.0"
    assert released.cluster.selector_writes.count(released.told.last("overtaken").fields["revision"]) == 0


def test_revert_in_the_middle_of_a_promotion_removes_what_it_started(released: World) -> None:
    released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    assert released.release("v1.0.0").phase is Phase.STABLE
    assert released.versions() == ["v1.0.0"]
    assert "switched" not in released.told.names()


def test_a_value_that_changes_the_pods_is_a_new_colour(released: World) -> None:
    released.release("v1.0.0", env="{GREETING: hello}")
    assert released.versions() == ["v1.0.0", "v1.0.0"]
    assert "switched" in released.told.names()


def test_a_replica_count_that_comes_with_a_version_is_followed(released: World) -> None:
    released.release("v2.0.0", replicas=5)
    assert [w.replicas for w in released.observed.workloads if w.version == "v2.0.0"] == [5]
    released.release("v3.0.0", replicas=2)
    assert [w.replicas for w in released.observed.workloads if w.version == "v3.0.0"] == [2]
    assert released.release("v2.0.0", replicas=5).phase is Phase.RETAINING, "back to a warm colour"
    assert [w.replicas for w in released.observed.workloads if w.version == "v2.0.0"] == [5]


def test_a_preview_starts_small_and_is_whole_before_the_switch(released: World) -> None:
    """For those who cannot double for as long as a version takes to prove that it starts at all."""
    small = replace(APP, strategy=replace(APP.strategy, preview_replica_count=1))
    released.daemon = FakeDaemon(released, small)
    released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    assert [w.replicas for w in released.observed.workloads if w.version == "v2.0.0"] == [1]
    assert released.active_version == "v1.0.0"
    assert released.run().phase is Phase.RETAINING
    assert [w.replicas for w in released.observed.workloads if w.version == "v2.0.0"] == [3]
    assert released.active_version == "v2.0.0"
    assert "previewReplicaCount" not in [e.fields.get("reason") for e in released.told.events]


def test_a_bad_preview_never_gets_more_than_its_few_pods(released: World) -> None:
    released.daemon = FakeDaemon(released, replace(APP, strategy=replace(APP.strategy, preview_replica_count=1)))
    _rejected(released)
    assert [w.replicas for w in released.observed.workloads if w.version == "v2.0.0"] == [1]


def test_a_new_colour_is_never_smaller_than_the_active_one_and_becomes_so_afterwards(released: World) -> None:
    released.commit("v2.0.0", replicas=2)
    released.daemon.poll()
    released.daemon.settle()
    assert [w.replicas for w in released.observed.workloads] == [3, 3]
    released.run()
    assert [w.replicas for w in released.observed.workloads if w.version == "v2.0.0"] == [2]


def test_a_revision_is_rejected_though_others_commit_all_the_time(released: World) -> None:
    """In a repository of many apps, somebody commits something every minute."""
    revision = released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    released.controllers.broken |= {w.revision for w in released.observed.workloads if w.commit == revision}
    for number in range(3):
        released.advance(25)
        released.repository.commit({"version": b"v2.0.0", f"other{number}": b"x"})
        made = released.run()
    assert made.phase is Phase.REJECTED


def test_what_git_changes_in_place_is_not_told_as_drift(released: World) -> None:
    released.release("v1.0.0", service="{port: 8080}")
    assert "object_updated" in released.told.names()
    assert "drift_repaired" not in released.told.names()


def test_a_service_that_lost_its_label_keeps_its_pods(released: World) -> None:
    """Its memory is out of sight then, so that its Deployment looks like one that never was active."""
    live = released.cluster.all("Service")[0]
    labels = {k: v for k, v in live["metadata"]["labels"].items() if k != LABEL_MANAGED_BY}
    released.cluster.put({**live, "metadata": {**live["metadata"], "labels": labels}}, "helm")
    released.controllers.unready(released.observed.workloads[0].revision, 3)
    released.commit("v2.0.0")
    with pytest.raises(Blocked):
        released.run()
    assert released.versions() == ["v1.0.0"]


def test_a_configuration_object_that_a_finalizer_holds_back_is_deleted_once(released: World) -> None:
    released.release("v1.0.0", config="{A: b}")
    live = released.cluster.all("ConfigMap")[0]
    orphan = {**live["metadata"], "name": "old", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    orphan["labels"] = {**orphan["labels"], LABEL_REVISION: "gone"}
    released.cluster.put({**live, "metadata": orphan}, "somebody")
    assert not released.daemon.settle().actions


def test_two_daemons_that_render_a_commit_differently_do_not_undo_each_other(released: World) -> None:
    """The one that was there first stands back, and says so."""
    other = FakeDaemon(released, replace(APP, values={**APP.values, "env": {"ANOTHER": "one"}}))
    other.poll()
    for _ in range(8):
        other.turn()
        released.controllers.everything()
    moves = len(released.cluster.selector_writes)
    assert moves == 2
    with pytest.raises(Blocked, match="another daemon acts for this app"):
        released.daemon.turn()
    released.restart()
    assert len(released.cluster.selector_writes) == moves


def test_a_replica_count_is_applied_in_place(released: World) -> None:
    assert released.release("v1.0.0", replicas=5).phase is Phase.STABLE
    assert [w.replicas for w in released.observed.workloads] == [5]
    assert "switched" not in released.told.names()
    assert released.told.last("revision_scaled").fields["replicas"] == 5


def test_the_new_colour_is_as_large_as_the_active_one_is_now(released: World) -> None:
    live = released.cluster.all("Deployment")[0]
    released.cluster.put({**live, "spec": {**live["spec"], "replicas": 5}}, "kubectl")
    released.run()
    assert released.observed.workloads[0].replicas == 5, "a hand-set count is respected"
    released.release("v2.0.0")
    assert {w.version: w.replicas for w in released.observed.workloads} == {"v1.0.0": 5, "v2.0.0": 5}


def test_a_colour_that_grows_during_a_promotion_is_followed(released: World) -> None:
    released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    live = next(d for d in released.cluster.all("Deployment") if "v1" in d["metadata"]["name"])
    released.cluster.put({**live, "spec": {**live["spec"], "replicas": 4}}, "kubectl")
    released.run()
    assert {w.version: w.replicas for w in released.observed.workloads} == {"v1.0.0": 4, "v2.0.0": 4}


def test_a_smaller_warm_colour_takes_over_at_once_and_then_grows(released: World) -> None:
    released.release("v2.0.0")
    live = next(d for d in released.cluster.all("Deployment") if "v2" in d["metadata"]["name"])
    released.cluster.put({**live, "spec": {**live["spec"], "replicas": 6}}, "kubectl")
    released.run()
    released.commit("v1.0.0")
    released.daemon.poll()
    released.daemon.turn()
    assert released.active_version == "v1.0.0"
    released.run()
    assert {w.version: w.replicas for w in released.observed.workloads} == {"v1.0.0": 6, "v2.0.0": 6}


def test_a_revision_that_is_never_ready_is_rejected_for_its_commit(released: World) -> None:
    released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    bad = next(w for w in released.observed.workloads if w.version == "v2.0.0")
    released.controllers.broken.add(bad.revision)
    assert released.run().phase is Phase.PROGRESSING
    released.advance(61)
    assert released.run().phase is Phase.REJECTED
    assert released.active_version == "v1.0.0"
    assert "0 of 3 pods ready" in released.told.last("rejected").fields["reason"]
    released.restart()
    assert released.run().phase is Phase.REJECTED, "a restart remembers"
    assert released.told.names().count("rejected") == 1
    released.advance(11)
    released.run()
    assert {w.version: w.replicas for w in released.observed.workloads} == {"v1.0.0": 3, "v2.0.0": 0}
    assert released.release("v3.0.0").phase is Phase.RETAINING
    assert released.versions() == ["v1.0.0", "v3.0.0"]


def test_a_new_commit_tries_a_rejected_revision_again(released: World) -> None:
    released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    bad = next(w for w in released.observed.workloads if w.version == "v2.0.0").revision
    released.controllers.broken.add(bad)
    released.run()
    released.advance(72)
    released.run()
    released.run()
    released.controllers.broken.clear()
    released.release("v2.0.0")
    assert released.active_version == "v2.0.0"


def test_a_first_release_that_fails_is_remembered_without_a_service(world: World) -> None:
    world.commit("v1.0.0")
    world.daemon.poll()
    world.daemon.settle()
    world.controllers.broken.add(world.observed.workloads[0].revision)
    world.run()
    world.advance(61)
    assert world.run().phase is Phase.REJECTED
    assert world.observed.front is None
    world.restart()
    assert world.run().phase is Phase.REJECTED
    assert world.release("v2.0.0").phase is Phase.STABLE
    assert world.versions() == ["v2.0.0"]


def test_a_selector_moved_by_hand_is_put_back(released: World) -> None:
    released.release("v2.0.0")
    service = released.cluster.all("Service")[0]
    old = next(d for d in released.cluster.all("Deployment") if "v1" in d["metadata"]["name"])
    selector = old["spec"]["selector"]["matchLabels"]
    released.cluster.put({**service, "spec": {**service["spec"], "selector": selector}}, "kubectl")
    assert released.active_version == "v1.0.0"
    released.run()
    assert released.active_version == "v2.0.0"
    assert "moved by hand" in released.told.last("switched").fields["reason"]


def test_the_old_colour_is_kept_while_the_active_one_has_no_ready_pod(released: World) -> None:
    released.release("v2.0.0")
    new = next(w.revision for w in released.observed.workloads if w.version == "v2.0.0")
    released.controllers.unready(new, 3)
    released.controllers.broken.add(new)
    assert released.run().phase is Phase.DEGRADED
    assert "0 of 3 pods ready" in released.told.last("degraded").fields["reason"]
    released.advance(1000)
    assert released.run().phase is Phase.DEGRADED
    assert released.versions() == ["v1.0.0", "v2.0.0"], "the only colour that could serve"
    assert released.release("v1.0.0").phase is Phase.RETAINING
    assert released.active_version == "v1.0.0"


def test_the_old_colour_goes_only_when_the_active_one_has_been_ready_for_a_while(released: World) -> None:
    """A program that crashes a second after each start is ready for that second, again and again."""
    released.release("v2.0.0")
    new = next(w.revision for w in released.observed.workloads if w.version == "v2.0.0")
    for _ in range(5):
        released.advance(20)
        released.controllers.unready(new, 3)
        assert released.run().phase is Phase.RETAINING
    assert released.versions() == ["v1.0.0", "v2.0.0"]
    released.advance(31)
    assert released.run().phase is Phase.STABLE
    assert released.versions() == ["v2.0.0"]


def test_the_old_colour_outlives_an_outage_until_every_node_has_heard_of_the_switch(released: World) -> None:
    """kube-proxy may come back from an outage up to a minute after us; until then it sends requests to the old pods."""
    released.cluster.back_since = released.clock.time
    released.release("v2.0.0")
    released.advance(40)
    assert released.run().phase is Phase.RETAINING
    assert released.versions() == ["v1.0.0", "v2.0.0"]
    made = released.daemon.settle()
    assert made.wake_at == pytest.approx(released.cluster.back_since + NODES_BEHIND + DRAIN_MARGIN)
    released.advance(30)
    assert released.run().phase is Phase.STABLE
    assert released.versions() == ["v2.0.0"]


def test_recovery_of_the_active_colour_is_told(released: World) -> None:
    revision = released.observed.workloads[0].revision
    released.controllers.unready(revision, 3)
    assert released.daemon.settle().phase is Phase.DEGRADED
    assert released.run().phase is Phase.STABLE
    assert [name for name in released.told.names() if name != "phase_changed"] == ["degraded", "recovered"]


def test_a_colour_scaled_to_zero_by_hand_is_not_called_degraded(released: World) -> None:
    live = released.cluster.all("Deployment")[0]
    released.cluster.put({**live, "spec": {**live["spec"], "replicas": 0}}, "kubectl")
    assert released.run().phase is Phase.STABLE


@pytest.mark.parametrize("lost", range(12))
def test_a_step_whose_answer_is_lost_is_told_all_the_same(lost: int) -> None:
    """First release, bump, rollback, removal: every event that an undisturbed run tells, in the same order."""
    undisturbed, disturbed = World(), World()
    _play(undisturbed)
    _play(disturbed, lost)
    assert disturbed.cluster.lose_next_answer is None, "nothing was lost"
    assert disturbed.told.names() == undisturbed.told.names()


def _play(world: World, lost: int | None = None) -> None:
    """A first release, a bump, a rollback and a removal; the answer to one write after the first `lost` gets lost."""
    for version in ("v1.0.0", "v2.0.0", "v1.0.0"):
        world.commit(version)
        world.daemon.poll()
        for _ in range(60):
            if lost is not None and len(world.cluster.writes) >= lost:
                lost, world.cluster.lose_next_answer = None, Transient("the API server does not answer")
            world.daemon.turn()
            world.controllers.everything()
        world.advance(61)
    for _ in range(20):
        world.daemon.turn()


def test_a_colour_that_served_by_hand_alone_is_kept_warm_like_any_other(released: World) -> None:
    released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    never_active = next(w for w in released.observed.workloads if w.version == "v2.0.0")
    released.commit("v1.0.0")  # overtaken, but before that is acted on …
    _move_selector(released, dict(never_active.live["spec"]["selector"]["matchLabels"]))
    released.run()
    assert released.active_version == "v1.0.0"
    assert released.versions() == ["v1.0.0", "v2.0.0"], "requests may still be under way to it"
    released.advance(31)
    released.run()
    assert released.versions() == ["v1.0.0"]


def test_a_service_deleted_by_hand_comes_back(released: World) -> None:
    released.cluster.remove("Service", NAMESPACE, "my-app")
    assert released.run().phase is Phase.STABLE
    assert released.active_version == "v1.0.0"


def test_an_active_deployment_deleted_by_hand_comes_back(released: World) -> None:
    released.cluster.remove("Deployment", NAMESPACE, released.observed.workloads[0].name)
    released.run()
    assert released.active_version == "v1.0.0"
    assert len(released.cluster.all("Pod")) == 3


def test_an_owned_field_changed_by_hand_is_put_back(released: World) -> None:
    live = released.cluster.all("Service")[0]
    ports = [{**live["spec"]["ports"][0], "targetPort": 81}]
    released.cluster.put({**live, "spec": {**live["spec"], "ports": ports}}, "kubectl")
    released.run()
    assert released.cluster.all("Service")[0]["spec"]["ports"][0]["targetPort"] == "http"
    assert "drift_repaired" in released.told.names()


def test_an_active_pod_template_edited_by_hand_is_left_and_told(released: World) -> None:
    live = copy.deepcopy(released.cluster.all("Deployment")[0])
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
    released.cluster.put(live, "kubectl")
    assert released.run().phase is Phase.DRIFTED
    assert "image" in released.told.last("drift_refused").fields["reason"]
    assert released.cluster.all("Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "other:1"


def test_a_foreign_service_of_the_same_name_is_left_alone(world: World) -> None:
    foreign = {
        "kind": "Service",
        "metadata": {"name": "my-app", "namespace": NAMESPACE},
        "spec": {"ports": [{"port": 1}]},
    }
    world.cluster.put(foreign)
    world.commit("v1.0.0")
    world.daemon.poll()
    with pytest.raises(Blocked):
        world.daemon.settle()
    assert world.observed.workloads == (), "no pod is started for nothing"
    kept = world.cluster.get("Service", NAMESPACE, "my-app")
    assert kept is not None
    assert kept["spec"] == {"ports": [{"port": 1}]}


def test_configuration_belongs_to_its_colour(world: World) -> None:
    world.release("v1.0.0", config="{MODE: slow}")
    world.release("v2.0.0", config="{MODE: fast}")
    assert sorted(c["data"]["MODE"] for c in world.cluster.all("ConfigMap")) == ["fast", "slow"]
    world.advance(31)
    world.run()
    assert [c["data"]["MODE"] for c in world.cluster.all("ConfigMap")] == ["fast"]


def test_a_service_port_can_be_changed_with_and_without_a_version(world: World) -> None:
    world.release("v1.0.0", service="{port: 80}")
    for version, port in (("v2.0.0", 8080), ("v2.0.0", 9090)):
        world.release(version, service=f"{{port: {port}}}")
        assert [each["port"] for each in world.cluster.all("Service")[0]["spec"]["ports"]] == [port]


def test_a_port_that_leads_elsewhere_moves_with_the_selector_and_is_handed_over(world: World) -> None:
    _switch_that_carries_ports(world)
    assert [each["port"] for each in world.cluster.all("Service")[0]["spec"]["ports"]] == [8080], "in the same request"
    assert world.run().phase is Phase.RETAINING
    owners = world.cluster.owners["Service", NAMESPACE, "my-app"]
    assert {path[:2] for path in owners["reconciler-switch", "Apply"] if path[0] == "spec"} == {("spec", "selector")}


@pytest.mark.parametrize("moment", range(10))
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("story", ["first", "bump", "revert"])
def test_killed_at_any_write_it_converges_with_no_step_doubled(moment: int, when: str, story: str) -> None:
    """crash-anywhere: every prefix of the writes of a release, then a new process."""
    world = World()
    if story != "first":
        world.release("v1.0.0", config="{MODE: one}")
    if story == "revert":
        world.release("v2.0.0", config="{MODE: two}")
    world.cluster.selector_writes.clear()
    setattr(world.cluster, f"kill_{when}", moment)
    wanted = {"first": "v1.0.0", "bump": "v2.0.0", "revert": "v1.0.0"}[story]
    world.commit(wanted, config=f"{{MODE: {'two' if story == 'bump' else 'one'}}}")
    _run_through_death(world)
    assert world.active_version == wanted
    world.advance(31)
    _run_through_death(world)
    assert len(world.cluster.selector_writes) == 1, "the selector moved once"
    assert world.observed.front is not None
    assert world.versions() == [wanted]
    assert len(world.cluster.all("ConfigMap")) == 1


def _run_through_death(world: World) -> None:
    try:
        world.run()
    except Killed:
        world.restart()
        world.run()


def test_a_daemon_with_an_old_view_of_git_does_not_undo_a_newer_switch(released: World) -> None:
    """Two daemons: the one that has not polled yet must not take the other's switch for drift."""
    late = FakeDaemon(released)
    late.poll()
    late.settle()
    released.release("v2.0.0")
    moves = len(released.cluster.selector_writes)
    late.turn()
    assert len(released.cluster.selector_writes) == moves
    late.settle()
    assert released.active_version == "v2.0.0"
    assert len(released.cluster.selector_writes) == moves


def test_a_daemon_with_an_old_view_of_git_does_not_delete_a_newer_promotion(released: World) -> None:
    late = FakeDaemon(released)
    late.poll()
    late.settle()
    released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    outcome = late.turn()
    assert outcome is not None
    assert outcome.outdated
    assert released.versions() == ["v1.0.0", "v2.0.0"]
    late.settle()
    released.run()
    assert released.active_version == "v2.0.0"
    assert "overtaken" not in released.told.names()


@pytest.mark.parametrize("how", ["selector moved", "service deleted"])
def test_what_was_serving_comes_back_with_the_pods_that_it_has(released: World, how: str) -> None:
    """One of three pods is broken, and its claim is long over: to wait for it, or to reject, would serve nobody."""
    _one_pod_breaks_long_after_the_release(released)
    if how == "selector moved":
        _move_selector(released, {"app": "nowhere"})
    else:
        released.cluster.remove("Service", NAMESPACE, "my-app")
    assert released.run().phase is Phase.STABLE
    assert released.active_version == "v1.0.0"
    assert "rejected" not in released.told.names()


def test_a_revert_to_a_colour_that_lost_a_pod_is_better_than_nothing(released: World) -> None:
    """The active colour is down. The daemon must not remove the last pod that can serve."""
    old = released.observed.workloads[0].revision
    released.release("v2.0.0")
    new = next(w.revision for w in released.observed.workloads if w.version == "v2.0.0")
    released.controllers.broken |= {old, new}
    released.controllers.unready(old, 1)
    released.controllers.unready(new, 3)
    assert released.run().phase is Phase.DEGRADED
    released.release("v1.0.0")
    assert released.active_version == "v1.0.0"
    assert len(released.observed.front.endpoints if released.observed.front else ()) == 2


def test_a_colour_that_lost_a_pod_waits_for_it_while_the_active_one_serves(released: World) -> None:
    old = released.observed.workloads[0].revision
    released.release("v2.0.0")
    released.controllers.broken.add(old)
    released.controllers.unready(old, 1)
    released.commit("v1.0.0")
    assert released.run().phase is Phase.PROGRESSING
    assert released.active_version == "v2.0.0"


def _rejected(released: World) -> None:
    released.commit("v2.0.0")
    released.daemon.poll()
    released.daemon.settle()
    released.controllers.broken |= {w.revision for w in released.observed.workloads if w.version == "v2.0.0"}
    released.run()
    released.advance(61)
    assert released.run().phase is Phase.REJECTED


def test_while_another_is_rejected_the_active_colour_and_its_service_are_looked_after(released: World) -> None:
    _rejected(released)
    service = released.cluster.all("Service")[0]
    elsewhere = [{**service["spec"]["ports"][0], "targetPort": 9999}]
    released.cluster.put({**service, "spec": {**service["spec"], "ports": elsewhere}}, "kubectl")
    active = next(w.name for w in released.observed.workloads if w.version == "v1.0.0")
    released.cluster.remove("Deployment", NAMESPACE, active)
    assert released.run().phase is Phase.REJECTED
    assert released.cluster.all("Service")[0]["spec"]["ports"][0]["targetPort"] == "http"
    assert active in [w.name for w in released.observed.workloads]
    assert released.told.names().count("drift_repaired") == 2


def test_while_another_is_rejected_a_replica_count_that_git_gave_in_place_is_kept(released: World) -> None:
    """The commit that made it active asks for three, a later one for five: that is not read again here."""
    released.release("v1.0.0", replicas=5)
    _rejected(released)
    assert [w.replicas for w in released.observed.workloads if w.version == "v1.0.0"] == [5]


@pytest.mark.parametrize("selector", [{"app": "nowhere"}, {"app": "my-app"}])
def test_a_selector_moved_while_another_is_rejected_goes_back(released: World, selector: dict[str, str]) -> None:
    _rejected(released)
    before = released.observed.front.selector if released.observed.front else None
    _move_selector(released, selector)
    assert released.run().phase is Phase.REJECTED
    assert released.observed.front is not None
    assert released.observed.front.selector == before
    told = released.told.last("switched").fields
    assert (told["version"], told["reason"]) == ("v1.0.0", "the selector had been moved by hand")


def test_a_service_deleted_while_another_is_rejected_comes_back_for_the_colour_that_can_serve(released: World) -> None:
    _rejected(released)
    released.cluster.remove("Service", NAMESPACE, "my-app")
    released.run()
    assert released.active_version == "v1.0.0"
    assert released.told.last("switched").fields["version"] == "v1.0.0"
    released.advance(61)
    assert released.run().phase is Phase.REJECTED
    assert released.active_version == "v1.0.0"


def test_what_a_renamed_service_still_leads_to_is_kept(released: World) -> None:
    """Clients that use the old name are served until somebody deletes that Service."""
    other = FakeDaemon(released, replace(APP, strategy=replace(APP.strategy, active_service="web")))
    released.daemon = other
    released.run()
    released.release("v2.0.0")
    released.advance(1000)
    made = released.run()
    assert released.versions() == ["v1.0.0", "v2.0.0"]
    assert "my-app: not in the templates any more" in made.reason
    released.cluster.remove("Service", NAMESPACE, "my-app")
    released.run()
    assert released.versions() == ["v2.0.0"]


def test_configuration_that_pods_still_need_is_kept(released: World) -> None:
    """Its Deployment was deleted with `--cascade=orphan`: the pods serve on, and may be restarted."""
    released.release("v1.0.0", config="{A: b}")
    active = next(w for w in released.observed.workloads if w.revision in released.observed.serving)
    released.advance(31)
    released.run()
    released.commit("v2.0.0")
    released.daemon.poll()
    live = released.cluster.objects.pop(("Deployment", NAMESPACE, active.name))
    released.daemon.settle()
    assert len(released.cluster.all("ConfigMap")) == 1, live


def test_a_replica_note_that_somebody_removed_changes_no_size(released: World) -> None:
    live = released.cluster.all("Deployment")[0]
    notes = {k: v for k, v in live["metadata"]["annotations"].items() if not k.endswith("/replicas")}
    scaled = {**live, "spec": {**live["spec"], "replicas": 5}, "metadata": {**live["metadata"], "annotations": notes}}
    released.cluster.put(scaled, "kubectl")
    released.run()
    assert [w.replicas for w in released.observed.workloads] == [5]


def test_a_copy_of_a_deployment_is_nobody_of_ours(released: World) -> None:
    live = released.cluster.all("Deployment")[0]
    released.advance(5)
    copy_of = {
        **live,
        "metadata": {**live["metadata"], "name": "a-debug-copy"},
        "spec": {**live["spec"], "replicas": 1},
    }
    for key in ("uid", "resourceVersion", "creationTimestamp"):
        del copy_of["metadata"][key]
    released.cluster.put(copy_of, "kubectl")
    released.release("v2.0.0")
    assert [w.replicas for w in released.observed.workloads if w.version == "v2.0.0"] == [3]
    released.advance(1000)
    released.run()
    assert released.cluster.get("Deployment", NAMESPACE, "a-debug-copy") is not None


def test_a_memory_that_was_wiped_does_not_cost_the_warm_colour(released: World) -> None:
    released.release("v2.0.0")
    live = released.cluster.all("Service")[0]
    released.cluster.put({**live, "metadata": {**live["metadata"], "annotations": {}}}, "kubectl")
    released.run()
    assert released.versions() == ["v1.0.0", "v2.0.0"]
    released.advance(31)
    released.run()
    assert released.versions() == ["v2.0.0"]


def test_a_port_whose_number_a_hand_changed_is_put_back(released: World) -> None:
    live = released.cluster.all("Service")[0]
    moved = [{**live["spec"]["ports"][0], "port": 8888}]
    released.cluster.put({**live, "spec": {**live["spec"], "ports": moved}}, "kubectl")
    assert released.run().phase is Phase.STABLE
    assert [each["port"] for each in released.cluster.all("Service")[0]["spec"]["ports"]] == [80]


def test_a_first_release_that_gets_only_partly_ready_is_rejected_and_told(world: World) -> None:
    world.commit("v1.0.0")
    world.daemon.poll()
    world.daemon.settle()
    world.controllers.deployments()
    world.controllers.kubelet(count=1)
    world.controllers.broken.add(world.observed.workloads[0].revision)
    world.run()
    world.advance(61)
    assert world.run().phase is Phase.REJECTED
    assert "1 of 3 pods ready" in world.told.last("rejected").fields["reason"]
    assert world.observed.front is None


def _one_pod_breaks_long_after_the_release(released: World) -> None:
    revision = released.observed.workloads[0].revision
    released.advance(1000)
    released.controllers.unready(revision, 1)
    released.controllers.broken.add(revision)


def _move_selector(world: World, selector: dict[str, str]) -> None:
    live = world.cluster.all("Service")[0]
    world.cluster.put({**live, "spec": {**live["spec"], "selector": selector}}, "kubectl")


def test_ports_that_moved_with_the_selector_survive_a_switch_before_their_handover(world: World) -> None:
    _switch_that_carries_ports(world)
    world.commit("v1.0.0")  # before the handover of what the switch carried
    world.daemon.poll()
    while world.active_version == "v2.0.0":
        assert [each["port"] for each in world.cluster.all("Service")[0]["spec"]["ports"]] == [8080]
        world.daemon.turn()
    assert world.run().phase is Phase.RETAINING
    assert [each["port"] for each in world.cluster.all("Service")[0]["spec"]["ports"]] == [80]


def test_a_foreign_object_with_our_label_is_not_ours_to_delete(released: World) -> None:
    labels = {"bluegreen.reconciler/app": "my-app", "bluegreen.reconciler/revision": "theirs"}
    meta = {"name": "theirs", "namespace": NAMESPACE, "labels": labels}
    released.cluster.put({"kind": "ConfigMap", "metadata": meta, "data": {"key": "value"}})
    released.release("v2.0.0")
    assert released.cluster.get("ConfigMap", NAMESPACE, "theirs") is not None


def test_git_set_back_to_an_old_commit_gets_its_whole_deadline(released: World) -> None:
    """The claim of that commit is there, from long ago, and its deadline passed: it was for another promotion."""
    old = released.repository.branches["main"]
    released.advance(1000)
    released.release("v2.0.0")
    first = next(w.revision for w in released.observed.workloads if w.version == "v1.0.0")
    released.controllers.unready(first, 1)
    released.repository.reset(old)
    released.daemon.poll()
    assert released.daemon.settle().phase is Phase.PROGRESSING
    assert released.run().phase is Phase.RETAINING
    assert released.active_version == "v1.0.0"
    assert "rejected" not in released.told.names()


def _switch_that_carries_ports(world: World) -> None:
    """v2.0.0, with another port number, was just switched to, and nothing was handed over yet."""
    world.release("v1.0.0")
    world.commit("v2.0.0", service="{port: 8080}")
    world.daemon.poll()
    while world.active_version == "v1.0.0":
        world.daemon.turn()
        world.controllers.deployments()
        world.controllers.kubelet()
        world.controllers.deployments()

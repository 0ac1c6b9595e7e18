"""DORA's four figures: what is recorded at a switch, and how it is counted."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from reconciler import report_delivery
from reconciler.app.oneshot import Sight
from reconciler.core.delivered import RECORD_LIMIT, Delivered, deployed, read_record, write_record
from reconciler.core.delivery import DAY, Delivery, delivery, parse_window, percentile
from reconciler.core.memory import Active, Memory, read_memory, write_memory
from reconciler.core.model import PREFIX, Colour
from reconciler.core.observed import Observed, observe
from reconciler.errors import Invalid, Transient
from tests.fakes.world import APP, NAMESPACE, World

NOW = 1_700_000_000.0
DAYS = 30 * DAY
seconds = st.floats(0, 1e9).map(lambda value: round(value, 3))
records = st.lists(st.builds(Delivered, seconds, st.none() | seconds, st.none() | seconds), max_size=RECORD_LIMIT)


def active(revision: str, since: float, committed: float | None = None, failed: bool = False) -> Active:
    return Active(revision, "v", Colour.BLUE, "c", since, committed=committed, failed=failed)


def after(*switches: Active) -> Memory:
    """The memory after these switches, one after the other."""
    memory = Memory()
    for each in switches:
        memory = memory.switched(each)
    return memory


# --- what is recorded ---


def test_each_new_revision_is_a_deployment_with_its_lead_time() -> None:
    memory = after(active("a", 100.0, 40.0), active("b", 200.0, None), active("c", 300.0, 299.5))
    assert memory.deployments == (Delivered(300.0, 0.5), Delivered(200.0), Delivered(100.0, 60.0))


def test_a_rollback_is_none_and_what_it_leaves_has_failed() -> None:
    memory = after(active("a", 100.0), active("b", 200.0), active("a", 260.0))
    assert memory.deployments == (Delivered(200.0, None, 60.0), Delivered(100.0))
    assert memory.active and memory.active.rollback
    assert not memory.switched(active("c", 300.0)).active.rollback  # type: ignore[union-attr]


def test_what_a_rollback_led_to_does_not_fail_by_being_left() -> None:
    memory = after(active("a", 100.0), active("b", 200.0), active("a", 260.0), active("b", 300.0), active("a", 400.0))
    assert memory.deployments == (Delivered(200.0, None, 60.0), Delivered(100.0))


def test_a_rollback_over_several_deployments_fails_the_one_that_was_active() -> None:
    memory = after(active("a", 100.0), active("b", 200.0), active("c", 300.0), active("a", 310.0))
    assert [each.restored for each in memory.deployments] == [10.0, None, None]


def test_a_failed_analysis_is_restored_by_whatever_is_switched_to_next() -> None:
    failed = replace(after(active("a", 100.0)), active=active("a", 100.0, failed=True))
    assert failed.switched(active("b", 130.0)).deployments == (Delivered(130.0), Delivered(100.0, None, 30.0))


def test_a_new_try_of_what_failed_is_a_deployment() -> None:
    memory = after(active("a", 100.0), active("b", 200.0))
    assert memory.active
    memory = replace(memory, active=replace(memory.active, failed=True)).switched(active("a", 210.0))
    assert memory.former("b") and memory.former("b").failed  # type: ignore[union-attr]
    again = memory.switched(active("b", 300.0, 290.0))
    assert again.deployments[0] == Delivered(300.0, 10.0)
    assert again.active and not again.active.rollback and not again.active.failed


def test_what_is_put_back_where_it_was_is_no_deployment() -> None:
    memory = after(active("a", 100.0), active("b", 200.0, 150.0))
    back = memory.switched(active("b", 250.0, 240.0), active("a", 240.0))
    assert back.deployments == memory.deployments
    assert back.active == active("b", 250.0, 150.0)


def test_a_commit_dated_later_than_its_switch_took_no_time() -> None:
    assert after(active("a", 100.0, 400.0)).deployments == (Delivered(100.0, 0.0),)


# --- how it is kept ---


@given(records.map(tuple))
def test_a_record_is_read_back(record: tuple[Delivered, ...]) -> None:
    assert read_record(write_record(record)) == record


@given(st.text(max_size=50) | st.sampled_from(["[[1]]", '[[1,"x",2]]', "[[NaN,1,1]]", "[[true,null,null]]", "{}", "9"]))
def test_rubbish_reads_as_nothing_and_never_raises(text: str) -> None:
    assert read_record(text) == ()


def test_deeply_nested_rubbish_is_nothing_either() -> None:
    assert read_record("[" * 100_000) == ()


def test_one_unreadable_entry_does_not_take_the_others_along() -> None:
    assert read_record("[[3,1,2],[2,-1,null],[1e400,null,null],[1,null,null]]") == (
        Delivered(3.0, 1.0, 2.0),
        Delivered(1.0),
    )


def test_a_full_record_drops_the_oldest_and_stays_small() -> None:
    record: tuple[Delivered, ...] = ()
    for number in range(RECORD_LIMIT + 5):
        record = deployed(record, 1_700_000_000.123 + number, 1_600_000_000.456)
    record = tuple(replace(each, restored=123_456.789) for each in record)
    assert len(record) == RECORD_LIMIT
    assert record[-1].at == 1_700_000_005.123
    assert len(write_record(record)) < 6 * 1024


def test_annotations_of_an_earlier_version_read_as_before() -> None:
    new = [PREFIX + key for key in ("active-committed", "active-failed", "active-rollback", "deployments")]
    written = write_memory(after(active("a", 100.0, 50.0), active("b", 200.0, 150.0)))
    old = {key: value for key, value in written.items() if key not in new}
    history = json.loads(old[PREFIX + "history"])
    old[PREFIX + "history"] = json.dumps([{k: v for k, v in each.items() if k != "committed"} for each in history])
    memory = read_memory(old)
    assert memory.active == active("b", 200.0)
    assert memory.history == (replace(active("a", 100.0), until=200.0),)
    assert memory.deployments == ()


def test_what_an_earlier_version_would_read_is_as_it_was() -> None:
    written = write_memory(after(active("a", 100.0), active("b", 200.0)))
    assert json.loads(written[PREFIX + "history"]) == [
        {"revision": "a", "version": "v", "colour": "blue", "commit": "c", "since": 100.0, "until": 200.0}
    ]


# --- how it is counted ---


@dataclass(frozen=True)
class Step:
    """A switch to a revision, `later` seconds after the one before; `failing`: its analysis then fails."""

    revision: str
    later: float
    lead: float | None
    failing: bool


steps = st.builds(
    Step, st.sampled_from("abcdef"), st.integers(1, 3000).map(float), st.none() | st.integers(0, 900), st.booleans()
)


@given(st.lists(steps, max_size=40), st.integers(60, 60_000).map(float))
def test_the_figures_are_those_of_a_plain_count(story: list[Step], window: float) -> None:
    """Against the whole story, looked at from its end: which switches were deployments, which of them failed."""
    memory, at = Memory(), NOW
    log: list[tuple[Step, float, str]] = []
    for step in story:
        at += step.later
        if log and log[-1][0].revision == step.revision:
            continue
        memory = memory.switched(active(step.revision, at, None if step.lead is None else at - step.lead))
        before = [each for each, _, _ in log if each.revision == step.revision]
        log.append((step, at, "rollback" if before and not before[-1].failing else "deployment"))
        assert memory.active
        memory = read_memory(write_memory(replace(memory, active=replace(memory.active, failed=step.failing))))
    expected = _counted(log, at, window)
    found = delivery(memory, at, window)
    assert (found.deployments, found.failures) == expected[:2]
    assert (found.lead_median, found.restore_median) == pytest.approx(expected[2:])


def _counted(
    log: list[tuple[Step, float, str]], now: float, window: float
) -> tuple[int, int, float | None, float | None]:
    ways = list(zip_longest(log, log[1:]))
    counted = [(this, then) for this, then in ways if this[2] == "deployment" and this[1] >= now - window]
    failed = [(this, then) for this, then in counted if this[0].failing or (then and then[2] == "rollback")]
    leads = sorted(float(this[0].lead) for this, _ in counted if this[0].lead is not None)
    restores = sorted(then[1] - this[1] for this, then in failed if then)
    return len(counted), len(failed), _middle(leads), _middle(restores)


def _middle(ranked: list[float]) -> float | None:
    return ranked[(len(ranked) - 1) // 2] if ranked else None


@given(st.lists(st.integers(0, 1000).map(float), min_size=1), st.sampled_from([50, 90, 100]))
def test_a_percentile_is_one_of_the_values_that_enough_others_do_not_exceed(values: list[float], share: int) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(each <= found for each in values) >= ceil(len(values) * share / 100)
    assert sum(each < found for each in values) < ceil(len(values) * share / 100)


def test_what_is_not_there_has_no_figure() -> None:
    assert delivery(Memory(), NOW, DAYS) == Delivery(NOW - DAYS, NOW, 0, 0, None, None, None)
    assert delivery(Memory(), NOW, DAYS).failure_rate is None
    assert delivery(Memory(), NOW, DAYS).per_day == 0


def test_what_was_before_the_window_is_not_counted() -> None:
    memory = after(active("a", NOW - 3 * DAY), active("b", NOW - DAY))
    found = delivery(memory, NOW, 2 * DAY)
    assert (found.deployments, found.per_day, found.per_week) == (1, 0.5, 3.5)


def test_a_full_record_says_from_when_on_it_counts() -> None:
    record: tuple[Delivered, ...] = ()
    for hour in range(RECORD_LIMIT + 20, 0, -1):
        record = deployed(record, NOW - hour * 3600, None)
    found = delivery(Memory(deployments=record), NOW, DAYS)
    assert found.since == NOW - RECORD_LIMIT * 3600
    assert found.per_day == pytest.approx(24)
    assert delivery(Memory(deployments=record), NOW, DAY).since == NOW - DAY


def test_a_deployment_that_is_failing_now_has_failed_and_is_not_restored() -> None:
    memory = Memory(active("a", NOW - 60, failed=True), deployments=(Delivered(NOW - 60, 5.0),))
    found = delivery(memory, NOW, DAYS)
    assert (found.failures, found.failure_rate, found.restore_median) == (1, 1.0, None)


@pytest.mark.parametrize(("text", "expected"), [("30d", 30 * DAY), ("2w", 14 * DAY), ("12h", DAY / 2), ("1h30m", 5400)])
def test_windows(text: str, expected: float) -> None:
    assert parse_window(text) == expected


@pytest.mark.parametrize("text", ["", "30", "0", "30s", "-1d", "1.5d", "0d", "99999d", "d"])
def test_no_windows(text: str) -> None:
    with pytest.raises(ValueError, match=r"is |has "):
        parse_window(text)


# --- through a release ---


@pytest.fixture
def world() -> World:
    made = World()
    made.release("v1.0.0")
    made.told.events.clear()
    return made


def figures(world: World) -> Delivery:
    front = world.observed.front
    assert front is not None
    return delivery(front.memory, world.clock.time, DAYS)


def leads(world: World) -> list[float | None]:
    front = world.observed.front
    return [each.lead for each in front.memory.deployments] if front else []


def test_a_release_tells_its_lead_time_and_counts(world: World) -> None:
    world.commit("v2.0.0")
    world.advance(40)
    world.run()
    lead = world.told.last("switched").fields["lead_time"]
    assert lead == pytest.approx(40, abs=0.1)
    found = figures(world)
    assert (found.deployments, found.failures, found.lead_p90) == (2, 0, lead)


def test_the_commit_that_first_asked_for_it_counts_not_one_that_changes_nothing_of_it(world: World) -> None:
    world.commit("v2.0.0")
    world.daemon.poll()
    world.daemon.settle()
    world.advance(20)
    world.repository.commit({"version": b"v2.0.0", "elsewhere": b"x"})
    world.advance(20)
    world.run()
    assert world.told.last("switched").fields["lead_time"] == pytest.approx(40, abs=0.1)


def test_a_revert_is_a_failure_and_no_deployment(world: World) -> None:
    world.release("v2.0.0")
    world.advance(25)
    world.release("v1.0.0")
    assert "lead_time" not in world.told.last("switched").fields
    found = figures(world)
    assert (found.deployments, found.failures) == (2, 1)
    assert found.restore_median == pytest.approx(25, abs=0.1)


def test_a_rejected_revision_never_was_deployed(world: World) -> None:
    world.commit("v2.0.0")
    world.daemon.poll()
    world.daemon.settle()
    world.controllers.broken |= {each.revision for each in world.observed.revisions if each.version == "v2.0.0"}
    world.advance(61)
    world.run()
    assert "rejected" in world.told.names()
    assert (figures(world).deployments, figures(world).failures) == (1, 0)


def test_a_selector_that_is_put_back_changes_no_figure(world: World) -> None:
    world.release("v2.0.0")
    before = figures(world)
    old = next(each.live for each in world.observed.workloads if each.version == "v1.0.0")
    service = world.cluster.all("Service")[0]
    selector = old["spec"]["selector"]["matchLabels"]
    world.advance(5)
    world.cluster.put({**service, "spec": {**service["spec"], "selector": selector}}, "kubectl")
    world.told.events.clear()
    world.run()
    assert world.told.last("switched").fields["version"] == "v2.0.0"
    assert "lead_time" not in world.told.last("switched").fields
    found = figures(world)
    assert (found.deployments, found.failures) == (before.deployments, before.failures)


def test_a_wiped_memory_does_not_count_what_it_finds(world: World) -> None:
    service = world.cluster.all("Service")[0]
    world.cluster.put({**service, "metadata": {**service["metadata"], "annotations": {}}}, "kubectl")
    world.run()
    assert figures(world).deployments == 0
    world.release("v2.0.0")
    assert figures(world).deployments == 1


@pytest.mark.parametrize("error", [Invalid("not at hand"), Transient("locked")])
def test_a_commit_whose_date_cannot_be_read_holds_nothing_up(error: Exception, world: World) -> None:
    async def unreadable(commit: str) -> float:
        raise error

    world.repository.committed_at = unreadable  # type: ignore[method-assign]
    world.release("v2.0.0")
    assert world.active_version == "v2.0.0"
    assert "lead_time" not in world.told.last("switched").fields
    assert figures(world).deployments == 2
    assert [each is None for each in leads(world)] == [True, False]


def test_a_date_is_asked_for_once_and_never_at_rest(world: World) -> None:
    asked: list[str] = []
    answer = world.repository.committed_at

    async def counted(commit: str) -> float:
        asked.append(commit)
        return await answer(commit)

    world.repository.committed_at = counted  # type: ignore[method-assign]
    world.restart()
    world.run()
    assert asked == []
    commit = world.commit("v2.0.0")
    world.run()
    assert asked == [commit]


# --- as it is shown ---


def _sight(world: World) -> Sight:
    return Sight(APP, observed=world.observed, at=world.clock.time)


def test_a_table_for_people(world: World) -> None:
    world.release("v2.0.0")
    world.advance(90)
    world.release("v1.0.0")
    out = io.StringIO()
    report_delivery.table([_sight(world), Sight(APP, error=Invalid("?"))], DAYS, Console(file=out, width=200))
    heading, row = out.getvalue().splitlines()
    assert heading.split()[:3] == ["APP", "SINCE", "DEPLOYED"]
    assert row.split("  ")[0] == "my-app"
    assert "1 (50%)" in row and row.rstrip().endswith("1m 30s")


def test_json_for_programs(world: World) -> None:
    out = io.StringIO()
    unknown = Sight(APP, error=Invalid("not found", where="Service x"))
    report_delivery.as_json([_sight(world), unknown], DAYS, out)
    found, failed = json.loads(out.getvalue())
    assert failed == {"app": "my-app", "namespace": NAMESPACE, "error": "Service x: not found"}
    assert found["deployments"] == 1 and found["change_failure_rate"] == 0
    assert found["time_to_restore_median"] is None
    assert found["lead_time_median"] == pytest.approx(0, abs=0.1)


def test_an_app_without_a_service_has_delivered_nothing() -> None:
    out = io.StringIO()
    there: Observed = observe([], APP.strategy)
    report_delivery.as_json([Sight(APP, observed=there, at=NOW)], DAYS, out)
    assert json.loads(out.getvalue())[0]["deployments"] == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.04, "0.0s"), (9.96, "10.0s"), (10.2, "10s"), (61, "1m 1s"), (3600, "1h"), (90_061, "1d 1h")],
)
def test_spans(value: float | None, text: str) -> None:
    assert report_delivery.span(value) == text

"""Checks under way: begun, cancelled, told; nothing that a prober does ends the app's loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.app.analysis import SHOWN, TOLD, Analyst
from reconciler.core.check import Check, Measurement, Outcome, Series, Stage
from reconciler.core.model import Desired, Manifest
from reconciler.core.probe import HttpProbe
from reconciler.core.render import identify, render
from reconciler.ports import Subject
from tests.fakes.clock import FakeClock
from tests.fakes.prober import BAD, FATAL, GOOD, UNKNOWN, FakeProber
from tests.fakes.rendering import APP, SLOT, release
from tests.fakes.world import Recorder

DESIRED: Desired = render(APP, release(), SLOT)
SUBJECT = Subject(DESIRED, {"shop-1": "10.0.0.1"})
ABOUT: Manifest = {"kind": "Service", "metadata": {"name": "shop"}}


def series(name: str = "smoke", stage: Stage = Stage.PRE, window: float = 0.0, **fields: Any) -> Series:
    check = Check(name, HttpProbe())
    return Series(replace(check, **fields), stage, DESIRED.revision, 1_700_000_000.0, window)


class Bench:
    def __init__(self) -> None:
        self.prober, self.told, self.clock = FakeProber(), Recorder(), FakeClock()
        self.woken = asyncio.Event()
        self.slept: list[float] = []
        self.analyst = Analyst(self.prober, self.told, self.clock, self.woken.set, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 2))
        self.clock.time += seconds
        await asyncio.sleep(0)

    def keep(self, *wanted: Series, subject: Subject = SUBJECT) -> None:
        self.analyst.keep(frozenset(wanted), {each.revision: subject for each in wanted}, ABOUT)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)

    async def finished(self, *wanted: Series) -> list[Outcome]:
        await self.until(lambda: set(wanted) <= self.analyst.results().keys())
        return [self.analyst.results()[each].outcome for each in wanted]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.analyst.close()


def test_the_subject_is_a_rendered_revision() -> None:
    assert DESIRED.revision == identify(APP, release())


async def test_a_check_that_passes_is_told_and_wakes_the_app(bench: Bench) -> None:
    smoke = series()
    bench.keep(smoke)
    assert await bench.finished(smoke) == [Outcome.PASSED]
    assert bench.woken.is_set()
    event = bench.told.last("check_passed")
    assert event.fields["app"] == "shop" and event.fields["revision"] == DESIRED.revision
    assert event.fields["check"] == "smoke" and event.fields["stage"] == "prePromotionAnalysis"
    assert event.fields["measured"] == "200" and event.fields["reason"] == "a measurement succeeded"
    assert event.fields["duration"] >= 0.0


async def test_attempts_are_an_interval_apart_and_told_while_it_goes_on(bench: Bench) -> None:
    smoke = series(interval=5.0)
    bench.prober.script("smoke", BAD, UNKNOWN, GOOD)
    bench.keep(smoke)
    assert await bench.finished(smoke) == [Outcome.PASSED]
    assert bench.slept == [5.0, 5.0]
    assert bench.told.names() == ["check_attempt_failed", "check_attempt_failed", "check_passed"]
    reasons = [each.fields["reason"] for each in bench.told.events]
    assert reasons[:2] == ["the status must be 200", "could not be evaluated: nobody answers"]


async def test_a_failure_condition_ends_it_at_once(bench: Bench) -> None:
    smoke = series(attempts=5)
    bench.prober.script("smoke", FATAL)
    bench.keep(smoke)
    assert await bench.finished(smoke) == [Outcome.FAILED]
    assert bench.told.names() == ["check_failed"]


async def test_what_cannot_be_evaluated_is_no_pass(bench: Bench) -> None:
    smoke = series(attempts=2)
    bench.prober.otherwise = UNKNOWN
    bench.keep(smoke)
    assert await bench.finished(smoke) == [Outcome.INCONCLUSIVE]
    assert bench.told.names() == ["check_attempt_failed", "check_inconclusive"]


async def test_after_the_switch_it_is_measured_for_the_window(bench: Bench) -> None:
    watch = series("watch", Stage.POST, window=20.0, interval=5.0)
    bench.keep(watch)
    assert await bench.finished(watch) == [Outcome.PASSED]
    assert bench.prober.names() == ["watch"] * 4
    assert sum(bench.slept) == pytest.approx(20.0, abs=0.1)


async def test_after_the_switch_it_fails_at_the_first_too_many(bench: Bench) -> None:
    watch = series("watch", Stage.POST, window=3600.0, failure_limit=1)
    bench.prober.script("watch", GOOD, BAD, GOOD, BAD)
    bench.keep(watch)
    assert await bench.finished(watch) == [Outcome.FAILED]
    assert bench.prober.names() == ["watch"] * 4


async def test_failed_attempts_are_told_ten_times_at_most(bench: Bench) -> None:
    smoke = series(attempts=50)
    bench.prober.otherwise = BAD
    bench.keep(smoke)
    await bench.finished(smoke)
    assert bench.told.names().count("check_attempt_failed") == TOLD


async def test_to_want_the_same_again_begins_nothing_anew(bench: Bench) -> None:
    one, two = series("one"), series("two")
    bench.prober.hold("one")
    bench.keep(one, two)
    await bench.finished(two)
    for _ in range(3):
        bench.keep(one, two)
        await asyncio.sleep(0)
    assert sorted(bench.prober.names()) == ["one", "two"]
    bench.prober.release("one")
    assert await bench.finished(one, two) == [Outcome.PASSED, Outcome.PASSED]


async def test_what_is_not_wanted_any_more_is_cancelled_and_forgotten(bench: Bench) -> None:
    one, two = series("one"), series("two")
    bench.prober.hold("one")
    bench.keep(one, two)
    await bench.finished(two)
    bench.keep()
    assert bench.analyst.results() == {}
    await bench.until(lambda: bench.prober.cancelled == ["one"])
    bench.prober.release("one")
    assert bench.told.names() == ["check_passed"]
    bench.keep(two)
    await bench.finished(two)
    assert bench.prober.names() == ["one", "two", "two"], "it is measured again, not remembered"


async def test_what_ended_just_before_it_was_cancelled_is_not_told(bench: Bench) -> None:
    one = series("one")
    bench.prober.hold("one")
    bench.keep(one)
    await bench.until(lambda: bench.prober.names() == ["one"])
    [task] = bench.analyst._tasks.values()
    bench.prober.release("one")
    await bench.until(task.done)
    bench.keep()
    await asyncio.sleep(0)
    assert bench.analyst.results() == {}


async def test_the_next_measurement_is_of_the_subject_as_it_is_then(bench: Bench) -> None:
    smoke = series(successes=2)
    bench.prober.hold("smoke")
    bench.keep(smoke)
    await bench.until(lambda: bench.prober.names() == ["smoke"])
    replaced = Subject(DESIRED, {"shop-2": "10.0.0.2"})
    bench.keep(smoke, subject=replaced)
    bench.prober.release("smoke")
    await bench.finished(smoke)
    assert [subject.pods for _, subject in bench.prober.asked] == [SUBJECT.pods, replaced.pods]
    assert {subject.since for _, subject in bench.prober.asked} == {smoke.since}


async def test_a_bug_of_a_prober_is_told_and_holds_up_no_other_check(bench: Bench) -> None:
    bad, good = series("bad"), series("good")
    bench.prober.script("bad", ZeroDivisionError("oh"))
    bench.keep(bad, good)
    assert await bench.finished(bad, good) == [Outcome.INCONCLUSIVE, Outcome.PASSED]
    assert "ZeroDivisionError" in bench.told.last("bug").fields["reason"]
    assert "bug" in bench.told.last("check_inconclusive").fields["reason"]


async def test_a_prober_that_does_not_keep_its_time_is_cut_off() -> None:
    bench = Bench()
    smoke = series(timeout=-5.0, attempts=1)  # with the grace that is given, at once
    bench.prober.hold("smoke")
    bench.keep(smoke)
    assert await bench.finished(smoke) == [Outcome.INCONCLUSIVE]
    assert bench.prober.cancelled in ([], ["smoke"])
    await bench.analyst.close()


async def test_what_is_told_is_short_and_fit_for_a_terminal(bench: Bench) -> None:
    smoke = series(attempts=1)
    bench.prober.script("smoke", Measurement(Outcome.FAILED, "\x1b[2J" + "x" * 100_000, "y\x07" * 100_000))
    bench.keep(smoke)
    await bench.finished(smoke)
    fields = bench.told.last("check_failed").fields
    assert "\x1b" not in fields["measured"] and "\x07" not in fields["reason"]
    assert len(fields["measured"]) < 5 * SHOWN and len(fields["reason"]) < 5 * SHOWN


async def test_a_clock_that_is_put_back_makes_nobody_wait_longer_than_an_interval(bench: Bench) -> None:
    smoke = series(interval=5.0, attempts=2)
    bench.prober.otherwise = BAD
    bench.prober.hold("smoke")
    bench.keep(smoke)
    await bench.until(lambda: bench.prober.names() == ["smoke"])
    bench.clock.time -= 3600.0
    bench.prober.release("smoke")
    await bench.finished(smoke)
    assert bench.slept == [5.0]


async def test_close_ends_all_and_tells_nothing(bench: Bench) -> None:
    bench.prober.hold("one")
    bench.keep(series("one"), series("two", attempts=1))
    await bench.until(lambda: set(bench.prober.names()) == {"one", "two"})
    await bench.analyst.close()
    assert bench.prober.cancelled == ["one"]
    assert "check_failed" not in bench.told.names() and "bug" not in bench.told.names()

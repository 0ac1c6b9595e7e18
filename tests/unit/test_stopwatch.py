"""How long an app waits for its turn, and what is no waiting."""

from __future__ import annotations

import pytest

from reconciler.app.stopwatch import Stopwatch, Unmetered
from tests.fakes.clock import FakeClock


class Meter(Unmetered):
    def __init__(self) -> None:
        self.waits: list[float] = []
        self.turns: list[tuple[float, bool]] = []

    def waited(self, seconds: float) -> None:
        self.waits.append(round(seconds, 3))

    def turned(self, seconds: float, ok: bool) -> None:
        self.turns.append((round(seconds, 3), ok))


@pytest.fixture
def bench() -> tuple[FakeClock, Meter, Stopwatch]:
    clock, meter = FakeClock(), Meter()
    return clock, meter, Stopwatch(clock, meter)


Bench = tuple[FakeClock, Meter, Stopwatch]


def test_it_waits_from_the_first_wake_up_to_its_turn(bench: Bench) -> None:
    clock, meter, watch = bench
    assert not watch.queued
    watch.woken()
    clock.time += 1.0
    watch.woken()
    clock.time += 1.0
    assert watch.queued
    watch.taken()
    assert (meter.waits, watch.queued) == ([2.0], False)


def test_where_nothing_failed_nothing_is_waited_out(bench: Bench) -> None:
    clock, meter, watch = bench
    watch.woken()
    clock.time += 1.0
    watch.held(False)
    watch.taken()
    assert meter.waits == [1.0]


def test_a_turn_that_nobody_asked_for_waited_for_nothing(bench: Bench) -> None:
    _, meter, watch = bench
    watch.taken()
    assert meter.waits == []


def test_what_a_failure_is_waited_out_for_is_no_queue(bench: Bench) -> None:
    clock, meter, watch = bench
    watch.held(True)
    watch.woken()
    clock.time += 30.0
    assert not watch.queued
    watch.held(False)
    assert watch.queued
    clock.time += 0.5
    watch.taken()
    assert meter.waits == [0.5]


def test_a_turn_is_timed(bench: Bench) -> None:
    clock, meter, watch = bench
    began = watch.begun()
    clock.time += 0.25
    watch.ended(began, ok=False)
    assert meter.turns == [(0.25, False)]

"""How measurements add up: by examples, and for any order of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.check import Check, Measurement, Outcome, Result, Series, Stage
from reconciler.core.probe import HttpProbe
from reconciler.core.series import Tally, due, ends_at, result_of

BEGAN = 1000.0
CHECK = Check("smoke", HttpProbe(), interval=5.0, attempts=3)
PRE = Series(CHECK, Stage.PRE, "r1", BEGAN)
POST = Series(CHECK, Stage.POST, "r1", BEGAN, window=60.0)

LETTERS = {
    "+": Measurement(Outcome.PASSED, "200"),
    "-": Measurement(Outcome.FAILED, "500", "must be 200"),
    "?": Measurement(Outcome.INCONCLUSIVE, "", "nobody answers"),
    "!": Measurement(Outcome.FAILED, "fatal", "the body says so", final=True),
}
RESULTS = {None: "", Outcome.PASSED: "passed", Outcome.FAILED: "failed", Outcome.INCONCLUSIVE: "inconclusive"}


def tally(measured: str) -> Tally:
    found = Tally()
    for each in measured:
        found = found.with_(LETTERS[each])
    return found


def played(series: Series, measured: str, now: float = BEGAN) -> tuple[Result | None, int]:
    """The result, and after how many measurements it was there."""
    for made in range(1, len(measured) + 1):
        if result := result_of(series, tally(measured[:made]), BEGAN, now):
            return result, made
    return None, len(measured)


def series(base: Series, **fields: Any) -> Series:
    return replace(base, check=replace(CHECK, **fields))


@pytest.mark.parametrize(
    ("measured", "attempts", "successes", "outcome", "made"),
    [
        ("+", 3, 1, "passed", 1),
        ("--+", 3, 1, "passed", 3),
        ("---", 3, 1, "failed", 3),
        ("--", 3, 1, "", 2),
        ("?-?", 3, 1, "failed", 3),
        ("???", 3, 1, "inconclusive", 3),
        ("??+", 3, 1, "passed", 3),
        ("!++", 3, 1, "failed", 1),
        ("-!+", 3, 1, "failed", 2),
        ("+++", 5, 3, "passed", 3),
        ("++-++", 5, 3, "failed", 5),
        ("+-+++", 5, 3, "passed", 5),
        ("++?++", 5, 3, "inconclusive", 5),
        ("++", 5, 3, "", 2),
    ],
)
def test_before_the_switch(measured: str, attempts: int, successes: int, outcome: str, made: int) -> None:
    result, after = played(series(PRE, attempts=attempts, successes=successes), measured)
    assert (RESULTS[result.outcome if result else None], after) == (outcome, made)


@pytest.mark.parametrize(
    ("measured", "limit", "seconds", "outcome"),
    [
        ("+++", 0, 59.0, ""),
        ("+++", 0, 60.0, "passed"),
        ("-", 0, 0.0, "failed"),
        ("!", 1, 0.0, ""),  # after the switch a fatal one is one that failed
        ("+--", 1, 10.0, "failed"),
        ("+-+", 1, 60.0, "passed"),
        ("?+?", 0, 60.0, "passed"),
        ("???", 0, 60.0, "inconclusive"),
        ("?-?", 1, 60.0, "inconclusive"),
        ("", 0, 60.0, "inconclusive"),
    ],
)
def test_after_the_switch(measured: str, limit: int, seconds: float, outcome: str) -> None:
    result = result_of(series(POST, failure_limit=limit), tally(measured), BEGAN, BEGAN + seconds)
    assert RESULTS[result.outcome if result else None] == outcome


def test_a_result_says_what_was_measured_and_why_that_counts_so() -> None:
    result, _ = played(PRE, "-?-")
    assert result == Result(Outcome.FAILED, "500", "not one of 3 attempts succeeded: must be 200", BEGAN)
    unknown, _ = played(PRE, "???")
    assert unknown and unknown.reason == "not one of 3 attempts could be evaluated: nobody answers"
    fatal, _ = played(PRE, "!")
    assert fatal and fatal.reason == "it met the failure condition: the body says so"


def test_the_next_is_due_an_interval_after_the_latest_began() -> None:
    assert due(PRE, BEGAN, 0, BEGAN) == BEGAN
    assert due(PRE, BEGAN, 1, BEGAN + 2.0) == BEGAN + 7.0
    assert due(POST, BEGAN, 1, BEGAN + 54.0) == BEGAN + 59.0
    assert due(POST, BEGAN, 1, BEGAN + 55.0) is None
    assert (ends_at(PRE, BEGAN), ends_at(POST, BEGAN)) == (None, BEGAN + 60.0)


MEASURED = st.text("+-?!", max_size=12)
SMALL = st.integers(1, 4)


@given(MEASURED, SMALL, SMALL)
def test_before_the_switch_nothing_passes_without_its_successes_in_a_row(measured: str, more: int, wanted: int) -> None:
    subject = series(PRE, attempts=wanted + more, successes=wanted)
    result, made = played(subject, measured)
    seen = measured[:made]
    if result is None:
        assert made < subject.check.attempts
        return
    assert (result.outcome is Outcome.PASSED) == (seen.endswith("+" * wanted) and "!" not in seen)
    assert made <= subject.check.attempts
    if result.outcome is Outcome.INCONCLUSIVE:
        assert "?" in seen and "-" not in seen


@given(MEASURED, st.integers(0, 3), st.floats(0.0, 120.0))
def test_after_the_switch_it_fails_exactly_if_too_many_failed(measured: str, limit: int, seconds: float) -> None:
    subject = series(POST, failure_limit=limit)
    result = result_of(subject, tally(measured), BEGAN, BEGAN + seconds)
    failed = sum(each in "-!" for each in measured)
    assert (result is not None and result.outcome is Outcome.FAILED) == (failed > limit)
    if result is None:
        assert seconds < subject.window
    elif result.outcome is Outcome.PASSED:
        assert "+" in measured and seconds >= subject.window


@given(MEASURED, MEASURED, st.integers(0, 3), SMALL)
def test_what_failed_once_stays_failed(measured: str, later: str, limit: int, attempts: int) -> None:
    subject = series(POST, failure_limit=limit, attempts=attempts)
    first = result_of(subject, tally(measured), BEGAN, BEGAN)
    if first and first.outcome is Outcome.FAILED:
        again = result_of(subject, tally(measured + later), BEGAN, BEGAN + 1000.0)
        assert again and again.outcome is Outcome.FAILED

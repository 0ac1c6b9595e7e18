"""How the measurements of a check add up to its result. Pure.

Before the switch one good answer may be enough, and a bad one may be tried again. After it, what counts is how many
measurements failed in the whole window.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.check import Measurement, Outcome, Result, Series, Stage


@dataclass(frozen=True, slots=True)
class Tally:
    """What was measured so far: how many measurements came to what, and how many of the latest succeeded in a row.

    `last` is the latest, `last_failed` the latest of those that failed; `final`: one of them met the failure condition.
    """

    made: int = 0
    succeeded: int = 0
    failed: int = 0
    in_a_row: int = 0
    final: bool = False
    last: Measurement | None = None
    last_failed: Measurement | None = None

    def with_(self, measurement: Measurement) -> Tally:
        """The tally with one measurement more."""
        good = measurement.outcome is Outcome.PASSED
        bad = measurement.outcome is Outcome.FAILED
        return Tally(
            made=self.made + 1,
            succeeded=self.succeeded + good,
            failed=self.failed + bad,
            in_a_row=self.in_a_row + 1 if good else 0,
            final=self.final or (bad and measurement.final),
            last=measurement,
            last_failed=measurement if bad else self.last_failed,
        )


def ends_at(series: Series, began: float) -> float | None:
    """Until when it is measured, having begun at `began` (epoch seconds); None if only attempts end it.

    A daemon that was started again begins anew: what an earlier one measured it does not know, and a window of which
    nobody saw the most part proves nothing.
    """
    return began + series.window if series.stage is Stage.POST else None


def due(series: Series, began: float, made: int, latest: float) -> float | None:
    """When (epoch seconds) the next measurement is due, if `made` were made and the latest began at `latest`; None if
    there is none any more before the end."""
    if not made:
        return began
    end, following = ends_at(series, began), latest + series.check.interval
    return following if end is None or following < end else None


def result_of(series: Series, tally: Tally, began: float, now: float) -> Result | None:
    """What came of the series, or None while it goes on."""
    verdict = _before(series, tally) if series.stage is Stage.PRE else _after(series, tally, began, now)
    if verdict is None:
        return None
    outcome, why = verdict
    shown = tally.last_failed if outcome is Outcome.FAILED else tally.last
    detail = shown.reason if shown and outcome is not Outcome.PASSED else ""
    return Result(outcome, shown.measured if shown else "", f"{why}: {detail}" if detail else why, now)


def _before(series: Series, tally: Tally) -> tuple[Outcome, str] | None:
    check = series.check
    if tally.final:
        return Outcome.FAILED, "it met the failure condition"
    if tally.in_a_row >= check.successes:
        many = f"{tally.in_a_row} measurements in a row" if check.successes > 1 else "a measurement"
        return Outcome.PASSED, f"{many} succeeded"
    if tally.made < check.attempts:
        return None
    if not tally.succeeded and not tally.failed:
        return Outcome.INCONCLUSIVE, f"not one of {tally.made} attempts could be evaluated"
    if not tally.failed:
        return Outcome.INCONCLUSIVE, f"{tally.made - tally.succeeded} of {tally.made} attempts could not be evaluated"
    if check.successes > 1:
        return Outcome.FAILED, f"{check.successes} in a row had to succeed, and did not in {tally.made} attempts"
    return Outcome.FAILED, f"not one of {tally.made} attempts succeeded"


def _after(series: Series, tally: Tally, began: float, now: float) -> tuple[Outcome, str] | None:
    limit, end = series.check.failure_limit, ends_at(series, began)
    if tally.failed > limit:
        allowed = f", more than the {limit} allowed" if limit else ""
        return Outcome.FAILED, f"{tally.failed} of {tally.made} measurements failed{allowed}"
    if end is None or now < end:
        return None
    if tally.succeeded:
        return Outcome.PASSED, f"{tally.succeeded} of {tally.made} measurements succeeded, {tally.failed} failed"
    if tally.failed:
        return Outcome.INCONCLUSIVE, f"not one of {tally.made} measurements succeeded, and no more than {limit} failed"
    return Outcome.INCONCLUSIVE, f"not one of {tally.made} measurements could be evaluated"

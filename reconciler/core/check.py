"""What a revision has to show before traffic moves to it, and while it has it: checks, and what came of them.

Values only. How a check is measured is an adapter's business, how measurements add up to a result is `core.series`'.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.probe import Probe


class Stage(StrEnum):
    """When a check is made: before the switch, or after it."""

    PRE = "prePromotionAnalysis"
    POST = "postPromotionAnalysis"


class Outcome(StrEnum):
    """What came of a check. Inconclusive: it could not be evaluated, so it is no pass."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what is measured (`probe`), and how often.

    Durations are seconds. A measurement may take `timeout`; the next is made `interval` after it began. Before the
    switch a check passes with `successes` measurements in a row that succeeded, and fails when `attempts` were made
    without that, or one met the probe's own failure condition. After it, it is measured for as long as the analysis
    lasts, and fails as soon as more than `failure_limit` measurements failed.
    """

    name: str
    probe: Probe
    timeout: float = 10.0
    interval: float = 5.0
    attempts: int = 3
    successes: int = 1
    failure_limit: int = 0

    @property
    def key(self) -> str:
        """`NAME@HASH` of its definition: what was passed by another definition was not passed."""
        return f"{self.name}@{hashlib.sha256(repr(self).encode()).hexdigest()[:10]}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one measurement came to, what was measured, and why that counts so, in words without any secret.

    `final`: it met the probe's failure condition, so another attempt is not asked for. Without it, a measurement that
    failed merely did not succeed.
    """

    outcome: Outcome
    measured: str
    reason: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check, with what was measured last and why that counts so, in words; `at` in epoch seconds."""

    outcome: Outcome
    measured: str
    reason: str
    at: float

    def __str__(self) -> str:
        told = (self.reason, f"measured: {self.measured}" if self.measured else "")
        return "; ".join(part for part in told if part)


@dataclass(frozen=True, slots=True)
class Series:
    """A check under way for one revision. `since` (epoch seconds) tells one analysis from an earlier of the same
    revision: the claim of the promotion, or the confirmation of the switch. `window`: for how many seconds it is
    measured after the switch; 0 before it. `key` is what it is on record by, once passed: of a Job it stands for what
    is run, too, which a commit can change while the revision is the same."""

    check: Check
    stage: Stage
    revision: str
    since: float
    window: float = 0.0
    key: str = ""


class Inconclusive(StrEnum):
    """What becomes of a switch whose analysis could not be evaluated: it stands, or traffic goes back."""

    PROCEED = "proceed"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class PrePromotion:
    """What a revision has to pass before traffic moves to it.

    `soak`: for how many seconds every pod must have been ready without a break; the checks are made meanwhile.
    `sequential`: one check after the other, else all at once. `rerun`: also for a revision that was active before.
    """

    checks: tuple[Check, ...] = ()
    soak: float = 0.0
    sequential: bool = False
    rerun: bool = False


@dataclass(frozen=True, slots=True)
class PostPromotion:
    """What a revision has to show for `window` seconds after the switch to it was confirmed.

    `min_ready_percent`: of the pods that it was switched to with so many must be ready. `inconclusive`: what happens
    if nothing failed, and some check could not be evaluated.
    """

    window: float
    checks: tuple[Check, ...] = ()
    min_ready_percent: int = 50
    inconclusive: Inconclusive = Inconclusive.PROCEED

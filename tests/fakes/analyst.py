"""Checks whose results a test decides, in place of `app.analysis.Analyst`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.check import Outcome, Result, Series
from reconciler.core.model import Manifest
from reconciler.ports import Subject
from tests.fakes.clock import FakeClock


@dataclass
class Verdicts:
    """What comes of checks, by name, in the whole world: a check without one goes on for ever."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    passed: set[tuple[str, str]] = field(default_factory=set)
    """Revisions with the names of the checks that they ever passed."""


@dataclass
class FakeAnalyst:
    """One daemon's checks: gone with it. `begun` holds every series that was ever started."""

    clock: FakeClock
    verdicts: Verdicts
    running: dict[Series, Result | None] = field(default_factory=dict)
    begun: list[Series] = field(default_factory=list)

    def keep(self, wanted: frozenset[Series], subjects: Mapping[str, Subject], about: Manifest | None) -> None:
        assert {each.revision for each in wanted} <= subjects.keys(), "of every check it is known what it is about"
        self.begun += [each for each in sorted(wanted, key=lambda each: each.check.name) if each not in self.running]
        self.running = {each: self.running.get(each) for each in wanted}

    def results(self) -> Mapping[Series, Result]:
        for each in self.running:
            outcome = self.verdicts.outcomes.get(each.check.name)
            if self.running[each] is None and outcome is not None:
                if outcome is Outcome.PASSED:
                    self.verdicts.passed.add((each.revision, each.check.name))
                self.running[each] = Result(outcome, "0.2", f"the test says {outcome}", self.clock.now())
        return {series: result for series, result in self.running.items() if result is not None}

    async def close(self) -> None:
        self.running.clear()

"""Faults on the chart's pods, and what is written down of each for the table at the end of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from rig.faults import Fault
from rig.incluster import InCluster
from rig.scene import APP
from rig.told import moment
from tests.e2e.harness.converged import PATIENCE, converged

PROPERTY = "fault"
"""The property of a test's report that holds a row of the table."""


class Begun(NamedTuple):
    """A fault that is being made: since when (epoch seconds), and the number of events until then."""

    at: float
    mark: int


@dataclass(frozen=True)
class Faults:
    """Writes down what became of faults. `record`: pytest's `record_property`."""

    rig: InCluster
    record: Callable[[str, object], None]

    def begin(self) -> Begun:
        """To be called just before a fault is made."""
        return Begun(time.time(), self.rig.logs.mark())

    def end(
        self, name: str, begun: Begun, version: str, app: str = APP, *, alone: bool = True, timeout: float = PATIENCE
    ) -> None:
        """Returns when the app has come to `version`, if nothing is kept warm to that alone; writes the fault down."""
        try:
            converged(self.rig.scene, version, app, alone=alone, timeout=timeout)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}\n{self.rig.logs.story()}\n{self.rig.members.story()}") from None
        ended = time.time()
        around = [each for each in self.rig.scene.load.requests if begun.at <= each.end]
        failed = sum(not each.ok for each in around)
        self.record(PROPERTY, str(Fault(name, self.takeover(begun, app), ended - begun.at, len(around), failed)))

    def takeover(self, begun: Begun, app: str = APP) -> float | None:
        """Seconds from a fault until another process said that it looks after the app; None if none did yet."""
        told = self.rig.logs.find("app_taken_over", since=begun.mark, app=app)
        times = (moment(each) - begun.at for each in told)
        return min((each for each in times if each > 0), default=None)

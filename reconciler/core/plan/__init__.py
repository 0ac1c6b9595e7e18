"""The planner: what Git wants and what the cluster holds → what to do now. Pure, and the heart of it all.

Level-triggered: nothing is remembered between two calls but what `Observed` holds, so a plan made after a crash, a
lost write or a missed event is as good as any other. Three questions lead to three modules: is the desired revision
active (`settle`), was it rejected for this commit (`hold`), or has it to be brought up (`promote`)? What may be deleted
is decided in `retire`; every write of the Service carries the resourceVersion that the plan saw (`one-writer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from reconciler.core.check import Result, Series
from reconciler.core.model import Desired
from reconciler.core.observed import Observed
from reconciler.core.plan.forecast import forecast
from reconciler.core.plan.hold import hold, late_but_ready
from reconciler.core.plan.overtaken import watched, watched_alone
from reconciler.core.plan.promote import promote
from reconciler.core.plan.retire import DRAIN_MARGIN, retirement_due
from reconciler.core.plan.settle import settle
from reconciler.core.plan.view import Plan, View
from reconciler.core.plan.wait import may_wait, wait

__all__ = ["DRAIN_MARGIN", "Plan", "View", "forecast", "plan", "retirement_due", "watch"]


def plan(
    desired: Desired,
    observed: Observed,
    now: float,
    standing: Desired | None = None,
    held: str = "",
    previous: Desired | None = None,
    results: Mapping[Series, Result] = MappingProxyType({}),
) -> Plan:
    """Decides what to do next for one app. `now` in epoch seconds; `standing` is the active revision as its own commit
    rendered it, if that is another one than the desired. `held` says why a promotion is not to be begun; '' if it may.
    `previous`: what traffic goes back to if an analysis fails; `results` of the checks that are over.

    Everything in the result was decided from exactly these arguments; executing any prefix of its actions and
    planning again leads to the same end.
    """
    view = View(desired, observed, now, standing, previous, results)
    return watched(view, _plan(view, held))


def watch(
    active: Desired, observed: Observed, now: float, previous: Desired | None, results: Mapping[Series, Result]
) -> Plan:
    """As `plan`, but only about the analysis of the `active` revision: what Git wants now cannot be read."""
    return watched_alone(View(active, observed, now, previous=previous, results=results))


def _plan(view: View, held: str) -> Plan:
    if view.desired_is_active:
        return settle(view)
    if view.rejection and not late_but_ready(view):
        return hold(view, view.rejection)
    return wait(view, held) if held and may_wait(view) else promote(view)

"""What follows after the actions of a plan, if nothing goes wrong: for people who ask before they release."""

from __future__ import annotations

from reconciler.core.model import Desired
from reconciler.core.observed import Observed
from reconciler.core.plan.cutover import cut_over
from reconciler.core.plan.view import View, claim_of, is_known_good


def _preview(view: View) -> tuple[str, ...]:
    """Where the preview Service is going to lead, before the pods are ready."""
    rendered, wanted = view.desired.preview, view.desired
    if rendered is None or view.target or is_known_good(view):
        return ()
    return (f"lead preview Service {rendered['metadata']['name']} to {wanted.revision} ({wanted.version})",)


def forecast(desired: Desired, observed: Observed, now: float) -> tuple[str, ...]:
    """The steps still to come of a promotion, a sentence each; none when there is nothing to promote."""
    view = View(desired, observed, now)
    if view.desired_is_active or view.rejection:
        return ()
    strategy = desired.app.strategy
    ready = f"within {strategy.progress_deadline:g} s, or the revision is rejected and traffic stays where it is"
    steps = [*_preview(view), f"every pod of {desired.version} ready, {ready}", str(cut_over(view, claim_of(view)))]
    if view.active:
        then = "kept with no pods" if strategy.revision_history_limit else "deleted"
        kept = f"kept warm for {strategy.scale_down_delay:g} s, then {then}"
        steps.append(f"{view.active.version} ({view.active.revision}) {kept}")
    return tuple(steps)

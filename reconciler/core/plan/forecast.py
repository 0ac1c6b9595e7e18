"""What follows after the actions of a plan, if nothing goes wrong: for people who ask before they release."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.core.check import Check
from reconciler.core.model import Desired
from reconciler.core.observed import Observed
from reconciler.core.phase import Phase
from reconciler.core.plan.cutover import cut_over
from reconciler.core.plan.view import View, claim_of, is_known_good
from reconciler.core.window import open_at


def _preview(view: View) -> tuple[str, ...]:
    """Where the preview Service is going to lead, before the pods are ready."""
    rendered, wanted = view.desired.preview, view.desired
    if rendered is None or view.target or is_known_good(view):
        return ()
    return (f"lead preview Service {rendered['metadata']['name']} to {wanted.revision} ({wanted.version})",)


def forecast(desired: Desired, observed: Observed, now: float, phase: Phase | None = None) -> tuple[str, ...]:
    """The steps still to come of a promotion, a sentence each; none when there is nothing to promote. `phase` is that
    of the plan: what is among its actions is not to come any more."""
    view = View(desired, observed, now)
    if view.desired_is_active or view.rejection:
        return ()
    after = tuple(_after(view))
    if phase is Phase.SWITCHING:
        return after
    strategy = desired.app.strategy
    ready = f"within {strategy.progress_deadline:g} s, or the revision is rejected and traffic stays where it is"
    before = (*_preview(view), f"every pod of {desired.version} ready, {ready}", *_gates(view))
    return (*before, str(cut_over(view, claim_of(view))), *after)


def _gates(view: View) -> Iterator[str]:
    """What has to be passed between the last ready pod and the switch."""
    strategy, known = view.desired.app.strategy, is_known_good(view)
    asked = strategy.pre_promotion
    if not known or asked.rerun:
        if asked.soak:
            yield f"every pod ready for {asked.soak:g} s without a break"
        if asked.checks:
            how = "one after the other" if asked.sequential else "all at once"
            yield f"checks passed ({_names(asked.checks)}; {how}), or the revision is rejected"
    if known:
        return
    if not strategy.auto_promotion:
        yield f"approved: reconciler approve {view.desired.app.name}"
    elif strategy.auto_promotion_after is not None:
        yield f"approved, or {strategy.auto_promotion_after:g} s waited"
    if strategy.release_windows and not open_at(strategy.release_windows, view.now):
        yield "a release window is open"


def _after(view: View) -> Iterator[str]:
    strategy, asked = view.desired.app.strategy, view.desired.app.strategy.post_promotion
    if asked and not is_known_good(view):
        what = f"{_names(asked.checks)}; " if asked.checks else ""
        back = f"traffic goes back to {view.active.version}" if view.active else "that is told"
        what += f"{asked.min_ready_percent}% of its pods ready"
        yield f"watched for {asked.window:g} s ({what}); if that fails, {back}"
    if view.active:
        then = "kept with no pods" if strategy.revision_history_limit else "deleted"
        name = f"{view.active.version} ({view.active.revision})"
        yield f"{name} kept warm for {strategy.scale_down_delay:g} s, then {then}"


def _names(checks: Iterable[Check]) -> str:
    return ", ".join(each.name for each in checks)

"""What counts as former where the memory was lost: somebody deleted the active Service, or wiped its annotations."""

from __future__ import annotations

from reconciler.core.live import LiveRevision
from reconciler.core.memory import Active
from reconciler.core.plan.view import View


def forgotten(view: View) -> tuple[Active, ...]:
    """Every colour that was whole before, the latest first: each is kept as long as a former one is.

    Nobody knows any more whether it ever had traffic, and what became of it then. So its analysis counts as not over;
    and one that a gate may have held back, or that was rejected, counts as failed: nothing leads back to it unproved.
    """
    others = [each for each in view.observed.revisions if each.revision != view.desired.revision and each.completed]
    latest = sorted(others, key=lambda each: each.created, reverse=True)
    return tuple(_former(view, each) for each in latest)


def _former(view: View, live: LiveRevision) -> Active:
    who = live.revision, live.version, live.colour, live.commit
    held_back = view.desired.app.strategy.has_gates and not live.served
    failed = live.rejection is not None or held_back
    return Active(*who, live.created, view.now, on_trial=0 if failed else live.replicas, failed=failed)

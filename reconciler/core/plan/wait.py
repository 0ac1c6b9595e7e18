"""Desired is not active, and must not be begun yet: apps that it depends on have not settled."""

from __future__ import annotations

from reconciler.core.phase import Phase
from reconciler.core.plan.astray import put_back
from reconciler.core.plan.preview import idle
from reconciler.core.plan.promote import preconditions
from reconciler.core.plan.retire import clean_up
from reconciler.core.plan.stand_in import stand_in
from reconciler.core.plan.upkeep import upkeep_of_active
from reconciler.core.plan.view import Plan, View, nobody_serves


def may_wait(view: View) -> bool:
    """Whether bringing up the desired revision can wait: a promotion that was begun for this commit goes on, and what
    is no promotion but a repair (a deleted Service, a selector moved by hand) must not leave clients without answer."""
    target, noted = view.target, view.memory.active
    if target is None:
        return True
    begun = target.claim is not None and target.claim.commit == view.desired.commit
    repair = nobody_serves(view) or (noted is not None and noted.revision == target.revision)
    return not begun and not repair


def wait(view: View, why: str) -> Plan:
    """Everything goes on but the promotion."""
    if moved := put_back(view):
        return Plan(Phase.APPLYING, why, (moved,))
    leftovers, due = clean_up(view)
    preview, preview_due = idle(view)
    writes = (*leftovers, *stand_in(view), *upkeep_of_active(view), *preview)
    wake_at = min(filter(None, (due, preview_due)), default=None)
    return Plan(Phase.APPLYING, why, (*preconditions(view, writes), *writes), wake_at)

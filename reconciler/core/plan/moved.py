"""A selector that a hand moved, in words: also who it was, as far as the Service tells."""

from __future__ import annotations

from reconciler.core.model import LABEL_REVISION
from reconciler.core.observed import SWITCH_MANAGER
from reconciler.core.place import manager_of
from reconciler.core.plan.view import View


def moved_by_hand(view: View) -> str:
    """Why the selector is put back. Both values are fields of `switched`: what it pointed to, and what it points to."""
    told = "the selector had been moved by hand"
    who = _who(view)
    return f"{told}, by {who}" if who else told


def _who(view: View) -> str:
    """The field manager that wrote the revision there, or else the first of the other labels that is not ours."""
    if view.service is None:
        return ""
    keys = sorted(view.service.selector, key=lambda key: key != LABEL_REVISION)
    managers = (manager_of(view.service.live, ("spec", "selector", key)) for key in keys)
    return next((each for each in managers if each not in ("", SWITCH_MANAGER)), "")

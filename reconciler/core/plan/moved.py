"""A route that a hand moved, in words: also who it was, as far as the Service or Ingress tells."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core.model import LABEL_REVISION
from reconciler.core.observed import OUR_MANAGERS, Front
from reconciler.core.place import Place, manager_of


def moved_by_hand(front: Front | None) -> str:
    """Why the route is put back. Both values are fields of `switched`: what it led to, and what it leads to."""
    told = "the backends had been changed by hand" if front and front.kind == "Ingress" else _SELECTOR
    who = next((each for each in _writers(front) if each not in ("", *OUR_MANAGERS)), "") if front else ""
    return f"{told}, by {who}" if who else told


_SELECTOR = "the selector had been moved by hand"


def _writers(front: Front) -> Iterator[str]:
    """The field managers of what is in the route: that of the revision first, then those of the other labels."""
    keys = sorted(front.selector, key=lambda key: key != LABEL_REVISION)
    places: list[Place] = [("spec", "selector", key) for key in keys] or [("spec", "rules"), ("spec", "defaultBackend")]
    return (manager_of(front.live, place) for place in places)

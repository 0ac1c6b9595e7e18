"""Which colour a revision takes. Pure."""

from __future__ import annotations

from reconciler.core.model import Colour, Slot
from reconciler.core.observed import Observed


def choose_slot(revision: str, commit: str, observed: Observed) -> Slot:
    """The slot of `revision`: the one that it holds already, else the colour that the active one does not have."""
    there = observed.revision(revision)
    if there:
        return Slot(there.colour, there.commit or commit)
    active = observed.front.memory.active if observed.front else None
    if active and active.revision == revision:
        return Slot(active.colour, active.commit or commit)  # its workloads were deleted by hand
    if active:
        return Slot(active.colour.other, commit)
    taken = {each.colour for each in observed.revisions}
    return Slot(Colour.GREEN if taken == {Colour.BLUE} else Colour.BLUE, commit)

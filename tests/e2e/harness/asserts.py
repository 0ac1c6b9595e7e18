"""Assertions that every test makes."""

from __future__ import annotations

from rig.load import Load
from rig.scene import APP, Scene

ENOUGH = 300
"""Fewer requests than this prove nothing."""


def no_request_failed(load: Load, *, at_least: int = ENOUGH) -> None:
    """Lets the load go on for a moment, and until it proves something; ends it; and holds us to our word."""
    load.wait_for_count(max(100, at_least - len(load.requests)))
    load.stop()
    failed, answered = load.failures, sum(load.versions().values())
    assert not failed, f"{len(failed)} of {len(load.requests)} requests failed, first {failed[:3]}"
    assert answered >= at_least, f"only {answered} requests were answered: that was no load"


def moved(scene: Scene, times: int) -> None:
    """The selector was moved that often, and by nobody but the switch's field manager."""
    moves = scene.audit.moves(APP)
    assert len(moves) == times, f"selector moves: {moves}"

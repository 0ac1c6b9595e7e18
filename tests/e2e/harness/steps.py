"""The steps of a release as events tell of them: what a daemon is killed after."""

from __future__ import annotations

from typing import Any

Step = tuple[str, dict[str, Any]]
"""An event's name, and the fields that tell it from others of that name."""

FIRST_RELEASE: list[Step] = [
    ("source_updated", {}),
    ("phase_changed", {"phase": "applying"}),
    ("revision_applied", {}),
    ("phase_changed", {"phase": "progressing"}),
    ("revision_ready", {}),
    ("switched", {}),
    ("switch_confirmed", {}),
]
BUMP: list[Step] = [
    *FIRST_RELEASE,
    ("phase_changed", {"phase": "switching"}),
    ("phase_changed", {"phase": "confirming"}),
    ("phase_changed", {"phase": "retaining"}),
    ("retired", {"version": "v1.0.0"}),
]
ROLLBACK: list[Step] = [
    ("source_updated", {}),
    ("revision_ready", {}),
    ("revision_reused", {}),
    ("rolled_back", {}),
    ("switch_confirmed", {}),
]


def name_of(step: Step) -> str:
    """What a step is called in a table."""
    name, fields = step
    return f"{name} ({fields['phase']})" if "phase" in fields else name

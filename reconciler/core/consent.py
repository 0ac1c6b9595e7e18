"""A person's word that a revision may get traffic, as an annotation of its first workload. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.model import PREFIX, Desired, Manifest

APPROVED = PREFIX + "approved"


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved what, and when (epoch seconds)."""

    revision: str
    commit: str
    by: str
    at: float


def read_approval(annotations: Mapping[str, str]) -> Approval | None:
    """None when absent or unreadable."""
    try:
        entry: Any = json.loads(annotations.get(APPROVED, "null"))
        return Approval(str(entry["revision"]), str(entry["commit"]), str(entry["by"]), float(entry["at"]))
    except (ValueError, TypeError, KeyError):
        return None


def is_approved(desired: Desired, live: Manifest) -> Approval | None:
    """The approval on a live workload, if it is for this revision and this commit."""
    found = read_approval(live["metadata"].get("annotations") or {})
    return found if found and (found.revision, found.commit) == (desired.revision, desired.commit) else None

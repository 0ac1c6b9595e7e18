"""The record of an app's deployments, compact enough to stand in one annotation. Pure.

The history of former revisions has one entry a revision, so it forgets that one was active twice; this does not. What
the figures mean is in `core.delivery`, which counts them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

RECORD_LIMIT = 100
"""Deployments that are remembered: at most some 5 KiB of the 256 KiB that an object's annotations may have in all
(`TotalAnnotationSizeLimitB` of Kubernetes' validation)."""

_LAST = 1e11
"""Seconds: what is later than the year 5000 nobody measured, and no calendar could show it."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One deployment: `at` (epoch seconds) is its switch. `lead`: seconds from the commit to that; None if its commit's
    date is unknown. `restored`: seconds from that until it was left because it failed; None if it was not."""

    at: float
    lead: float | None = None
    restored: float | None = None


def deployed(record: tuple[Delivered, ...], at: float, committed: float | None) -> tuple[Delivered, ...]:
    """The record with one more deployment, at epoch seconds. A commit that a wrong clock dated later took no time."""
    lead = None if committed is None else _seconds(at - committed)
    return (Delivered(round(at, 3), lead), *record)[:RECORD_LIMIT]


def restored(record: tuple[Delivered, ...], at: float) -> tuple[Delivered, ...]:
    """The record after the latest deployment was left at epoch seconds `at`, because it had failed. If it is what a
    rollback led to that is left now, then that deployment was restored before."""
    if not record or record[0].restored is not None:
        return record
    latest, *older = record
    return (replace(latest, restored=_seconds(at - latest.at)), *older)


def write_record(record: Iterable[Delivered]) -> str:
    """As JSON: a list of [at, lead, restored], newest first; '' for an empty one."""
    entries = [[each.at, each.lead, each.restored] for each in record]
    return json.dumps(entries, separators=(",", ":")) if entries else ""


def read_record(text: str) -> tuple[Delivered, ...]:
    """The inverse of `write_record`. Entries that it could not have written are left out."""
    try:
        entries = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    found = map(_entry, entries[:RECORD_LIMIT]) if isinstance(entries, list) else ()
    return tuple(each for each in found if each)


def _entry(entry: Any) -> Delivered | None:
    if not isinstance(entry, list) or len(entry) != 3 or not is_time(entry[0]):
        return None
    at, lead, back = entry
    if not all(each is None or is_time(each) for each in (lead, back)):
        return None
    return Delivered(float(at), lead if lead is None else float(lead), back if back is None else float(back))


def is_time(value: Any) -> bool:
    """Whether it is a number of seconds that something of ours could have written or measured."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LAST


def _seconds(value: float) -> float:
    return round(max(value, 0.0), 3)

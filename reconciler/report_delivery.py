"""What `reconciler delivery` prints: a table for people, JSON for programs. Its figures are `core.delivery`'s."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reconciler.app.oneshot import Sight
from reconciler.core.delivery import Delivery, delivery
from reconciler.core.memory import Memory, format_time

_HEADINGS = ("APP", "SINCE", "DEPLOYED", "A DAY", "A WEEK", "LEAD TIME", "LEAD P90", "FAILED", "RESTORED IN")
_NONE = "-"
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def table(sights: Iterable[Sight], window: float, console: Console) -> None:
    """One line for each app of which it is known what the cluster holds; `window` in seconds."""
    shown = Table(box=None, pad_edge=False)
    for number, heading in enumerate(_HEADINGS):
        shown.add_column(heading, no_wrap=True, justify="left" if number < 2 else "right")
    for sight in sights:
        if sight.observed:
            shown.add_row(*map(Text, _cells(sight.app.name, _figures(sight, window))))
    console.print(shown)


def as_json(sights: Iterable[Sight], window: float, out: TextIO) -> None:
    """A list with an object for each app: `error` where it is not known what the cluster holds."""
    found = [_object(each, window) for each in sights]
    out.write(json.dumps(found, indent=2) + "\n")


def _figures(sight: Sight, window: float) -> Delivery:
    front = sight.observed.front if sight.observed else None
    return delivery(front.memory if front else Memory(), sight.at, window)


def _cells(app: str, found: Delivery) -> tuple[str, ...]:
    return (
        app,
        datetime.fromtimestamp(found.since, UTC).strftime("%Y-%m-%d %H:%MZ"),
        str(found.deployments),
        f"{found.per_day:.2g}",
        f"{found.per_week:.2g}",
        span(found.lead_median),
        span(found.lead_p90),
        _NONE if found.failure_rate is None else f"{found.failures} ({found.failure_rate:.0%})",
        span(found.restore_median),
    )


def _object(sight: Sight, window: float) -> Mapping[str, Any]:
    named = {"app": sight.app.name, "namespace": sight.app.namespace}
    if sight.observed is None:
        return {**named, "error": sight.error.located if sight.error else ""}
    found = _figures(sight, window)
    return {
        **named,
        "since": format_time(found.since),
        "until": format_time(found.until),
        "deployments": found.deployments,
        "deployments_per_day": round(found.per_day, 4),
        "deployments_per_week": round(found.per_week, 4),
        "lead_time_median": found.lead_median,
        "lead_time_p90": found.lead_p90,
        "failures": found.failures,
        "change_failure_rate": None if found.failure_rate is None else round(found.failure_rate, 4),
        "time_to_restore_median": found.restore_median,
    }


def span(seconds: float | None) -> str:
    """A duration for people, by its two greatest units: `2d 3h`, `4m 10s`, `0.8s`; `-` for none."""
    if seconds is None:
        return _NONE
    if seconds < 10:
        return f"{seconds:.1f}s"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(each for each in parts[:2] if not each.startswith("0"))

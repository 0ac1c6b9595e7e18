"""What became of a fault: when another daemon took over, when all was as Git wants it, what clients saw of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that was made on purpose. Times in seconds from its beginning; None: there was no such moment.

    `takeover`: until another process said that it looks after the app. `converged`: until what Git wants was active and
    confirmed, and nothing else was left.
    """

    name: str
    takeover: float | None
    converged: float
    requests: int
    failed: int

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Fault:
        """The inverse of `str`."""
        return cls(**json.loads(text))


def table(faults: Iterable[Fault]) -> list[str]:
    """The lines of a table in Markdown, a row for each fault; several of one name are one row, with their range."""
    head = [
        "| fault | times | take-over, s | converged, s | requests | failed |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    named: dict[str, list[Fault]] = {}
    for each in faults:
        named.setdefault(each.name, []).append(each)
    return [*head, *(_row(name, group) for name, group in sorted(named.items()))]


def _row(name: str, group: list[Fault]) -> str:
    taken = [each.takeover for each in group if each.takeover is not None]
    requests, failed = sum(each.requests for each in group), sum(each.failed for each in group)
    converged = _range([each.converged for each in group])
    return f"| {name} | {len(group)} | {_range(taken)} | {converged} | {requests} | {failed} |"


def _range(seconds: list[float]) -> str:
    if not seconds:
        return "–"
    low, high = min(seconds), max(seconds)
    return f"{low:.1f}" if len(seconds) == 1 else f"{low:.1f}–{high:.1f}"

"""Answers per version over time, as bars of block characters."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from rich.text import Text

from rig.load import Request

BUCKET = 0.5
"""Seconds that one column stands for."""
FAILED = "failed"
_COLOURS = {"v1.0.0": "blue", "v2.0.0": "green", FAILED: "red"}
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def colour_of(version: str) -> str:
    """The colour in which a version is drawn."""
    return _COLOURS.get(version, "magenta")


class Chart:
    """Counts requests into columns."""

    def __init__(self) -> None:
        self._columns: dict[int, Counter[str]] = defaultdict(Counter)
        self._seen = 0
        self.total: Counter[str] = Counter()

    def take(self, requests: Sequence[Request]) -> None:
        """Counts those that are new since the last call."""
        for index in range(self._seen, len(requests)):
            self._count(requests[index])
        self._seen = len(requests)

    def _count(self, request: Request) -> None:
        name = request.version if request.ok else FAILED
        self._columns[int(request.end / BUCKET)][name] += 1
        self.total[name] += 1

    def rates(self, now: float) -> dict[str, float]:
        """Answers per second by version in the last finished column."""
        column = self._columns.get(int(now / BUCKET) - 1, Counter())
        return {name: column[name] / BUCKET for name in sorted(self.total)}

    def draw(self, now: float, width: int, height: int) -> Text:
        """The last `width` columns as bars, `height` lines high; the newest column is the last finished one."""
        last = int(now / BUCKET) - 1
        shown = [self._columns.get(index, Counter()) for index in range(last - width + 1, last + 1)]
        top = max((column.total() for column in self._columns.values()), default=1)
        picture = Text()
        for line in range(height - 1, -1, -1):
            for column in shown:
                picture.append(*_cell(column, line, height, top))
            picture.append("\n" if line else "")
        return picture


def _cell(column: Counter[str], line: int, height: int, top: int) -> tuple[str, str]:
    """One character of a stacked bar: the versions from the bottom up, what failed on top."""
    filled = column.total() / top * height - line
    if filled <= 0:
        return " ", ""
    below, level = 0.0, line + min(filled, 1.0) / 2
    for name in sorted(column, key=lambda each: (each == FAILED, each)):
        below += column[name] / top * height
        if level <= below:
            break
    return _EIGHTHS[max(1, min(8, round(filled * 8)))], colour_of(name)

"""Numbers into tables: on the terminal, and in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from rich.table import Table

from benchmarks.measure import AROUND, BEFORE, SETTLE, Moments

_INTRODUCTION = """# Benchmarks

Written by `make bench`, which keeps its last run here. Nothing in it is a test.

"""

_READING = f"""
## How to read it

Every round releases a new version (its pods have to be started) and then reverts it (the old pods are still warm),
{SETTLE:g} s apart; the reconciler and the bare script take turns, each in a namespace of its own. Both
get the same commits in the same kind of repository, start the same pods, and are watched in the same way.

- **bare script** (`benchmarks/bare.py`) is the baseline: it watches the branch and the pods, and patches the Service.
  It checks nothing, remembers nothing, and could not be restarted. What the reconciler takes longer is the price of
  rendering, checking, claiming and remembering.
- *branch moved* is the rename of the ref's file, as a push makes it. *created* and *ready* are when a watch of the
  benchmark's own got the Deployment and the last pod's readiness. *selected* is when the API server had taken the
  patch, by its audit log. *answer* is the end of the first request at the NodePort that the other version answered.
  All on one clock.
- From *selected* to *answered* is kube-proxy's time. It programs changes at most once a second (`minSyncPeriod`), so
  whoever touches a Service or its endpoints just before the switch makes clients wait for up to that second.
- A stall is the longest time between two answers, in the {AROUND[0]:g} s before and {AROUND[1]:g} s after the
  switch. The control is the same, in {BEFORE:g} s of the same load with nothing happening.
- Both columns hold minimum / median / maximum. The ratio is that of the medians.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a name, and the milliseconds of each side."""

    name: str
    ours: Sequence[float]
    bare: Sequence[float]

    @property
    def ratio(self) -> str:
        """Of the medians."""
        return f"{median(self.ours) / median(self.bare):.2f}" if median(self.bare) >= 0.05 else "-"


Pairs = Sequence[tuple[Moments, Moments]]
"""Of each round the switch and the revert."""


def rows(ours: Pairs, bare: Pairs) -> dict[str, list[Row]]:
    """All lines, by section."""

    def row(name: str, which: int, value: Callable[[Moments], float]) -> Row:
        taken = [[value(each[which]) * 1000 for each in side] for side in (ours, bare)]
        return Row(name, *taken)

    return {
        "Switch to a version whose pods have to be started": [
            row("branch moved → Deployment created", 0, lambda m: m.created - m.moved),
            row("last pod ready → selected", 0, lambda m: m.patched - m.ready),
            row("selected → first new answer", 0, lambda m: m.answered - m.patched),
            row("last pod ready → first new answer", 0, lambda m: m.answered - m.ready),
            row("longest stall around the switch", 0, lambda m: m.stall),
            row("control: longest stall without one", 0, lambda m: m.control),
        ],
        "Revert to a version that is still warm": [
            row("branch moved → selected", 1, lambda m: m.patched - m.moved),
            row("of it, the look at the repository (as the daemon says)", 1, lambda m: m.git),
            row("selected → first old answer", 1, lambda m: m.answered - m.patched),
            row("branch moved → first old answer", 1, lambda m: m.answered - m.moved),
            row("longest stall around the switch", 1, lambda m: m.stall),
            row("control: longest stall without one", 1, lambda m: m.control),
        ],
    }


def spread(values: Sequence[float]) -> str:
    """Minimum, median and maximum in milliseconds; a dash where there is nothing to measure."""
    if not any(values):
        return "-"
    return " / ".join(
        f"{each:,.0f}" if each >= 9.95 else f"{each:.1f}" for each in (min(values), median(values), max(values))
    )


def table(sections: Mapping[str, Sequence[Row]]) -> Table:
    """For a terminal."""
    made = Table(title="milliseconds: min / median / max", title_justify="left")
    for heading in ("", "reconciler", "bare script", "ratio"):
        made.add_column(heading, justify="left" if not heading else "right")
    for name, lines in sections.items():
        made.add_section()
        made.add_row(f"[bold]{name}")
        for each in lines:
            made.add_row(f"  {each.name}", spread(each.ours), spread(each.bare), each.ratio)
    return made


def requests_line(ours: Pairs, bare: Pairs) -> str:
    """How much load there was, and how much of it failed."""
    told = []
    for name, side in (("reconciler", ours), ("bare script", bare)):
        moments = [each for pair in side for each in pair]
        failed, sent = sum(each.failed for each in moments), sum(each.requests for each in moments)
        told.append(f"{name}: {failed} of {sent:,} requests failed")
    return "; ".join(told)


def document(
    sections: Mapping[str, Sequence[Row]], load: str, requests: Mapping[str, Counter[str]], setting: str
) -> str:
    """docs/benchmarks.md."""
    lines = [_INTRODUCTION + f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; {setting}.\n"]
    for name, section in sections.items():
        lines += [
            f"## {name}\n",
            "| ms: min / median / max | reconciler | bare script | ratio |",
            "| --- | ---: | ---: | ---: |",
        ]
        lines += [f"| {r.name} | {spread(r.ours)} | {spread(r.bare)} | {r.ratio} |" for r in section]
        lines.append("")
    lines += [f"Around all of these: {load}.\n", "## Requests to the API server\n"]
    lines += [
        "| the reconciler's, standing watches apart | reads | writes | Kubernetes Events |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, counted in requests.items():
        lines.append(f"| {name} | {counted['read']} | {counted['write']} | {counted['Kubernetes Event']} |")
    return "\n".join(lines) + "\n" + _READING


def machine() -> str:
    """The machine in general words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, {platform.system()} {kernel}"

"""`python -m benchmarks.incluster`: the chart's pods: how soon another one takes over, and what they take of a node.

Inside the sandbox's network (`python -m sandbox exec -- …`); writes docs/benchmarks-in-cluster.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks.footprint import Footprint, bump_all, measure_footprint
from benchmarks.report import machine
from benchmarks.takeover import Loss, measure_losses
from rig.incluster import InCluster
from rig.scene import APP, Scene
from sandbox import Sandbox

LEASE = "10s"
APPS = 25
ROUNDS = 4
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks-in-cluster.md"
_MIB = 2**20
_INTRODUCTION = """# Benchmark: the chart's pods

Written by `make bench`, which keeps its last run here. Nothing in it is a test.

"""
_READING = f"""
## How to read it

Three replicas of the chart share one app, which is at rest and has 200 requests a second at its NodePort. The one that
looks after it is lost, in each way by turns; *taken over* is when another process, be it a new one in the same pod, has
written that it looks after the app from now on. A Lease lasts {LEASE}, the default. The columns hold minimum / median /
maximum. For all that time traffic goes where it went before: only a release would have to wait.

The second table is of one replica alone. *Memory* is the container's working set, which is what `kubectl top` shows and
what a limit is compared with; *highest* is the most that was seen of it, every 0.2 s. *Processor* is that of the whole
container, git included, on average. Promotions are commits that each bump all of {APPS} apps at once, one as soon as
the one before it is confirmed; starting the pods takes most of the time.
"""


def main() -> int:
    """Measures, prints, writes the document. Returns 0 unless a request failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incluster")
    parser.add_argument("--rounds", type=int, default=6, help="how often an owner is lost in each way (default: 6)")
    parser.add_argument("--idle", type=float, default=60, help="seconds of a measurement at rest (default: 60)")
    chosen = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    sandbox = Sandbox(quiet=True)
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-") as name:
        with _installed(sandbox, Path(name) / "takeover", [APP], replicas=3) as rig:
            losses = measure_losses(rig, chosen.rounds, lambda line: console.print(line, style="dim"))
        sizes = _sizes(sandbox, Path(name), chosen.idle, console)
    text = _document(losses, sizes)
    console.print(text, markup=False)
    _DOCUMENT.write_text(text, encoding="utf-8")
    return 1 if any(each.failed for group in losses.values() for each in group) else 0


def _sizes(sandbox: Sandbox, folder: Path, idle: float, console: Console) -> list[Footprint]:
    found: list[Footprint] = []
    for count, rounds in ((1, 0), (APPS, ROUNDS)):
        names = [APP, *(f"app-{number:02}" for number in range(1, count))]
        console.print(f"measuring with {count} apps …", style="dim")
        with _installed(sandbox, folder / f"apps-{count}", names, replicas=1) as rig:
            found += measure_footprint(rig, names, rounds, idle)[: 2 if rounds else 1]
    return found


@contextmanager
def _installed(sandbox: Sandbox, folder: Path, names: Sequence[str], replicas: int) -> Iterator[InCluster]:
    """The chart at work, all apps at their first version, the first one under load."""
    folder.mkdir()
    scene = Scene(sandbox, folder, kind="bench")
    try:
        with InCluster(scene, replicas=replicas) as rig:
            rig.lease = LEASE
            few = {"values": {"replicas": 1}, "strategy": {"scaleDownDelay": "1s"}}
            rig.configure([scene.app(name, path=name, **few) for name in names])
            rig.apply()
            scene.load.start()
            bump_all(rig, names, "v0.0.0")
            scene.load.wait_for("v0.0.0")
            yield rig
    finally:
        scene.close()


def _document(losses: Mapping[str, Sequence[Loss]], sizes: Sequence[Footprint]) -> str:
    lines = [
        f"{_INTRODUCTION}{datetime.now(UTC):%Y-%m-%d}, {machine()}.\n",
        "| the owner's | times | taken over after, s | requests | failed |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(_loss_row(name, group) for name, group in losses.items()),
        "",
        "| one replica | seconds | memory, MiB | highest, MiB | processor, millicores | for each promotion, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *map(_size_row, sizes),
    ]
    return "\n".join(lines) + "\n" + _READING


def _loss_row(name: str, group: Sequence[Loss]) -> str:
    times = [each.seconds for each in group]
    requests, failed = sum(each.requests for each in group), sum(each.failed for each in group)
    spread = f"{min(times):.1f} / {median(times):.1f} / {max(times):.1f}"
    return f"| {name} | {len(group)} | {spread} | {requests} | {failed} |"


def _size_row(size: Footprint) -> str:
    each = f"{size.cpu / size.promotions * 1000:.0f}" if size.promotions else "-"
    memory, peak = size.memory / _MIB, size.peak / _MIB
    return f"| {size.name} | {size.seconds:.0f} | {memory:.0f} | {peak:.0f} | {size.millicores:.0f} | {each} |"


if __name__ == "__main__":
    sys.exit(main())

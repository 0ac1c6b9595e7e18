"""One switch or revert, measured from outside: by an observer, the API server's audit log, and the load client."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.observer import Observer
from rig.load import Load
from rig.scene import APP, Scene
from rig.waiting import until

BEFORE = 1.5
"""Seconds of load before anything happens: the control window."""
AROUND = (0.5, 1.0)
"""Seconds before and after the patch: the window in which a switch could be felt."""
SETTLE = 2.0
"""Seconds of rest between two moves: over kube-proxy's minSyncPeriod, which one move would else cost the next."""


class Moments(NamedTuple):
    """When what happened, in epoch seconds. `created` and `ready` are 0 for a revert, which starts nothing.

    `git`: seconds that the daemon says it took to look at the repository; 0 for the script.
    """

    moved: float
    created: float
    ready: float
    patched: float
    answered: float
    git: float
    stall: float
    control: float
    failed: int
    requests: int


@dataclass(slots=True)
class Side:
    """One of the two that are compared. `tidy` removes what its last switch left over, and returns when it has gone."""

    name: str
    scene: Scene
    observer: Observer
    tidy: Callable[[str], None]


def measure_round(side: Side, base: str, version: str, number: int) -> tuple[Moments, Moments]:
    """A bump from `base` to `version`, and the revert of it, under one load."""
    load = side.scene.another_load(f"round-{number}", rate=400).start()
    load.wait_for(base)
    switch = _measure(side, load, version, fresh=True)
    revert = _measure(side, load, base, fresh=False)
    load.stop()
    side.tidy(version)
    return switch, revert


def _measure(side: Side, load: Load, version: str, *, fresh: bool) -> Moments:
    commit = side.scene.repository.prepare(f"Release {version}", {"version": version})
    time.sleep(SETTLE)
    begin = len(side.observer.seen)
    moved = side.scene.repository.move(commit)
    side.observer.wait_for(lambda each: each.kind == "Service" and each.selected == version, f"{version} selected")
    answered = load.wait_for(version, since=moved).end
    patched = until(lambda: _patched(side, version, moved), "the patch in the audit log", poll=0.1)
    until(lambda: load.requests[-1].end > patched + AROUND[1], "the end of the window")
    around = [each for each in load.requests if moved - BEFORE < each.end < patched + AROUND[1]]
    looks = side.scene.daemon.find("source_updated", commit=commit)
    return Moments(
        moved=moved,
        created=_created(side, version, begin) if fresh else 0.0,
        ready=_ready(side, version) if fresh else 0.0,
        patched=patched,
        answered=answered,
        git=looks[0]["duration"] if looks else 0.0,
        stall=load.longest_stall(patched - AROUND[0], patched + AROUND[1]),
        control=load.longest_stall(moved - BEFORE, moved),
        failed=sum(not each.ok for each in around),
        requests=len(around),
    )


def _patched(side: Side, version: str, since: float) -> float | None:
    """When the API server had taken the patch of the selector, by its own log."""
    writes = side.scene.audit.writes("services")
    moves = (each.at for each in writes if each.name == APP and each.version == version and each.at > since)
    return next(moves, None)


def _created(side: Side, version: str, begin: int) -> float:
    changes = side.observer.seen[begin:]
    return next(each.at for each in changes if each.kind == "Deployment" and each.version == version)


def _ready(side: Side, version: str) -> float:
    """When the last pod was first seen ready."""
    first: dict[str, float] = {}
    for each in side.observer.seen:
        if each.kind == "Pod" and each.version == version and each.ready:
            first.setdefault(each.name, each.at)
    return max(first.values())

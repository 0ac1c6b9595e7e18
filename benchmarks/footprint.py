"""What a daemon's container takes of a node: at rest, and while it promotes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Event, Thread

from rig.containers import Container
from rig.incluster import InCluster
from rig.waiting import until

_PERIOD = 0.2
_SETTLE = 15.0
"""Seconds of rest before a measurement at rest: retention, and the last events."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one container over a stretch of time: working set in bytes (at its end, at its highest), processor seconds."""

    name: str
    seconds: float
    memory: int
    peak: int
    cpu: float
    promotions: int = 0

    @property
    def millicores(self) -> float:
        """Thousandths of a processor, on average."""
        return self.cpu / self.seconds * 1000


def measure_footprint(rig: InCluster, names: Sequence[str], rounds: int, idle: float) -> list[Footprint]:
    """With no release, and over `rounds` commits that each bump all of the apps `names`; `idle` in seconds."""
    [container] = rig.containers().values()
    time.sleep(_SETTLE)
    apps = f"{len(names)} app{'s' if len(names) > 1 else ''}"
    rest = _over(container, f"{apps}, at rest", lambda: time.sleep(idle))
    work = _over(container, f"{apps}, {rounds * len(names)} promotions", lambda: _promote(rig, names, rounds))
    return [rest, replace(work, promotions=rounds * len(names))]


def _over(container: Container, name: str, work: Callable[[], None]) -> Footprint:
    peaks, over = [container.working_set], Event()

    def watch() -> None:
        while not over.wait(_PERIOD):
            peaks.append(container.working_set)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    began, used = time.monotonic(), container.cpu
    try:
        work()
    finally:
        over.set()
        watcher.join()
    seconds = time.monotonic() - began
    return Footprint(name, seconds, container.working_set, max(peaks), container.cpu - used)


def _promote(rig: InCluster, names: Sequence[str], rounds: int) -> None:
    for number in range(1, rounds + 1):
        bump_all(rig, names, f"v{number}.0.0")


def bump_all(rig: InCluster, names: Sequence[str], version: str) -> None:
    """One commit for all apps, each of which has a folder of its name; returns when the last one is confirmed."""
    files = {f"{name}/version": f"{version}\n" for name in names}
    commit = rig.scene.repository.commit(f"Release {version}", files)
    since = rig.logs.mark()

    def all_confirmed() -> bool:
        told = rig.logs.find("switch_confirmed", since=since, commit=commit)
        return {each["app"] for each in told} == set(names)

    until(all_confirmed, f"all of {len(names)} apps at {version}", 300, poll=0.05)

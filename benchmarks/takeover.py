"""How long an app has no owner after the one that it had is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import time

from rig.incluster import InCluster
from rig.partition import cut_off
from rig.scene import APP
from rig.told import moment
from rig.waiting import until

_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Loss:
    """One owner that was lost: seconds until another process looked after the app, and what clients saw meanwhile."""

    seconds: float
    requests: int
    failed: int


def measure_losses(rig: InCluster, rounds: int, told: Callable[[str], None]) -> Mapping[str, list[Loss]]:
    """Each way to lose an owner, `rounds` times, by turns; the app is at rest, and has load."""
    results: dict[str, list[Loss]] = {name: [] for name in _WAYS}
    for number in range(1, rounds + 1):
        for name, way in _WAYS.items():
            loss = _measure(rig, way)
            results[name].append(loss)
            told(f"{number:3}/{rounds} {name:28} taken over after {loss.seconds:6.2f} s")
    return results


def _measure(rig: InCluster, way: Callable[[InCluster, str], Iterator[None]]) -> Loss:
    rig.afresh()
    # One that came back gets its apps from another: that is no take-over.
    until(lambda: rig.owner() == rig.due(), "the app with the member whose share it is", _TIMEOUT)
    pod = rig.owner()
    since, load = rig.logs.mark(), rig.scene.load
    seen, began = len(load.requests), time()
    with contextmanager(way)(rig, pod):
        event = rig.logs.wait_for("app_taken_over", since=since, timeout=_TIMEOUT, app=APP)
    load.wait_for_count(100)
    around = load.requests[seen:]
    return Loss(moment(event) - began, len(around), sum(not each.ok for each in around))


def _deleted(rig: InCluster, pod: str) -> Iterator[None]:
    rig.home.delete("Pod", pod)
    yield


def _killed(rig: InCluster, pod: str) -> Iterator[None]:
    rig.container(pod).kill()
    yield


def _halted(rig: InCluster, pod: str) -> Iterator[None]:
    with rig.container(pod).halted():
        yield
    until(lambda: pod in rig.members.names, f"{pod} a member again", _TIMEOUT)


def _cut_off(rig: InCluster, pod: str) -> Iterator[None]:
    with cut_off(rig.scene.sandbox, rig.pods()[pod]["status"]["podIP"]):
        yield
    until(lambda: pod in rig.members.names, f"{pod} a member again", _TIMEOUT)


_WAYS = {
    "pod deleted (SIGTERM)": _deleted,
    "container killed (SIGKILL)": _killed,
    "process halted (SIGSTOP)": _halted,
    "network dropped": _cut_off,
}

"""Five hundred promotions, one after the other and many at once, by one process: it takes up no more and no more."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

import pytest

from rig.incluster import InCluster
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed

APPS = 25
ROUNDS = 20
WINDOW = 5
"""Rounds over which a median is taken: the first such window comes after one of warming up, the last one at the end."""
MEMORY = 8 * 1024
"""Bytes of growth for each promotion: a revision that is kept by mistake, with its objects, is several times that."""


class Sample(NamedTuple):
    """The daemon's process after a round: bytes that it has resident, and file descriptors that it has open."""

    resident: int
    descriptors: int


@pytest.mark.alone  # it takes all of the machine, and measures
@pytest.mark.timeout(900)
def test_five_hundred_promotions_with_flat_memory(scene: Scene, incluster: InCluster) -> None:
    """Every commit bumps all apps; the next one comes as soon as the last of them is confirmed."""
    names = [APP, *(f"app-{number:02}" for number in range(1, APPS))]
    incluster.replicas = 1
    incluster.configure([_app(scene, name) for name in names])
    commit = _bump(scene, names, "v0.0.0")
    scene.load.start()
    incluster.apply()
    _settled(incluster, names, commit)
    [container] = incluster.containers().values()
    samples = []
    for number in range(1, ROUNDS + 1):
        _settled(incluster, names, _bump(scene, names, f"v{number}.0.0"))
        samples.append(Sample(container.resident, container.descriptors))
    assert container.alive, "it was restarted: nothing is known of its memory"
    no_request_failed(scene.load)
    moved(scene, ROUNDS)
    early, late = _window(samples[WINDOW : 2 * WINDOW]), _window(samples[-WINDOW:])
    promotions = (ROUNDS - 2 * WINDOW) * APPS
    growth = (late.resident - early.resident) / promotions
    told = f"{early} → {late}: {growth:.0f} bytes for each promotion; {samples}"
    assert growth < MEMORY, told
    assert late.descriptors <= early.descriptors + APPS, told  # all at once may each need a connection more


def _app(scene: Scene, name: str) -> dict[str, object]:
    return scene.app(name, path=name, values={"replicas": 1}, strategy={"scaleDownDelay": "1s"})


def _bump(scene: Scene, names: list[str], version: str) -> str:
    return scene.repository.commit(f"Release {version}", {f"{name}/version": f"{version}\n" for name in names})


def _settled(incluster: InCluster, names: list[str], commit: str) -> None:
    def all_confirmed() -> bool:
        return {each["app"] for each in incluster.logs.find("switch_confirmed", commit=commit)} == set(names)

    until(all_confirmed, f"all apps at {commit}", 180, poll=0.05)


def _window(samples: list[Sample]) -> Sample:
    return Sample(*(int(median(values)) for values in zip(*samples, strict=True)))

"""Fixtures of the tests of the chart's pods."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rig.incluster import InCluster
from rig.scene import Scene
from tests.e2e.harness.faulting import Faults


def pytest_itemcollected(item: pytest.Item) -> None:
    """These mostly wait, for Leases and the kubelet, so others run beside them. But one at a time: each has three
    daemons that start again and again."""
    if not item.get_closest_marker("alone"):
        item.add_marker(pytest.mark.xdist_group("in-cluster"))


@pytest.fixture
def incluster(scene: Scene) -> Iterator[InCluster]:
    """The chart beside the scene, not installed yet, to be of three replicas."""
    with InCluster(scene, replicas=3) as made:
        yield made


@pytest.fixture
def faults(incluster: InCluster, record_property: Callable[[str, object], None]) -> Faults:
    """Writes down what became of the faults that a test makes."""
    return Faults(incluster, record_property)

"""Fixtures of the tests of the chart's pods, and the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rig.incluster import InCluster
from rig.scene import Scene
from tests.e2e.harness.faulting import Faults


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that want the sandbox for themselves come last here: each waits for all others that have begun."""
    items.sort(key=lambda each: each.path.parent.name == "incluster" and bool(each.get_closest_marker("alone")))


@pytest.fixture
def incluster(scene: Scene) -> Iterator[InCluster]:
    """The chart beside the scene, not installed yet, to be of three replicas."""
    with InCluster(scene, replicas=3) as made:
        yield made


@pytest.fixture
def faults(incluster: InCluster, record_property: Callable[[str, object], None]) -> Faults:
    """Writes down what became of the faults that a test makes."""
    return Faults(incluster, record_property)

"""Fixtures of the end-to-end tests: one sandbox for all, a namespace and NodePorts of its own for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.faults import Fault, table
from rig.prometheus import Prometheus, of_namespace
from rig.scene import NODE_PORTS, Scene
from sandbox import Sandbox
from sandbox.isolation import in_network
from tests.e2e.harness.exclusive import sharing
from tests.e2e.harness.faulting import PROPERTY

_COMMAND = "python -m sandbox up && python -m sandbox exec -- python -m pytest tests/e2e -n 2"
_PORTS_PER_WORKER = 500
_scenes = itertools.count(os.getpid() % 100)
"""No NodePort is used twice by one process: the kernel remembers for a while that one refused a connection."""


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers."""
    config.addinivalue_line("markers", "alone: disturbs the whole sandbox, so no other test runs beside it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that want the sandbox for themselves come last: each waits for all that have begun, and holds up others."""
    items.sort(key=lambda each: bool(each.get_closest_marker("alone")))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what became of the faults that the tests made, those of all of pytest's processes."""
    reports = [each for group in ("passed", "failed") for each in terminalreporter.stats.get(group, [])]
    told = [value for each in reports if each.when == "call" for key, value in each.user_properties if key == PROPERTY]
    if told:
        terminalreporter.write_sep("=", "faults")
        terminalreporter.write_line("\n".join(table(map(Fault.read, told))))


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """The running sandbox, whose network we are in."""
    found = Sandbox(quiet=True)
    network = found.netns if found.running else None
    if network is None or found.simulated or not in_network(network):
        pytest.fail(f"the end-to-end tests run inside a real sandbox's network:\n    {_COMMAND}", pytrace=False)
    return found


@pytest.fixture
def scene(sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A namespace with a repository, a daemon and load that wait to be started; all of it is gone afterwards."""
    folder = sandbox.kubeconfig.parent
    with sharing(folder, alone=request.node.get_closest_marker("alone") is not None):
        made = Scene(sandbox, tmp_path, _node_ports())
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def prometheus(scene: Scene) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the pods of the scene's namespace."""
    with of_namespace(scene.sandbox, scene.namespace, scene.folder / "prometheus") as made:
        yield made


@pytest.fixture
def another_port(scene: Scene) -> int:
    """A NodePort beside the scene's own."""
    taken = scene.cluster.used_node_ports() | {scene.node_port}
    return next(each for each in _node_ports() if each not in taken)


def _node_ports() -> range:
    """A block of NodePorts for each of pytest's processes, so that no two ever choose the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = NODE_PORTS.start + worker * _PORTS_PER_WORKER
    return range(first + next(_scenes), first + _PORTS_PER_WORKER)

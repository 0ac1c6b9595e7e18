"""What gauges show: the state of apps and sources at the moment of the question."""

from __future__ import annotations

import asyncio
from typing import Any

from reconciler.app.daemon import Daemon
from reconciler.app.settings import Settings
from reconciler.app.settings_source import SourceSettings
from reconciler.core.gitref import branch
from reconciler.core.state import State
from reconciler.errors import Transient
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.git import FakeRepository
from tests.fakes.world import APP, Recorder, World

SOURCE = SourceSettings("git", "https://git.example.com/shop.git", branch("main"), interval=3600.0, timeout=5.0)


class Refusing(FakeCluster):
    """An API server that does nothing it is asked."""

    async def find(self, kind: str, namespace: str, name: str = "") -> Any:
        raise Transient("it is overloaded")


def _daemon(cluster: FakeCluster, clock: FakeClock) -> tuple[Daemon, FakeRepository, Recorder]:
    repository, told = FakeRepository(), Recorder()
    repository.commit({"version": b"v1.0.0"})
    return Daemon(cluster, told, clock, lambda _: repository), repository, told


async def _settle() -> None:
    """The fakes do not sleep, so that a few rounds of the event loop are enough."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_an_app_that_was_woken_is_queued_until_its_turn() -> None:
    daemon, _, _ = _daemon(FakeCluster(), FakeClock())
    await daemon.apply(Settings((SOURCE,), (APP,)))
    await _settle()
    daemon.wake_app(APP.name)
    assert [app.queued for app in daemon.state().apps] == [True]
    await _settle()
    assert [app.queued for app in daemon.state().apps] == [False]
    await daemon.stop()
    assert daemon.state() == State()


async def test_an_app_that_waits_out_a_failure_is_not_queued() -> None:
    daemon, _, told = _daemon(Refusing(), FakeClock())
    await daemon.apply(Settings((SOURCE,), (APP,)))
    await _settle()
    assert "app_failed" in told.names()
    daemon.wake_app(APP.name)
    assert [app.queued for app in daemon.state().apps] == [False]
    await daemon.stop()


async def test_a_source_ages_until_it_is_read_again() -> None:
    clock = FakeClock()
    daemon, repository, _ = _daemon(FakeCluster(), clock)
    await daemon.apply(Settings((SOURCE,), ()))
    await _settle()
    clock.time += 100.0
    assert [round(each.age) for each in daemon.state().sources] == [100]
    repository.fail_with(Transient("away"))
    daemon.wake_source("git")
    await _settle()
    assert [round(each.age) for each in daemon.state().sources] == [100], "a look that failed is none"
    await daemon.stop()


def test_when_traffic_moved_last_is_known_after_a_restart_too() -> None:
    world = World()
    world.release("v1.0.0")
    assert world.observed.front and world.observed.front.memory.active
    since = world.observed.front.memory.active.since
    assert world.daemon.cycle.switched_at == since
    world.advance(100.0)
    world.restart()
    assert world.daemon.cycle.switched_at is None
    world.run()
    assert world.daemon.cycle.switched_at == since

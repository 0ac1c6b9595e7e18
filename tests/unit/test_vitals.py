"""What hangs is told from what merely waits: for Git, for the API server, or for something to happen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.cluster import requests, watch
from reconciler.app.daemon import Daemon
from reconciler.app.settings import Settings
from reconciler.app.settings_source import SourceSettings
from reconciler.app.supervised import GIT_TIMES, SupervisedCluster, SupervisedLeases, Supervision, git_seconds
from reconciler.app.vitals import API_SECONDS, CONFIGURATION_SECONDS, Check, Hung, Vitals
from reconciler.core.gitref import branch
from reconciler.core.membership import Lease
from reconciler.errors import Transient
from reconciler.ports import CALL_SECONDS, Cluster, Repository
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.git import FakeRepository
from tests.fakes.world import APP, Recorder

SOURCE = SourceSettings("git", "https://git.example.com/shop.git", branch("main"), interval=3600.0, timeout=5.0)
SETTINGS = Settings((SOURCE,), (APP,))
ROOT = Path(__file__).resolve().parents[2]


def test_who_says_nothing_any_more_hangs_and_who_is_heard_of_does_not() -> None:
    clock = FakeClock()
    vitals = Vitals(clock.monotonic)
    pulse = vitals.pulse(Check.WATCHES, "watch shop")
    assert vitals.hung() == [], "who never said anything owes nothing"
    pulse.due_within(10.0)
    clock.time += 10.0
    assert vitals.hung() == []
    clock.time += 2.0
    assert vitals.hung() == [Hung(Check.WATCHES, "watch shop", 2.0)]
    pulse.due_within(10.0)
    assert vitals.hung() == [], "it was late, and is there again"
    clock.time += 11.0
    pulse.at_rest()
    assert vitals.hung() == []


def test_what_ends_by_an_error_or_is_cancelled_owes_nothing() -> None:
    clock = FakeClock()
    vitals = Vitals(clock.monotonic)
    for entry in (vitals.pulse(Check.APPS, "app a"), vitals.queue(Check.SOURCES, "source a")):
        for way in (Transient("away"), asyncio.CancelledError()):
            with pytest.raises(type(way)), entry.within(1.0):
                raise way
        clock.time += 100.0
        assert vitals.hung() == []


def test_what_nobody_holds_any_more_is_forgotten() -> None:
    clock = FakeClock()
    vitals = Vitals(clock.monotonic)
    pulse = vitals.pulse(Check.WATCHES, "watch of a kind that is gone")
    pulse.due_within(1.0)
    clock.time += 2.0
    assert len(vitals.hung()) == 1
    del pulse
    assert vitals.hung() == []


def test_in_a_queue_nobody_hangs_as_long_as_somebody_gets_on() -> None:
    """Twenty calls of up to 60 s, one after the other: the last one waits for twenty minutes."""
    clock = FakeClock()
    vitals = Vitals(clock.monotonic)
    queue = vitals.queue(Check.SOURCES, "source shop")
    calls = [queue.within(60.0) for _ in range(20)]
    for call in calls:
        call.__enter__()
    for call in calls:
        clock.time += 59.0
        assert vitals.hung() == []
        call.__exit__(None, None, None)
    clock.time += 1000.0
    assert vitals.hung() == [], "nobody is waiting"
    with queue.within(60.0):
        clock.time += 59.0
        assert vitals.hung() == [], "it counts from the first of those that wait now"
        clock.time += 2.0
        assert [each.task for each in vitals.hung()] == ["source shop"]


class HangingCluster(FakeCluster):
    """An API server that swallows every question, and a client that has forgotten its time-out."""

    async def find(self, kind: str, namespace: str, name: str = "") -> Any:
        await asyncio.Event().wait()


class UnsyncedCluster(FakeCluster):
    """The API server is down: no watch ever knows what there is."""

    async def synced(self, namespace: str) -> None:
        await asyncio.Event().wait()


class Bench:
    """A daemon on fakes, and how it is."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.clock, self.told = FakeClock(), Recorder()
        self.vitals = Vitals(self.clock.monotonic)
        self.repository = FakeRepository()
        self.repository.commit({"version": b"v1.0.0"})
        self.daemon = Daemon(cluster, self.told, self.clock, lambda _: self.repository, vitals=self.vitals)

    async def until_at_rest(self) -> None:
        """Nobody is to be waited for: the fakes do not sleep, so that a few rounds of the event loop are enough."""
        for _ in range(200):
            await asyncio.sleep(0)

    def hung(self) -> list[tuple[Check, str]]:
        return [(each.check, each.task) for each in self.vitals.hung()]


@pytest.fixture
async def benches() -> AsyncIterator[list[Bench]]:
    made: list[Bench] = []
    yield made
    for each in made:
        await each.daemon.stop()


async def test_a_turn_that_never_ends_is_told(benches: list[Bench]) -> None:
    bench = Bench(HangingCluster())
    benches.append(bench)
    await bench.daemon.apply(SETTINGS)
    await bench.until_at_rest()
    bench.clock.time += API_SECONDS - 1
    assert bench.hung() == []
    bench.clock.time += 2
    assert bench.hung() == [(Check.APPS, f"app {APP.name}")]


async def test_a_look_at_git_that_never_ends_is_told(benches: list[Bench]) -> None:
    bench = Bench(FakeCluster())
    bench.repository._timeout = 3600.0
    bench.repository.hang()
    benches.append(bench)
    await bench.daemon.apply(SETTINGS)
    await bench.until_at_rest()
    bench.clock.time += git_seconds(SOURCE.timeout) - 1
    assert bench.hung() == []
    bench.clock.time += 2
    assert bench.hung() == [(Check.SOURCES, "source git")]


async def test_git_down_is_no_hang(benches: list[Bench]) -> None:
    bench = Bench(FakeCluster())
    bench.repository.fail_with(Transient("the host is away"))
    benches.append(bench)
    await bench.daemon.apply(SETTINGS)
    await bench.until_at_rest()
    assert "source_failed" in bench.told.names()
    bench.clock.time += 24 * 3600.0
    assert bench.hung() == []


async def test_an_api_server_that_is_down_is_no_hang(benches: list[Bench]) -> None:
    bench = Bench(UnsyncedCluster())
    benches.append(bench)
    await bench.daemon.apply(SETTINGS)
    await bench.until_at_rest()
    bench.clock.time += 24 * 3600.0
    assert bench.hung() == []


async def test_a_suspended_source_and_an_app_at_rest_are_no_hang(benches: list[Bench]) -> None:
    bench = Bench(FakeCluster())
    benches.append(bench)
    await bench.daemon.apply(replace(SETTINGS, sources=(replace(SOURCE, suspend=True),)))
    await bench.until_at_rest()
    bench.clock.time += 24 * 3600.0
    assert bench.hung() == []


async def test_sources_of_one_address_stand_in_one_queue() -> None:
    vitals = Vitals(FakeClock().monotonic)
    supervision = Supervision(vitals)
    one, two = (supervision.repository(FakeRepository(), replace(SOURCE, name=name)) for name in ("a", "b"))
    other = supervision.repository(FakeRepository(), replace(SOURCE, url="https://git.example.com/other.git"))
    assert one.queues is two.queues is not other.queues  # type: ignore[attr-defined]


def _methods(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


@pytest.mark.parametrize(
    "name", sorted(_methods(Cluster) - {"view", "apps", "synced", "follow", "recovered_at", "guarded"})
)
async def test_every_call_of_the_api_server_owes_its_end(name: str) -> None:
    """Also one that somebody adds to the port: all but those that ask nothing, or wait for a watch."""
    clock = FakeClock()
    vitals = Vitals(clock.monotonic)
    overdue: list[int] = []

    class Slow:
        def acting_as(self, account: object) -> Slow:
            return self

        def __getattr__(self, called: str) -> Any:
            async def call(*given: object) -> object:
                clock.time += API_SECONDS + 1
                overdue.append(len(vitals.hung()))
                return given

            return call

    cluster: Any = SupervisedCluster(Slow(), vitals.pulse(Check.APPS, "app a"))
    if name == "acting_as":
        await cluster.acting_as(None).user()
    else:
        given = _arguments(Cluster, name)
        assert await getattr(cluster, name)(*given) in (given, None), "it is passed on as it is"
    assert (overdue, vitals.hung()) == ([1], [])


@pytest.mark.parametrize("name", sorted(_methods(Repository) - {"tag", "close"}))
async def test_every_call_of_git_owes_its_end(name: str) -> None:
    clock = FakeClock()
    vitals = Vitals(clock.monotonic)
    overdue: list[int] = []

    class Slow:
        def __getattr__(self, called: str) -> Any:
            async def call(*given: object) -> object:
                clock.time += git_seconds(SOURCE.timeout) + 1
                overdue.append(len(vitals.hung()))
                return given

            return call

    repository: Any = Supervision(vitals).repository(Slow(), SOURCE)
    given = _arguments(Repository, name)
    assert await getattr(repository, name)(*given) in (given, None), "it is passed on as it is"
    assert (overdue, vitals.hung()) == ([1], [])


async def test_calls_about_leases_owe_their_end_each_by_itself() -> None:
    """Two tasks of a member ask at the same time: one that is answered says nothing of the other."""
    clock, listing = FakeClock(), asyncio.Event()
    vitals = Vitals(clock.monotonic)

    class Slow:
        async def list(self) -> list[Lease]:
            await listing.wait()
            return []

        async def put(self, lease: Lease) -> Lease:
            return lease

    leases = SupervisedLeases(Slow(), vitals)  # type: ignore[arg-type]
    lease = Lease("a", "a", 10.0)
    listed = asyncio.create_task(leases.list())
    await asyncio.sleep(0)
    assert await leases.put(lease) is lease
    clock.time += API_SECONDS + 1
    assert [(each.check, each.task) for each in vitals.hung()] == [(Check.MEMBERSHIP, "lease")]
    listing.set()
    assert await listed == []
    assert vitals.hung() == []


def _arguments(protocol: type, name: str) -> tuple[object, ...]:
    return tuple(object() for _ in range(getattr(protocol, name).__code__.co_argcount - 1))


def test_the_bounds_are_what_time_outs_come_to() -> None:
    request = requests._LIMIT.total
    assert request is not None
    assert 2 * request <= CALL_SECONDS
    assert CALL_SECONDS < API_SECONDS < CONFIGURATION_SECONDS
    assert watch._SILENCE > watch._SERVER_SIDE_LIMIT
    assert GIT_TIMES > 5


def test_the_bounds_in_the_manual_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "probes.md").read_text(encoding="utf-8")
    rows: Mapping[tuple[str, str], str] = {
        (cells[1], cells[2]): cells[3]
        for line in text.splitlines()
        if line.startswith("| `") and len(cells := [cell.strip() for cell in line.split("|")]) > 5
    }
    numbers = {
        "an app's turn": API_SECONDS,
        "a page of a list": watch._SLACK + CALL_SECONDS,
        "a watch that is open": watch._SILENCE + watch._SLACK,
        "the writing of": API_SECONDS,
        "a configuration": CONFIGURATION_SECONDS,
    }
    for task, seconds in numbers.items():
        [said] = [said for (_, begins), said in rows.items() if begins.startswith(task)]
        assert re.match(r"(\d+) s", said) and float(said.split()[0]) == seconds, f"{task}: {said}"
    [git] = [said for (check, _), said in rows.items() if check == "`sources`"]
    assert git.startswith(f"{GIT_TIMES:g} × the source's `timeout` + {API_SECONDS:g} s")
    assert {check.strip("`") for check, _ in rows} >= set(Check)

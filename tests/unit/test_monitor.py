"""The daemon as a whole and who may ask it: from before it knows anything until after it has done everything."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.telemetry import EventLog
from reconciler.app.daemon import Daemon
from reconciler.app.settings import load_settings
from reconciler.compose import Options
from reconciler.compose.monitor import Readiness
from reconciler.compose.service import _Running
from reconciler.core.event import Event
from reconciler.core.model import Manifest
from reconciler.errors import Transient
from tests.fakes.cluster import FakeCluster
from tests.fakes.git import FakeRepository

SOON = 20.0


class Cluster(FakeCluster):
    """Knows what there is when the test says so, and may swallow what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.known = asyncio.Event()
        self.swallows = False
        self.asked = asyncio.Event()

    async def synced(self, namespace: str) -> None:
        await self.known.wait()

    async def find(self, kind: str, namespace: str, name: str = "") -> Any:
        self.asked.set()
        if self.swallows:
            await asyncio.Event().wait()
        return await super().find(kind, namespace, name)


class Clock(SystemClock):
    """Monotonic time that the test moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.later = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later


class Bench:
    """A daemon on fakes, with a real port to be asked at."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "reconciler.yaml"
        self.configure()
        self.cluster, self.repository, self.clock = Cluster(), FakeRepository(), Clock()
        self.repository.commit({"version": b"v1.0.0"})
        self.out = io.StringIO()
        self.running = _Running(Options(self.config, folder), self.clock, look_again=0.05)
        self.running.synced = lambda _: self.cluster.known.is_set()
        self.running.log = EventLog(self.clock.now, self._not_posted, self.out)
        monitor = self.running.monitor
        told = self.cluster, self.running.log, self.clock
        self.running.daemon = Daemon(*told, lambda _: self.repository, meter=monitor.metrics, vitals=monitor.vitals)
        self.task: asyncio.Task[None] | None = None

    async def _not_posted(self, about: Manifest, event: Event, at: float) -> None:
        """No Kubernetes Event leaves a test."""

    def configure(self, address: str = "127.0.0.1:0", **settings: Any) -> None:
        app = {"name": "my-app", "namespace": "shop", "source": "shop", "values": {"image": "x"}, **settings}
        held = {"sources": [{"name": "shop", "url": "/none", "interval": "1h"}], "apps": [app]}
        draft = self.config.with_suffix(".new")
        draft.write_text(json.dumps(held | {"monitoring": {"address": address} if address else None}))
        draft.replace(self.config)

    def start(self) -> None:
        self.task = asyncio.create_task(self.running.run(load_settings(self.config)))

    def events(self, name: str) -> list[Mapping[str, Any]]:
        return [each for each in map(json.loads, self.out.getvalue().splitlines()) if each["event"] == name]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(SOON):
            while not holds():
                await asyncio.sleep(0.005)

    async def ask(self, path: str) -> tuple[int, str]:
        address = self.events("monitoring_opened")[-1]["address"]
        limit = aiohttp.ClientTimeout(SOON)
        async with aiohttp.request("GET", f"http://{address}{path}", timeout=limit) as response:
            return response.status, await response.text()

    async def metric(self, line: str) -> float | None:
        self.clock.later += 2.0  # the same is shown for a second
        _, text = await self.ask("/metrics")
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else None

    async def end(self) -> None:
        assert self.task
        self.running._end("the test")
        await asyncio.wait_for(self.task, SOON)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_it_answers_before_the_cluster_was_reached_and_is_ready_after_that(bench: Bench) -> None:
    bench.start()
    await bench.until(lambda: bench.events("started"))
    assert await bench.ask("/livez") == (200, "ok\n")
    assert await bench.ask("/readyz?verbose") == (
        500,
        "[+]configuration ok\n[-]caches failed\n[+]membership ok\n[+]running ok\nfailed\n",
    )
    bench.cluster.known.set()
    assert await bench.ask("/readyz") == (200, "ok\n")
    await bench.end()
    with pytest.raises(aiohttp.ClientConnectionError):
        await bench.ask("/livez")


async def test_it_answers_until_it_has_ended_but_is_not_ready_any_more(bench: Bench) -> None:
    """The end is held up by a repository that takes its time to close."""
    closing, go_on = asyncio.Event(), asyncio.Event()

    async def close() -> None:
        closing.set()
        await go_on.wait()

    bench.cluster.known.set()
    bench.repository.close = close  # type: ignore[method-assign]
    bench.start()
    await bench.until(lambda: bench.events("started"))
    assert await bench.ask("/readyz") == (200, "ok\n")
    bench.running._end("the test")
    await asyncio.wait_for(closing.wait(), SOON)
    status, text = await bench.ask("/readyz?verbose")
    assert (status, "[-]running failed" in text) == (500, True)
    assert await bench.ask("/livez") == (200, "ok\n")
    go_on.set()
    await bench.end()


async def test_a_task_that_hangs_fails_livez_and_is_told_once(bench: Bench) -> None:
    bench.cluster.known.set()
    bench.cluster.swallows = True
    bench.start()
    await asyncio.wait_for(bench.cluster.asked.wait(), SOON)
    assert await bench.ask("/livez") == (200, "ok\n")
    bench.clock.later = 100.0
    for _ in range(3):
        status, text = await bench.ask("/livez?verbose")
        assert (status, text.count("failed"), "[-]apps failed" in text) == (500, 2, True)
        assert "my-app" not in text
    [told] = bench.events("task_hung")
    assert told["task"] == "app my-app"
    assert await bench.ask("/readyz") == (200, "ok\n"), "a restart is the kubelet's business"
    await bench.end()


async def test_git_down_fails_nothing(bench: Bench) -> None:
    bench.cluster.known.set()
    bench.repository.fail_with(Transient("the host is away"))
    bench.start()
    await bench.until(lambda: bench.events("source_failed"))
    bench.clock.later = 24 * 3600.0
    assert await bench.ask("/livez") == (200, "ok\n")
    assert await bench.ask("/readyz") == (200, "ok\n")
    assert (await bench.metric('reconciler_source_failures_total{source="shop"}') or 0) >= 1
    assert (await bench.metric('reconciler_source_age_seconds{source="shop"}') or 0) > 24 * 3600.0
    await bench.end()


async def test_a_reload_moves_the_port_and_a_broken_one_leaves_it(bench: Bench, unused_tcp_port: int) -> None:
    bench.cluster.known.set()
    bench.start()
    await bench.until(lambda: bench.events("started"))
    first = bench.events("monitoring_opened")[-1]["address"]
    bench.configure("127.0.0.1:99999")
    await bench.until(lambda: bench.events("config_rejected"))
    assert await bench.ask("/livez") == (200, "ok\n")
    bench.configure(f"127.0.0.1:{unused_tcp_port}")
    await bench.until(lambda: bench.events("config_reloaded"))
    assert bench.events("monitoring_opened")[-1]["address"] == f"127.0.0.1:{unused_tcp_port}" != first
    assert await bench.ask("/readyz") == (200, "ok\n")
    bench.configure("")
    await bench.until(lambda: len(bench.events("config_reloaded")) == 2)
    with pytest.raises(aiohttp.ClientConnectionError):
        await bench.ask("/livez")
    await bench.end()


async def test_a_turn_and_its_app_are_measured(bench: Bench) -> None:
    bench.cluster.known.set()
    bench.start()
    await bench.until(lambda: bench.events("phase_changed"))
    assert await bench.metric("reconciler_apps_owned") == 1
    assert (await bench.metric('reconciler_reconcile_duration_seconds_count{result="ok"}') or 0) >= 1
    phases = [each["phase"] for each in bench.events("phase_changed")]
    assert await bench.metric(f'reconciler_app_phase{{app="my-app",namespace="shop",phase="{phases[-1]}"}}') == 1
    assert (await bench.metric("reconciler_queue_latency_seconds_count") or 0) >= 1
    bench.configure(name="other")
    await bench.until(lambda: bench.events("config_reloaded"))
    assert await bench.metric('reconciler_switches_total{app="my-app",namespace="shop"}') is None
    assert await bench.metric('reconciler_switches_total{app="other",namespace="shop"}') == 0
    await bench.end()


def test_once_ready_only_the_end_changes_that() -> None:
    synced = {"a": False}
    readiness = Readiness(lambda: synced.keys(), lambda name: synced[name])
    assert set(readiness.checks().values()) == {False, True}
    assert not readiness.checks()["caches"], "nobody knows yet which namespaces there are"
    readiness.configured = True
    assert not readiness.checks()["caches"]
    synced["a"] = True
    assert all(readiness.checks().values())
    synced |= {"b": False}
    assert all(readiness.checks().values()), "a namespace that came later"
    assert readiness.checks()["membership"], "a daemon that is alone has all apps"
    readiness.stopping = True
    assert not all(readiness.checks().values())


def test_a_member_is_ready_when_it_has_its_share_and_stays_so() -> None:
    joined = False
    readiness = Readiness(set, lambda _: True, lambda: joined, configured=True)
    assert readiness.checks() == {"configuration": True, "caches": True, "membership": False, "running": True}
    joined = True
    assert all(readiness.checks().values())
    joined = False
    assert all(readiness.checks().values()), "it cannot renew its Lease: the others look after its apps meanwhile"

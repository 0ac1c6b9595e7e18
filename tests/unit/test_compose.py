"""The running daemon and what reaches it from outside: a configuration that changes, repositories that come and go."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from watchdog.utils import BaseThread

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.git import GitRepository, Mirrors
from reconciler.adapters.telemetry import EventLog
from reconciler.app.daemon import Daemon
from reconciler.app.settings import load_settings
from reconciler.app.settings_source import SourceSettings
from reconciler.compose import Options, workbench
from reconciler.compose.service import _Running
from reconciler.core.gitref import branch
from reconciler.errors import Blocked, Invalid, Transient
from tests.fakes.cluster import FakeCluster
from tests.fakes.git import GitOrigin
from tests.fakes.services import WebService

SOON = 10.0
"""Seconds that an event is awaited for; reaching them fails the test."""
ELSEWHERE = "https://git.example.com/shop.git"


async def _not_posted(*_: object) -> None:
    """No Kubernetes Event leaves a test."""


class Bench:
    """The daemon on a cluster in memory, real files and a real repository, both in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config" / "reconciler.yaml"
        self.origin = GitOrigin(folder / "origin.git")
        self.origin.commit({"version": b"v1"})
        self.notifications: list[dict[str, Any]] = []
        self.configure("1h")
        clock, mirrors = SystemClock(), Mirrors(folder / "mirrors")
        self._out = io.StringIO()
        self.running = _Running(Options(self.config, folder), clock, look_again=0.05)
        self.running.log = EventLog(clock.now, _not_posted, self._out)
        self.running.daemon = Daemon(
            FakeCluster(),
            self.running.log,
            clock,
            lambda source: GitRepository(self.url(source), source.ref, mirrors),
        )

    def url(self, source: SourceSettings) -> str:
        """`ELSEWHERE` is here, but nobody who looks at the configuration can know."""
        return str(self.origin.path) if source.url == ELSEWHERE else source.url

    def configure(self, interval: str, url: str = "", webhook: dict[str, Any] | None = None, **settings: Any) -> None:
        self.config.parent.mkdir(exist_ok=True)
        source = {"name": "shop", "url": url or str(self.origin.path), "interval": interval, **settings}
        draft = self.config.with_suffix(".new")
        held = {"sources": [source], "apps": [], "webhook": webhook, "notifications": self.notifications}
        draft.write_text(json.dumps(held))
        draft.replace(self.config)

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.running.run(load_settings(self.config)))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [each for each in map(json.loads, self._out.getvalue().splitlines()) if each["event"] == name]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(SOON):
            while not holds():
                await asyncio.sleep(0.005)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not [each for each in threading.enumerate() if isinstance(each, BaseThread)], "files are still watched"


async def _ended(bench: Bench, task: asyncio.Task[None]) -> None:
    bench.running._end("the test")
    await asyncio.wait_for(task, SOON)
    assert bench.events("stopped")


async def test_a_change_between_reading_and_watching_is_not_missed(bench: Bench) -> None:
    task = bench.start()
    bench.configure("2h")
    await bench.until(lambda: bench.events("config_reloaded"))
    await _ended(bench, task)


async def test_an_unchanged_configuration_is_not_told(bench: Bench) -> None:
    task = bench.start()
    await bench.until(lambda: bench.events("source_updated"))
    bench.configure("1h")
    bench.configure("2h")
    await bench.until(lambda: bench.events("config_reloaded"))
    assert len(bench.events("config_reloaded")) == 1
    await _ended(bench, task)


async def test_a_folder_that_vanished_and_came_back_is_watched_again(bench: Bench) -> None:
    task = bench.start()
    await bench.until(lambda: bench.events("source_updated"))
    shutil.rmtree(bench.config.parent)
    await bench.until(lambda: bench.events("config_rejected"))
    bench.configure("1h")
    await bench.until(lambda: bench.events("config_reloaded"))
    bench.configure("2h")
    await bench.until(lambda: len(bench.events("config_reloaded")) == 2)
    await _ended(bench, task)


async def test_a_repository_that_was_deleted_and_made_anew_is_watched_again(bench: Bench, tmp_path: Path) -> None:
    task = bench.start()
    await bench.until(lambda: bench.events("source_updated"))
    shutil.rmtree(bench.origin.path)
    await bench.until(lambda: bench.events("source_failed"))
    again = GitOrigin(tmp_path / "origin.git")
    await bench.until(lambda: bench.running._watches["shop"].alive)
    for content in (b"v2", b"v3"):
        commit = again.commit({"version": content})
        await bench.until(lambda wanted=commit: [e for e in bench.events("source_updated") if e["commit"] == wanted])  # type: ignore[misc]
    await _ended(bench, task)


async def test_a_start_that_fails_leaves_nothing_running_and_does_not_say_that_it_started(bench: Bench) -> None:
    settings = load_settings(bench.config)
    (source,) = settings.sources
    hopeless = type(settings)((type(source)("shop", "ext::x", branch("main"), 60.0, 5.0),), ())
    with pytest.raises(Invalid):
        await bench.running.run(hopeless)
    assert not bench.events("started")


def _webhook(bench: Bench, port: int = 0) -> dict[str, Any]:
    secret = bench.config.with_name("secret")
    secret.write_text("the-secret-of-shop")
    receiver = {"name": "ci", "type": "gitlab", "secretFile": str(secret), "sources": ["shop"]}
    return {"address": f"127.0.0.1:{port}", "receivers": [receiver]}


async def _post(address: str) -> int:
    headers = {"X-Gitlab-Token": "the-secret-of-shop"}
    async with aiohttp.request("POST", f"http://{address}/hook/ci", headers=headers) as response:
        return response.status


async def test_a_webhook_makes_the_daemon_look_at_git_now(bench: Bench) -> None:
    """No file is watched, as the address is none of this machine, and the interval is an hour."""
    bench.configure("1h", ELSEWHERE, webhook=_webhook(bench))
    task = bench.start()
    await bench.until(lambda: bench.events("source_updated"))
    commit = bench.origin.commit({"version": b"v2"})
    [opened] = bench.events("webhook_opened")
    assert await _post(opened["address"]) == 202
    await bench.until(lambda: [e for e in bench.events("source_updated") if e["commit"] == commit])
    assert bench.events("webhook_received")
    await _ended(bench, task)
    with pytest.raises(aiohttp.ClientConnectionError):
        await _post(opened["address"])


async def test_a_webhook_comes_goes_and_stays_where_a_new_port_is_taken(bench: Bench) -> None:
    task = bench.start()
    await bench.until(lambda: bench.events("started"))
    bench.configure("1h", webhook=_webhook(bench))
    await bench.until(lambda: len(bench.events("config_reloaded")) == 1)
    [opened] = bench.events("webhook_opened")
    with socket.create_server(("127.0.0.1", 0)) as other:
        bench.configure("2h", webhook=_webhook(bench, other.getsockname()[1]))
        await bench.until(lambda: bench.events("config_rejected"))
    assert "in use" in bench.events("config_rejected")[0]["reason"]
    assert await _post(opened["address"]) == 202
    bench.configure("1h")
    await bench.until(lambda: len(bench.events("config_reloaded")) == 2)
    with pytest.raises(aiohttp.ClientConnectionError):
        await _post(opened["address"])
    await _ended(bench, task)


async def test_an_address_that_git_cannot_have_leaves_the_webhook_as_it_was(bench: Bench) -> None:
    bench.configure("1h", webhook=_webhook(bench))
    task = bench.start()
    await bench.until(lambda: bench.events("started"))
    settings = load_settings(bench.config)
    hopeless = type(settings)((replace(settings.sources[0], url="ext::x"),), (), None)
    with pytest.raises(Invalid):
        await bench.running._apply(hopeless)
    assert await _post(bench.events("webhook_opened")[-1]["address"]) == 202
    await _ended(bench, task)


async def test_a_start_on_a_port_that_is_taken_fails(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bench.configure("1h", webhook=_webhook(bench, other.getsockname()[1]))
        with pytest.raises(Transient, match="in use"):
            await bench.running.run(load_settings(bench.config))
    assert not bench.events("started")


async def test_a_command_without_a_cluster_says_that_it_cannot_read_a_secret(bench: Bench, tmp_path: Path) -> None:
    source = {"name": "shop", "url": "https://127.0.0.1:1/x", "secretRef": {"name": "git"}}
    app = {"name": "web", "source": "shop", "values": {"image": "x"}}
    bench.config.write_text(json.dumps({"sources": [source], "apps": [app]}))
    async with workbench(Options(bench.config, tmp_path), with_cluster=False) as made:
        (sight,) = await made.render([])
    assert isinstance(sight.error, Blocked)
    assert sight.error.where == "Secret default/git"
    assert "does not talk to" in sight.error.what


async def test_a_local_tag_is_noticed_at_once(bench: Bench) -> None:
    bench.configure("1h", ref={"semver": "1.x"})
    bench.origin.tag("v1.0.0")
    task = bench.start()
    await bench.until(lambda: bench.events("source_updated"))
    commit = bench.origin.commit({"version": b"v2"}, unrelated=False)
    bench.origin.tag("v1.1.0", annotated=True)
    await bench.until(
        lambda: [e for e in bench.events("source_updated") if (e["tag"], e["commit"]) == ("v1.1.0", commit)]
    )
    await _ended(bench, task)


async def test_people_are_told_by_a_channel_that_came_with_a_reload(bench: Bench, tmp_path: Path) -> None:
    with WebService() as service:
        task = bench.start()
        await bench.until(lambda: bench.events("source_updated"))
        (tmp_path / "chat").write_text(service.address())
        bench.notifications = [{"name": "team", "urlFile": str(tmp_path / "chat")}]
        bench.configure("1h")
        await bench.until(lambda: bench.events("config_reloaded"))
        bench.origin.path.rename(tmp_path / "elsewhere")
        bench.running.daemon.wake_source("shop")
        await bench.until(lambda: service.taken)
        assert service.titles() == ["source shop: cannot be followed"]
        await _ended(bench, task)
        assert not bench.events("notification_failed")

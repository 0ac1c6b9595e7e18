"""`/livez`, `/readyz` and `/metrics` over real sockets: what is answered, to whom, and how little of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from reconciler.app.settings_monitoring import MonitoringSettings
from reconciler.errors import Invalid, Transient
from reconciler.web.monitoring import Monitoring
from tests.fakes.clock import FakeClock
from tests.fakes.world import Recorder

SOON = 20.0
ANY = MonitoringSettings("127.0.0.1", 0)


class Bench:
    """The answers of a daemon that is as the test says."""

    def __init__(self) -> None:
        self.live, self.ready = {"apps": True, "watches": True}, {"caches": True}
        self.told, self.clock = Recorder(), FakeClock()
        self.scrapes: list[bool] = []
        self.monitoring = Monitoring(lambda: self.live, lambda: self.ready, self.exposition, self.told, self.clock)

    async def exposition(self, openmetrics: bool) -> tuple[bytes, str]:
        self.scrapes.append(openmetrics)
        await asyncio.sleep(0)
        return f"scrape {len(self.scrapes)}".encode(), "text/plain; version=0.0.4; charset=utf-8"

    @property
    def address(self) -> str:
        return str(self.told.last("monitoring_opened").fields["address"])

    async def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        url, limit = f"http://{self.address}{path}", aiohttp.ClientTimeout(SOON)
        async with aiohttp.request(method, url, headers=headers, timeout=limit) as response:
            assert "Python" not in str(response.headers)
            return response.status, await response.text()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.monitoring.apply(ANY)
    yield made
    await made.monitoring.close()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_probe_says_ok(bench: Bench, path: str) -> None:
    assert await bench.ask(path) == (200, "ok\n")


async def test_a_probe_that_fails_says_which_check_if_it_is_asked(bench: Bench) -> None:
    bench.live["watches"] = False
    assert await bench.ask("/livez") == (500, "failed\n")
    assert await bench.ask("/livez?verbose") == (500, "[+]apps ok\n[-]watches failed\nfailed\n")
    assert await bench.ask("/readyz?verbose") == (200, "[+]caches ok\nok\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/livez/apps", "/hook/x", "//livez"])
async def test_there_is_nothing_else(bench: Bench, path: str) -> None:
    assert await bench.ask(path) == (404, "")


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_can_be_done(bench: Bench, method: str) -> None:
    assert await bench.ask("/livez", method) == (404, "")


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", True),
        ("text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0", False),
        ("application/openmetrics-text-x", False),
    ],
)
async def test_the_format_is_what_is_asked_for(bench: Bench, accept: str, openmetrics: bool) -> None:
    status, _ = await bench.ask("/metrics", Accept=accept)
    assert (status, bench.scrapes) == (200, [openmetrics])


async def test_many_who_ask_at_once_get_the_same(bench: Bench) -> None:
    answers = await asyncio.gather(*(bench.ask("/metrics") for _ in range(30)))
    assert answers == [(200, "scrape 1")] * 30
    bench.clock.time += 1.0
    assert await bench.ask("/metrics") == (200, "scrape 2")


async def test_a_stranger_who_holds_every_connection_does_not_keep_the_kubelet_out() -> None:
    bench = Bench()
    bench.monitoring.limits = replace(bench.monitoring.limits, connections=2, header_seconds=3600.0)
    await bench.monitoring.apply(ANY)
    host, _, port = bench.address.rpartition(":")
    held = [await asyncio.open_connection(host, int(port)) for _ in range(5)]
    for reader, _ in held[:3]:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), SOON)
    assert await bench.ask("/livez") == (200, "ok\n")
    for _, writer in held:
        writer.close()
    await bench.monitoring.close()


async def test_what_is_no_http_is_told_to_nobody(bench: Bench) -> None:
    host, _, port = bench.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    answered = await asyncio.wait_for(reader.read(), SOON)
    assert answered.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    writer.close()
    assert bench.told.names() == ["monitoring_opened"]


async def test_the_port_moves_and_stays_where_the_new_one_is_taken(bench: Bench) -> None:
    first = bench.address
    assert not await bench.monitoring.apply(ANY), "nothing changed"
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(Transient, match="in use") as caught:
            await bench.monitoring.apply(MonitoringSettings("127.0.0.1", other.getsockname()[1]))
        assert str(caught.value.where).startswith("monitoring.address 127.0.0.1:")
        free = other.getsockname()[1]
    assert bench.address == first
    assert await bench.ask("/livez") == (200, "ok\n")
    assert await bench.monitoring.apply(MonitoringSettings("127.0.0.1", free))
    assert bench.address == f"127.0.0.1:{free}" != first
    assert await bench.ask("/livez") == (200, "ok\n")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*first.split(":"))
    with pytest.raises(Invalid):
        await bench.monitoring.apply(MonitoringSettings("192.0.2.1", free))
    assert await bench.ask("/livez") == (200, "ok\n"), "it was opened again where it had been"
    assert await bench.monitoring.apply(None)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", free)


async def test_no_more_connections_than_the_limit_however_many_come_at_once(bench: Bench) -> None:
    """They are accepted before any of them is set up, or gone."""
    bench.monitoring.limits = replace(bench.monitoring.limits, connections=2, header_seconds=3600.0)
    await bench.monitoring.apply(MonitoringSettings("127.0.0.2", 0))
    host, _, port = bench.address.rpartition(":")
    held = [socket.create_connection((host, int(port)), SOON) for _ in range(40)]  # the event loop stands still
    for each in held:
        each.setblocking(False)
    async with asyncio.timeout(SOON):
        while sum(map(_is_open, held)) > 2:
            await asyncio.sleep(0.01)
    assert await bench.ask("/livez") == (200, "ok\n")
    for each in held:
        each.close()


def _is_open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False

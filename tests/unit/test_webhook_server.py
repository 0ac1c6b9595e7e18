"""The webhook over real sockets: what wakes a source, what does not, and what a stranger can take from us."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from reconciler.adapters.secretfile import read_secret
from reconciler.app.settings_webhook import ReceiverSettings, WebhookSettings
from reconciler.core.webhook import Kind
from reconciler.errors import Invalid, Transient
from reconciler.web.listener import Limits
from reconciler.web.webhook import Webhooks
from tests.fakes.clock import FakeClock
from tests.fakes.world import Recorder

SOON = 20.0
"""Seconds that anything is awaited for; reaching them fails the test."""
SECRET, OTHER = "the-secret-of-shop", "another-secret-of-shop"
LIMITS = Limits(body=1000, header_seconds=3600.0, body_seconds=3600.0)
"""Times so long that only a test that shortens one of them can meet it."""


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


class Bench:
    """A receiver `ci` that wakes `shop` and `other`, on a port that was free."""

    def __init__(self, folder: Path, limits: Limits = LIMITS) -> None:
        self.secret = folder / "secret"
        self.secret.write_text(SECRET + "\n")
        self.clock, self.told = FakeClock(), Recorder()
        self.woken: list[str] = []
        self.hooks = Webhooks(self.woken.append, self.told, self.clock, read_secret, limits)
        self.receiver = ReceiverSettings("ci", Kind.GENERIC, str(self.secret), ("shop", "other"))
        self.settings = WebhookSettings("127.0.0.1", 0, (self.receiver,))

    @property
    def port(self) -> int:
        return int(self.hooks.address.rpartition(":")[2])

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None, path: str = "/hook/ci") -> int:
        return await self.ask("POST", path, body, signed(body) if headers is None else headers)

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        timeout = aiohttp.ClientTimeout(SOON)
        url = f"http://{self.hooks.address}{path}"
        async with aiohttp.request(method, url, data=body, headers=headers, timeout=timeout) as response:
            assert await response.read() == b"", "an answer says its status and nothing else"
            assert "Python" not in str(response.headers)
            return response.status

    async def raw(self, *parts: bytes, whole: bool = False) -> bytes:
        """What these bytes are answered with, on a connection of their own; `whole`: until we hang up."""
        async with asyncio.timeout(SOON):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"".join(parts))
            answered = await (reader.read() if whole else reader.readuntil(b"\r\n\r\n"))
            writer.close()
            return answered

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(SOON):
            while not holds():
                await asyncio.sleep(0.002)

    def refusals(self) -> list[tuple[str, int, str]]:
        found = (each.fields for each in self.told.events if each.name == "webhook_refused")
        return [(each["receiver"], each["count"], each["reason"]) for each in found]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    await made.hooks.apply(made.settings)
    yield made
    await made.hooks.close()
    assert SECRET not in str(made.told.events)
    await made.until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


def head(length: str, *more: str, path: str = "/hook/ci") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", length, *more, "", ""]
    return "\r\n".join(lines).encode()


def status_of(answered: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d+) ", answered)
    assert found, answered
    return int(found[1])


async def test_who_knows_the_secret_wakes_every_source_of_the_receiver(bench: Bench) -> None:
    assert await bench.post(b"{}") == 202
    assert bench.woken == ["shop", "other"]
    assert [dict(each.fields) for each in bench.told.events if each.name == "webhook_received"] == [
        {"receiver": "ci", "source": "shop"},
        {"receiver": "ci", "source": "other"},
    ]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "there is no header x-signature"),
        (signed(b"{ }"), "the signature is wrong"),
        (signed(b"{}", OTHER), "the signature is wrong"),
        ({"X-Signature": "sha256=\xff\xfe"}, "the signature is wrong"),
        ({"X-Hub-Signature-256": signed(b"{}")["X-Signature"]}, "there is no header x-signature"),
    ],
)
async def test_who_does_not_wakes_nobody(bench: Bench, headers: Mapping[str, str], reason: str) -> None:
    assert await bench.post(b"{}", headers) == 401
    assert bench.woken == []
    assert bench.refusals() == [("ci", 1, reason)]


async def test_a_signature_that_is_given_twice_is_none(bench: Bench) -> None:
    good = f"X-Signature: {signed(b'')['X-Signature']}"
    assert status_of(await bench.raw(head("Content-Length: 0", good, good))) == 401
    assert status_of(await bench.raw(head("Content-Length: 0", good))) == 202


@pytest.mark.parametrize("path", ["/", "/hook/", "/hook/ci/", "/hook/other", "/ci", "/hook/../hook/c"])
async def test_other_paths_lead_nowhere(bench: Bench, path: str) -> None:
    assert await bench.post(b"{}", path=path) == 404
    assert await bench.ask("GET", "/hook/ci", b"", signed(b"")) == 404
    assert bench.woken == []
    await bench.hooks.close()
    assert [(who, count) for who, count, _ in bench.refusals()] == [("", 1), ("", 1)]


async def test_a_load_balancer_that_asks_whether_somebody_is_there_is_answered(bench: Bench) -> None:
    """Those of clouds send nobody here before `GET /` is answered with 200."""
    assert [await bench.ask(method, "/", b"", {}) for method in ("GET", "HEAD")] == [200, 200]
    assert [await bench.ask("GET", "/", b"", {}) for _ in range(19)] == [200] * 18 + [429]
    assert bench.woken == []


async def test_a_replay_is_answered_and_wakes_nobody_for_ten_minutes(bench: Bench) -> None:
    replays = [{**signed(b"{}"), "X-GitHub-Delivery": str(number)} for number in range(3)]
    assert [await bench.post(b"{}", each) for each in replays] == [202, 200, 200]
    assert await bench.post(b"{ }") == 202
    assert bench.woken == ["shop", "other"] * 2
    bench.clock.time += 600
    assert await bench.post(b"{}") == 202


async def test_a_forged_request_does_not_make_the_honest_one_a_replay(bench: Bench) -> None:
    assert await bench.post(b"{}", {"X-Signature": "sha256=" + "0" * 64}) == 401
    assert await bench.post(b"{}") == 202


async def test_a_ping_of_github_wakes_nobody(bench: Bench) -> None:
    await bench.hooks.apply(replace(bench.settings, receivers=(replace(bench.receiver, kind=Kind.GITHUB),)))
    signature = {"X-Hub-Signature-256": signed(b"{}")["X-Signature"]}
    assert await bench.post(b"{}", {**signature, "X-GitHub-Event": "ping"}) == 200
    assert bench.woken == []
    assert await bench.post(b"{}", {"X-GitHub-Event": "ping"}) == 401
    assert await bench.post(b"{}", {**signature, "X-GitHub-Event": "push"}) == 202


async def test_each_receiver_has_its_own_rate_and_all_else_one_together(bench: Bench) -> None:
    second = replace(bench.receiver, name="second", sources=("shop",))
    await bench.hooks.apply(replace(bench.settings, receivers=(bench.receiver, second)))
    answers = [await bench.post(b"%d" % number) for number in range(25)]
    assert answers == [202] * 20 + [429] * 5
    assert await bench.post(b"{}", path="/hook/second") == 202
    strays = [await bench.post(b"", path=f"/hook/stray{number}") for number in range(22)]
    assert strays == [404] * 20 + [429] * 2
    bench.clock.time += 1
    assert [await bench.post(b"later %d" % number) for number in range(12)] == [202] * 10 + [429] * 2


async def test_refusals_are_told_once_a_minute_with_their_number(bench: Bench) -> None:
    wrong = ("ci", "the signature is wrong")
    for _ in range(3):
        await bench.post(b"{}", signed(b"x"))
    assert bench.refusals() == [("ci", 1, wrong[1])]
    bench.clock.time += 60
    await bench.post(b"{}", signed(b"x"))
    assert bench.refusals()[1:] == [("ci", 3, wrong[1])]
    await bench.post(b"{}", signed(b"x"))
    await bench.hooks.close()
    assert bench.refusals()[2:] == [("ci", 1, wrong[1])]


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(bench: Bench) -> None:
    assert await bench.post(b"x" * 1000) == 202
    assert await bench.post(b"x" * 1001) == 413
    assert status_of(await bench.raw(head("Content-Length: 1001"))) == 413, "it is not waited for"
    assert status_of(await bench.raw(head("Content-Length: 1099511627776"))) == 413
    assert bench.refusals() == [("ci", 1, "the body is larger than 1000 bytes")]


async def test_a_body_in_chunks_has_the_same_limit(bench: Bench) -> None:
    signature = f"X-Signature: {signed(b'x' * 1000)['X-Signature']}"
    chunked = head("Transfer-Encoding: chunked", signature)
    chunk = b"1f4\r\n" + b"x" * 500 + b"\r\n"
    assert status_of(await bench.raw(chunked, chunk, chunk, b"0\r\n\r\n")) == 202
    assert status_of(await bench.raw(chunked, chunk, chunk, chunk)) == 413, "it is not read to its end"


async def test_a_packed_body_is_not_unpacked(bench: Bench) -> None:
    assert (
        await bench.post(b"\x1f\x8b no such thing", {**signed(b"\x1f\x8b no such thing"), "Content-Encoding": "gzip"})
        == 202
    )


@pytest.mark.parametrize(
    "part", [head("Content-Length: 10") + b"half", head("Transfer-Encoding: chunked") + b"5\r\nhal"]
)
async def test_a_body_that_breaks_off_is_refused(bench: Bench, part: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    writer.write(part)
    await writer.drain()
    writer.close()
    await bench.until(bench.refusals)
    assert bench.refusals() == [("ci", 1, "the body broke off")]
    assert bench.woken == [] and "bug" not in bench.told.names()


@pytest.mark.parametrize(
    "sent",
    [
        b"rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /hook/ci HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /hook/ci HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"POST /hook/ci HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_learns_nothing(bench: Bench, sent: bytes) -> None:
    answered = await bench.raw(sent, whole=True)
    assert status_of(answered) == 400
    assert answered.partition(b"\r\n\r\n")[2] == b""
    assert b"Server: reconciler" in answered
    assert bench.refusals() == [("", 1, "it is no HTTP")]


async def test_a_bug_of_ours_is_told_to_us_alone(bench: Bench) -> None:
    def broken(source: str) -> None:
        raise ZeroDivisionError(source)

    bench.hooks.wake = broken
    assert await bench.post(b"{}") == 500
    assert "ZeroDivisionError" in bench.told.last("bug").fields["reason"]
    assert bench.refusals() == []


async def test_a_slow_body_is_not_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(LIMITS, body_seconds=0.05))
    await bench.hooks.apply(bench.settings)
    assert status_of(await bench.raw(head("Content-Length: 10"), b"slow")) == 408
    assert bench.refusals() == [("ci", 1, "the body took longer than 0.05 s")]
    await bench.hooks.close()


async def test_slow_headers_are_not_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(LIMITS, header_seconds=0.05))
    await bench.hooks.apply(bench.settings)
    assert await bench.raw(b"", whole=True) == b""
    assert await bench.raw(b"POST /hook/ci HTTP/1.1\r\nHost:", whole=True) == b""
    await bench.hooks.close()


async def test_more_connections_than_the_limit_are_turned_away(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(LIMITS, connections=1))
    await bench.hooks.apply(bench.settings)
    async with asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        body = b"{}"
        signature = f"X-Signature: {signed(body)['X-Signature']}"
        writer.write(head(f"Content-Length: {len(body)}", signature, "Expect: 100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await _turned_away(bench)
        writer.write(body)
        assert status_of(await reader.read()) == 202
        writer.close()
    assert bench.refusals() == [("", 1, "there are too many connections")]
    await bench.hooks.close()


async def _turned_away(bench: Bench) -> bool:
    try:
        return await bench.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", whole=True) == b""
    except ConnectionError:
        return True


async def test_a_connection_carries_one_request(bench: Bench) -> None:
    first, second = head("Content-Length: 0"), head("Content-Length: 0", path="/hook/second")
    assert (await bench.raw(first, second, whole=True)).count(b"HTTP/1.1") == 1


async def test_the_end_does_not_wait_for_whoever_is_slow(bench: Bench) -> None:
    port = bench.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head("Content-Length: 10", "Expect: 100-continue"))
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(SOON):
        await bench.hooks.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await reader.read()
    writer.close()


async def test_a_new_secret_counts_at_once_and_the_old_one_no_longer(bench: Bench) -> None:
    assert await bench.post(b"1") == 202
    bench.secret.write_text(OTHER)
    assert await bench.post(b"2") == 401
    assert await bench.post(b"2", signed(b"2", OTHER)) == 202


@pytest.mark.parametrize("content", [None, "", "\n", "too short\n", "x" * 5000])
async def test_a_secret_that_is_gone_or_no_good_lets_nobody_in(bench: Bench, content: str | None) -> None:
    bench.secret.unlink() if content is None else bench.secret.write_text(content)
    assert await bench.post(b"{}", signed(b"{}", (content or "").strip())) == 401
    assert str(bench.secret) in bench.refusals()[0][2]


@pytest.mark.parametrize("content", [None, "", "too short\n", "x" * 5000])
async def test_a_start_with_such_a_secret_is_refused(tmp_path: Path, content: str | None) -> None:
    bench = Bench(tmp_path)
    bench.secret.unlink() if content is None else bench.secret.write_text(content)
    with pytest.raises(Invalid) as caught:
        await bench.hooks.apply(bench.settings)
    assert caught.value.where == str(bench.secret)
    assert not content or content.strip() not in str(caught.value)
    assert bench.hooks.address == ""


async def test_a_pipe_for_a_secret_is_not_waited_for(bench: Bench) -> None:
    bench.secret.unlink()
    os.mkfifo(bench.secret)
    assert await bench.post(b"{}") == 401


async def test_a_reload_keeps_what_did_not_change(bench: Bench) -> None:
    address = bench.hooks.address
    assert await bench.post(b"{}") == 202
    second = replace(bench.receiver, name="second", sources=("shop",))
    assert await bench.hooks.apply(replace(bench.settings, receivers=(bench.receiver, second)))
    assert bench.hooks.address == address
    assert await bench.post(b"{}") == 200, "it remembers what it got"
    assert await bench.post(b"{}", path="/hook/second") == 202
    assert not await bench.hooks.apply(bench.hooks.settings)
    assert await bench.hooks.apply(replace(bench.settings, receivers=(second,)))
    assert await bench.post(b"2") == 404


async def test_a_reload_without_it_closes_the_port(bench: Bench) -> None:
    port = bench.port
    assert await bench.hooks.apply(None)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_where_the_port_is_taken_the_old_one_stays(bench: Bench) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = replace(bench.settings, port=other.getsockname()[1])
        with pytest.raises(Transient, match="in use"):
            await bench.hooks.apply(taken)
    assert await bench.post(b"{}") == 202
    assert bench.hooks.settings == bench.settings


async def test_an_address_of_another_machine_is_refused(bench: Bench) -> None:
    with pytest.raises(Invalid, match=r"webhook\.address 192\.0\.2\.1:0: .*no such address"):
        await bench.hooks.apply(replace(bench.settings, host="192.0.2.1"))
    assert bench.told.names() == ["webhook_opened"], "it was never closed"
    assert await bench.post(b"{}") == 202


async def test_the_same_port_on_more_addresses(bench: Bench) -> None:
    before = await _on_a_port_of_its_own(bench)
    assert await bench.hooks.apply(replace(before, host="localhost"))
    assert bench.port == before.port
    assert await bench.post(b"{}") == 202
    with pytest.raises(Invalid):
        await bench.hooks.apply(replace(before, host="192.0.2.1"))
    assert await bench.post(b"2") == 202, "the old one was opened again"


async def _on_a_port_of_its_own(bench: Bench) -> WebhookSettings:
    """A port can be taken by somebody between looking for it and opening it: then the next."""
    for _ in range(20):
        with closing(socket.create_server(("127.0.0.1", 0))) as found:
            settings = replace(bench.settings, port=found.getsockname()[1])
        try:
            await bench.hooks.apply(settings)
        except Transient:
            continue
        return settings
    raise AssertionError("no port is free")

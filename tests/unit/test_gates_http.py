"""HTTP checks against real servers on the loopback: good ones, bad ones, and hostile ones."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from reconciler.adapters.cluster.requests import connect, open_proxied
from reconciler.adapters.gates import HttpProber
from reconciler.core.account import Account
from reconciler.core.check import Check, Measurement, Outcome
from reconciler.core.model import Desired
from reconciler.core.probe import Conditions, HttpProbe, JsonTest, Latency, Operator, Test
from reconciler.core.render import render
from reconciler.ports import Subject
from tests.fakes.rendering import APP, SLOT, release
from tests.unit.test_cluster_adapter import kubeconfig

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

DESIRED: Desired = render(replace(APP, check_hosts=("*",)), release(), SLOT)
WORKLOAD = DESIRED.components[0].manifest["metadata"]["name"]
POD = f"{WORKLOAD}-x1"
LONG = 60.0
"""Seconds of a measurement that must not need them."""
SHORT = 1.0
"""Seconds of one that is to run out of time."""


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """The port of a server that answers everything by `handler`."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """The port of a server that says what it likes."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def says(text: str = "ok", status: int = 200, **more: object) -> Handler:
    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(text=text, status=status, **more)  # type: ignore[arg-type]

    return handler


async def hang(_request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def measure(
    probe: HttpProbe, port: int, seconds: float = LONG, prober: HttpProber | None = None, desired: Desired = DESIRED
) -> Measurement:
    probe = probe if probe.url else replace(probe, port=str(port))
    subject = Subject(desired, {POD: "127.0.0.1"})
    return await (prober or HttpProber()).measure(Check("smoke", probe, timeout=seconds), subject)


async def test_a_good_answer() -> None:
    async with serving(says()) as port:
        found = await measure(HttpProbe(), port)
    assert (found.outcome, found.reason, found.final) == (Outcome.PASSED, "", False)
    assert found.measured.startswith(f"{POD}: 200 in ")


async def test_a_bad_answer_shows_its_beginning() -> None:
    async with serving(says("database is away", 503)) as port:
        found = await measure(HttpProbe(), port)
    assert found.outcome is Outcome.FAILED
    assert found.reason == f'{POD}: the status is 503, not 200-299; it says "database is away"'


async def test_what_is_sent() -> None:
    seen: list[tuple[str, str, str | None, str, str | None]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        headers = request.headers
        seen.append(
            (request.method, request.raw_path, headers.get("X-A"), await request.text(), headers["Accept-Encoding"])
        )
        return web.Response()

    async with serving(handler) as port:
        probe = HttpProbe(path="/a%20b?q=%2F", method="POST", body="ping", headers=(("X-A", "b"),))
        assert (await measure(probe, port)).outcome is Outcome.PASSED
    assert seen == [("POST", "/a%20b?q=%2F", "b", "ping", "identity")]


async def test_json_and_headers_and_body() -> None:
    conditions = Conditions(
        ((200, 200),),
        body=(Test(Operator.MATCHES, '"version": *"v2'),),
        json=(JsonTest("$.version", Test(Operator.EQUALS, "v2")),),
    )
    for version, outcome in (("v2", Outcome.PASSED), ("v1", Outcome.FAILED)):
        async with serving(says(json.dumps({"version": version}), content_type="application/json")) as port:
            assert (await measure(HttpProbe(success=conditions), port)).outcome is outcome


async def test_a_failure_condition_is_final() -> None:
    probe = HttpProbe(failure=Conditions(body=(Test(Operator.CONTAINS, "corrupt"),)))
    async with serving(says("data corrupt")) as port:
        found = await measure(probe, port)
    assert (found.outcome, found.final) == (Outcome.FAILED, True)


async def test_who_hangs_has_failed() -> None:
    async with serving(hang) as port:
        found = await measure(HttpProbe(), port, SHORT)
    assert (found.outcome, found.reason) == (Outcome.FAILED, f"{POD}: no whole answer within 1s")


async def test_who_refuses_has_failed_and_an_url_that_does_is_no_vote() -> None:
    async with raw(lambda *_: asyncio.sleep(0)) as port:
        pass  # nobody listens there any more
    found = await measure(HttpProbe(), port)
    assert (found.outcome, found.reason) == (Outcome.FAILED, f"{POD}: it refuses the connection")
    voter = await measure(HttpProbe(url=f"http://127.0.0.1:{port}/"), port)
    assert (voter.outcome, voter.reason) == (Outcome.INCONCLUSIVE, "it refuses the connection")


async def test_a_voter_that_hangs_or_has_no_name_is_no_vote() -> None:
    async with serving(hang) as port:
        found = await measure(HttpProbe(url=f"http://127.0.0.1:{port}/"), port, SHORT)
    assert found.outcome is Outcome.INCONCLUSIVE
    unknown = await measure(HttpProbe(url="http://nobody.invalid/"), port)
    assert unknown.outcome is Outcome.INCONCLUSIVE


async def test_flapping_by_share() -> None:
    turns = iter(range(100))

    async def flap(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=200 if next(turns) % 2 else 500)

    async with serving(flap) as port:
        probe = HttpProbe(requests=10)
        strict = await measure(probe, port)
        lax = await measure(replace(probe, min_success_percent=50.0), port)
    assert strict.outcome is Outcome.FAILED and "5 of 10 requests succeeded" in strict.reason
    assert lax.outcome is Outcome.PASSED and "5 × 500, 5 × 200" in lax.measured


async def test_latency_of_those_that_answer_late() -> None:
    turns = iter(range(100))

    async def slow(_request: web.BaseRequest) -> web.Response:
        if next(turns) >= 2:
            await asyncio.Event().wait()
        return web.Response()

    async with serving(slow) as port:
        probe = HttpProbe(requests=4, min_success_percent=50.0, latency=Latency(95.0, LONG))
        found = await measure(probe, port, SHORT)
    assert (found.outcome, found.reason) == (
        Outcome.FAILED,
        f"{POD}: the 95th percentile must be below 60.00s, and is for ever",
    )


async def test_redirects_are_not_followed() -> None:
    asked: list[str] = []

    async def elsewhere(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        return web.Response()

    async with serving(elsewhere) as other:
        target = f"http://127.0.0.1:{other}/secrets"
        async with serving(says(status=302, headers={"Location": target})) as port:
            found = await measure(HttpProbe(), port)
    assert found.outcome is Outcome.FAILED and "redirects are not followed" in found.reason
    assert asked == []


async def test_an_endless_body_is_read_for_one_mebibyte() -> None:
    sent = 0

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)
            sent += 65536

    async with serving(endless) as port:
        plain = await measure(HttpProbe(), port)
        probe = HttpProbe(success=Conditions(((200, 200),), body=(Test(Operator.CONTAINS, "x"),)))
        found = await measure(probe, port)
    assert plain.outcome is Outcome.PASSED
    assert (found.outcome, found.reason) == (Outcome.FAILED, f"{POD}: the body is larger than 1 MiB")
    assert sent < 64 << 20, "what is in the sockets' buffers, and no more"


async def test_a_body_that_drips_ends_with_the_time() -> None:
    async def drip(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.01)

    async with serving(drip) as port:
        assert (await measure(HttpProbe(), port, SHORT)).outcome is Outcome.FAILED


async def test_nothing_is_decompressed() -> None:
    small = gzip.compress(b"0" * 1000)

    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=small, headers={"Content-Encoding": "gzip"})

    async with serving(handler) as port:
        probe = HttpProbe(success=Conditions(((200, 200),), body=(Test(Operator.CONTAINS, "0000000000"),)))
        assert (await measure(probe, port)).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: x\r\n" % each for each in range(100_000)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"",
    ],
    ids=["ssh", "long header", "many headers", "cut off", "bad chunks", "bad status", "nothing"],
)
async def test_what_is_no_http_has_failed_shortly(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with raw(talk) as port:
        found = await measure(HttpProbe(), port)
    assert found.outcome is Outcome.FAILED
    assert len(found.reason) < 600


async def test_secrets_are_sent_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cr3t-token\n")

    async def echo(request: web.BaseRequest) -> web.Response:
        return web.Response(text=f"you sent {request.headers['Authorization']}", status=403)

    probe = HttpProbe(secret_headers=(("Authorization", str(secret)),))
    async with serving(echo) as port:
        found = await measure(probe, port)
        assert found.outcome is Outcome.FAILED and "you sent …" in found.reason
        assert "s3cr3t" not in found.reason + found.measured
        missing = await measure(replace(probe, secret_headers=(("A", str(tmp_path / "no")),)), port)
        assert missing.outcome is Outcome.INCONCLUSIVE and "there is no such file" in missing.reason
        secret.write_text("a\r\nX-Other: b")
        assert (await measure(probe, port)).outcome is Outcome.INCONCLUSIVE
        discovered = replace(DESIRED, app=replace(DESIRED.app, file="apps/shop/app.yaml"))
        refused = await measure(probe, port, desired=discovered)
        assert refused.reason == "an app.yaml cannot have files of the daemon read"


async def test_a_cancelled_measurement_leaves_no_connection() -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()
        left.set()

    async with raw(talk) as port, asyncio.timeout(LONG):
        task = asyncio.create_task(measure(HttpProbe(), port))
        await arrived.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await left.wait()
    assert task.cancelled()


async def test_an_app_yaml_cannot_ask_a_host_that_is_not_allowed() -> None:
    desired = replace(DESIRED, app=replace(DESIRED.app, check_hosts=("votes.example.com",)))
    found = await measure(HttpProbe(url="http://127.0.0.1:1/"), 1, desired=desired)
    assert found.outcome is Outcome.INCONCLUSIVE and "does not allow" in found.reason


class FakeProxy:
    """The API server's proxy, answered by a server of the test."""

    def __init__(self, port: int) -> None:
        self.port, self.asked = port, list[tuple[str, str, Mapping[str, str], Account | None]]()

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        limit: aiohttp.ClientTimeout,
        account: Account | None = None,
    ) -> aiohttp.ClientResponse:
        self.asked.append((method, path, headers, account))
        self.session = aiohttp.ClientSession()
        return await self.session.request(method, f"http://127.0.0.1:{self.port}{path}", data=body, timeout=limit)


def status(message: str, code: int) -> Handler:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return says(json.dumps(body), code, content_type="application/json")


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        (says(), Outcome.PASSED),
        (says("no", 503), Outcome.FAILED),
        (status("error trying to reach service: dial tcp 10.0.0.1:8080: connect: connection refused", 503), "failed"),
        (status("error trying to reach service: dial tcp 10.0.0.1:8080: i/o timeout", 503), "inconclusive"),
        (status('pods "x" is forbidden: User "y" cannot get resource "pods/proxy"', 403), "inconclusive"),
    ],
    ids=["ok", "bad", "refused", "unreachable", "forbidden"],
)
async def test_through_the_api_server(handler: Handler, outcome: str) -> None:
    probe = HttpProbe(via_api_server=True, path="/ready")
    desired = replace(DESIRED, app=replace(DESIRED.app, service_account="deployer"))
    async with serving(handler) as port:
        proxy = FakeProxy(port)
        found = await measure(probe, 8086, prober=HttpProber(proxy), desired=desired)
        await proxy.session.close()
    assert found.outcome == outcome
    [(method, path, headers, account)] = proxy.asked
    assert (method, path) == ("GET", f"/api/v1/namespaces/web/pods/{POD}:8086/proxy/ready")
    assert headers == {"Accept-Encoding": "identity"}
    assert account == Account("web", "deployer")


async def test_nothing_of_a_check_goes_over_what_the_api_server_is_told_of_us(tmp_path: Path) -> None:
    seen: list[tuple[str, list[str], list[str], list[str]]] = []

    async def api_server(request: web.BaseRequest) -> web.Response:
        get = request.headers.getall
        seen.append((request.raw_path, get("Authorization"), get("Impersonate-User"), get("X-A")))
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/elsewhere"})

    async with serving(api_server) as port:
        api = await connect(kubeconfig(tmp_path, f"http://127.0.0.1:{port}", token="ours"))
        try:
            response = await open_proxied(
                api,
                "GET",
                "/api/v1/namespaces/web/pods/x:80/proxy/a%20b?c=%2F",
                headers={"AUTHORIZATION": "Bearer theirs", "IMPERSONATE-USER": "admin", "X-A": "b"},
                body=None,
                limit=aiohttp.ClientTimeout(LONG),
                account=Account("web", "deployer"),
            )
            assert response.status == 302
            response.close()
        finally:
            await api.close()  # type: ignore[no-untyped-call]
    account = "system:serviceaccount:web:deployer"
    assert seen == [("/api/v1/namespaces/web/pods/x:80/proxy/a%20b?c=%2F", ["Bearer ours"], [account], ["b"])]

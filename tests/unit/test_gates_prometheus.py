"""Prometheus checks against a server on the loopback that speaks its API, or worse."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from reconciler.adapters.gates import Probers, PrometheusProber
from reconciler.core.check import Check, Measurement, Outcome
from reconciler.core.probe import Bounds, HttpProbe, JobProbe, PrometheusProbe, PrometheusServer
from reconciler.core.render import render
from reconciler.ports import Subject
from tests.fakes.prober import FakeProber
from tests.fakes.rendering import APP, SLOT, release
from tests.unit.test_gates_http import LONG, SHORT, Handler, hang, says, serving
from tests.unit.test_promql import vector

DESIRED = render(replace(APP, check_hosts=("*",)), release(), SLOT)
PROBE = PrometheusProbe("", 'errors{version="{{ version }}"}', success=Bounds(below=0.05))


async def measure(
    server: PrometheusServer | None, probe: PrometheusProbe = PROBE, seconds: float = LONG, hosts: tuple[str, ...] = ()
) -> Measurement:
    app = replace(DESIRED.app, check_hosts=hosts or ("*",))
    check = Check("errors", probe, timeout=seconds)
    return await PrometheusProber(lambda: server).measure(check, Subject(replace(DESIRED, app=app), {}))


def at(port: int, **more: str) -> PrometheusServer:
    return PrometheusServer(f"http://127.0.0.1:{port}/prefix/", **more)


async def test_what_is_asked_and_what_comes_of_it(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr3t\n")
    seen: list[tuple[str, str, str, object, object]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        form = await request.post()
        seen.append((request.method, request.path, request.headers["Authorization"], form["query"], form["timeout"]))
        return web.Response(body=vector("0.01"))

    async with serving(handler) as port:
        found = await measure(at(port, token_file=str(token)))
    assert (found.outcome, found.measured) == (Outcome.PASSED, '0.01 {pod="p0"}')
    assert seen == [("POST", "/prefix/api/v1/query", "Bearer s3cr3t", 'errors{version="v1"}', "60s")]


async def test_the_token_is_for_the_configurations_server_alone(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr3t\n")
    seen: list[bool] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append("Authorization" in request.headers)
        return web.Response(body=vector("0.5"))

    async with serving(handler) as port:
        other = replace(PROBE, address=f"http://127.0.0.1:{port}")
        found = await measure(PrometheusServer("http://127.0.0.1:1", str(token)), other)
    assert (found.outcome, seen) == (Outcome.FAILED, [False])


def _answer(body: bytes, status: int = 200) -> Handler:
    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=body, status=status)

    return handler


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (_answer(vector()), "the query gives no value"),
        (_answer(b'{"status":"error","errorType":"bad_data","error":"no"}', 400), "with 400: bad_data: no"),
        (_answer(b'{"status":"error","errorType":"internal","error":"no"}', 500), "with 500: internal: no"),
        (_answer(b"<html>", 502), "what answers 502 is no Prometheus"),
        (_answer(vector("0.01", warnings=["a store is away"])), "Prometheus warns: a store is away"),
        (_answer(b" " * (2 << 20)), "larger than 1 MiB"),
        (says(status=302, headers={"Location": "http://127.0.0.1:1/"}), "redirects are not followed"),
        (hang, "does not answer within 1s"),
    ],
    ids=["empty", "400", "500", "502", "warning", "large", "redirect", "hang"],
)
async def test_what_cannot_be_evaluated_says_why(handler: Handler, said: str) -> None:
    async with serving(handler) as port:
        found = await measure(at(port), seconds=SHORT if handler is hang else LONG)
    assert found.outcome is Outcome.INCONCLUSIVE and said in found.reason


async def test_unreachable_or_unknown_is_inconclusive(tmp_path: Path) -> None:
    async with serving(says()) as port:
        pass  # nobody listens there any more
    assert "cannot be reached: it refuses" in (await measure(at(port))).reason
    assert "has no `prometheus`" in (await measure(None)).reason
    away = await measure(None, replace(PROBE, address="http://elsewhere.example.com"), hosts=("a.example.com",))
    assert "does not allow" in away.reason
    missing = await measure(at(port, token_file=str(tmp_path / "no")))
    assert (missing.outcome, "no such file" in missing.reason) == (Outcome.INCONCLUSIVE, True)
    authority = await measure(at(port, ca_file=str(tmp_path / "no")))
    assert (authority.outcome, "no such file" in authority.reason) == (Outcome.INCONCLUSIVE, True)


async def test_a_reloaded_server_counts_at_the_next_measurement() -> None:
    servers: list[PrometheusServer | None] = [None]
    prober = PrometheusProber(lambda: servers[0])
    check, subject = Check("errors", PROBE, timeout=LONG), Subject(DESIRED, {})
    assert (await prober.measure(check, subject)).outcome is Outcome.INCONCLUSIVE
    async with serving(_answer(vector("0.01"))) as port:
        servers[0] = at(port)
        assert (await prober.measure(check, subject)).outcome is Outcome.PASSED


async def test_a_cancelled_query_ends() -> None:
    arrived = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        return await hang(request)

    async with serving(handler) as port, asyncio.timeout(LONG):
        task = asyncio.create_task(measure(at(port)))
        await arrived.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_each_kind_of_check_has_its_prober() -> None:
    http, prometheus, job = FakeProber(), FakeProber(), FakeProber()
    probers, subject = Probers(http, prometheus, job), Subject(DESIRED, {})
    for name, probe in (("h", HttpProbe()), ("p", PROBE), ("j", JobProbe("x"))):
        await probers.measure(Check(name, probe), subject)
    assert (http.names(), prometheus.names(), job.names()) == (["h"], ["p"], ["j"])

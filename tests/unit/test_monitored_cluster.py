"""What is told of requests to the API server and of watches: how many, of what, and whether one hangs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio import client
from yarl import URL

from reconciler.adapters.cluster import connect
from reconciler.adapters.cluster.kinds import KINDS, Kind
from reconciler.adapters.cluster.metered import metered, named
from reconciler.adapters.cluster.requests import open_proxied, send
from reconciler.adapters.cluster.store import Store
from reconciler.adapters.cluster.watch import _SILENCE, _SLACK, Monitor, Watch
from reconciler.app.stopwatch import Unmetered
from reconciler.app.vitals import Check, Vitals
from reconciler.errors import ReconcilerError, Transient
from tests.fakes.clock import FakeClock

SOON = 20.0
APPLY, JSON = "application/apply-patch+yaml", "application/json-patch+json"


@pytest.mark.parametrize(
    ("method", "path", "content_type", "expected"),
    [
        ("GET", "/api/v1/namespaces/shop/pods", "", ("list", "pods")),
        ("GET", "/api/v1/namespaces/shop/pods?limit=500&watch=true", "", ("watch", "pods")),
        ("GET", "/api/v1/namespaces/shop/secrets/git", "", ("get", "secrets")),
        ("GET", "/api/v1/namespaces/shop/pods/a/log?container=x", "", ("get", "pods/log")),
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/a", APPLY, ("apply", "deployments")),
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/a", JSON, ("patch", "deployments")),
        ("DELETE", "/apis/batch/v1/namespaces/shop/jobs/a", "application/json", ("delete", "jobs")),
        ("POST", "/api/v1/namespaces/shop/events", "application/json", ("create", "events")),
        ("POST", "/apis/coordination.k8s.io/v1/namespaces/x/leases", "application/json", ("create", "leases")),
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "", ("create", "selfsubjectreviews")),
        ("GET", "/apis/policy/v1", "", ("get", "discovery")),
        ("GET", "/api/v1", "", ("get", "discovery")),
        ("GET", "/apis/evil.example.com/v1/whatever", "", ("list", "other")),
        ("GET", "/apis/evil.example.com/v1/namespaces/shop/x1/y/z", "", ("get", "other")),
        ("GET", "/api/v1/namespaces/shop/pods/http:a:80/proxy/any/%2e%2e/path", "", ("get", "pods/proxy")),
        ("BREW", "/api/v1/namespaces/shop/pods/a/proxy/", "", ("other", "pods/proxy")),
        ("GET", "/", "", ("get", "discovery")),
    ],
)
def test_requests_are_named_as_the_audit_log_does(
    method: str, path: str, content_type: str, expected: tuple[str, str]
) -> None:
    assert named(method, URL("https://10.0.0.1" + path, encoded=True), content_type) == expected


class Meter(Unmetered):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.seconds: list[float] = []

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        self.requests.append((verb, resource, code))
        self.seconds.append(seconds)


class Bench:
    """An API server of a few lines, and a client that is metered. `watch` answers every watch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meter, self.clock = Meter(), FakeClock()
        self.watching = asyncio.Event()
        self.end = asyncio.Event()
        self.api: client.ApiClient

    async def open(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.api = await self.client(self.runner.addresses[0][1])

    async def client(self, port: int) -> client.ApiClient:
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}
        held = {"clusters": [cluster], "users": [{"name": "u", "user": {}}], "current-context": "x"}
        held |= {"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}
        path = self.folder / f"kubeconfig-{port}"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config"} | held))
        return await connect(str(path), None, metered(self.meter, self.clock.monotonic))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.clock.time += 0.25
        if "hang" in request.path:
            self.watching.set()
            await asyncio.Event().wait()
        if "proxy" in request.path:
            return web.Response(status=299, reason="Odd")
        if request.query.get("watch") == "true":
            response = web.StreamResponse()
            await response.prepare(request)
            self.watching.set()
            await self.end.wait()
            return response
        if "none" in request.path:
            return web.json_response({"kind": "Status", "message": "there is none"}, status=503)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    async def close(self) -> None:
        await self.api.close()  # type: ignore[no-untyped-call]
        await self.runner.cleanup()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_each_request_is_counted_once_and_timed(bench: Bench) -> None:
    await send(bench.api, "GET", KINDS["Service"].path("shop"))
    with pytest.raises(ReconcilerError):
        await send(bench.api, "PATCH", KINDS["Service"].path("shop", "none"), content_type=APPLY)
    assert bench.meter.requests == [("list", "services", "200"), ("apply", "services", "503")]
    assert [round(each, 3) for each in bench.meter.seconds] == [0.25, 0.25]


async def test_no_answer_is_an_error_and_what_we_let_go_of_is_nothing(bench: Bench, unused_tcp_port: int) -> None:
    nowhere = await bench.client(unused_tcp_port)
    with pytest.raises(Transient):
        await send(nowhere, "GET", KINDS["Pod"].path("shop"))
    await nowhere.close()  # type: ignore[no-untyped-call]
    assert bench.meter.requests == [("list", "pods", "error")]
    asked = asyncio.create_task(send(bench.api, "GET", KINDS["Pod"].path("shop", "hang")))
    await asyncio.wait_for(bench.watching.wait(), SOON)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert len(bench.meter.requests) == 1


async def test_a_pod_behind_the_proxy_cannot_make_up_codes(bench: Bench) -> None:
    path = KINDS["Pod"].path("shop", "web") + "/proxy/"
    limit = aiohttp.ClientTimeout(SOON)
    async with await open_proxied(bench.api, "GET", path, headers={}, body=None, limit=limit) as response:
        assert response.status == 299
    assert bench.meter.requests == [("get", "pods/proxy", "other")]


class Watched:
    """A watch on the bench, what it owes, and how often it was begun anew."""

    def __init__(self, bench: Bench, api: client.ApiClient, kind: Kind = KINDS["Pod"]) -> None:
        self.vitals = Vitals(bench.clock.monotonic)
        self.restarts: list[str] = []
        self.failed = asyncio.Event()
        monitor = Monitor(lambda task: self.vitals.pulse(Check.WATCHES, task), self.restarts.append)
        self.watch = Watch(api, kind, "shop", Store(lambda _: None), self._told, lambda _: None, monitor=monitor)
        self.task = asyncio.create_task(self.watch.run())

    def _told(self, *_: object) -> None:
        self.failed.set()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_a_watch_that_should_have_been_given_up_hangs(bench: Bench) -> None:
    """The time-outs of the connection are real ones, and none of them is met here: as if they were lost."""
    watched = Watched(bench, bench.api)
    await asyncio.wait_for(bench.watching.wait(), SOON)
    await asyncio.wait_for(watched.watch.synced.wait(), SOON)
    bench.clock.time += _SILENCE + _SLACK - 1
    assert watched.vitals.hung() == []
    bench.clock.time += 2
    assert [(each.check, each.task) for each in watched.vitals.hung()] == [(Check.WATCHES, "watch shop")]
    await watched.end()
    assert watched.vitals.hung() == [], "it was ended"
    assert watched.restarts == []


async def test_a_watch_that_fails_again_and_again_is_counted_and_does_not_hang(
    bench: Bench, unused_tcp_port: int
) -> None:
    nowhere = await bench.client(unused_tcp_port)
    watched = Watched(bench, nowhere)
    await asyncio.wait_for(watched.failed.wait(), SOON)
    bench.clock.time += 80.0
    assert watched.vitals.hung() == [], "it waits before it tries again"
    bench.clock.time += 20.0
    assert watched.vitals.hung(), "it should have tried again"
    await watched.end()
    await nowhere.close()  # type: ignore[no-untyped-call]
    assert watched.restarts == ["pods"]
    assert not watched.watch.was_synced


async def test_a_watch_of_somebody_elses_kind_is_counted_as_other(bench: Bench, unused_tcp_port: int) -> None:
    nowhere = await bench.client(unused_tcp_port)
    watched = Watched(bench, nowhere, Kind("Evil", "evil.example.com/v1", "evils-made-up"))
    await asyncio.wait_for(watched.failed.wait(), SOON)
    await watched.end()
    await nowhere.close()  # type: ignore[no-untyped-call]
    assert watched.restarts == ["other"]


async def test_a_watch_that_was_synced_once_stays_so(bench: Bench) -> None:
    watched = Watched(bench, bench.api)
    await asyncio.wait_for(watched.watch.synced.wait(), SOON)
    bench.end.set()  # it ends at once and brought nothing: a failure
    await asyncio.wait_for(watched.failed.wait(), SOON)
    assert (watched.watch.synced.is_set(), watched.watch.was_synced) == (False, True)
    await watched.end()

"""The API server where it differs from the ideal: watches that end at once, garbage, credentials, other labels."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from reconciler.adapters.cluster import KubernetesCluster, connect
from reconciler.adapters.cluster.kinds import KINDS, WATCHED
from reconciler.adapters.cluster.requests import open_proxied, send
from reconciler.adapters.cluster.store import Store
from reconciler.adapters.cluster.watch import Watch
from reconciler.core.model import LABEL_APP, Manifest
from reconciler.errors import Blocked, Invalid, ReconcilerError, Transient

SOON = 20.0
"""Seconds that something is awaited for; reaching them fails the test."""

AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUZVLeu5Mtm8XVBam/kzqxog3LRb0wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjQxMzQwMzZaGA8yMTI2MTAzMTEzNDAz
NlowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHxt
W5oksGKMQ2mXuf34/zg/cmumwotiTOzWCw9Y5ixFFL+Gm9J73obKCewO0LNaqfsS
Dy20Z2NL/iS5mG7KBVqjUzBRMB0GA1UdDgQWBBTvJn6d1n0i9ua1CRSuU1pn5FG5
yjAfBgNVHSMEGDAWgBTvJn6d1n0i9ua1CRSuU1pn5FG5yjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIBFUngf7w+PCnAPCDYxsA2vNzxWbyDZuNCWp
ZVde3Vd2AiEA+wbybSKrYY82RPLBzLzzytTzESqdhyZyveQnB2TVVSw=
-----END CERTIFICATE-----
"""
"""A certificate of nobody's; its key was thrown away."""


def config_map(version: int, app: str = "my-app") -> Manifest:
    meta = {"name": "one", "namespace": "shop", "uid": "1", "resourceVersion": str(version), "labels": {LABEL_APP: app}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def change(kind: str, live: Manifest) -> bytes:
    return json.dumps({"type": kind, "object": live}).encode() + b"\n"


def kubeconfig(folder: Path, server: str, cluster: dict[str, str] | None = None, **user: str) -> str:
    held = {
        "clusters": [{"name": "x", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(held))
    return str(path)


# --- watches ---------------------------------------------------------------------------------------------------

Answer = Callable[[web.StreamResponse], Awaitable[None]]


class ApiServer:
    """Lists nothing, and answers each watch by the next of `answers`, the last one for good, or refuses it. Counts the
    watches."""

    def __init__(self, *answers: Answer, refusal: str = "") -> None:
        self.answers = list(answers)
        self.refusal = refusal
        self.watches = 0
        self.failures: list[ReconcilerError] = []
        self.recoveries = 0
        self._moved = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        self.watches += 1
        self._moved.set()
        if self.refusal:
            return web.json_response({"kind": "Status", "message": self.refusal}, status=403)
        response = web.StreamResponse()
        await response.prepare(request)
        await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(response)
        return response

    def failed(self, _watch: Watch, _retry_in: float, error: ReconcilerError) -> None:
        self.failures.append(error)
        self._moved.set()

    def recovered(self, _watch: Watch) -> None:
        self.recoveries += 1
        self._moved.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON):
            while not holds():
                await self._moved.wait()
                self._moved.clear()


async def nothing(_: web.StreamResponse) -> None:
    """Accepted, and over."""


async def too_far_behind(response: web.StreamResponse) -> None:
    await response.write(change("ERROR", {"code": 410}))


async def lasting(_: web.StreamResponse) -> None:
    await asyncio.Event().wait()


def brings(line: bytes) -> Answer:
    async def answer(response: web.StreamResponse) -> None:
        await response.write(line)
        await lasting(response)

    return answer


Watched = Callable[[ApiServer], Awaitable[Watch]]


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """Makes the watch on an API server of the test's own; the test runs it."""
    ends: list[Callable[[], Awaitable[Any]]] = []

    async def make(server: ApiServer) -> Watch:
        app = web.Application()
        app.router.add_get("/{path:.*}", server.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api = await connect(kubeconfig(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}"))
        ends.extend([api.close, runner.cleanup])
        return Watch(api, KINDS["ConfigMap"], "shop", Store(lambda _: None), server.failed, server.recovered)

    yield make
    for end in ends:
        await end()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("answer", [nothing, too_far_behind])
async def test_a_watch_that_is_accepted_and_brings_nothing_is_a_failure_that_goes_on(
    answer: Answer, watched: Watched
) -> None:
    server = ApiServer(answer)
    task = asyncio.create_task((await watched(server)).run())
    await server.until(lambda: bool(server.failures))
    before = server.watches
    await server.until(lambda: server.watches >= before + 2)
    await _ended(task)
    assert len(server.failures) == 1 and server.recoveries == 0, "an answer of 200 alone is no recovery"


@pytest.mark.parametrize("answer", [lasting, brings(change("BOOKMARK", config_map(2)))])
async def test_a_watch_that_brings_something_or_lasts_is_a_recovery(answer: Answer, watched: Watched) -> None:
    server = ApiServer(nothing, answer)
    watch = await watched(server)
    task = asyncio.create_task(watch.run())
    await server.until(lambda: bool(server.recoveries))
    assert watch.synced.is_set()
    await _ended(task)
    assert len(server.failures) == 1


async def test_being_too_far_behind_once_is_no_failure(watched: Watched) -> None:
    server = ApiServer(too_far_behind, lasting)
    watch = await watched(server)
    task = asyncio.create_task(watch.run())
    await server.until(lambda: server.watches == 2)
    await asyncio.wait_for(watch.synced.wait(), SOON)
    await _ended(task)
    assert not server.failures


async def test_a_line_that_is_no_json_is_a_failure(watched: Watched) -> None:
    server = ApiServer(brings(b"<html>\n"), lasting)
    task = asyncio.create_task((await watched(server)).run())
    await server.until(lambda: bool(server.recoveries))
    await _ended(task)
    assert "no JSON" in server.failures[0].what


async def test_nobody_trusts_the_store_after_a_bug_ended_the_watch(watched: Watched) -> None:
    watch = await watched(ApiServer(brings(change("ADDED", {"kind": "ConfigMap"}))))
    with pytest.raises(KeyError):
        await asyncio.wait_for(watch.run(), SOON)
    assert not watch.synced.is_set()


async def test_a_refused_watch_says_what_the_api_server_says_and_what_to_do(watched: Watched) -> None:
    server = ApiServer(refusal='configmaps is forbidden: User "x" cannot watch resource "configmaps"')
    task = asyncio.create_task((await watched(server)).run())
    await server.until(lambda: bool(server.failures))
    await _ended(task)
    told = server.failures[0]
    assert isinstance(told, Blocked)
    assert told.located == f"ConfigMaps in namespace shop: {server.refusal}"
    assert "Role" in told.todo


async def test_each_refusal_within_an_outage_is_told_and_once(watched: Watched) -> None:
    """The connection broke first: that a permission was taken away meanwhile is another thing to know, and then that
    another one is missing as well."""
    server = ApiServer(nothing)
    task = asyncio.create_task((await watched(server)).run())
    await server.until(lambda: bool(server.failures))
    server.refusal = 'configmaps is forbidden: User "x" cannot watch resource "configmaps"'
    await server.until(lambda: len(server.failures) == 2)
    before = server.watches
    await server.until(lambda: server.watches == before + 1)
    server.refusal = 'configmaps is forbidden: User "x" cannot list resource "configmaps"'
    await server.until(lambda: len(server.failures) == 3)
    await _ended(task)
    first, second, third = server.failures
    assert isinstance(first, Transient) and isinstance(second, Blocked) and "list" in third.what


# --- refusals --------------------------------------------------------------------------------------------------

Refusing = Callable[[int, str], Awaitable[str]]


@pytest.fixture
async def refusing(tmp_path: Path) -> AsyncIterator[Refusing]:
    """Starts an API server that refuses everything; gives its kubeconfig."""
    ends: list[Callable[[], Awaitable[Any]]] = []

    async def start(status: int, message: str) -> str:
        async def answer(_: web.Request) -> web.Response:
            return web.json_response({"kind": "Status", "message": message}, status=status)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ends.append(runner.cleanup)
        return kubeconfig(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}")

    yield start
    for end in ends:
        await end()


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ('pods is forbidden: User "x" cannot list resource "pods" in API group ""', "Role"),
        ('deployments.apps "web" is forbidden: exceeded quota: few, requested: pods=3', "quota"),
        ('deployments.apps "web" is forbidden: because namespace shop is being terminated', "Wait until the namespace"),
        ('deployments.apps "web" is forbidden: the admission webhook has its reasons', "as the message says"),
    ],
)
async def test_the_advice_for_a_403_fits_its_reason(message: str, advice: str, refusing: Refusing) -> None:
    api = await connect(await refusing(403, message))
    with pytest.raises(Blocked) as refused:
        await send(api, "PATCH", KINDS["Deployment"].path("shop", "web"), body={})
    await api.close()  # type: ignore[no-untyped-call]
    assert advice in refused.value.todo
    assert refused.value.located == f"Deployment shop/web: {message}"


async def test_every_refused_kind_is_told(refusing: Refusing) -> None:
    told: list[str] = []
    tasks: list[asyncio.Task[None]] = []
    all_told = asyncio.Event()

    def outage(kind: str, _namespace: str, _retry_in: float, _error: ReconcilerError) -> None:
        told.append(kind)
        if len(told) == len(WATCHED):
            all_told.set()

    def spawn(_: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        tasks.append(asyncio.ensure_future(work()))
        return tasks[-1]

    api = await connect(await refusing(403, "pods is forbidden: no"))
    cluster = KubernetesCluster(api, lambda _: None, outage, lambda _: None, spawn, lambda: 0.0)
    waiting = asyncio.create_task(cluster.synced("shop"))
    async with asyncio.timeout(SOON):
        await all_told.wait()
    await _ended(waiting)
    await cluster.close()
    assert sorted(told) == sorted(kind.name for kind in WATCHED)


# --- what they hold --------------------------------------------------------------------------------------------


def test_an_object_that_changes_its_app_wakes_both() -> None:
    woken: list[str] = []
    store = Store(woken.append)
    store.put(config_map(1, "old"))
    store.put(config_map(2, "new"))
    assert sorted(woken[1:]) == ["new", "old"]
    assert not store.of("shop", "old")


# --- credentials -----------------------------------------------------------------------------------------------


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the client library puts its temporary files."""
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _inline(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_no_copy_of_a_credential_stays_on_disk(copies: Path, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "https://127.0.0.1:1", {"certificate-authority-data": _inline(AUTHORITY)})
    for _ in range(2):  # the library remembers the copies of the first time
        await (await connect(path)).close()  # type: ignore[no-untyped-call]
    assert os.listdir(copies) == []


async def test_nor_of_one_that_cannot_be_used(copies: Path, tmp_path: Path) -> None:
    broken = {"client-certificate-data": _inline("no certificate"), "client-key-data": _inline("no key")}
    path = kubeconfig(tmp_path, "https://127.0.0.1:1", {"certificate-authority-data": _inline(AUTHORITY)}, **broken)
    with pytest.raises(Invalid, match="no usable credentials"):
        await connect(path)
    assert os.listdir(copies) == []


@pytest.mark.parametrize(("context", "said"), [("nope", "no context `nope`"), ("x", "")])
async def test_a_context_that_is_missing_is_named_with_those_there_are(context: str, said: str, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    if not said:
        await (await connect(path, context)).close()  # type: ignore[no-untyped-call]
        return
    with pytest.raises(Invalid, match=f"{said}. Its contexts: x"):
        await connect(path, context)


@pytest.mark.parametrize("content", ["text", "{[", "- list", "{}"])
async def test_a_file_that_is_no_kubeconfig_is_an_error_and_no_bug(content: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(Invalid) as told:
        await connect(str(path))
    assert told.value.where == str(path)


async def test_without_any_kubeconfig_there_is_one_error_and_no_other_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Invalid, match="there is no kubeconfig here"):
        await connect(str(tmp_path / "missing"))
    assert caplog.text == ""


async def test_a_pod_behind_the_proxy_gives_the_daemon_no_cookie(tmp_path: Path) -> None:
    """It would go along with every later request, to the pods of other apps, too."""
    sent: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Cookie", ""))
        return web.Response(headers={"Set-Cookie": "session=secret; Path=/"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api = await connect(kubeconfig(tmp_path, f"http://localhost:{runner.addresses[0][1]}"))
    for pod in ("a", "b"):
        path, limit = f"/api/v1/namespaces/shop/pods/{pod}:80/proxy/", aiohttp.ClientTimeout(5)
        async with await open_proxied(api, "GET", path, headers={}, body=None, limit=limit) as response:
            assert response.status == 200
    await api.close()  # type: ignore[no-untyped-call]
    await runner.cleanup()
    assert sent == ["", ""]


async def test_what_a_pod_behind_the_proxy_has_packed_is_not_unpacked(tmp_path: Path) -> None:
    """It was not asked to pack anything, and a MiB may unpack to a GiB."""
    packed = gzip.compress(b"0" * 10_000)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api = await connect(kubeconfig(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}"))
    path, limit = "/api/v1/namespaces/shop/pods/a:80/proxy/", aiohttp.ClientTimeout(5)
    async with await open_proxied(api, "GET", path, headers={}, body=None, limit=limit) as response:
        assert await response.read() == packed
    await api.close()  # type: ignore[no-untyped-call]
    await runner.cleanup()

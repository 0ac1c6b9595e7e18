"""Further kinds at an API server that has them, refuses them, and loses them: what is asked, and who is held up."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reconciler.adapters.cluster import KubernetesCluster, connect
from reconciler.app.loop import keep_going
from reconciler.core.model import LABEL_APP
from reconciler.errors import Blocked, ReconcilerError
from tests.fakes.clock import FakeClock
from tests.fakes.world import Recorder

SOON = 20.0
"""Seconds that something is awaited for; reaching them fails the test."""

CRON, LEASE, BUDGET = "batch/v1/CronJob", "example.com/v1/Lease", "policy/v1/PodDisruptionBudget"
_VERBS = ["create", "delete", "get", "list", "patch", "watch"]
_LISTS: dict[str, list[dict[str, Any]]] = {
    "/apis/batch/v1": [
        {"name": "cronjobs/status", "kind": "CronJob", "namespaced": True, "verbs": ["get", "patch"]},
        {"name": "cronjobs", "kind": "CronJob", "namespaced": True, "verbs": _VERBS},
        {"name": "tokens", "kind": "Token", "namespaced": True, "verbs": ["create"]},
    ],
    "/apis/example.com/v1": [{"name": "leases", "kind": "Lease", "namespaced": False, "verbs": _VERBS}],
}


class ApiServer:
    """Holds an object of each further kind, and refuses those in `refused` by their plural. Counts what is asked."""

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}
        self.lists = {path: list(entries) for path, entries in _LISTS.items()}
        self.asked: Counter[str] = Counter()
        self.hang_up = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        plural = path.rpartition("/")[2]
        if "watch" in request.query:
            return await self._watch(request)
        self.asked[path] += 1
        if path in self.lists:
            return web.json_response({"resources": self.lists[path]})
        if plural in self.refused or "/" not in path.removeprefix("/apis/").partition("/")[2]:
            return web.json_response({"message": f"{plural}: no"}, status=self.refused.get(plural, 404))
        meta = {"name": "one", "uid": plural, "resourceVersion": "1", "labels": {LABEL_APP: "my-app"}}
        meta |= {"namespace": "shop"} if "/namespaces/" in path else {}
        items = [{"metadata": meta}] if plural in ("cronjobs", "leases") else []
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await self.hang_up.wait()
        return response


class Subject:
    """A server with a cluster on it, and the cluster's watches."""

    def __init__(self, server: ApiServer, cluster: KubernetesCluster, watches: list[asyncio.Task[None]]) -> None:
        self.server = server
        self.cluster = cluster
        self.watches = watches

    async def follow(self, *wanted: str, app: str = "my-app", known: tuple[str, ...] = ()) -> None:
        async with asyncio.timeout(SOON):
            await self.cluster.follow("shop", app, set(wanted), set(known))

    @property
    def seen(self) -> list[str]:
        return sorted(str(each["kind"]) for each in self.cluster.view("shop", "my-app"))


@pytest.fixture
async def subject(tmp_path: Path) -> AsyncIterator[Subject]:
    server = ApiServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    held = {
        "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(held))
    watches: list[asyncio.Task[None]] = []

    def spawn(name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        watches.append(asyncio.create_task(keep_going(name, work, Recorder(), FakeClock())))
        return watches[-1]

    api = await connect(str(tmp_path / "kubeconfig"))
    cluster = KubernetesCluster(api, lambda _: None, _outage, lambda _: None, spawn, lambda: 0.0)
    yield Subject(server, cluster, watches)
    await cluster.close()
    await runner.cleanup()


def _outage(kind: str, namespace: str, retry_in: float, error: ReconcilerError) -> None:
    """Told elsewhere."""


async def test_kinds_are_looked_up_once_and_watched_once_and_only_if_somebody_has_them(subject: Subject) -> None:
    await subject.follow()
    assert not subject.server.asked
    for app in ("my-app", "other", "my-app"):
        await subject.follow(CRON, LEASE, BUDGET, app=app)
    assert subject.server.asked == {
        "/apis/policy/v1/namespaces/shop/poddisruptionbudgets": 1,
        "/apis/batch/v1": 1,
        "/apis/example.com/v1": 1,
        "/apis/batch/v1/namespaces/shop/cronjobs": 1,
        "/apis/example.com/v1/leases": 1,
    }
    assert subject.seen == ["CronJob", "Lease"]


async def test_a_watch_ends_with_the_last_who_names_the_kind(subject: Subject) -> None:
    await subject.follow(CRON)
    await subject.follow(CRON, app="other")
    await subject.follow()
    [watch] = subject.watches
    assert not watch.done() and subject.seen == ["CronJob"]
    await subject.follow(app="other")
    assert subject.seen == []
    await asyncio.wait([watch], timeout=SOON)
    assert watch.cancelled()


async def test_a_kind_that_must_not_be_listed_holds_up_nobody_who_does_not_want_it(subject: Subject) -> None:
    subject.server.refused["cronjobs"] = 403
    with pytest.raises(Blocked, match="no"):
        await subject.follow(CRON)
    await subject.follow(LEASE, app="other")
    async with asyncio.timeout(SOON):
        await subject.cluster.synced("shop")
    await subject.follow()  # a commit without it goes on at once
    del subject.server.refused["cronjobs"]
    await subject.follow(CRON)
    assert subject.seen == ["CronJob", "Lease"]


@pytest.mark.parametrize("resource", ["batch/v1/Nonsense", "batch/v1/Token", "nowhere.example.com/v1/X"])
async def test_what_no_objects_can_be_made_of_is_an_error_where_it_is_wanted(resource: str, subject: Subject) -> None:
    with pytest.raises(Blocked, match="has no kind"):
        await subject.follow(resource)
    await subject.follow(known=(resource,))


async def test_a_kind_that_is_taken_away_is_passed_over_unless_it_is_wanted(subject: Subject) -> None:
    """Its objects went with it."""
    await subject.follow(CRON)
    subject.server.lists["/apis/batch/v1"] = []
    subject.server.refused["cronjobs"] = 404
    subject.server.hang_up.set()  # the watch ends, and its next list finds nothing
    async with asyncio.timeout(SOON):
        while subject.seen:
            await subject.follow(known=(CRON,))
            await asyncio.sleep(0.01)
    with pytest.raises(Blocked, match="has no kind"):
        await subject.follow(CRON)

"""One suite for the Leases of a group, in memory and on the real API server."""

from __future__ import annotations

import asyncio
import itertools
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest

from reconciler.adapters.cluster import connect
from reconciler.adapters.cluster.leases import KubernetesLeases
from reconciler.adapters.cluster.requests import send
from reconciler.core.membership import Lease, Statement
from reconciler.errors import Conflict
from reconciler.ports import Leases
from tests.fakes.leases import FakeLeases, LeaseStore

MINE = Lease("a", "a_1", 10.0, said=Statement(frozenset("ab"), frozenset({"shop/web"}), {"git": 2}))
SOON = 20.0


@pytest.fixture(params=["fake", "real"])
async def leases(request: pytest.FixtureRequest) -> AsyncIterator[Leases]:
    if request.param == "fake":
        yield FakeLeases(LeaseStore())
        return
    if "SANDBOX_NAME" not in os.environ:  # never a developer's own cluster by accident
        pytest.skip("no API server: run inside the sandbox, `python -m sandbox exec -- pytest tests/contract`")
    api = await connect(None)
    name = f"contract-{uuid.uuid4().hex[:8]}"
    await send(api, "POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    try:
        yield KubernetesLeases(api, name, "shop", partial(next, itertools.count(1_700_000_000.5)))
    finally:
        await send(api, "DELETE", f"/api/v1/namespaces/{name}")
        await api.close()  # type: ignore[no-untyped-call]


async def test_what_was_put_is_listed_and_comes_back_with_a_version(leases: Leases) -> None:
    assert not await leases.list()
    stored = await leases.put(MINE)
    assert stored == replace(MINE, version=stored.version) and int(stored.version) > 0
    assert list(await leases.list()) == [stored]


async def test_every_put_has_a_later_version_though_nothing_but_time_is_new(leases: Leases) -> None:
    first = await leases.put(MINE)
    second = await leases.put(first)
    assert int(second.version) > int(first.version)


async def test_what_somebody_else_wrote_first_is_not_written_over(leases: Leases) -> None:
    first = await leases.put(MINE)
    await leases.put(replace(first, holder="a_2"))
    with pytest.raises(Conflict):
        await leases.put(first)
    with pytest.raises(Conflict):
        await leases.put(MINE)
    assert [each.holder for each in await leases.list()] == ["a_2"]


async def test_one_that_is_gone_is_not_brought_back_by_a_renewal(leases: Leases) -> None:
    stored = await leases.put(MINE)
    await leases.delete(stored)
    with pytest.raises(Conflict):
        await leases.put(stored)
    assert not await leases.list()


async def test_only_what_is_as_it_was_is_deleted(leases: Leases) -> None:
    first = await leases.put(MINE)
    second = await leases.put(first)
    with pytest.raises(Conflict):
        await leases.delete(first)
    await leases.delete(second)
    await leases.delete(second)  # it is gone: nothing left to do
    assert not await leases.list()


async def test_letting_go_is_seen(leases: Leases) -> None:
    seen: list[Lease] = []
    gone: list[Lease] = []
    stored = await leases.put(MINE)
    following = asyncio.create_task(leases.follow(seen.append, gone.append))
    try:
        async with asyncio.timeout(SOON):
            while not seen:
                await asyncio.sleep(0.01)
            released = await leases.put(replace(stored, holder=""))
            while seen[-1] != released:
                await asyncio.sleep(0.01)
            await leases.delete(released)
            while not gone:
                await asyncio.sleep(0.01)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert seen[-1].holder == "" and gone[0].name == "a" and int(gone[0].version) > int(released.version)

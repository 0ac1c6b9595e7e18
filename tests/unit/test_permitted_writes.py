"""What a member of a group writes within the time of its Lease, and how long it waits for an answer about that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.adapters.cluster import connect
from reconciler.adapters.cluster.jobs import KubernetesJobs
from reconciler.adapters.cluster.leases import KubernetesLeases
from reconciler.core.membership import Lease
from reconciler.errors import Conflict, Transient
from tests.unit.test_cluster_adapter import kubeconfig

JOB = {"metadata": {"name": "smoke", "namespace": "shop", "uid": "1"}}


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of an API server that takes every request, and answers none."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


async def test_an_answer_about_leases_is_not_waited_for_longer_than_is_told(silent: str, tmp_path: Path) -> None:
    async with asyncio.timeout(8), await connect(kubeconfig(tmp_path, silent)) as api:
        leases = KubernetesLeases(api, "ops", "shop", lambda: 0.0, within=0.05)
        lease = Lease("a", "a_1", 10.0, "1")
        for asked in (leases.list(), leases.find("a"), leases.put(lease), leases.delete(lease)):
            with pytest.raises(Transient):
                await asked


async def test_a_lost_lease_says_nothing_of_a_job(silent: str, tmp_path: Path) -> None:
    """A conflict would: that it is there already, so a check would take itself for answered."""

    def permit() -> float:
        raise Conflict("this daemon's Lease has run out")

    async with asyncio.timeout(8), await connect(kubeconfig(tmp_path, silent)) as api:
        jobs = KubernetesJobs(api, permit=permit)
        for asked in (jobs.create(JOB), jobs.delete(JOB)):
            with pytest.raises(Transient, match="Lease has run out"):
                await asked

"""One look at every app: what is planned, and what the API server is going to say to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.app.oneshot import Sight, Workbench, writes_ahead
from reconciler.app.settings import Settings
from reconciler.app.settings_source import SourceSettings
from reconciler.core.gitref import branch
from reconciler.core.model import App
from reconciler.core.plan import plan
from reconciler.errors import Blocked, Conflict, Forbidden, Invalid, ReconcilerError, Transient
from tests.fakes.world import APP, World

SOURCE = SourceSettings(APP.source, "https://git.example.com/shop.git", branch("main"), interval=3600.0, timeout=5.0)


@pytest.fixture
def world() -> World:
    return World()


def looked(world: World, app: App = APP) -> Sight:
    """What `plan` and `status` see."""

    async def look() -> Sight:
        bench = Workbench(Settings((SOURCE,), (app,)), world.clock, lambda _: world.repository)
        bench.join(world.cluster, world.told)
        async with bench:
            return (await bench.look([]))[0]

    return asyncio.run(look())


@pytest.mark.parametrize("refusal", [Invalid("no such field"), Blocked("forbidden")])
def test_what_the_api_server_refuses_is_seen_beside_the_plan(refusal: ReconcilerError, world: World) -> None:
    world.commit("v1")
    world.cluster.fail_next_write = refusal
    sight = looked(world)
    assert sight.error is refusal
    assert sight.plan is not None
    assert sight.plan.actions
    assert not world.cluster.writes


def test_who_may_not_try_it_sees_the_plan_and_a_note(world: World) -> None:
    world.commit("v1")
    world.cluster.fail_next_write = Forbidden("user alice may not patch services", user="alice")
    sight = looked(world)
    assert sight.plan is not None and sight.plan.actions
    assert sight.error is None
    assert sight.note.startswith("user alice may not patch services. So the API server was not asked")


def test_what_the_apps_account_may_not_is_an_error_as_it_is_for_the_daemon(world: World) -> None:
    world.commit("v1")
    sight = looked(world, replace(APP, service_account="web"))
    assert isinstance(sight.error, Forbidden)
    assert "web may not list services" in sight.error.what
    assert not sight.note


def test_what_a_daemon_did_meanwhile_is_no_failure(world: World) -> None:
    world.commit("v1")
    world.cluster.fail_next_write = Conflict("changed")
    assert looked(world).error is None


def test_an_app_at_rest_costs_no_dry_run(world: World) -> None:
    world.release("v1")
    world.cluster.fail_next_write = Invalid("must not be asked")
    assert looked(world).error is None


@pytest.mark.parametrize(
    ("prepare", "kinds"),
    [
        (lambda world: world.commit("v1"), ["Service", "Deployment"]),
        (lambda world: (world.release("v1"), world.commit("v2")), ["Deployment", "Service"]),
    ],
)
def test_the_service_is_tried_before_the_first_pod_starts(
    prepare: Callable[[World], object], kinds: list[str], world: World
) -> None:
    prepare(world)
    sight = looked(world)
    assert sight.desired is not None
    assert sight.observed is not None
    made = plan(sight.desired, sight.observed, sight.at)
    assert [each.manifest["kind"] for each in writes_ahead(sight.desired, sight.observed, made)] == kinds


def test_what_the_cluster_remembers_is_seen_without_git(world: World) -> None:
    world.release("v1")
    world.repository.fail_with(Transient("unreachable"))
    assert world.cluster.writes
    world.cluster.writes.clear()

    async def remembered() -> Sight:
        bench = Workbench(Settings((SOURCE,), (APP,)), world.clock, lambda _: world.repository)
        bench.join(world.cluster, world.told)
        async with bench:
            return (await bench.remembered([]))[0]

    sight = asyncio.run(remembered())
    assert sight.error is None and sight.observed and sight.observed.front
    assert len(sight.observed.front.memory.deployments) == 1
    assert not world.cluster.writes

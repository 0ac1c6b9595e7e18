"""Approving what waits: what is written where, and when nothing is."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from reconciler import report
from reconciler.app.approve import Consent, Wish, approve
from reconciler.app.oneshot import Workbench
from reconciler.app.settings import Settings
from reconciler.core.consent import ANNOTATION_APPROVED, APPROVAL_MANAGER, is_approved, read_approval
from reconciler.core.live import Workload
from reconciler.core.model import App, Manifest
from reconciler.errors import Blocked, Conflict, Forbidden, Invalid, ReconcilerError
from tests.fakes.world import APP as WORLD_APP
from tests.fakes.world import NAMESPACE, World
from tests.unit.test_oneshot import SOURCE

APP = replace(WORLD_APP, strategy=replace(WORLD_APP.strategy, auto_promotion=False))


@pytest.fixture
def world() -> World:
    """v1 is active, and v2 was applied and waits for its pods."""
    made = World()
    made.release("v1")
    made.commit("v2")
    made.daemon.poll()
    made.daemon.settle()
    return made


async def given(world: World, app: App = APP, **wish: Any) -> Consent:
    """What becomes of a wish."""
    bench = Workbench(Settings((SOURCE,), (app,)), world.clock, lambda _: world.repository)
    bench.join(world.cluster, world.told)
    world.repository.closed = False  # a command opens it anew
    async with bench:
        return await approve(bench, Wish(app.name, **{"fallback": "root", **wish}))


async def refused(world: World, app: App = APP, **wish: Any) -> ReconcilerError:
    """How a wish fails; it has written nothing then."""
    before = dict(world.cluster.objects)
    with pytest.raises(ReconcilerError) as caught:
        await given(world, app, **wish)
    assert world.cluster.objects == before
    return caught.value


def workload(world: World, version: str = "v2") -> Workload:
    return next(each for each in world.observed.workloads if each.version == version)


def noted(world: World) -> str:
    return str(workload(world).live["metadata"]["annotations"].get(ANNOTATION_APPROVED))


def shown(consent: Consent) -> str:
    out = io.StringIO()
    report.consent(consent, Console(file=out, width=200))
    return out.getvalue()


async def test_who_when_what_and_for_which_commit_is_written_on_the_revisions_workload(world: World) -> None:
    consent = await given(world, by="jane")
    found = is_approved(consent.desired, workload(world))
    assert found == consent.approval
    assert found is not None
    assert (found.revision, found.commit) == (workload(world).revision, world.repository.branches["main"])
    assert found.by == "jane" and found.at == pytest.approx(world.clock.time, abs=1)
    assert world.cluster.get("Service", NAMESPACE, "my-app")
    told = shown(consent)
    assert told.startswith(f"approved my-app  v2 (revision {found.revision} of commit {found.commit[:10]})")
    assert "for this revision and this commit alone" in told
    assert "Now: progressing, " in told


async def test_nothing_but_the_approval_is_written_and_the_daemon_leaves_it(world: World) -> None:
    before = workload(world)
    await given(world, by="jane")
    after = workload(world)
    others = {key: each for key, each in after.live["metadata"]["annotations"].items() if key != ANNOTATION_APPROVED}
    assert others == before.live["metadata"]["annotations"]
    assert after.live["spec"] == before.live["spec"]
    key = ("Deployment", NAMESPACE, after.name)
    owned = world.cluster.owners[key][APPROVAL_MANAGER, "Apply"]
    assert owned == {("metadata", "annotations", ANNOTATION_APPROVED)}
    written = noted(world)
    world.repository.closed = False
    world.run()
    assert noted(world) == written


@pytest.mark.parametrize(
    ("by", "user", "recorded", "told"),
    [
        ("jane", "", "jane", False),
        ("", "system:serviceaccount:ci:bot", "system:serviceaccount:ci:bot", False),
        ("jane", "system:serviceaccount:ci:bot", "jane", True),
        ("jane", "jane", "jane", False),
        ("", "", "root", False),
    ],
)
async def test_who_approves_is_who_says_so_or_whom_the_api_server_knows(
    by: str, user: str, recorded: str, told: bool, world: World
) -> None:
    world.cluster.username = user
    consent = await given(world, by=by)
    assert consent.approval.by == recorded
    assert (f"The API server knows you as {user}" in shown(consent)) is told


async def test_an_approval_of_an_earlier_commit_does_not_count_and_is_given_again(world: World) -> None:
    first = await given(world, by="jane")
    world.repository.commit({"version": b"v2", "other": b"x"})
    second = await given(world, by="joe")
    assert not second.already
    assert second.approval.commit != first.approval.commit
    assert second.desired.revision == first.desired.revision
    assert is_approved(first.desired, workload(world)) is None
    assert is_approved(second.desired, workload(world)) == second.approval


async def test_what_is_approved_stays_approved_by_whom_it_was(world: World) -> None:
    first = await given(world, by="jane")
    second = await given(world, by="joe")
    assert second.already and second.approval == first.approval
    assert "approved before" in shown(second) and "by jane at " in shown(second)


async def test_an_approval_is_withdrawn_and_can_be_given_again(world: World) -> None:
    first = await given(world, by="jane")
    taken = await given(world, withdraw=True)
    assert taken.withdrawn and taken.approval == first.approval
    assert noted(world) == ""
    assert "withdrawn my-app" in shown(taken) and "by jane at " in shown(taken)
    assert "no approval that could be withdrawn" in str(await refused(world, withdraw=True))
    assert not (await given(world, by="joe")).already


async def test_a_workload_that_changes_meanwhile_is_read_again(world: World) -> None:
    """Its status does so all the time; and whatever was written meanwhile stays."""
    name, apply = workload(world).name, world.cluster.apply

    async def late(manifest: Manifest, manager: str, live: Any) -> Manifest:
        there = world.cluster.get("Deployment", NAMESPACE, name)
        assert there is not None
        if not there.get("touched"):
            world.cluster.put({**there, "touched": True})
        return await apply(manifest, manager, live)

    world.cluster.apply = late  # type: ignore[method-assign]
    consent = await given(world, by="jane")
    assert read_approval(workload(world).live["metadata"]["annotations"]) == consent.approval
    assert workload(world).live["touched"]


async def test_it_does_not_try_for_ever(world: World) -> None:
    async def never(manifest: Manifest, manager: str, live: Any) -> Manifest:
        raise Conflict("changed")

    world.cluster.apply = never  # type: ignore[method-assign]
    assert "was changed 20 times" in str(await refused(world))


@pytest.mark.parametrize(
    "wish", [{"revision": "bcdfghjklm"}, {"commit": "a" * 40}, {"commit": "abc"}, {"withdraw": True}]
)
async def test_what_was_not_looked_at_is_not_approved(wish: dict[str, Any], world: World) -> None:
    error = await refused(world, **wish)
    assert isinstance(error, Blocked)
    assert ("what waits is v2 (revision " in error.what) is ("withdraw" not in wish)


async def test_what_was_looked_at_is_approved_by_its_names(world: World) -> None:
    commit = world.repository.branches["main"]
    await given(world, revision=workload(world).revision, commit=commit[:12])
    assert noted(world)


async def test_nothing_waits_once_traffic_has_moved(world: World) -> None:
    world.run()
    assert world.active_version == "v2"
    for withdraw in (False, True):
        error = await refused(world, withdraw=withdraw)
        assert "nothing waits: v2 (revision " in error.what and "is active already" in error.what


async def test_nothing_waits_when_it_was_rejected(world: World) -> None:
    world.advance(100)
    world.daemon.settle()
    error = await refused(world)
    assert "was rejected: " in error.what
    assert "Commit another version" in error.todo


async def test_nothing_can_be_approved_before_it_is_there(world: World) -> None:
    world.commit("v3")
    error = await refused(world)
    assert "is not there yet" in error.what and "v3" in error.what


async def test_an_app_that_needs_no_approval_says_so(world: World) -> None:
    error = await refused(world, WORLD_APP)
    assert "strategy.autoPromotionEnabled is true" in error.what


async def test_what_git_says_wrong_is_told_as_everywhere(world: World) -> None:
    world.commit("")
    assert isinstance(await refused(world), Invalid)


async def test_who_may_not_write_is_told_the_rule(world: World) -> None:
    error = Forbidden("user jane may not patch deployments.apps", todo="Add to a Role", user="jane")
    world.cluster.refuse_writes_of = {workload(world).name: error}
    assert await refused(world) is error


async def test_it_is_written_with_the_rights_of_whoever_calls(world: World) -> None:
    await given(world, replace(APP, service_account="web"), by="jane")
    assert not [verb for _, verb in world.cluster.acted if "patch" in verb]


async def test_a_suspended_app_can_be_approved_and_says_what_that_means(world: World) -> None:
    consent = await given(world, replace(APP, suspend=True))
    assert "The app is suspended" in shown(consent)


async def test_an_approval_shortens_the_time_after_which_traffic_moves_by_itself(world: World) -> None:
    app = replace(APP, strategy=replace(APP.strategy, auto_promotion=True, auto_promotion_after=3600.0))
    consent = await given(world, app, by="jane")
    assert is_approved(consent.desired, workload(world)) == consent.approval

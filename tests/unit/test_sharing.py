"""What a daemon does that shares the apps with others: it works on its own alone, hands over, and fences off."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from reconciler.app.ownership import Tenure
from reconciler.app.settings import Settings
from reconciler.core.owner import OWNER, owner_on
from reconciler.core.phase import Phase
from reconciler.errors import Conflict
from tests.fakes.bench import IMAGE, Bench
from tests.fakes.discovery import SOURCE
from tests.fakes.world import NAMESPACE, FakeDaemon, Killed, World


@dataclass
class Share:
    """Which apps are a daemon's, as the test says."""

    own: set[str]
    holder: str = "me_1"
    woken: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    lapsed: bool = False
    """Whether its Lease has run out, which it has not noticed."""

    def owns(self, key: str) -> bool:
        return key in self.own

    shared = True

    def term(self, key: str) -> str:
        return self.holder

    def permit(self, key: str, term: str | None = None) -> float:
        self.asked.append(key)
        if term is not None and term != self.holder:
            raise Conflict("another daemon may have looked after it meanwhile")
        if self.lapsed:
            self.woken.clear()
            raise Conflict("this daemon's Lease has run out")
        if key not in self.own:
            raise Conflict("another daemon looks after it")
        return 5.0

    def wake(self, key: str) -> None:
        self.woken.append(key)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.daemon.stop()
    assert not made.events("bug"), made.events("bug")


def keys(*names: str) -> set[str]:
    return {f"{NAMESPACE}/{name}" for name in names}


def sharing(bench: Bench, *names: str) -> Share:
    share = Share(keys(*names))
    bench.daemon.ownership = share
    return share


async def test_only_its_own_apps_are_worked_on(bench: Bench) -> None:
    share = sharing(bench, "web")
    bench.commit({"web": IMAGE, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    assert not bench.objects("db")
    share.own = keys("web", "db")
    await bench.daemon.rebalance()
    await bench.released("db", "v1")
    assert set(share.asked) == keys("web", "db")


async def test_what_is_not_its_own_any_more_is_left_to_the_other(bench: Bench) -> None:
    share = sharing(bench, "web", "db")
    bench.commit({"web": IMAGE, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.released("db", "v1")
    assert await bench.daemon.surrender(keys("web").__contains__) == frozenset()
    share.own = keys("web")
    await bench.daemon.rebalance()
    bench.commit(web="v2", db="v2")
    await bench.released("web", "v2")
    assert not bench.events("revision_applied", app="db", version="v2")


async def test_a_promotion_under_way_is_kept_until_it_is_over(bench: Bench) -> None:
    share = sharing(bench, "web")
    bench.commit({"web": IMAGE}, web="v1")
    slow = bench.controllers.kubelet
    bench.controllers.kubelet = lambda *_: None  # type: ignore[method-assign]
    await bench.start()
    await bench.until(lambda: bench.events("phase_changed", phase=Phase.PROGRESSING.value))
    assert await bench.daemon.surrender(lambda _: False) == keys("web")
    woken = len(share.woken)
    bench.controllers.kubelet = slow  # type: ignore[method-assign]
    await bench.released("web", "v1")
    await bench.until(lambda: len(share.woken) > woken)
    assert await bench.daemon.surrender(lambda _: False) == frozenset()


async def test_an_app_waits_for_one_that_another_daemon_looks_after(bench: Bench) -> None:
    """It looks on, and tells nothing of what is not its own."""
    share = sharing(bench, "web")
    bench.commit({"web": IMAGE + "dependsOn: [db]\n", "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.until(lambda: bench.events("waiting_for", app="web"))
    assert not bench.events("phase_changed", app="db")
    share.own = keys("web", "db")
    other = bench.another()
    other.ownership = Share(keys("db"), "other_1")
    await other.apply(Settings((SOURCE,), ()))

    def released() -> object:
        other.wake_app("db")
        return bench.events("switch_confirmed", app="web")

    await bench.until(released)
    assert owner_on(bench.cluster.get("Service", NAMESPACE, "db") or {}) == "other_1"
    await other.stop()


async def test_it_looks_on_by_the_source_as_it_is_after_a_reload(bench: Bench) -> None:
    """The repository that it had before is closed, and the source that it asked is asked nothing any more."""
    sharing(bench, "web")
    bench.commit({"web": IMAGE + "dependsOn: [db]\n", "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.until(lambda: bench.events("waiting_for", app="web"))
    bench.repository = copy.copy(bench.repository)
    await bench.start(source=replace(SOURCE, interval=1800.0))
    bench.commit(web="v2", db="v2")
    other = bench.another()
    other.ownership = Share(keys("db"), "other_1")
    await other.apply(Settings((SOURCE,), ()))

    def released() -> object:
        other.wake_app("db")
        return bench.events("switch_confirmed", app="web", version="v2")

    await bench.until(released)
    await other.stop()


async def test_nobody_looks_on_when_it_has_ended(bench: Bench) -> None:
    sharing(bench, "web")
    bench.commit({"web": IMAGE + "dependsOn: [db]\n", "db": IMAGE}, web="v1", db="v1")
    before = asyncio.all_tasks()
    await bench.start()
    await bench.until(lambda: bench.events("waiting_for", app="web"))
    await bench.daemon.stop()
    assert asyncio.all_tasks() == before


async def test_changes_of_what_others_look_after_are_no_reason_to_look_for_removed_apps(bench: Bench) -> None:
    """With half of the apps another's, each of their changes would have this one look at all that there are."""
    sharing(bench, "web")
    bench.commit({"web": IMAGE, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    await asyncio.sleep(0.01)
    asked: list[str] = []
    bench.cluster.apps = lambda namespace: asked.append(namespace) or ()  # type: ignore[method-assign, func-returns-value]
    bench.daemon.wake_app("db")
    await asyncio.sleep(0.01)
    assert not asked
    bench.daemon.wake_app("gone")
    await asyncio.sleep(0.01)
    assert asked


async def test_a_removed_app_is_deleted_by_the_one_that_has_it_alone(bench: Bench) -> None:
    share = sharing(bench, "web")
    bench.commit({"web": IMAGE + "deletionPolicy: delete\n"}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    share.own = set()
    await bench.daemon.surrender(lambda _: False)
    gone = bench.remove("web")
    await bench.until(lambda: bench.events("source_updated", commit=gone))
    assert bench.objects("web")
    share.own = keys("web")
    await bench.daemon.rebalance()
    await bench.until(lambda: bench.events("app_deleted", app="web"))


async def test_what_a_lost_lease_held_up_goes_on_as_soon_as_it_is_there_again(bench: Bench) -> None:
    """It does not wait for its back-off, which counts those refusals as conflicts."""
    share = sharing(bench, "web")
    share.lapsed = True
    bench.clock.pause, bench.watched = 3600.0, ()
    bench.commit({"web": IMAGE}, web="v1")
    await bench.start()
    await bench.until(lambda: share.asked and share.woken)
    share.lapsed, share.holder = False, "me_1.2"
    await bench.daemon.rebalance()
    await bench.until(lambda: bench.events("revision_applied", app="web"))


async def test_an_app_at_rest_that_comes_back_is_taken_over_at_once(bench: Bench) -> None:
    """Though nothing happens that would wake it: its Service says that it is another's."""
    share = sharing(bench, "web", "db")
    bench.commit({"web": IMAGE, "db": IMAGE}, web="v1", db="v1")
    await bench.start()
    await bench.released("web", "v1")
    await bench.released("db", "v1")
    await bench.until(lambda: {each.phase for each in bench.daemon.state().apps} == {Phase.STABLE})
    bench.watched = ()
    share.holder = "me_1.2"
    await bench.daemon.rebalance()
    await bench.until(lambda: len(bench.events("app_taken_over", holder="me_1.2")) == 2)


# --- the fence ---


def test_whoever_takes_over_says_so_on_the_service_first() -> None:
    world = World()
    world.daemon = FakeDaemon(world, holder="a_1")
    world.commit("v1")
    world.run()
    assert owner_on(_service(world)) == "a_1"
    assert [each.fields["from_holder"] for each in world.told.events if each.name == "app_taken_over"] == [None]
    world.daemon = FakeDaemon(world, holder="b_1")
    world.daemon.poll()
    before = len(world.cluster.writes)
    world.commit("v2")
    world.run()
    assert world.cluster.writes[before] == "apply Service/my-app" and owner_on(_service(world)) == "b_1"
    assert world.told.last("app_taken_over").fields["from_holder"] == "a_1"


def test_a_switch_that_was_decided_before_fails_though_nothing_else_has_happened() -> None:
    """The late one is stopped between decision and write. Git goes back, so that the other one has nothing to do."""
    world = World()
    world.daemon = late = FakeDaemon(world, holder="a_1")
    world.commit("v1")
    world.run()
    world.commit("v2")
    late.poll()
    late.settle()
    world.controllers.everything()
    late.pause(writes=0)
    selected = _service(world)["spec"]["selector"]
    world.commit("v1")
    other = FakeDaemon(world, holder="b_1")
    other.poll()
    other.turn()
    assert late.turn() is None, "the late write must be refused"
    assert _service(world)["spec"]["selector"] == selected


async def test_a_turn_that_began_before_another_daemon_had_the_app_writes_nothing(bench: Bench) -> None:
    """What it saw is old, though the app is its own again: the next turn says so on the Service first."""
    share = sharing(bench, "web")
    bench.commit({"web": IMAGE}, web="v1")
    await bench.start()
    await bench.released("web", "v1")
    tenure = Tenure(share, "web")
    tenure.begin()
    share.own, share.holder = keys("web"), "me_1.2"
    with pytest.raises(Conflict, match="meanwhile"):
        tenure.permit()
    before = len(bench.cluster.writes)
    bench.commit(web="v2")
    await bench.released("web", "v2")
    assert bench.cluster.writes[before] == "apply Service/web"
    assert bench.events("app_taken_over", app="web", holder="me_1.2", from_holder="me_1")


def test_a_single_daemon_writes_no_name() -> None:
    world = World()
    world.commit("v1")
    world.run()
    assert OWNER not in _service(world)["metadata"]["annotations"]


@pytest.mark.parametrize("when", ["kill_before", "kill_after"])
@pytest.mark.parametrize("write", range(1, 12))
def test_killed_at_any_write_a_successor_ends_the_same(when: str, write: int) -> None:
    world = World()
    world.daemon = FakeDaemon(world, holder="a_1")
    world.commit("v1")
    world.run()
    world.commit("v2")
    setattr(world.cluster, when, write)
    with suppress(Killed):
        world.run()
    world.cluster.kill_before = world.cluster.kill_after = None
    world.daemon = FakeDaemon(world, holder="b_1")
    plan = world.run()
    assert plan.phase in (Phase.RETAINING, Phase.STABLE)
    assert _service(world)["spec"]["selector"]["version"] == "v2"
    assert owner_on(_service(world)) == "b_1"


def _service(world: World) -> Mapping[str, Any]:
    found = world.cluster.get("Service", NAMESPACE, "my-app")
    assert found
    return found

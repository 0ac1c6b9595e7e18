"""The loops around the cycle: wake-ups, failures told once, sources that fail, a configuration that changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.app.backoff import BackOff
from reconciler.app.cycle import Outcome, Tip
from reconciler.app.daemon import Daemon
from reconciler.app.loop import AppLoop, keep_going
from reconciler.app.settings import Settings
from reconciler.app.settings_source import SourceSettings
from reconciler.core.gitref import branch
from reconciler.core.phase import Phase
from reconciler.core.plan import Plan
from reconciler.errors import Conflict, Invalid, ReconcilerError, Transient
from tests.fakes.clock import FakeClock
from tests.fakes.controllers import Controllers
from tests.fakes.git import FakeRepository
from tests.fakes.world import APP, NAMESPACE, GuardedCluster, Recorder

SOURCE = SourceSettings("git", "https://git.example.com/shop.git", branch("main"), interval=3600.0, timeout=5.0)


class Bench:
    """A daemon on fakes, with the fake's changes waking it as watches would."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = GuardedCluster(self.clock)
        self.told = Recorder()
        self.repositories: dict[str, FakeRepository] = {}
        self.controllers = Controllers(self.cluster, NAMESPACE, self.clock.now)
        self.cluster.known_ready = self.controllers.known_ready
        self.daemon = Daemon(self.cluster, self.told, self.clock, self.open)

    def open(self, source: SourceSettings) -> FakeRepository:
        return self.repositories.setdefault(source.name, FakeRepository())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.controllers.everything()
                self.daemon.wake_app(APP.name)
                await asyncio.sleep(0.001)

    def count(self, name: str) -> int:
        return self.told.names().count(name)


@pytest.fixture
def bench() -> Bench:
    return Bench()


SETTINGS = Settings((SOURCE,), (APP,))


async def test_a_commit_becomes_a_release(bench: Bench) -> None:
    bench.repositories["git"] = FakeRepository()
    bench.repositories["git"].commit({"version": b"v1.0.0"})
    await bench.daemon.apply(SETTINGS)
    await bench.until(lambda: bench.count("switch_confirmed") == 1)
    await bench.daemon.stop()
    assert bench.repositories["git"].closed


async def test_an_invalid_commit_is_told_once_and_the_next_good_one_recovers(bench: Bench) -> None:
    repository = bench.repositories["git"] = FakeRepository()
    repository.commit({"version": b"not a version!"})
    await bench.daemon.apply(SETTINGS)
    await bench.until(lambda: bench.count("app_invalid") == 1)
    for _ in range(20):
        bench.daemon.wake_app(APP.name)
        await asyncio.sleep(0)
    assert bench.count("app_invalid") == 1
    repository.commit({"version": b"v1.0.0"})
    bench.daemon.wake_source("git")
    await bench.until(lambda: bench.count("switch_confirmed") == 1)
    await bench.daemon.stop()


async def test_a_failing_source_is_told_once_and_its_recovery_too(bench: Bench) -> None:
    repository = bench.repositories["git"] = FakeRepository()
    repository.commit({"version": b"v1.0.0"})
    repository.fail_with(Transient("unreachable"))
    await bench.daemon.apply(SETTINGS)
    await bench.until(lambda: bench.count("source_failed") == 1)
    bench.daemon.wake_source("git")
    await asyncio.sleep(0.01)
    assert bench.count("source_failed") == 1
    repository.heal()
    bench.daemon.wake_source("git")
    await bench.until(lambda: bench.count("switch_confirmed") == 1)
    assert bench.count("source_recovered") == 1
    await bench.daemon.stop()


async def test_an_unreachable_git_leaves_a_running_promotion_to_its_end(bench: Bench) -> None:
    repository = bench.repositories["git"] = FakeRepository()
    repository.commit({"version": b"v1.0.0"})
    await bench.daemon.apply(SETTINGS)
    async with asyncio.timeout(10):
        while bench.count("revision_applied") == 0:
            await asyncio.sleep(0.001)
    repository.fail_with(Transient("unreachable"))
    bench.daemon.wake_source("git")
    await bench.until(lambda: bench.count("switch_confirmed") == 1)
    await bench.daemon.stop()


async def test_a_hanging_source_holds_up_nobody_else(bench: Bench) -> None:
    stuck = bench.repositories["stuck"] = FakeRepository(timeout=3600)
    stuck.hang()
    bench.repositories["git"] = FakeRepository()
    bench.repositories["git"].commit({"version": b"v1.0.0"})
    other = SourceSettings("stuck", "https://git.example.com/other.git", branch("main"), 3600.0, 5.0)
    await bench.daemon.apply(Settings((other, SOURCE), (APP,)))
    await bench.until(lambda: bench.count("switch_confirmed") == 1)
    await bench.daemon.stop()


async def test_a_changed_configuration_leaves_alone_what_it_does_not_touch(bench: Bench) -> None:
    bench.repositories["git"] = FakeRepository()
    bench.repositories["git"].commit({"version": b"v1.0.0"})
    await bench.daemon.apply(SETTINGS)
    await bench.until(lambda: bench.count("switch_confirmed") == 1)
    running = bench.daemon._apps[APP.name].task
    second = SourceSettings("second", "https://git.example.com/second.git", branch("main"), 3600.0, 5.0)
    assert await bench.daemon.apply(Settings((SOURCE, second), (APP,)))
    assert bench.daemon._apps[APP.name].task is running
    assert not await bench.daemon.apply(Settings((SOURCE, second), (APP,)))
    assert await bench.daemon.apply(Settings((), ()))
    assert running.done()
    await bench.daemon.stop()


async def test_a_suspended_source_is_not_asked_and_its_apps_go_on_with_what_was_read(bench: Bench) -> None:
    bench.repositories["git"] = _with(b"v1.0.0")
    await bench.daemon.apply(SETTINGS)
    await bench.until(lambda: bench.count("switch_confirmed") == 1)
    bench.repositories["git"] = _with(b"v1.0.0", b"v2.0.0")
    await bench.daemon.apply(Settings((replace(SOURCE, suspend=True),), (APP,)))
    await bench.until(lambda: bench.count("source_suspended") == 1)
    (service,) = bench.cluster.all("Service")
    bench.cluster.remove("Service", NAMESPACE, service["metadata"]["name"])
    await bench.until(lambda: bench.count("switched") == 2)
    assert {each.fields["version"] for each in bench.told.events if each.name == "switched"} == {"v1.0.0"}
    bench.repositories["git"] = _with(b"v1.0.0", b"v2.0.0")
    await bench.daemon.apply(SETTINGS)
    await bench.until(lambda: bench.told.last("switched").fields["version"] == "v2.0.0")
    await bench.daemon.stop()


def _with(*versions: bytes) -> FakeRepository:
    """A connection of its own to what is one repository: equal commits have equal ids."""
    made = FakeRepository()
    for version in versions:
        made.commit({"version": version})
    return made


async def test_an_unusable_address_changes_nothing(bench: Bench) -> None:
    bench.repositories["git"] = FakeRepository()
    bench.repositories["git"].commit({"version": b"v1.0.0"})
    await bench.daemon.apply(SETTINGS)
    running = bench.daemon._apps[APP.name].task

    def refuse(source: SourceSettings) -> FakeRepository:
        raise Invalid("no address")

    bench.daemon.open_repository = refuse
    changed = SourceSettings("git", "ext::rubbish", branch("main"), 3600.0, 5.0)
    with pytest.raises(Invalid):
        await bench.daemon.apply(Settings((changed,), (APP,)))
    assert bench.daemon._apps[APP.name].task is running
    assert not running.done()
    await bench.daemon.stop()


async def test_a_bug_is_told_and_the_work_begun_anew() -> None:
    told, attempts = Recorder(), []

    async def work() -> None:
        attempts.append(1)
        if len(attempts) > 1:
            await asyncio.Event().wait()
        raise ZeroDivisionError

    class Hasty(FakeClock):
        def jitter(self, seconds: float) -> float:
            return 0.0

    task = asyncio.create_task(keep_going("app x", work, told, Hasty()))
    async with asyncio.timeout(10):
        while len(attempts) < 2:
            await asyncio.sleep(0)
    task.cancel()
    assert told.names() == ["bug"]
    assert "ZeroDivisionError" in told.events[0].fields["reason"]


class Stub:
    """A cycle whose every turn fails, or acts, and is followed by the echo of its own write."""

    def __init__(self, error: ReconcilerError | None = None) -> None:
        self.app, self.about, self.error, self.turns = APP, None, error, 0
        self.loop: AppLoop | None = None

    async def synced(self) -> None:
        return None

    async def run(self, tip: Tip) -> Outcome:
        self.turns += 1
        assert self.loop is not None
        self.loop.wake()
        if self.error:
            raise self.error
        return Outcome(Plan(Phase.STABLE), acted=True)


async def _turns_within(cycle: Stub, seconds: float) -> int:
    tip = Tip("c", 0.0, 0.0)
    cycle.loop = AppLoop(cycle, Recorder(), FakeClock(), lambda: tip, lambda: None)  # type: ignore[arg-type]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(cycle.loop.run(), seconds)
    return cycle.turns


@pytest.mark.parametrize("error", [Transient("x"), Transient("x", retry_after=30.0), Invalid("x")])
async def test_changes_in_the_cluster_do_not_cut_a_back_off_short(error: ReconcilerError) -> None:
    """Our own write is such a change: an overloaded API server would be asked again at once."""
    assert await _turns_within(Stub(error), 0.3) == 1


async def test_news_from_git_do_cut_it_short() -> None:
    cycle = Stub(Invalid("a bad commit"))
    running = asyncio.create_task(_turns_within(cycle, 0.4))
    async with asyncio.timeout(5):
        while cycle.turns < 1:
            await asyncio.sleep(0)
    assert cycle.loop is not None
    cycle.loop.wake_for_git()
    assert await running == 2


async def test_a_loop_that_is_woken_and_ended_at_once_ends() -> None:
    """`asyncio.wait_for` of Python 3.11 would lose the cancellation, and the daemon wait for the loop for ever."""
    tip = Tip("c", 0.0, 0.0)
    cycle = Stub(Transient("x"))
    cycle.loop = loop = AppLoop(cycle, Recorder(), FakeClock(), lambda: tip, lambda: None)  # type: ignore[arg-type]
    task = asyncio.create_task(loop.run())
    while cycle.turns < 1:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    loop.wake_for_git()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.done()


async def test_a_fight_with_another_writer_is_slowed_down() -> None:
    """20 cycles at full speed, then one after 0.1 s, after 0.2 s, and so on."""
    assert 20 < await _turns_within(Stub(), 0.5) <= 24


def test_conflicts_and_failures_are_counted_apart() -> None:
    back_off = BackOff()
    for _ in range(6):
        back_off.failed(Conflict("x"))
    assert back_off.failed(Transient("x")) == 0.5


def test_back_off_doubles_to_its_limit_and_begins_anew() -> None:
    back_off = BackOff(first=1.0, longest=5.0)
    assert [back_off.failed(Transient("x")) for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    back_off.succeeded()
    assert back_off.failed(Transient("x")) == 1.0
    assert back_off.failed(Transient("x", retry_after=30.0)) == 30.0


def test_a_conflict_is_tried_again_almost_at_once() -> None:
    assert BackOff().failed(Conflict("x")) < 0.05

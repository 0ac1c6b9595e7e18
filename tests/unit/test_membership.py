"""Of several daemons that share the apps, each app has one at a time, whatever happens; and in the end it has one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.app.membership import Hooks, Membership
from reconciler.core.membership import (
    Lease,
    Roll,
    Statement,
    claims,
    may_act,
    owner_of,
    read_statement,
    write_statement,
)
from reconciler.errors import Blocked, Conflict
from tests.fakes.leases import FakeLeases, LeaseStore
from tests.fakes.virtual import run_virtual
from tests.fakes.world import Recorder

APPS = [f"shop/app-{number}" for number in range(12)]
DURATION = 10.0


@dataclass
class Member:
    """A process that looks after what is its own, and its way to the API server."""

    name: str
    store: LeaseStore
    chance: random.Random
    slow: float = 0.0
    life: int = 0
    works: set[str] = field(default_factory=set)
    promoting: set[str] = field(default_factory=set)
    told: Recorder = field(default_factory=Recorder)
    nudged: list[str] = field(default_factory=list)
    leases: FakeLeases = field(init=False)
    membership: Membership = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        self.life += 1
        self.leases = FakeLeases(self.store, self.chance, self.slow)
        self.membership = Membership(
            self.name,
            f"{self.name}_{self.life}",
            self.leases,
            self.told,
            asyncio.get_running_loop().time,
            DURATION,
            Hooks(self._surrender, self._settled, self.nudged.append),
        )
        work = (self.membership.renew, self.membership.share, self.membership.follow)
        self._tasks = [asyncio.create_task(each()) for each in work]

    async def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.works.clear()
        self.promoting.clear()
        self._tasks = []

    async def stop(self) -> None:
        await self.kill()
        await self.membership.release()

    @property
    def runs(self) -> bool:
        return bool(self._tasks)

    def may_write(self, key: str) -> bool:
        if not self.runs or key not in self.works:
            return False
        try:
            return self.membership.permit(key) > 0
        except Conflict:
            return False

    async def _surrender(self, mine: Callable[[str], bool]) -> frozenset[str]:
        await asyncio.sleep(self.chance.uniform(0, self.slow))
        leaving = {key for key in self.works if not mine(key)}
        self.works -= leaving - self.promoting
        return frozenset(leaving & self.promoting)

    async def _settled(self) -> None:
        await asyncio.sleep(self.chance.uniform(0, self.slow))
        self.works = {key for key in APPS if self.membership.owns(key)}
        self.promoting &= self.works


def over(member: Member) -> None:
    """No promotion of it is under way any more."""
    for key in APPS:
        member.membership.wake(key)


def owners(members: list[Member]) -> dict[str, list[str]]:
    return {key: [each.name for each in members if each.may_write(key)] for key in APPS}


def require_one_at_most(members: list[Member]) -> None:
    for key, found in owners(members).items():
        assert len(found) <= 1, f"{key} has {found}"


def require_one_each(members: list[Member]) -> None:
    living = [each.name for each in members if each.runs]
    assert owners(members) == {key: [owner_of(key, living)] for key in APPS}


def crowd(names: str, *, slow: float = 0.01, seed: int = 0) -> list[Member]:
    store, chance = LeaseStore(), random.Random(seed)
    return [Member(name, store, chance, slow) for name in names]


async def ticks(members: list[Member], seconds: float, step: float = 0.1) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        require_one_at_most(members)
        await asyncio.sleep(step)


# The rules.


def test_rendezvous_moves_only_what_comes_or_goes() -> None:
    keys = [f"shop/app-{number}" for number in range(1000)]
    before = {key: owner_of(key, "abc") for key in keys}
    after = {key: owner_of(key, "abcd") for key in keys}
    moved = [key for key in keys if before[key] != after[key]]
    assert all(after[key] == "d" for key in moved)
    assert 180 < len(moved) < 320  # a quarter
    assert {key: owner_of(key, "abd") for key in keys if before[key] != "c" and after[key] != "d"} == {
        key: before[key] for key in keys if before[key] != "c" and after[key] != "d"
    }


def test_a_member_claims_what_its_view_gives_it_and_what_it_keeps() -> None:
    said = Statement(frozenset("ab"), keeps=frozenset({"k"}))
    theirs = next(key for key in APPS if owner_of(key, "ab") == "b")
    assert claims("b", said, theirs) and not claims("a", said, theirs)
    assert claims("a", said, "k")
    assert not claims("a", Statement(), theirs)
    assert claims("a", Statement(unreadable=True), theirs)


def test_nobody_acts_for_what_another_claims() -> None:
    mine = Statement(frozenset("ab"))
    key = next(key for key in APPS if owner_of(key, "ab") == "a")
    assert may_act(key, "a", mine, {"b": mine})
    assert not may_act(key, "a", mine, {"b": Statement(frozenset("b"))})
    assert not may_act(key, "a", mine, {"b": Statement(frozenset("ab"), keeps=frozenset({key}))})


@given(
    st.frozensets(st.text(max_size=8), max_size=4),
    st.frozensets(st.text(max_size=8), max_size=4),
    st.dictionaries(st.text(max_size=8), st.integers(0, 99), max_size=3),
)
def test_a_statement_is_read_as_it_was_written(
    view: frozenset[str], keeps: frozenset[str], nudges: dict[str, int]
) -> None:
    said = Statement(view, keeps, nudges)
    assert read_statement(write_statement(said)) == said


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "1",
        '{"view": 1}',
        '{"view": [1]}',
        '{"shards": 3}',
        "[" * 100_000,
        '{"view": "ab"}',
        '{"view": {"a": 1}}',
        '{"nudges": {"git": 1e999}}',
    ],
)
def test_what_is_not_understood_claims_everything(text: str) -> None:
    assert read_statement(text).unreadable


def test_a_lease_without_a_statement_claims_nothing() -> None:
    assert read_statement("") == Statement()


def test_only_a_lease_that_is_listed_unchanged_after_its_whole_duration_is_gone() -> None:
    roll = Roll("a")
    roll.put(Lease("b", "b_1", DURATION, "5"), 100.0)
    assert not roll.overdue(109.9)
    assert list(roll.overdue(110.0)) == ["b"]
    overdue = roll.overdue(110.0)
    roll.put(Lease("b", "b_1", DURATION, "6"), 110.0)
    roll.bury(overdue, {"b": Lease("b", "b_1", DURATION, "6")}, 110.1)
    assert "b" in roll.living
    roll.bury(roll.overdue(120.0), {"b": Lease("b", "b_1", DURATION, "6")}, 120.1)
    assert "b" not in roll.living and "b" in roll.gone
    roll.put(Lease("b", "b_1", DURATION, "7"), 121.0)
    assert "b" in roll.living


def test_a_released_lease_is_gone_at_once_and_a_deleted_one_is_not() -> None:
    roll = Roll("a")
    roll.put(Lease("b", "b_1", DURATION, "5"), 100.0)
    roll.put(Lease("c", "c_1", DURATION, "6"), 100.0)
    assert roll.put(Lease("b", "", DURATION, "7"), 101.0)
    assert set(roll.living) == {"c"}
    roll.bury(roll.overdue(109.0), {}, 109.1)
    assert set(roll.living) == {"c"}  # though no list has it
    roll.bury(roll.overdue(110.0), {}, 110.1)
    assert not roll.living


def test_one_whose_renewal_was_seen_while_the_list_was_under_way_is_not_gone() -> None:
    """By what it has written since, it may be acting: the list is the older of the two."""
    roll = Roll("a")
    roll.put(Lease("b", "b_1", DURATION, "5"), 100.0)
    overdue = roll.overdue(110.0)
    roll.put(Lease("b", "b_1", DURATION, "6", Statement(frozenset("b"))), 110.1)
    roll.bury(overdue, {"b": Lease("b", "b_1", DURATION, "5")}, 110.2)
    assert roll.living == {"b": Statement(frozenset("b"))} and not roll.gone


def test_a_store_that_was_put_back_to_what_it_was_is_believed() -> None:
    roll = Roll("a")
    roll.put(Lease("b", "b_1", DURATION, "500"), 100.0)
    roll.bury(roll.overdue(110.0), {"b": Lease("b", "b_1", DURATION, "40")}, 110.1)
    assert "b" in roll.living and not roll.overdue(120.0)
    roll.put(Lease("b", "b_1", DURATION, "41"), 115.0)
    assert not roll.overdue(124.9) and roll.overdue(125.0)


# Members.


def test_one_alone_has_everything() -> None:
    async def story() -> None:
        members = crowd("a")
        members[0].start()
        await ticks(members, 1)
        require_one_each(members)

    run_virtual(story())


def test_three_share_and_one_that_lets_go_is_replaced_at_once() -> None:
    async def story() -> None:
        members = crowd("abc")
        for each in members:
            each.start()
        await ticks(members, 3)
        require_one_each(members)
        await members[1].stop()
        await ticks(members, 1)  # a tenth of the Lease
        require_one_each(members)
        assert "b" not in members[0].store.leases

    run_virtual(story())


def test_one_that_was_killed_is_replaced_when_its_lease_has_run_out() -> None:
    async def story() -> None:
        members = crowd("abc")
        for each in members:
            each.start()
        await ticks(members, 3)
        await members[0].kill()
        await ticks(members, DURATION * 0.7)
        assert any(not found for found in owners(members).values())  # nobody can know yet
        await ticks(members, DURATION * 0.5)
        require_one_each(members)
        assert set(members[1].store.leases) == {"b", "c"}  # and its Lease was cleared away

    run_virtual(story())


def test_a_process_that_starts_anew_under_its_name_goes_on_at_once() -> None:
    async def story() -> None:
        members = crowd("ab")
        for each in members:
            each.start()
        await ticks(members, 3)
        await members[0].kill()
        members[0].start()
        await ticks(members, 1)
        require_one_each(members)

    run_virtual(story())


def test_one_that_was_paused_may_write_nothing_when_it_goes_on() -> None:
    async def story() -> None:
        members = crowd("ab")
        for each in members:
            each.start()
        await ticks(members, 3)
        before = set(members[0].works)
        members[0].leases.frozen = asyncio.Event()
        await ticks(members, DURATION * 1.2)
        assert all(found == ["b"] for found in owners(members).values())
        for key in before:
            with pytest.raises(Conflict):
                members[0].membership.permit(key)
        members[0].leases.frozen.set()
        await ticks(members, 3)
        require_one_each(members)
        assert "lease_lost" in members[0].told.names() and "lease_recovered" in members[0].told.names()

    run_virtual(story())


def test_an_outage_for_all_moves_nothing() -> None:
    """Nobody could renew: nobody is gone for that."""

    async def story() -> None:
        members = crowd("abc")
        for each in members:
            each.start()
        await ticks(members, 3)
        before = owners(members)
        for each in members:
            each.leases.cut = True
        await ticks(members, DURATION * 2)
        assert not any(owners(members).values())
        for each in members:
            each.leases.cut = False
        await ticks(members, 5)
        assert owners(members) == before
        assert all("membership_changed" not in each.told.names()[-2:] for each in members)

    run_virtual(story())


def test_the_api_server_is_back_for_one_before_it_is_for_the_others() -> None:
    async def story() -> None:
        members = crowd("abc")
        for each in members:
            each.start()
        await ticks(members, 3)
        before = owners(members)
        for each in members:
            each.leases.cut = True
        await ticks(members, DURATION * 2)
        members[0].leases.cut = False
        await ticks(members, DURATION / 2)
        assert owners(members) == {key: found if found == ["a"] else [] for key, found in before.items()}
        members[1].leases.cut = members[2].leases.cut = False
        await ticks(members, 5)
        assert owners(members) == before

    run_virtual(story())


def test_whose_watch_has_stopped_does_not_take_the_others_for_gone() -> None:
    async def story() -> None:
        members = crowd("ab")
        for each in members:
            each.start()
        await ticks(members, 3)
        before = owners(members)
        members[0].leases.deaf = True
        await ticks(members, DURATION * 3)
        assert owners(members) == before
        assert members[0].membership.members == {"a", "b"}

    run_virtual(story())


def test_a_renewal_that_arrives_when_others_have_taken_over_gives_nothing_back() -> None:
    """What is left of it cannot even be deleted: so the late renewal is written, and its sender is told so."""

    async def story() -> None:
        members = crowd("ab")
        for each in members:
            each.start()
        await ticks(members, 3)
        members[1].leases.undeletable = Blocked("may not delete leases", todo="allow it")
        members[0].leases.delayed = DURATION * 1.5
        await ticks(members, DURATION * 1.7)
        assert [each.name for each in members[1].told.events].count("lease_left") == 1
        await ticks(members, DURATION)
        require_one_each(members)
        assert "lease_lost" in members[0].told.names()

    run_virtual(story())


def test_what_was_handed_over_may_not_be_written_any_more() -> None:
    async def story() -> None:
        members = crowd("ab")
        members[0].start()
        await ticks(members, 1)
        members[1].start()
        await ticks(members, 3)
        for key in APPS:
            owner, other = members if owner_of(key, "ab") == "a" else reversed(members)
            assert owner.membership.permit(key) > 0
            with pytest.raises(Conflict):
                other.membership.permit(key)

    run_virtual(story())


def test_an_app_that_comes_back_is_another_term() -> None:
    """Whatever way it was away: another member had it, or may have had it. What was decided before may not be done."""

    async def story() -> None:
        members = crowd("ab")
        members[0].start()
        await ticks(members, 3)
        member = members[0].membership
        first = {key: member.term(key) for key in APPS}
        members[1].start()
        await ticks(members, 3)
        stayed = [key for key in APPS if member.owns(key)]
        assert 0 < len(stayed) < len(APPS)
        assert [key for key in APPS if member.term(key) == first[key]] == stayed
        assert {member.term(key) for key in APPS if key not in stayed} == {""}
        await members[1].stop()
        await ticks(members, 3)
        assert [key for key in APPS if member.term(key) == first[key]] == stayed
        members[0].leases.cut = True
        await ticks(members, DURATION * 2)
        members[0].leases.cut = False
        await ticks(members, DURATION)
        for key in APPS:
            assert member.permit(key) > 0 and member.term(key) not in ("", first[key])
            with pytest.raises(Conflict, match="meanwhile"):
                member.permit(key, first[key])

    run_virtual(story())


def test_a_promotion_is_not_interrupted_by_one_that_joins() -> None:
    async def story() -> None:
        members = crowd("ab")
        members[0].start()
        await ticks(members, 1)
        kept = next(key for key in APPS if owner_of(key, "ab") == "b")
        members[0].promoting = {kept}
        members[1].start()
        await ticks(members, 3)
        assert owners(members)[kept] == ["a"]
        assert all(found for found in owners(members).values())
        members[0].promoting = set()
        members[0].membership.wake(kept)
        await ticks(members, 1)
        require_one_each(members)

    run_virtual(story())


def test_news_of_a_source_reaches_the_others() -> None:
    async def story() -> None:
        members = crowd("abc")
        for each in members:
            each.start()
        await ticks(members, 3)
        members[0].membership.nudge("shop")
        await ticks(members, 1)
        assert members[1].nudged == members[2].nudged == ["shop"]
        members[0].membership.nudge("shop")
        await ticks(members, 1)
        assert members[1].nudged == ["shop", "shop"] and members[0].nudged == []

    run_virtual(story())


def test_a_lease_that_somebody_deletes_is_made_anew_and_nothing_moves() -> None:
    async def story() -> None:
        members = crowd("ab")
        for each in members:
            each.start()
        await ticks(members, 3)
        before = owners(members)
        del members[0].store.leases["a"]
        await ticks(members, DURATION)
        assert owners(members) == before
        assert members[0].told.names()[-2:] == ["lease_lost", "lease_recovered"]  # meanwhile somebody might have joined
        assert [each for each in members[1].told.names() if each == "membership_changed"] == ["membership_changed"] * 2

    run_virtual(story())


def test_a_list_that_comes_before_the_first_renewal_after_an_outage_buries_nobody() -> None:
    async def story() -> None:
        members = crowd("ab")
        for each in members:
            each.start()
        await ticks(members, 3)
        for each in members:
            each.leases.cut = True
        await ticks(members, DURATION * 2)
        stored, put = members[0].leases.asked, members[0].leases.put

        async def late(lease: Lease) -> Lease:
            await asyncio.sleep(3.0)
            return await put(lease)

        members[0].leases.put = late  # type: ignore[method-assign]
        stored.clear()
        members[0].leases.cut = False
        await ticks(members, 2.9)
        assert "list" in stored and members[0].membership.members == {"b"}

    run_virtual(story())


def test_it_does_not_grow_while_nothing_can_be_listed() -> None:
    async def story() -> None:
        members = crowd("ab")
        members[0].start()
        await ticks(members, 3)

        async def refused() -> list[Lease]:
            raise Blocked("may not list leases", where="Leases in prod", todo="allow it")

        members[0].leases.list = refused  # type: ignore[method-assign]
        members[1].start()
        await ticks(members, DURATION * 5)
        assert len(members[0].membership._acting_by) == 2

    run_virtual(story())


def test_a_refusal_is_told_also_if_it_comes_after_a_conflict() -> None:
    async def story() -> None:
        members = crowd("a")
        members[0].start()
        errors = iter([Conflict("there is one")])

        async def refused(_: Lease) -> Lease:
            raise next(errors, Blocked("may not patch leases", where="Lease prod/a", todo="allow it"))

        members[0].leases.put = refused  # type: ignore[method-assign, assignment]
        await ticks(members, DURATION)
        assert members[0].told.names() == ["lease_lost"]

    run_virtual(story())


def test_what_is_not_allowed_is_told_once() -> None:
    async def story() -> None:
        members = crowd("a")
        members[0].start()
        error = Blocked("may not create leases", where="Lease prod/a", todo="allow it")

        async def refused(_: Lease) -> Lease:
            raise error

        members[0].leases.put = refused  # type: ignore[method-assign, assignment]
        await ticks(members, DURATION * 2)
        told = [each for each in members[0].told.events if each.name == "lease_lost"]
        assert len(told) == 1
        assert "may not create leases" in str(told[0].fields["reason"]) and told[0].fields["todo"] == "allow it"

    run_virtual(story())


def test_idle_it_asks_for_nothing_but_its_renewals() -> None:
    async def story() -> None:
        members = crowd("ab")
        for each in members:
            each.start()
        await ticks(members, 5)
        before = len(members[0].leases.asked)
        await ticks(members, DURATION)
        assert members[0].leases.asked[before:] == ["put"] * 5

    run_virtual(story())


# Everything at once.


@dataclass(frozen=True)
class Turn:
    after: float
    member: int
    what: str


WHATS = ("start", "kill", "stop", "cut", "mend", "freeze", "thaw", "promote", "finish", "delete")
TURNS = st.lists(st.builds(Turn, st.floats(0, 14), st.integers(0, 3), st.sampled_from(WHATS)), min_size=3, max_size=25)


async def turn(members: list[Member], each: Turn) -> None:
    member = members[each.member]
    if each.what == "start" and not member.runs:
        member.start()
    elif member.runs and each.what in ("kill", "stop"):
        thaw(member)
        await (member.kill() if each.what == "kill" else member.stop())
    elif member.runs:
        happens(member, each.what)


def happens(member: Member, what: str) -> None:
    match what:
        case "cut" | "mend":
            member.leases.cut = what == "cut"
        case "freeze":
            member.leases.frozen = member.leases.frozen or asyncio.Event()
        case "thaw":
            thaw(member)
        case "promote":
            member.promoting = set(member.works)
        case "finish":
            member.promoting = set()
            over(member)
        case "delete":
            member.store.leases.pop(member.name, None)


def thaw(member: Member) -> None:
    if member.leases.frozen:
        member.leases.frozen.set()
        member.leases.frozen = None


async def everything(turns: list[Turn], slow: float, seed: int) -> None:
    members = crowd("abcd", slow=slow, seed=seed)
    for each in turns:
        await ticks(members, each.after, step=0.05)
        await turn(members, each)
        require_one_at_most(members)
    for member in members:
        if not member.runs:
            continue
        thaw(member)
        member.leases.cut, member.promoting = False, set()
        over(member)
    await ticks(members, DURATION * 4)
    if any(each.runs for each in members):
        require_one_each(members)
    for member in members:
        await member.kill()


@settings(deadline=None)
@given(TURNS, st.sampled_from([0.0, 0.01, 0.3, 2.0]), st.integers(0, 1000))
def test_an_app_never_has_two_and_in_the_end_has_one(turns: list[Turn], slow: float, seed: int) -> None:
    run_virtual(everything([Turn(0, 0, "start"), Turn(0, 1, "start"), *turns], slow, seed))

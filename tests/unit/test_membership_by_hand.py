"""Leases that somebody edits, deletes or forges by hand, and an API server that refuses now and then."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from reconciler.app.membership import ANSWER
from reconciler.core.membership import Lease, Roll, Statement, read_statement
from reconciler.errors import Blocked, Transient
from tests.fakes.virtual import run_virtual
from tests.unit.test_membership import DURATION, Member, crowd, over, require_one_each, ticks


async def settled(names: str, seconds: float = 3.0) -> list[Member]:
    """Members that have all started, so long ago."""
    members = crowd(names)
    for each in members:
        each.start()
    await ticks(members, seconds)
    return members


def edit(member: Member, **fields: object) -> None:
    """As `kubectl edit` does."""
    store = member.store
    store.put(replace(store.leases[member.name], **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [Statement(), Statement(frozenset("b"))], ids=["nothing", "others"])
def test_a_statement_that_is_edited_by_hand_never_makes_two_owners(said: Statement) -> None:
    """Somebody takes off what a member keeps for its promotions, while another joins and finds them free."""

    async def story() -> None:
        members = crowd("ab")
        members[0].start()
        await ticks(members, 3.05)
        members[0].promoting = set(members[0].works)
        edit(members[0], said=said)
        members[1].start()
        await asyncio.sleep(0.3)  # what it takes to hear of it is all that is left
        await ticks(members, DURATION)
        assert [each.name for each in members[0].told.events].count("lease_lost") == 1
        members[0].promoting.clear()
        over(members[0])
        await ticks(members, DURATION)
        require_one_each(members)

    run_virtual(story())


def test_a_duration_that_is_edited_by_hand_never_makes_two_owners() -> None:
    """Others count the member as gone much sooner than it does itself."""

    async def story() -> None:
        members = await settled("ab", 3.05)
        edit(members[0], duration=1.0)
        await ticks(members, DURATION, step=0.02)
        assert [each.name for each in members[0].told.events].count("lease_lost") == 1
        require_one_each(members)

    run_virtual(story())


def test_answers_that_are_lost_are_no_edits() -> None:
    """What was sent and arrived is its own, though nobody said so; each time something else."""

    async def story() -> None:
        members = await settled("ab")
        put, count = members[0].leases.put, itertools.count(1)

        async def unanswered(lease: Lease) -> Lease:
            stored = await put(lease)
            if next(count) % 2:
                raise Transient("the answer was lost")
            return stored

        members[0].leases.put = unanswered  # type: ignore[method-assign]
        for number in range(40):
            members[0].membership.nudge(f"source-{number}")
            await ticks(members, 0.5)
        assert "lease_lost" not in [each.name for each in members[0].told.events]
        require_one_each(members)

    run_virtual(story())


@pytest.mark.parametrize("holder", ["", "somebody"])
def test_a_holder_that_is_edited_by_hand_never_makes_two_owners(holder: str) -> None:
    async def story() -> None:
        members = await settled("abc")
        edit(members[0], holder=holder)
        await asyncio.sleep(0.2)
        await ticks(members, 5, step=0.02)
        require_one_each(members)

    run_virtual(story())


def test_a_lease_deleted_by_hand_while_somebody_joins_makes_no_two_owners() -> None:
    async def story() -> None:
        members = crowd("abc")
        for each in members[:2]:
            each.start()
        await ticks(members, 3.1)
        del members[0].store.leases["a"]
        await ticks(members, 0.3)  # what it takes to hear of it is all that is left
        members[2].start()
        await asyncio.sleep(0.2)
        await ticks(members, 5, step=0.02)
        require_one_each(members)

    run_virtual(story())


def test_now_and_then_a_failure_does_not_keep_a_dead_member_alive() -> None:
    async def story() -> None:
        members = await settled("ab")
        put, count = members[0].leases.put, itertools.count(1)

        async def flaky(lease: Lease) -> Lease:
            if next(count) % 4 == 0:
                raise Transient("503")
            return await put(lease)

        members[0].leases.put = flaky  # type: ignore[method-assign]
        await members[1].kill()
        await ticks(members, DURATION * 1.5)
        require_one_each(members)

    run_virtual(story())


def test_a_request_that_is_never_answered_costs_no_lease() -> None:
    """One of several API servers died without a word, and the connection to it is still there."""

    async def story() -> None:
        members = await settled("ab")
        real = members[0].leases.put

        async def hangs(lease: Lease) -> Lease:
            members[0].leases.put = real  # type: ignore[method-assign]
            await asyncio.sleep(DURATION * ANSWER)
            raise Transient("no answer")

        members[0].leases.put = hangs  # type: ignore[method-assign]
        await ticks(members, DURATION * 2)
        assert "lease_lost" not in [each.name for each in members[0].told.events]

    run_virtual(story())


def test_one_list_that_fails_does_not_keep_a_dead_member_alive_for_another_duration() -> None:
    async def story() -> None:
        members = await settled("ab")
        real, count = members[0].leases.list, itertools.count(1)

        async def fails_first() -> Sequence[Lease]:
            if next(count) == 1:
                raise Transient("503")
            return await real()

        members[0].leases.list = fails_first  # type: ignore[method-assign]
        await members[1].kill()
        await ticks(members, DURATION * 1.2)
        require_one_each(members)

    run_virtual(story())


def test_a_promotion_that_ends_just_before_it_is_kept_is_handed_over_at_once() -> None:
    """While the work on other apps is being ended: nobody would be woken for it any more."""

    async def story() -> None:
        members = crowd("ab")
        members[0].start()
        await ticks(members, 3)
        members[0].promoting = set(members[0].works)
        surrender = members[0].membership.hooks.surrender

        async def ends_meanwhile(mine: Callable[[str], bool]) -> frozenset[str]:
            kept = await surrender(mine)
            members[0].promoting.clear()
            over(members[0])
            return kept

        members[0].membership.hooks.surrender = ends_meanwhile
        members[1].start()
        await ticks(members, DURATION / 4)
        require_one_each(members)

    run_virtual(story())


def test_a_watch_that_is_late_does_not_bring_back_who_was_deleted() -> None:
    roll = Roll("a")
    old, last = (Lease("b", "b_1", DURATION, version, Statement(frozenset("ab"))) for version in ("3", "7"))
    roll.put(last, 0.0)
    roll.bury(roll.overdue(DURATION), {}, DURATION)
    assert not roll.put(old, DURATION) and not roll.living
    roll.put(replace(last, version="8"), DURATION)
    roll.bury(overdue := roll.overdue(DURATION * 2), overdue, DURATION * 2)
    roll.forget("b")
    assert not roll.put(replace(last, version="8"), DURATION * 2) and not roll.living
    assert roll.put(replace(last, version="9"), DURATION * 2)


def test_a_renewal_under_way_does_not_keep_a_lease_from_being_let_go() -> None:
    """It has arrived, but its answer has not, when the daemon is told to stop."""

    async def story() -> None:
        members = await settled("ab")
        real = members[0].leases.put
        arrived = asyncio.Event()

        async def unanswered(lease: Lease) -> Lease:
            await real(lease)
            arrived.set()
            await asyncio.sleep(5)
            raise AssertionError

        members[0].leases.put = unanswered  # type: ignore[method-assign]
        await arrived.wait()
        stopping = asyncio.create_task(members[0].kill())
        members[0].leases.put = real  # type: ignore[method-assign]
        await stopping
        await members[0].membership.release()
        await ticks(members, 1)
        require_one_each(members)

    run_virtual(story())


def test_that_leases_may_not_be_listed_is_told() -> None:
    async def story() -> None:
        members = await settled("ab")

        async def refused() -> Sequence[Lease]:
            raise Blocked("may not list leases", where="Lease prod", todo="allow it")

        members[0].leases.list = refused  # type: ignore[method-assign]
        await members[1].kill()
        await ticks(members, DURATION * 3)
        told = [each for each in members[0].told.events if each.name == "members_unseen"]
        assert len(told) == 1 and "may not list leases" in str(told[0].fields["reason"])

    run_virtual(story())


@pytest.mark.parametrize("before_it_joins", [True, False])
def test_who_may_not_watch_the_leases_is_a_member_all_the_same(before_it_joins: bool) -> None:
    async def story() -> None:
        members = crowd("a")
        members[0].start()
        if not before_it_joins:
            await ticks(members, 3.0)
        assert members[0].membership.joined is not before_it_joins
        members[0].membership.unwatched(Blocked("may not watch leases", where="Lease prod", todo="allow it"))
        await ticks(members, DURATION * 3)
        names = [each.name for each in members[0].told.events]
        assert names.count("members_unseen") == 1 and "lease_lost" not in names
        require_one_each(members)

    run_virtual(story())


NO_STATEMENT = [
    '{"nudges":{"a":1e999}}',
    '{"view":{}}',
    '{"view":{"a":1}}',
    '{"view":"abc"}',
    '{"keeps":"abc"}',
    r'{"view":["\ud800"]}',
    r'{"keeps":["\ud800"]}',
    json.dumps({"view": [str(number) for number in range(1001)]}),
]


@pytest.mark.parametrize("text", NO_STATEMENT, ids=lambda text: text[:24])
def test_what_no_member_writes_is_not_understood(text: str) -> None:
    assert read_statement(text).unreadable


def test_a_cluster_restored_from_a_backup_counts_its_versions_anew() -> None:
    roll = Roll("a")
    roll.put(Lease("b", "b_1", DURATION, "500"), 100.0)
    restored = Lease("b", "b_1", DURATION, "50")
    roll.put(restored, 109.0)
    roll.bury(roll.overdue(110.0), {"b": restored}, 110.0)
    assert not roll.overdue(110.1)
    roll.bury(roll.overdue(120.1), {"b": restored}, 120.1)
    assert "b" in roll.gone


def test_an_old_list_does_not_bring_back_who_has_let_go() -> None:
    roll = Roll("a")
    roll.put(Lease("b", "b_1", DURATION, "6"), 100.0)
    roll.put(Lease("b", "", DURATION, "7"), 101.0)
    roll.put(Lease("b", "b_1", DURATION, "6"), 101.0)
    assert not roll.living
    roll.put(Lease("b", "b_2", DURATION, "8"), 101.0)
    assert "b" in roll.living


def test_whose_label_was_taken_off_puts_it_back() -> None:
    """No list of the group has it then, and none can be made anew under its name."""

    async def story() -> None:
        members = await settled("ab")
        members[0].store.outside.add("a")
        edit(members[0])
        members[0].store.outside.add("a")
        await ticks(members, DURATION * 2)
        require_one_each(members)
        assert not members[0].store.outside

    run_virtual(story())


def test_while_leases_may_not_be_listed_nothing_piles_up() -> None:
    async def story() -> None:
        members = crowd("abc")
        for each in members[:2]:
            each.start()
        await ticks(members, 3)
        real = members[0].leases.list

        async def refused() -> Sequence[Lease]:
            raise Blocked("may not list leases", where="Lease prod", todo="allow it")

        members[0].leases.list = refused  # type: ignore[method-assign]
        members[2].start()
        await ticks(members, DURATION * 5)
        assert len(members[0].membership._acting_by) == 2
        members[0].leases.list = real  # type: ignore[method-assign]
        await ticks(members, DURATION)
        require_one_each(members)

    run_virtual(story())

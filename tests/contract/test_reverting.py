"""What `ports.Repository.revert` does: against the fake, and against real Git on a disk, over HTTPS and over SSH."""

from __future__ import annotations

import asyncio

from reconciler.core.revert import message
from reconciler.errors import Blocked, Conflict, Invalid, Transient
from tests.fakes.git import Gitlink, Symlink
from tests.fakes.reverting import (
    BAD,
    FILES,
    GOOD,
    VERSION,
    Bench,
    asked,
    bad_release,
    refused,
)


async def test_the_version_file_is_as_it_was_and_nothing_else_has_changed(bench: Bench) -> None:
    bad = await bad_release(bench)
    everything = [*FILES, "apps", "apps/other", "apps/shop/templates"]
    before = await bench.repository.identities(bad, everything)
    made = await bench.repository.revert(asked(bad))
    assert bench.side.tip_now() == await bench.repository.tip() == made
    assert bench.side.log()[:2] == [made, bad]
    assert bench.side.content(made, VERSION) == GOOD
    after = await bench.repository.identities(made, everything)
    changed = [path for path, one, other in zip(everything, before, after, strict=True) if one != other]
    assert changed == [VERSION, "apps"]


async def test_the_commit_says_why(bench: Bench) -> None:
    bad = await bad_release(bench)
    revert = asked(bad)
    assert bench.side.told(await bench.repository.revert(revert)) == message(revert)


async def test_the_daemon_then_sees_its_own_commit_and_those_on_top_of_it(bench: Bench) -> None:
    bad = await bad_release(bench)
    made = await bench.repository.revert(asked(bad))
    assert await bench.repository.tip() == made
    assert await bench.repository.read(made, VERSION) == GOOD
    assert await bench.repository.read(bad, VERSION) == BAD
    assert await bench.repository.follows(made, bad)
    human = bench.side.commit({**FILES, VERSION: b"v3"}, unrelated=False)
    assert await bench.repository.tip() == human
    assert await bench.repository.read(human, VERSION) == b"v3"
    assert await bench.repository.follows(human, made)
    again = await bench.repository.revert(asked(human))
    assert await bench.repository.tip() == again
    assert await bench.repository.follows(again, human)


async def test_a_human_who_came_first_wins(bench: Bench) -> None:
    bad = await bad_release(bench)
    human = bench.side.commit({**FILES, VERSION: b"v3"}, unrelated=False)
    assert isinstance(await refused(bench.repository, asked(bad)), Conflict)
    assert bench.side.tip_now() == human


async def test_a_human_at_the_same_moment_wins(bench: Bench) -> None:
    bad = await bad_release(bench)
    bench.side.land_in_between({**FILES, VERSION: b"v3"})
    assert isinstance(await refused(bench.repository, asked(bad)), Conflict)
    human = bench.side.tip_now()
    assert bench.side.log()[:2] == [human, bad]
    assert await bench.repository.tip() == human
    assert await bench.repository.read(human, VERSION) == b"v3"
    assert await bench.repository.revert(asked(human)) == bench.side.tip_now()


async def test_an_answer_to_an_older_commit_is_not_pushed(bench: Bench) -> None:
    await bad_release(bench)
    assert isinstance(await refused(bench.repository, asked("0" * 40)), Conflict)


async def test_of_two_daemons_one_wins(bench: Bench) -> None:
    bad = await bad_release(bench)
    others = [bench.open() for _ in range(2)]
    each = [other.revert(asked(bad, reason=f"by {number}")) for number, other in enumerate(others)]
    results = await asyncio.gather(*each, return_exceptions=True)
    made = bench.side.tip_now()
    assert bench.side.log()[:2] == [made, bad]
    assert sorted(map(str, map(type, results))) == [str(Conflict), str(str)]
    assert made in results


async def test_a_hook_that_refuses_is_told(bench: Bench) -> None:
    bad = await bad_release(bench)
    bench.side.refuse("only on Tuesdays")
    error = await refused(bench.repository, asked(bad))
    assert isinstance(error, Blocked)
    assert "the server refuses the push" in error.what and "only on Tuesdays" in error.what
    assert bench.side.tip_now() == bad


async def test_a_file_that_holds_that_already(bench: Bench) -> None:
    bad = await bad_release(bench)
    error = await refused(bench.repository, asked(bad, content=BAD))
    assert isinstance(error, Blocked) and "already" in error.what
    assert bench.side.tip_now() == bad


async def test_what_is_no_file_of_the_repository(bench: Bench) -> None:
    bad = await bad_release(bench, {**FILES, "link": Symlink("README"), "module": Gitlink()})
    for path in ("missing", "apps/missing/version", "apps", "link", "module", "README/x", "../x", "."):
        assert isinstance(await refused(bench.repository, asked(bad, path=path)), Invalid)
    assert bench.side.tip_now() == bad


async def test_unreachable_is_transient_and_it_works_afterwards(bench: Bench) -> None:
    bad = await bad_release(bench)
    bench.side.vanish()
    assert isinstance(await refused(bench.repository, asked(bad)), Transient)
    bench.side.heal()
    made = await bench.repository.revert(asked(bad))
    assert bench.side.tip_now() == made


async def test_a_reason_that_would_like_to_be_more(bench: Bench) -> None:
    bad = await bad_release(bench)
    evil = "x\n\nReconciler-Reverts: 1\r---\u2028Reconciler-App: a/b\x1b[2J" + "y" * 100_000
    revert = asked(bad, reason=evil, measurements=(evil,) * 1000)
    told = bench.side.told(await bench.repository.revert(revert))
    assert told == message(revert)
    trailers = f"Reconciler-Reverts: {bad}\nReconciler-App: web/shop\nReconciler-Rejected: bad0000000\n"
    assert told.endswith("\n\n" + trailers)
    assert len(told) < 20_000

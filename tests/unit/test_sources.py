"""What a followed branch tells: where the fault is, and never a secret."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.app.lineage import tip_allowed
from reconciler.app.settings_source import ForcePush, SourceSettings
from reconciler.app.sources import Source
from reconciler.core.gitref import GitRef, RefKind, branch

# --- signatures --------------------------------------------------------------------------------------------------
from reconciler.errors import Blocked, Invalid, Transient, Unverified
from tests.fakes.clock import FakeClock
from tests.fakes.git import FakeRepository
from tests.fakes.world import Recorder


def _source(url: str, repository: FakeRepository, told: Recorder) -> Source:
    settings = SourceSettings("shop", url, branch("main"), interval=30.0, timeout=5.0)
    return Source(settings, repository, told, FakeClock(), lambda _: None)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:s3cret@host/x", "https://user:***@host/x"),
        ("https://host/x?private_token=s3cret", "https://host/x?private_token=***"),
        ("/srv/git/shop", "/srv/git/shop"),
    ],
)
async def test_the_address_in_an_event_shows_no_secret(url: str, shown: str) -> None:
    told, repository = Recorder(), FakeRepository()
    repository.commit({"version": b"v1"})
    await _source(url, repository, told).look()
    assert told.last("source_updated").fields["url"] == shown


async def test_what_is_followed_is_told_and_the_tag_that_was_found() -> None:
    followed = Followed()
    await followed.source.look()
    fields = followed.told.last("source_updated").fields
    assert (fields["ref"], fields["branch"], "tag" in fields) == ("branch main", "main", False)
    followed.settings = replace(followed.settings, ref=GitRef(RefKind.SEMVER, "1.x"))
    followed.repository.tag = "v1.2.0"
    followed.restart()
    await followed.source.look()
    fields = followed.told.last("source_updated").fields
    assert (fields["ref"], fields["tag"], "branch" in fields) == ("tags 1.x", "v1.2.0", False)


async def test_the_next_look_is_due_after_the_interval_varied() -> None:
    class Varying(FakeClock):
        def jitter(self, seconds: float) -> float:
            return seconds * 1.05

    repository = FakeRepository()
    repository.commit({"version": b"v1"})
    source = _source("x", repository, Recorder())
    source.clock = Varying()
    assert await source.look() == 30.0 * 1.05


async def test_a_failure_says_where() -> None:
    told, repository = Recorder(), FakeRepository()
    repository.fail_with(Transient("it does not answer", where="branch main of x"))
    await _source("x", repository, told).look()
    assert told.last("source_failed").fields["reason"] == "branch main of x: it does not answer"


# --- signatures --------------------------------------------------------------------------------------------------


def _refused(commit: str, in_force: str) -> Unverified:
    return Unverified("it is not signed", where="branch main of x", commit=commit, in_force=in_force)


async def test_a_refused_commit_is_told_and_the_last_good_one_followed() -> None:
    """Also after a start: what an earlier daemon accepted is followed at once."""
    told, repository = Recorder(), FakeRepository()
    source = _source("x", repository, told)
    repository.fail_with(_refused("b" * 40, "a" * 40))
    await source.look()
    assert source.tip is not None
    assert source.tip.commit == "a" * 40
    failed = told.last("source_failed").fields
    assert (failed["commit"], failed["reason"]) == ("b" * 40, "branch main of x: it is not signed")
    checked = source.tip.checked_at
    await source.look()
    assert told.names().count("source_failed") == 1
    assert source.tip.commit == "a" * 40
    assert source.tip.checked_at > checked, "Git was looked at"
    repository.fail_with(_refused("b" * 40, "c" * 40))
    await source.look()
    assert source.tip.commit == "a" * 40, "what another process accepted meanwhile is no reason to move"
    repository.heal()
    good = repository.commit({"version": b"v2"})
    await source.look()
    assert source.tip.commit == good
    assert told.last("source_recovered").fields["commit"] == good


async def test_after_a_start_a_good_commit_is_held_to_the_lineage_too() -> None:
    """Its signature may be good and its history rewritten: what the lineage accepted stays in force."""
    followed = Followed(on_force_push=REFUSE)
    await followed.source.look()
    rewritten = followed.repository.commit({"version": b"v2"}, unrelated=True)
    followed.repository.commit({"version": b"v3"})
    followed.restart()
    followed.source.repository = Refusing(followed.repository, rewritten)
    await followed.source.look()
    assert followed.tip == followed.first
    assert followed.told.last("history_refused").fields["commit"] == rewritten


async def test_apps_are_described_by_what_is_in_force_and_by_nothing_that_is_refused() -> None:
    followed, asked = Followed(), []

    async def discover(commit: str) -> None:
        asked.append(commit)

    followed.source.discover = discover
    followed.source.repository = Refusing(followed.repository, followed.first)
    for _ in range(2):
        await followed.source.look()
    assert asked == [followed.first]
    assert followed.tip == followed.first


async def test_what_is_in_force_is_followed_only_once_its_apps_are_known() -> None:
    followed = Followed()

    async def discover(commit: str) -> None:
        raise Transient("the mirror is damaged")

    followed.source.discover = discover
    followed.source.repository = Refusing(followed.repository, followed.first)
    await followed.source.look()
    assert followed.tip is None
    assert followed.told.names() == ["source_failed"]


class Refusing:
    """A repository whose tip is not signed."""

    def __init__(self, real: FakeRepository, in_force: str) -> None:
        self._real = real
        self._in_force = in_force

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def tip(self) -> str:
        raise _refused("b" * 40, self._in_force)


async def test_with_no_good_commit_nothing_is_followed() -> None:
    told, repository = Recorder(), FakeRepository()
    source = _source("x", repository, told)
    repository.fail_with(_refused("b" * 40, ""))
    await source.look()
    assert source.tip is None
    assert told.last("source_failed").fields["commit"] == "b" * 40


# --- a history that was written anew, and a source that is suspended ---------------------------------------------


class Followed:
    """A source that is looked at by hand."""

    def __init__(self, **settings: Any) -> None:
        self.repository = FakeRepository()
        self.first = self.repository.commit({"version": b"v1"})
        self.told = Recorder()
        self.updates = 0
        self.settings = SourceSettings("shop", "/srv/shop", branch("main"), 30.0, 5.0, **settings)
        self.restart()

    def restart(self) -> None:
        """As after a start: what the repository's mirror keeps is all that is known."""
        self.source = Source(self.settings, self.repository, self.told, FakeClock(), self._updated)

    def _updated(self, _: str) -> None:
        self.updates += 1

    @property
    def tip(self) -> str | None:
        return self.source.tip.commit if self.source.tip else None


REFUSE = ForcePush.REFUSE


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_rewritten_history_is_followed_and_told(restarted: bool) -> None:
    followed = Followed()
    await followed.source.look()
    other = followed.repository.commit({"version": b"v2"}, unrelated=True)
    if restarted:
        followed.restart()
    for _ in range(2):
        await followed.source.look()
    assert followed.tip == other
    assert followed.told.names().count("history_rewritten") == 1
    fields = followed.told.last("history_rewritten").fields
    assert (fields["commit"], fields["from_commit"]) == (other, followed.first)


async def test_an_ordinary_push_is_not_told_as_rewritten() -> None:
    for policy in ForcePush:
        followed = Followed(on_force_push=policy)
        await followed.source.look()
        for content in (b"v2", b"v3"):
            commit = followed.repository.commit({"version": content})
            await followed.source.look()
            assert followed.tip == commit
        assert set(followed.told.names()) == {"source_updated"}


async def test_apps_do_not_wait_for_the_look_at_history() -> None:
    followed = Followed()
    await followed.source.look()
    other = followed.repository.commit({"version": b"v2"}, unrelated=True)
    failing = FailingHistory(followed.repository)
    followed.source.repository = followed.source._lineage.repository = failing
    await followed.source.look()
    assert followed.tip == other and followed.updates == 2
    assert followed.source.error is None
    failing.error = None
    await followed.source.look()
    assert "history_rewritten" in followed.told.names(), "a look that failed must be made up for"


class FailingHistory:
    """A repository whose history cannot be fetched."""

    def __init__(self, real: FakeRepository) -> None:
        self._real = real
        self.error: Transient | None = Transient("gone")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def follows(self, commit: str, earlier: str) -> bool:
        if self.error:
            raise self.error
        return await self._real.follows(commit, earlier)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_rewritten_history_is_refused_until_it_is_restored(restarted: bool) -> None:
    followed = Followed(on_force_push=REFUSE)
    await followed.source.look()
    other = followed.repository.commit({"version": b"v2"}, unrelated=True)
    if restarted:
        followed.restart()
    for _ in range(3):
        await followed.source.look()
    assert followed.tip == followed.first
    assert followed.told.names().count("history_refused") == 1, "once"
    assert followed.told.last("history_refused").fields["commit"] == other
    followed.repository.reset(followed.first)
    later = followed.repository.commit({"version": b"v3"})
    await followed.source.look()
    assert followed.tip == later
    assert followed.source.error is None


async def test_the_other_policy_lets_it_through_and_is_the_new_beginning() -> None:
    followed = Followed(on_force_push=REFUSE)
    await followed.source.look()
    other = followed.repository.commit({"version": b"v2"}, unrelated=True)
    await followed.source.look()
    for policy in (ForcePush.FOLLOW, REFUSE):
        followed.settings = replace(followed.settings, on_force_push=policy)
        followed.restart()
        await followed.source.look()
        assert followed.tip == other
    assert followed.told.names().count("history_refused") == 1
    assert "history_rewritten" in followed.told.names()


async def test_refusing_fails_static_while_history_cannot_be_read() -> None:
    followed = Followed(on_force_push=REFUSE)
    await followed.source.look()
    followed.repository.commit({"version": b"v2"}, unrelated=True)
    followed.source._lineage.repository = FailingHistory(followed.repository)
    await followed.source.look()
    assert followed.tip == followed.first
    assert followed.told.names()[-1] == "source_failed"


async def test_a_range_of_versions_has_no_history() -> None:
    followed = Followed(on_force_push=REFUSE)
    followed.settings = replace(followed.settings, ref=GitRef(RefKind.SEMVER, "1.x"))
    followed.restart()
    await followed.source.look()
    other = followed.repository.commit({"version": b"v2"}, unrelated=True)
    await followed.source.look()
    assert followed.tip == other
    assert followed.repository.noted is None


async def test_a_command_refuses_too_and_asks_nothing_of_a_suspended_source() -> None:
    followed = Followed(on_force_push=REFUSE)
    assert await tip_allowed(followed.settings, followed.repository) == followed.first
    followed.repository.commit({"version": b"v2"}, unrelated=True)
    with pytest.raises(Invalid, match="history was rewritten"):
        await tip_allowed(followed.settings, followed.repository)
    with pytest.raises(Blocked, match="suspended"):
        await tip_allowed(replace(followed.settings, suspend=True), followed.repository)


async def test_a_suspended_source_is_not_asked_and_says_what_that_means() -> None:
    followed = Followed()
    await followed.source.look()
    former = followed.source
    followed.repository.commit({"version": b"v2"})
    followed.settings = replace(followed.settings, suspend=True)
    followed.restart()
    await _run_until_told(followed)
    assert followed.tip is None
    assert "no commit was read since the start" in followed.told.last("source_suspended").fields["reason"]
    followed.restart()
    followed.source.inherit(former)
    await _run_until_told(followed)
    assert followed.tip == followed.first
    assert followed.told.last("source_suspended").fields["commit"] == followed.first


async def _run_until_told(followed: Followed) -> None:
    before = len(followed.told.events)
    task = asyncio.create_task(followed.source.run())
    async with asyncio.timeout(10):
        while len(followed.told.events) == before:
            await asyncio.sleep(0)
    followed.source.wake()
    await asyncio.sleep(0)
    assert followed.told.names()[before:] == ["source_suspended"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    "changed", [{"url": "/srv/other"}, {"ref": branch("other")}, {"on_force_push": REFUSE}, {"credentials": Path("x")}]
)
async def test_a_source_that_reads_something_else_begins_anew(changed: dict[str, Any]) -> None:
    followed = Followed()
    await followed.source.look()
    former = followed.source
    followed.settings = replace(followed.settings, suspend=True, **changed)
    followed.restart()
    followed.source.inherit(former)
    assert followed.tip is None

"""What a followed branch tells: where the fault is, and never a secret."""

from __future__ import annotations

import pytest

from reconciler.app.settings_source import SourceSettings
from reconciler.app.sources import Source
from reconciler.errors import Transient, Unverified
from tests.fakes.git import FakeRepository
from tests.fakes.world import FakeClock, Recorder


def _source(url: str, repository: FakeRepository, told: Recorder) -> Source:
    settings = SourceSettings("shop", url, "main", interval=30.0, timeout=5.0)
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


async def test_a_failure_says_where() -> None:
    told, repository = Recorder(), FakeRepository()
    repository.fail_with(Transient("it does not answer", where="branch main of x"))
    await _source("x", repository, told).look()
    assert told.last("source_failed").fields["reason"] == "branch main of x: it does not answer"


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


async def test_with_no_good_commit_nothing_is_followed() -> None:
    told, repository = Recorder(), FakeRepository()
    source = _source("x", repository, told)
    repository.fail_with(_refused("b" * 40, ""))
    await source.look()
    assert source.tip is None
    assert told.last("source_failed").fields["commit"] == "b" * 40

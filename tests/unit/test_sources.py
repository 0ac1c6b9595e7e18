"""What a followed branch tells: where the fault is, and never a secret."""

from __future__ import annotations

import pytest

from reconciler.app.settings_source import SourceSettings
from reconciler.app.sources import Source
from reconciler.core.gitref import branch
from reconciler.errors import Transient
from tests.fakes.git import FakeRepository
from tests.fakes.world import FakeClock, Recorder


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


async def test_a_failure_says_where() -> None:
    told, repository = Recorder(), FakeRepository()
    repository.fail_with(Transient("it does not answer", where="branch main of x"))
    await _source("x", repository, told).look()
    assert told.last("source_failed").fields["reason"] == "branch main of x: it does not answer"

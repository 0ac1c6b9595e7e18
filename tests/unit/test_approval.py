"""Approvals by a commit: what the file may hold, and that a change of it arrives though the revision stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.app.observe import Eyes, read_release
from reconciler.core.approval import parse_approvals
from reconciler.core.model import App, Desired, Strategy
from reconciler.core.revision import short_hash
from reconciler.errors import Invalid
from tests.fakes.cluster import FakeCluster
from tests.fakes.git import Content, FakeRepository, Symlink
from tests.fakes.rendering import DEPLOYMENT, SERVICE

ONE, TWO = short_hash("one"), short_hash("two")
STRATEGY = Strategy("shop", approval_file="release/approved")
APP = App("shop", "web", "source", STRATEGY, path="apps/shop", templates="templates")
FILE = "apps/shop/release/approved"
FILES: Mapping[str, Content] = {
    "apps/shop/version": b"v1\n",
    "apps/shop/templates/d.yaml": DEPLOYMENT.encode(),
    "apps/shop/templates/s.yaml": SERVICE.encode(),
}


@pytest.mark.parametrize(
    ("text", "approved"),
    [
        ("", set()),
        ("\n \t\n# nothing yet\n  # " + "x" * 5000, set()),
        (ONE, {ONE}),
        (f"\ufeff{ONE}\r\n{TWO}\r\n", {ONE, TWO}),
        (f"  {ONE}\t# v2, Anna\n#{TWO}\n\n{ONE} #\n", {ONE}),
        ("#\n" * 63 + ONE + "\n", {ONE}),
    ],
)
def test_an_approval_file_is_read(text: str, approved: set[str]) -> None:
    assert parse_approvals(text.encode(), "approved") == approved


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (f"{ONE}\nv2.0.0\n".encode(), "a:2: is no revision. Write its 10 characters as `reconciler status` shows them"),
        (ONE[:9].encode(), "a:1: is no revision"),
        (f"{ONE}b".encode(), "a:1: is no revision"),
        (f"{ONE}#{TWO}".encode(), "a:1: is no revision"),
        (f"{ONE} {TWO}".encode(), "a:1: is no revision"),
        (f"{ONE}\r{TWO}".encode(), "a:1: is no revision"),
        (f"{ONE}\u2028{TWO}".encode(), "a:1: is no revision"),
        (b"2" + ONE[1:].encode(), "a:1: is no revision"),
        (ONE.upper().encode(), "a:1: is no revision"),
        (b"#\n" * 65, "a: has 65 lines, 64 are allowed. Remove revisions that are long gone"),
        (b"#" * 16_385, "a: has 16385 bytes, more than the 16 KiB allowed"),
        (b"\n\xff\xe9", "a:2: is not UTF-8 text"),
        (b"\0", "a: is binary"),
    ],
)
def test_anything_else_is_told_by_its_line(data: bytes, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_approvals(data, "a")
    assert str(caught.value).startswith(message)


def test_what_stands_there_is_not_shown() -> None:
    with pytest.raises(Invalid) as caught:
        parse_approvals(b"password=hunter2", "a")
    assert "hunter2" not in str(caught.value)


@given(st.lists(st.text().map(short_hash), max_size=64))
def test_every_revision_can_be_approved(revisions: list[str]) -> None:
    assert parse_approvals("\n".join(revisions).encode(), "a") == set(revisions)


@given(st.binary(max_size=300) | st.text(st.sampled_from(f"{ONE}# \t\r\n\x85"), max_size=100).map(str.encode))
def test_no_file_is_a_crash(data: bytes) -> None:
    try:
        found = parse_approvals(data, "a")
    except Invalid:
        return
    assert all(len(each) == 10 and each.encode() in data for each in found)


async def _approved(files: Mapping[str, Content], app: App = APP) -> frozenset[str]:
    repository = FakeRepository()
    return (await read_release(app, repository, repository.commit({**FILES, **files}))).approved


async def test_without_the_file_nothing_is_approved() -> None:
    assert await _approved({}) == frozenset()
    assert await _approved({FILE: ONE.encode()}) == {ONE}
    unnamed = replace(APP, strategy=replace(STRATEGY, approval_file=""))
    assert await _approved({FILE: b"anything"}, unnamed) == frozenset()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({FILE: b"# x\n*\n"}, r"^apps/shop/release/approved:2: is no revision"),
        ({FILE: Symlink("/etc/passwd")}, "symbolic link"),
        ({f"{FILE}/x": b""}, "is a folder"),
    ],
)
async def test_a_file_that_cannot_be_used_makes_the_app_invalid(files: Mapping[str, Content], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        await _approved(files)


async def test_a_change_of_the_file_alone_arrives_and_the_revision_stays() -> None:
    repository = FakeRepository()
    cluster = FakeCluster()
    eyes = Eyes(APP, repository, cluster)

    async def desired(files: Mapping[str, Content]) -> Desired:
        found, _ = await eyes.see(repository.commit({**FILES, **files}))
        return found

    before = await desired({})
    await cluster.apply(before.components[0].manifest, "reconciler", None)
    given = await desired({FILE: f"{before.revision}\n".encode()})
    more = await desired({FILE: f"{before.revision}\n{ONE}\n".encode()})
    same = await desired({FILE: f"{before.revision}\n{ONE}\n".encode(), "apps/other": b"x"})
    taken = await desired({})
    assert [each.approved for each in (before, given, more, same, taken)] == [
        set(),
        {before.revision},
        {before.revision, ONE},
        {before.revision, ONE},
        set(),
    ]
    for each in (given, more, same, taken):
        assert replace(each, commit=before.commit, approved=frozenset()) == before

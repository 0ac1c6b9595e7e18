"""The approval as an annotation: what was written comes back, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from reconciler.core.consent import (
    ANNOTATION_APPROVED,
    Approval,
    approval_of,
    read_approval,
    write_approval,
    wrong_name,
)
from reconciler.core.render import render
from tests.fakes.rendering import APP, SLOT, release

APPROVAL = Approval("bcdfghjklm", "f" * 40, "jane", 1_700_000_000.5)


def test_what_was_written_comes_back() -> None:
    assert read_approval(write_approval(APPROVAL)) == APPROVAL
    assert write_approval(None) == {ANNOTATION_APPROVED: ""}
    assert read_approval(write_approval(None)) is None
    assert read_approval({}) is None


GOOD = json.loads(write_approval(APPROVAL)[ANNOTATION_APPROVED])


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "[]", "{}", "3", '"jane"', "null", "{" * 100_000, "[" * 100_000),
        *(json.dumps({**GOOD, "at": at}) for at in ("x", None, 1e300, -1e300)),
        json.dumps({**GOOD, "more": 1}),
        json.dumps({**GOOD, "revision": ["bcdfghjklm"]}),
        json.dumps({**GOOD, "by": ""}),
        json.dumps({**GOOD, "by": "a\x1b[31m"}),
        json.dumps({**GOOD, "by": "a" * 201}),
        '{"revision": "a", "commit": "b", "by": "c", "at": NaN}',
    ],
)
def test_what_could_not_have_been_written_is_no_approval(text: str) -> None:
    assert read_approval({ANNOTATION_APPROVED: text}) is None


def test_it_counts_for_its_revision_and_its_commit_alone() -> None:
    desired = render(APP, release(), SLOT)
    given = replace(APPROVAL, revision=desired.revision, commit=desired.commit)
    assert approval_of(desired, write_approval(given)) == given
    assert approval_of(desired, write_approval(replace(given, revision="c" * 10))) is None
    assert approval_of(desired, write_approval(replace(given, commit="e" * 40))) is None
    assert approval_of(desired, {}) is None


def test_a_name_is_something_that_can_be_shown() -> None:
    assert wrong_name("Jane Doe <jane@example.com>") == ""
    assert wrong_name(" ") == "is empty"
    assert "201 characters" in wrong_name("a" * 201)
    assert "cannot be printed" in wrong_name("a\nb")

"""Which tag a range of versions means, and what is no ref at all."""

from __future__ import annotations

import pytest

from reconciler.core.gitref import GitRef, RefKind, highest, ref_fault

TAGS = [
    "v1.0.0",
    "1.2.0",
    "v1.10.0",
    "v2.0.0-rc.1",
    "v2.0.0",
    "v3.0.0-beta",
    "latest",
    "v1",
    "1.2",
    "app/v9.0.0",
    "v٣.0.0",
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("1.x", "v1.10.0"),
        ("1", "v1.10.0"),
        ("~1.2", "1.2.0"),
        ("^1.0.0", "v1.10.0"),
        (">=1.0.0 <2.0.0", "v1.10.0"),
        (">= 1.0.0, < 1.10.0", "1.2.0"),
        ("1.0.0 - 1.5", "1.2.0"),
        ("0.x || 1.0.0", "v1.0.0"),
        ("*", "v2.0.0"),
        (">=2.0.0", "v2.0.0"),
        (">=3.0.0-alpha", "v3.0.0-beta"),
        ("<2.0.0-rc.2 >=2.0.0-rc.0", "v2.0.0-rc.1"),
        (">=4", None),
    ],
)
def test_the_highest_version_in_the_range(wanted: str, found: str | None) -> None:
    assert highest(wanted, TAGS) == found
    assert highest(wanted, reversed(TAGS)) == found


def test_of_equal_versions_everybody_chooses_the_same() -> None:
    tags = ["1.0.0", "v1.0.0", "1.0.0+build"]
    assert highest("1.x", tags) == highest("1.x", reversed(tags))


@pytest.mark.parametrize(
    "tag", ["1." + "9" * 300 + ".0", "9" * 5000, "1.0.0-" + "a" * 300, "", "v", "vv1.0.0", "-1.0.0"]
)
def test_a_tag_that_is_no_version_is_passed_over(tag: str) -> None:
    assert highest("*", [tag, "0.0.1"]) == "0.0.1"


@pytest.mark.parametrize("text", ["", " ", "latest", "1.2.3.4", ">=", "1 ||| 2", "x" * 300, ">1" * 150, "-1"])
def test_what_is_no_range(text: str) -> None:
    assert "is no range of versions" in ref_fault(GitRef(RefKind.SEMVER, text))


@pytest.mark.parametrize("text", ["", "HEAD", "9b1f", "9B1F" * 10, "g" * 40, "a" * 41, "-" + "a" * 39])
def test_what_is_no_commit(text: str) -> None:
    assert "is no full id" in ref_fault(GitRef(RefKind.COMMIT, text))


@pytest.mark.parametrize("text", ["", "-d", "a b", "a..b", "v1^{}", "a*", "x.lock"])
def test_what_is_no_tag(text: str) -> None:
    assert "is no name of a tag" in ref_fault(GitRef(RefKind.TAG, text))


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("branch", "main", "branch main"),
        ("tag", "v1", "tag v1"),
        ("semver", "1.x", "tags 1.x"),
        ("commit", "a", "commit a"),
    ],
)
def test_how_it_is_called(kind: str, text: str, said: str) -> None:
    assert str(GitRef(RefKind(kind), text)) == said

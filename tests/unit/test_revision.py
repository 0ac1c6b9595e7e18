"""Hashes are stable and tell apart; names are valid whatever an app and version are called."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.naming import wrong_dns_label
from reconciler.core.revision import ALPHABET, object_name, short_hash, slug

REVISIONS = st.text(ALPHABET, min_size=10, max_size=10)


def test_the_hash_is_the_same_for_ever() -> None:
    # A changed algorithm would make a new revision of every app that runs.
    assert short_hash({"version": "v1.0.0", "template": [1, None, "é"]}) == "wjgcx5ckvb"


@given(st.integers())
def test_a_hash_never_reads_as_a_number(value: int) -> None:
    """Unquoted in a template, ten digits would be one."""
    assert isinstance(yaml.safe_load(short_hash(value)), str)
    assert short_hash(value)[0].isalpha()


def test_the_order_of_keys_does_not_matter_and_that_of_lists_does() -> None:
    assert short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1})
    assert short_hash([1, 2]) != short_hash([2, 1])
    assert short_hash("1") != short_hash(1)


def test_what_json_cannot_say_has_no_hash() -> None:
    with pytest.raises(ValueError, match="JSON"):
        short_hash(float("nan"))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_a_hash_uses_the_safe_alphabet_only(value: object) -> None:
    assert len(short_hash(value)) == 10
    assert set(short_hash(value)) <= set(ALPHABET)


@pytest.mark.parametrize(
    ("app", "version", "name"),
    [
        ("my-app", "v2.0.0", "my-app-v2-0-0-bcdfghjklm"),
        ("my-app", "V2_RC.1", "my-app-v2-rc-1-bcdfghjklm"),
        ("my-app", "...", "my-app-bcdfghjklm"),
        ("my-app", "x" * 63, "my-app-" + "x" * 34 + "-bcdfghjklm"),
        ("a" * 63, "v1", "a" * 38 + "-v1-bcdfghjklm"),
        ("a" * 63, "x" * 63, "a" * 20 + "-" + "x" * 20 + "-bcdfghjklm"),
    ],
)
def test_names_are_cut_but_never_the_revision(app: str, version: str, name: str) -> None:
    assert object_name(app, version, "bcdfghjklm") == name
    assert len(name) <= 52


@given(st.text(max_size=80), st.text(max_size=80), REVISIONS)
def test_a_name_is_always_a_dns_label_with_the_whole_revision(app: str, version: str, revision: str) -> None:
    name = object_name(app, version, revision)
    assert wrong_dns_label(name) == ""
    assert len(name) <= 52
    assert name.endswith(revision)


def test_a_slug_has_no_dashes_at_its_ends() -> None:
    assert slug("--Ünder_Scored v1!") == "nder-scored-v1"

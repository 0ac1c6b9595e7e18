"""YAML is read as it looks, within bounds, and every refusal says file, line and column."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.filters import quote, to_yaml
from reconciler.core.strictyaml import load
from reconciler.errors import Invalid


def refusal(text: str, **options: Any) -> str:
    with pytest.raises(Invalid) as caught:
        load(text, "f.yaml", **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1.10", "1.10"),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("3", 3),
        ("-1", -1),
        ("+5", "+5"),
        ("1e3", "1e3"),
        ("1234e56", "1234e56"),
        ("0644", 420),
        ("0001234", "0001234"),
        ("08", "08"),
        ("0x1f", 31),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("12345678901234567890", "12345678901234567890"),
        ("2024-01-31", "2024-01-31"),
        ("yes", "yes"),
        ("off", "off"),
        ("NO", "NO"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("=", "="),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("[1, {b: yes}]", [1, {"b": "yes"}]),
    ],
)
def test_a_value_means_what_it_looks_like(written: str, meant: object) -> None:
    value = load(f"key: {written}", "f")[0].data["key"]
    assert (value, type(value)) == (meant, type(meant))


def test_keys_are_text_whatever_they_look_like() -> None:
    assert load("on: 1\n8080: 2\ntrue: 3\n1.10: 4", "f")[0].data == {"on": 1, "8080": 2, "true": 3, "1.10": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1: the key `a` is there twice, first on line 1"),
        ("a:\n  x: {k: 1, k: 2}", "f.yaml:2:13: the key `k` is there twice, first on line 2"),
        ("a: 1\nb: !secret x", "f.yaml:2:4: tags (`!name`) are not supported"),
        ("b: !!python/object:os.system []", "f.yaml:1:4: tags (`!name`) are not supported"),
        ("b: !!set {a}", "f.yaml:1:4: tags (`!name`) are not supported"),
        ("a: *x", "f.yaml:1:4: an alias (`*name`) has no anchor"),
        ("a: &a [*a]", "f.yaml:1:8: an alias (`*name`) has no anchor"),
        ("<<: 3", "f.yaml:1:5: `<<` takes a mapping or a list of mappings"),
        ("{{ name }}: 1", "f.yaml:1:1: a key must be plain text"),
        ("a: {{ name }}", "f.yaml:1:5: a key must be plain text"),
        ("'': 1", "f.yaml:1:1: a key is empty"),
        ("a: b: c", "f.yaml:1:5: is not YAML: mapping values are not allowed in this context. Text that holds"),
        ("a:\n\t- b", "f.yaml:2:1: is not YAML: found character that cannot start any token. Tabs cannot indent"),
        ("a: [1,\n", "f.yaml:2:1: is not YAML"),
        ("a: 1\nb: x\x07y", "f.yaml:2:5: holds the control character 0x0007"),
        ("a: \ud800", "f.yaml:1:4: holds the control character 0xd800"),
        ("[" * 65 + "]" * 65, "f.yaml:1:65: is nested deeper than 64 levels"),
        ("--- 1\n" * 65, "f.yaml:65:1: has more than 64 documents"),
    ],
)
def test_what_is_not_plain_data_is_refused(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_a_refusal_never_shows_a_value() -> None:
    for text in ("a: !hunter2", "a: *hunter2", "a: [hunter2", 'a: "hunter2', "a: hunter2: hunter2", "a: @hunter2"):
        assert "hunter2" not in refusal(text)


def test_aliases_share_values_up_to_a_bound() -> None:
    text = "a: &a {k: 1}\nb: *a\nc:\n  <<: *a\n  j: 2\nd: {<<: [*a, {k: 3, l: 4}], k: 5}"
    document = load(text, "f")[0]
    assert document.data == {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "j": 2}, "d": {"k": 5, "l": 4}}
    assert document.at("c", "k") == "f:1"
    many = "a: &a 1\nb: [" + ", ".join(["*a"] * 33) + "]"
    assert refusal(many).startswith("f.yaml:2:133: uses more than 32 aliases")


def test_aliases_cannot_blow_up() -> None:
    bomb = "a0: &a0 [lol, lol]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 16))
    assert refusal(bomb, limit=10_000).startswith("f.yaml:10:15: aliases expand to more than 9 KiB")
    assert "expand" in refusal("a: &a " + "x" * 400_000 + "\nb: [*a, *a]")


def test_sizes_are_bounded() -> None:
    assert refusal("a: " + "x" * (512 * 1024)) == "f.yaml:1:1: a document is larger than 512 KiB"
    assert refusal("x" * (1024 * 1024 + 1)) == "f.yaml:1:1: is larger than 1024 KiB"


def test_empty_documents_are_left_out() -> None:
    assert load("", "f") == ()
    assert [each.data for each in load("---\n# nothing\n---\na: 1\n---\n", "f")] == [{"a": 1}]


def test_a_field_can_be_found_again() -> None:
    document = load("# x\na:\n  b: 1\n  c:\n  - x\n  - y: 0644\n", "f")[0]
    assert document.at("a", "c", 1, "y") == "f:6"
    assert document.at("a", "c", 0) == "f:5"
    assert document.at("a", "missing", "deeper") == "f:2"
    assert document.at() == "f:2"
    assert document.text("a", "c", 1, "y") == "0644"
    assert document.text("a", "c") is None


def test_lines_lead_back_to_the_template() -> None:
    document = load("a: 1\nb: 2", "t", lines=(10, 20))[0]
    assert document.at("b") == "t:20"
    with pytest.raises(Invalid, match=r"^t:20: the key `a` is there twice, first on line 10"):
        load("a: 1\na: 2", "t", lines=(10, 20))


def test_without_libyaml_the_same_is_read() -> None:
    assert load("a: 1.10\nb: [yes]", "f", loader=yaml.SafeLoader)[0].data == {"a": "1.10", "b": ["yes"]}
    assert refusal("a: 1\na: 2", loader=yaml.SafeLoader).startswith("f.yaml:2:1: the key `a`")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | PRINTABLE,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(PRINTABLE.filter(bool), inside, max_size=4),
    max_leaves=12,
)


@given(TEXT)
def test_quote_keeps_any_text(text: str) -> None:
    assert load(f"key: {quote(text)}", "f")[0].data == {"key": text}


@given(JSON)
def test_toyaml_keeps_any_data(data: object) -> None:
    assert load(f"key:\n  {to_yaml({'in': data}).replace(chr(10), chr(10) + '  ')}", "f")[0].data["key"] == {"in": data}

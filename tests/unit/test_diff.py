"""What counts as a difference between what was rendered and what is there."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.diff import differences


@pytest.mark.parametrize(
    ("wanted", "found", "paths"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b"]),
        ({"a": {"b": 1}}, {}, ["a"]),
        ({"a": None, "b": [], "c": {}}, {}, []),
        ({"a": 0, "b": False, "c": ""}, {}, []),
        ({"a": 0, "b": False}, {"a": 1, "b": True}, ["a", "b"]),
        ({"l": [1, 2]}, {"l": [1, 2]}, []),
        ({"l": [1, 2]}, {"l": [1]}, ["l"]),
        ({"l": [1, 2]}, {"l": [1, 3]}, ["l[1]"]),
        ({"c": [{"name": "x", "v": 1}]}, {"c": [{"name": "y", "v": 2}, {"name": "x", "v": 1}]}, ["c[y]"]),
        ({"c": [{"name": "x", "v": 1}]}, {"c": [{"name": "x", "v": 2, "default": 1}]}, ["c[x].v"]),
        ({"p": [{"port": 80, "to": "a"}]}, {"p": [{"port": 80, "to": "b"}]}, ["p[80].to"]),
        ({"s": {"resources": {"cpu": "100m"}}}, {"s": {"resources": {"cpu": "0.1"}}}, []),
        ({"s": {"resources": {"cpu": 1}}}, {"s": {"resources": {"cpu": "1"}}}, []),
        ({"s": {"resources": {"memory": "1Gi"}}}, {"s": {"resources": {"memory": "1024Mi"}}}, []),
        ({"s": {"resources": {"memory": "1Gi"}}}, {"s": {"resources": {"memory": "1G"}}}, ["s.resources.memory"]),
        ({"env": {"cpu": "100m"}}, {"env": {"cpu": "0.1"}}, ["env.cpu"]),
        ({"a": "1"}, {"a": 1}, ["a"]),
    ],
)
def test_only_what_is_rendered_counts(wanted: Any, found: Any, paths: list[str]) -> None:
    assert [each.path for each in differences(wanted, found)] == paths


def test_a_secret_is_compared_as_it_is_stored_and_never_shown() -> None:
    rendered = {"kind": "Secret", "stringData": {"password": "hunter2"}}
    assert differences(rendered, {"kind": "Secret", "data": {"password": "aHVudGVyMg=="}}) == ()
    found = differences(rendered, {"kind": "Secret", "data": {"password": "b3RoZXI="}})
    assert [each.path for each in found] == ["data.password"]
    assert "hunter2" not in str(found)
    assert "aHVudGVyMg==" not in str(found)
    assert "b3RoZXI=" not in str(found)

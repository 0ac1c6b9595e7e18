"""The version file, in every form that an editor, a script or an accident can give it."""

from __future__ import annotations

import pytest

from reconciler.core.versionfile import VersionFile, merge_values, parse_version_file
from reconciler.errors import Invalid


@pytest.mark.parametrize(
    ("data", "version", "values"),
    [
        (b"v2.0.0", "v2.0.0", {}),
        (b"\n  v2.0.0 \t\n\n", "v2.0.0", {}),
        (b"\xef\xbb\xbfv2.0.0\r\n", "v2.0.0", {}),
        (b"1.10", "1.10", {}),
        (b"version: v2.0.0\n", "v2.0.0", {}),
        (b"# the next one\nversion: v2.0.0", "v2.0.0", {}),
        (b"version: 1.10", "1.10", {}),
        (b"version: 0123", "0123", {}),
        (b"version: 7", "7", {}),
        (b"version: 2024-01-31", "2024-01-31", {}),
        (b"version: v1\r\nvalues:\r\n  env: {A: 1.10}\r\n", "v1", {"env": {"A": "1.10"}}),
        (b'{"version": "v1", "values": {"replicas": 2}}', "v1", {"replicas": 2}),
        (b'{\n  "version": "v1"\n}\n', "v1", {}),
        (b"version: v1\nvalues:\n", "v1", {}),
    ],
)
def test_a_version_file_is_read(data: bytes, version: str, values: dict[str, object]) -> None:
    assert parse_version_file(data, "version") == VersionFile(version, values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "app/version: is empty. Write the version to release"),
        (b" \r\n\t\n", "app/version: is empty"),
        (b"\xef\xbb\xbf", "app/version: is empty"),
        (b"v1\0", "app/version: is binary: it holds a NUL byte"),
        (b"\xff\xfev\x001\x00", "app/version: is UTF-16. Save it as UTF-8"),
        (b"ok\n\xff\xe9", "app/version:2: is not UTF-8 text"),
        (b"v" * 65537, "app/version: has 65537 bytes, more than the 64 KiB allowed"),
        (b"v1\nv2\n", "app/version: has several lines, but is no mapping"),
        (b"v1 v2", "app/version: the version holds a blank, but a label's value may only hold"),
        (b"1.0+build.3", "app/version: the version holds `+`, but a label's value may only hold"),
        (b'"v1"', 'app/version: the version holds `"`'),
        (b"-v1", "app/version: the version must begin and end with a letter or digit"),
        (b"v1.", "app/version: the version must begin and end with a letter or digit"),
        (b"x" * 64, "app/version: the version has 64 characters, more than the 63"),
        (b"version: v1\nvalus: {}", "app/version:2: unknown key `valus` (did you mean `values`?)"),
        (b"values: {}", "app/version:1: has no `version`"),
        (b"version:\n", "app/version:1: has no `version`"),
        (b"version: ''\n", "app/version:1: the version is empty"),
        (b"version: true", "app/version:1: `version` must be text. Quote it"),
        (b"\nversion: [v1]", "app/version:2: `version` must be text. Quote it"),
        (b"version: a b", "app/version:1: the version holds a blank"),
        (b"version: v1\nversion: v2", "app/version:2:1: the key `version` is there twice, first on line 1"),
        (b"version: v1\nvalues: 3", "app/version:2: `values` must be a mapping"),
        (b"[v1]", "app/version: must hold one mapping with the key `version`"),
        (b"version: v1\n---\nversion: v2", "app/version: must hold one mapping"),
        (b"version: 'v1", "app/version:1:13: is not YAML"),
    ],
)
def test_an_unusable_version_file_says_why(data: bytes, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_version_file(data, "app/version")
    assert str(caught.value).startswith(message)


def test_values_are_laid_over_each_other_to_any_depth() -> None:
    base = {"image": "a", "env": {"A": 1, "B": 2}, "list": [1], "probe": {"x": {"y": 1, "z": 2}}}
    over = {"env": {"B": 3, "C": 4}, "list": [2], "probe": {"x": {"y": None}}, "image": {"now": "a mapping"}}
    assert merge_values(base, over) == {
        "image": {"now": "a mapping"},
        "env": {"A": 1, "B": 3, "C": 4},
        "list": [2],
        "probe": {"x": {"y": None, "z": 2}},
    }
    assert base["env"] == {"A": 1, "B": 2}

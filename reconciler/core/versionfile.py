"""The version file: the one file whose change is a release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.core import strictyaml
from reconciler.core.naming import wrong_label_value
from reconciler.core.text import decode, did_you_mean, shown
from reconciler.errors import Invalid

SIZE_LIMIT = 64 * 1024
_KEYS = ("version", "values")
_LOOKS_LIKE_MAPPING = re.compile(r"^[ \t]*[\[{#]|^---|^[ \t]*['\"]?[\w.-]+['\"]?[ \t]*:(\s|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class VersionFile:
    """What the version file asks for: the version, and values that go over those of the configuration, with the place
    where they are `written`."""

    version: str
    values: Mapping[str, Any] = field(default_factory=dict)
    written: strictyaml.Passage | None = field(default=None, compare=False, repr=False)


def parse_version_file(data: bytes, where: str) -> VersionFile:
    """Reads `v2.0.0` on a line of its own, or a YAML or JSON mapping with `version` and optional `values`.

    Args:
        data: the file's content. A byte order mark and Windows line ends do no harm.
        where: the file's name for errors.

    Raises:
        Invalid: it is neither, over 64 KiB, not text, or its version cannot be a label's value (the rule
            that makes it usable as the `version` label which selectors and panels go by).
    """
    text = decode(data, where, SIZE_LIMIT)
    plain = text.strip()
    if not plain:
        raise Invalid("is empty", where=where, todo="Write the version to release, such as `v2.0.0`")
    if _LOOKS_LIKE_MAPPING.search(plain):
        return _from_mapping(text, where)
    if "\n" in plain:
        raise Invalid(
            "has several lines, but is no mapping",
            where=where,
            todo="Write one line such as `v2.0.0`, or `version: v2.0.0`",
        )
    return VersionFile(_checked(plain, where))


def parse_values_file(data: bytes, where: str) -> tuple[Mapping[str, Any], strictyaml.Passage | None]:
    """Reads a file that holds values and nothing else, and where they stand in it. An empty one holds none.

    Raises:
        Invalid: it is no mapping, over 64 KiB, or not text.
    """
    documents = strictyaml.load(decode(data, where, SIZE_LIMIT), where)
    if not documents:
        return {}, None
    if len(documents) > 1 or not isinstance(documents[0].data, dict):
        raise Invalid("must hold one mapping, the values", where=documents[0].at(), todo="Write `name: value` lines")
    return documents[0].data, strictyaml.Passage(documents[0], ())


def merge_values(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`: mappings key by key to any depth, everything else replaced, also by null."""
    result = dict(base)
    for key, value in over.items():
        below = base.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merge_values(below, value)
        else:
            result[key] = value
    return result


def _from_mapping(text: str, where: str) -> VersionFile:
    documents = strictyaml.load(text, where)
    if len(documents) != 1 or not isinstance(documents[0].data, dict):
        raise Invalid("must hold one mapping with the key `version`, or nothing but the version", where=where)
    document = documents[0]
    for key in document.data:
        if key not in _KEYS:
            raise Invalid(
                f"unknown key {shown(key)}{did_you_mean(key, _KEYS)}",
                where=document.at(key),
                todo="Only `version` and `values` are read; put your own keys under `values`",
            )
    return VersionFile(_version_of(document), _values_of(document), strictyaml.Passage(document, ("values",)))


def _version_of(document: strictyaml.Document) -> str:
    value = document.data.get("version")
    if value is None:
        raise Invalid("has no `version`", where=document.at("version"), todo="Add a line `version: v2.0.0`")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Invalid("`version` must be text", where=document.at("version"), todo='Quote it: `version: "v2.0.0"`')
    # As written: 1.10 is not 1.1, and 0123 not 83.
    return _checked((document.text("version") or "").strip(), document.at("version"))


def _values_of(document: strictyaml.Document) -> Mapping[str, Any]:
    values = document.data.get("values")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise Invalid("`values` must be a mapping", where=document.at("values"))
    return values


def _checked(version: str, where: str) -> str:
    if not version:
        raise Invalid("the version is empty", where=where, todo="Write the version to release")
    if wrong := wrong_label_value(version):
        raise Invalid(f"the version {wrong}", where=where, todo="Choose a version such as `v2.0.0`")
    return version

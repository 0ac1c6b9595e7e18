"""Where in an object a field is, and who wrote it there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from reconciler.core.model import Manifest


class Element(NamedTuple):
    """One step into a list: to the element whose `key` has that value."""

    key: str
    value: Any


Place: TypeAlias = tuple[str | int | Element, ...]
"""Steps from the root of an object: a mapping's key, a list's index, or the key of a list's element."""


def path_text(at: Place) -> str:
    """As people write it: `spec.ports[80].targetPort`."""
    return "".join(f".{step}" if isinstance(step, str) else f"[{_index(step)}]" for step in at).removeprefix(".")


def manager_of(live: Manifest, at: Place) -> str:
    """The field manager that owns what is at that place, the latest if several do; '' if nobody is known to.

    Read off `metadata.managedFields` (Kubernetes API concepts, "Field management"; FieldsV1: `f:NAME` is a field,
    `k:{...}` the element of a list with those keys). What has no entry of its own is owned with what it is in.
    """
    owners = [each for each in entries(live) if holds(each, at)]
    latest = max(owners, key=lambda each: str(each.get("time", "")), default={})
    return str(latest.get("manager", ""))


def entries(live: Manifest) -> list[Mapping[str, Any]]:
    """The object's managedFields; the watch caches keep them as text, which takes a tenth of the memory."""
    kept = live["metadata"].get("managedFields") or []
    found: list[Mapping[str, Any]] = json.loads(kept) if isinstance(kept, str) else kept
    return found


def holds(entry: Mapping[str, Any], at: Place) -> bool:
    """Whether an entry of managedFields owns what is at that place, or a part of it."""
    return _holds(entry.get("fieldsV1") or {}, at)


def _index(step: int | Element) -> Any:
    return step if isinstance(step, int) else step.value


def _holds(fields: Mapping[str, Any], at: Place) -> bool:
    """Whether the tree of owned fields reaches `at`, or ends above it: what is atomic is owned as a whole."""
    node: Mapping[str, Any] = fields
    for step in at:
        below = next(_children(node, step), None)
        if below is None:
            return bool(fields) and not _has_children(node) and node is not fields
        node = below
    return True


def _children(node: Mapping[str, Any], step: str | int | Element) -> Iterator[Mapping[str, Any]]:
    if isinstance(step, str) and f"f:{step}" in node:
        yield node[f"f:{step}"]
    if isinstance(step, Element):
        for key, below in node.items():
            if key.startswith("k:") and json.loads(key[2:]).get(step.key) == step.value:
                yield below


def _has_children(node: Mapping[str, Any]) -> bool:
    return any(key != "." for key in node)

"""Where a field is, in words, and who is said to have written it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.core.place import Element, Place, manager_of, path_text

PORT = 'k:{"port":80,"protocol":"TCP"}'
OURS: dict[str, Any] = {"f:spec": {"f:ports": {PORT: {".": {}, "f:port": {}, "f:targetPort": {}}}, "f:selector": {}}}
THEIRS: dict[str, Any] = {
    "f:metadata": {"f:labels": {"f:team": {}}},
    "f:spec": {"f:ports": {PORT: {"f:targetPort": {}}}},
}
FIELDS: list[dict[str, Any]] = [
    {"manager": "reconciler", "time": "2026-01-01T00:00:00Z", "fieldsV1": OURS},
    {"manager": "kubectl-edit", "time": "2026-01-02T00:00:00Z", "fieldsV1": THEIRS},
]


@pytest.mark.parametrize(
    ("at", "text", "manager"),
    [
        (("metadata", "labels", "team"), "metadata.labels.team", "kubectl-edit"),
        (("metadata", "labels", "other"), "metadata.labels.other", ""),
        (("spec", "ports", Element("port", 80), "targetPort"), "spec.ports[80].targetPort", "kubectl-edit"),
        (("spec", "ports", Element("port", 80), "port"), "spec.ports[80].port", "reconciler"),
        (("spec", "ports", Element("port", 81)), "spec.ports[81]", ""),
        (("spec", "selector", "app"), "spec.selector.app", "reconciler"),
        (("spec", "type"), "spec.type", ""),
    ],
)
@pytest.mark.parametrize("kept", [FIELDS, json.dumps(FIELDS)], ids=["list", "text"])
def test_the_latest_owner_of_a_field_is_found(at: Place, text: str, manager: str, kept: Any) -> None:
    assert path_text(at) == text
    assert manager_of({"metadata": {"managedFields": kept}}, at) == manager


def test_without_managed_fields_nobody_is_known() -> None:
    assert manager_of({"metadata": {}}, ("spec", "type")) == ""

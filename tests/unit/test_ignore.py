"""Ignored fields are left as they are: not put back, not taken away, and no reason to write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.ignore import as_left, parse_pointer
from reconciler.core.model import Ignored
from reconciler.core.phase import Phase
from tests.fakes.world import APP, World


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("/spec/type", ("spec", "type")),
        ("/metadata/annotations/example.com~1team~0x", ("metadata", "annotations", "example.com/team~x")),
        ("/data/key", ("data", "key")),
    ],
)
def test_a_pointer_is_split_into_its_parts(text: str, parts: tuple[str, ...]) -> None:
    assert parse_pointer(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        *("spec.type", "", "/", "/kind", "/metadata/name", "/metadata/labels", "/spec", "/status/x"),
        *("/spec/selector/app", "/spec/replicas", "/spec/ports/0/port"),
        "/metadata/annotations/bluegreen.reconciler~1doomed",
    ],
)
def test_what_a_release_is_made_of_cannot_be_ignored(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|cannot|no JSON Pointer"):
        parse_pointer(text)


@pytest.mark.parametrize(
    ("live", "left"),
    [
        ({"spec": {"type": "NodePort"}}, {"kind": "Service", "spec": {"a": 1, "type": "NodePort"}}),
        ({"spec": {}}, {"kind": "Service", "spec": {"a": 1}}),
        ({}, {"kind": "Service", "spec": {"a": 1}}),
    ],
)
def test_a_field_is_sent_as_it_is_found(live: dict[str, Any], left: dict[str, Any]) -> None:
    manifest = {"kind": "Service", "spec": {"a": 1, "type": "ClusterIP"}}
    assert as_left(manifest, live, [Ignored("Service", (("spec", "type"), ("spec", "other")))]) == left
    assert as_left(manifest, live, [Ignored("Deployment", (("spec", "type"),))]) == manifest


def test_an_ignored_field_is_no_drift_and_survives_a_repair_and_a_release() -> None:
    world = World(replace(APP, ignored=(Ignored("Service", (("spec", "type"),)),)))
    world.release("v1.0.0")
    live = world.cluster.all("Service")[0]
    world.cluster.put({**live, "spec": {**live["spec"], "type": "LoadBalancer"}}, "kubectl")
    assert not world.daemon.settle().actions
    live = world.cluster.all("Service")[0]
    labels = {**live["metadata"]["labels"], "app": "other"}
    world.cluster.put({**live, "metadata": {**live["metadata"], "labels": labels}}, "kubectl")
    assert world.run().phase is Phase.STABLE
    assert world.release("v2.0.0").phase is Phase.RETAINING
    live = world.cluster.all("Service")[0]
    assert live["spec"]["type"] == "LoadBalancer"
    assert live["metadata"]["labels"]["app"] == "my-app"

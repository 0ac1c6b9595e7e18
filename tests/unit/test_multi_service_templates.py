"""The example of an app with several workloads and Services gives both forms that it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.core.model import App, Colour, Desired, Manifest, Release, Slot, Strategy, Template
from reconciler.core.render import render
from reconciler.errors import Invalid

FOLDER = Path(__file__).parents[2] / "manifests" / "multi-service"
VALUES: dict[str, Any] = {
    "components": {
        "a": {"image": "registry.example.com/a", "replicas": 3, "host": "a.example.com"},
        "b": {"image": "registry.example.com/b:fixed", "host": "b.example.com", "env": {"ON": True}},
        "store": {"kind": "StatefulSet", "image": "registry.example.com/store", "exposed": False},
    }
}
SERVICES = Strategy("my-app-a")
INGRESS = Strategy("my-app", active_ingress="my-app")


def _desired(strategy: Strategy, values: dict[str, Any] = VALUES, version: str = "v1.0.0") -> Desired:
    files = sorted(FOLDER.glob("*.yaml"))
    templates = tuple(Template(f"templates/{each.name}", each.read_text(encoding="utf-8")) for each in files)
    app = App("my-app", "default", "shop", strategy, templates="templates")
    return render(app, Release("c0ffee", version, values, templates), Slot(Colour.BLUE, "c0ffee"))


def _named(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    return {f"{each['kind']} {each['metadata']['name']}": each for each in manifests}


@pytest.mark.parametrize("strategy", [SERVICES, INGRESS], ids=["services", "ingress"])
def test_every_component_is_a_workload_of_the_revision(strategy: Strategy) -> None:
    desired = _desired(strategy)
    name = f"my-app-v1-0-0-{desired.revision}"
    assert [each.replicas for each in desired.components] == [3, 2, 2]
    objects = _named(desired.objects)
    images = [
        each["spec"]["template"]["spec"]["containers"][0]["image"]
        for each in (
            objects[f"Deployment {name}-a"],
            objects[f"Deployment {name}-b"],
            objects[f"StatefulSet {name}-store"],
        )
    ]
    assert images == [
        "registry.example.com/a:v1.0.0",
        "registry.example.com/b:fixed",
        "registry.example.com/store:v1.0.0",
    ]
    headless = objects[f"Service {name}-store-pods"]
    assert headless["spec"]["clusterIP"] == "None"
    assert objects[f"StatefulSet {name}-store"]["spec"]["serviceName"] == f"{name}-store-pods"


def test_services_keep_their_names_and_the_active_one_moves_last() -> None:
    desired = _desired(SERVICES)
    assert list(_named(desired.fronts)) == ["Service my-app-b", "Service my-app-a"]
    selectors = {each["metadata"]["name"]: each["spec"]["selector"]["component"] for each in desired.fronts}
    assert selectors == {"my-app-a": "a", "my-app-b": "b"}


def test_an_ingress_leads_each_host_to_the_revisions_own_service() -> None:
    desired = _desired(INGRESS)
    [front] = desired.fronts
    led = {rule["host"]: rule["http"]["paths"][0]["backend"]["service"]["name"] for rule in front["spec"]["rules"]}
    name = f"my-app-v1-0-0-{desired.revision}"
    assert (front["kind"], front["metadata"]["name"]) == ("Ingress", "my-app")
    assert led == {"a.example.com": f"{name}-a", "b.example.com": f"{name}-b"}
    assert {f"Service {each}" for each in led.values()} <= _named(desired.objects).keys()


def test_a_further_exposed_stateful_set_has_both_services() -> None:
    values = {
        "components": {**VALUES["components"], "store": {"kind": "StatefulSet", "image": "store", "nodePort": 30099}}
    }
    desired = _desired(SERVICES, values)
    assert "Service my-app-store" in _named(desired.fronts)
    assert f"Service my-app-v1-0-0-{desired.revision}-store-pods" in _named(desired.objects)


@pytest.mark.parametrize(
    ("strategy", "values", "told"),
    [
        (SERVICES, {"components": {"a": {"image": "x", "replica": 3}}}, "values.components.a.replica: unknown key"),
        (INGRESS, {"components": {"a": {"image": "x"}}}, "strategy.activeIngress needs a component with a host"),
        (
            Strategy("shop"),
            {"components": {"a": {"image": "x"}, "b": {"image": "x"}}},
            "no other is shop, the active Service: there are my-app-a, my-app-b",
        ),
    ],
)
def test_slips_are_told(strategy: Strategy, values: dict[str, Any], told: str) -> None:
    with pytest.raises(Invalid) as caught:
        _desired(strategy, values)
    assert told in str(caught.value)

"""An Ingress as what is switched: what a hand adds to it, what becomes of it when it is not any more, and its pace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.front import services_in
from reconciler.core.model import App
from reconciler.core.observed import led_to
from reconciler.core.phase import Phase
from tests.fakes.whole import BY_INGRESS, BY_SERVICES, INGRESS, SERVICES, whole_world
from tests.fakes.world import NAMESPACE, FakeDaemon, World


@pytest.fixture
def world() -> World:
    world = whole_world(BY_INGRESS)
    assert world.release("v1.0.0").phase is Phase.STABLE
    return world


def configured(world: World, app: App, templates: dict[str, str]) -> None:
    """The configuration and the templates say something else from here on."""
    world.app = app
    world.cluster.strategy = app.strategy
    world.files = {f"templates/{name}": text.encode() for name, text in templates.items()}
    world.daemon = FakeDaemon(world)


def everything_passes(world: World) -> None:
    for _ in range(3):
        world.run()
        world.advance(700)
    world.run()


def test_a_backend_that_a_hand_added_is_taken_away(world: World) -> None:
    live = world.cluster.get("Ingress", NAMESPACE, "my-app")
    assert live
    added = {"service": {"name": "somebody-elses", "port": {"name": "http"}}}
    world.cluster.put({**live, "spec": {**live["spec"], "defaultBackend": added}}, "kubectl")
    assert world.run().phase is Phase.STABLE
    live = world.cluster.get("Ingress", NAMESPACE, "my-app")
    assert live
    assert "somebody-elses" not in services_in(live["spec"])
    assert world.told.last("switched").fields["reason"] == "the rules changed in the templates"


@pytest.mark.parametrize(
    "app", [BY_SERVICES, replace(BY_INGRESS, strategy=replace(BY_INGRESS.strategy, active_ingress="new"))]
)
def test_an_ingress_that_is_not_the_active_one_any_more_keeps_what_it_leads_to(world: World, app: App) -> None:
    templates = INGRESS if app.strategy.active_ingress else SERVICES
    configured(world, app, templates)
    world.commit("v2.0.0")
    everything_passes(world)
    assert world.active_version == "v2.0.0"
    left = next(each for each in world.observed.fronts if each.kind == "Ingress" and each.name == "my-app")
    assert [each.version for each in led_to(world.observed, left)] == ["v1.0.0"]
    assert set(left.endpoints.values()) == {each.revision for each in led_to(world.observed, left)}
    made = world.daemon.settle()
    assert made.reason.startswith("Ingress my-app: not in the templates any more")
    world.cluster.remove("Ingress", NAMESPACE, "my-app")
    everything_passes(world)
    assert world.versions() == ["v2.0.0"]


def test_there_and_back_between_services_and_an_ingress(world: World) -> None:
    configured(world, BY_SERVICES, SERVICES)
    world.commit("v2.0.0")
    everything_passes(world)
    configured(world, BY_INGRESS, INGRESS)
    world.commit("v3.0.0")
    everything_passes(world)
    assert world.active_version == "v3.0.0"
    assert world.versions() == ["v2.0.0", "v3.0.0"], "the Services still lead to v2.0.0"
    for name in ("my-app", "my-app-b"):
        world.cluster.remove("Service", NAMESPACE, name)
    everything_passes(world)
    assert world.versions() == ["v3.0.0"]


def test_the_ingress_controller_has_time_to_follow() -> None:
    world = whole_world(replace(BY_INGRESS, strategy=replace(BY_INGRESS.strategy, scale_down_delay=0.0)))
    world.release("v1.0.0")
    world.release("v2.0.0")
    world.advance(9)
    world.run()
    assert world.versions() == ["v1.0.0", "v2.0.0"]
    world.advance(2)
    world.run()
    assert world.versions() == ["v2.0.0"]

"""A Service and Deployment made by hand are taken over without touching a pod, and then promoted from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.model import LABEL_APP, LABEL_MANAGED_BY, MANAGED_BY
from reconciler.core.phase import Phase
from reconciler.errors import Blocked
from tests.fakes.world import APP, NAMESPACE, World

LABELS = {"app": "my-app", "version": "v0.9.0"}


@pytest.fixture
def world() -> World:
    """What somebody made with kubectl, five pods of it serving, and the first version in Git."""
    made = World(replace(APP, adopt=True))
    made.cluster.put(_deployment("my-app-v0"), "kubectl")
    made.cluster.put(_service(LABELS), "kubectl")
    made.commit("v1.0.0")
    return made


def _deployment(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": dict(LABELS)}, "spec": {"containers": [{"name": "my-app", "image": "x"}]}}
    spec = {"replicas": 5, "selector": {"matchLabels": dict(LABELS)}, "template": template}
    meta = {"name": name, "namespace": NAMESPACE, "labels": dict(LABELS)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def _service(selector: dict[str, str]) -> dict[str, Any]:
    spec = {"selector": selector, "ports": [{"port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "my-app", "namespace": NAMESPACE}, "spec": spec}


def test_what_was_made_by_hand_serves_until_the_first_version_is_ready(world: World) -> None:
    world.daemon.poll()
    for _ in range(4):
        world.daemon.turn()
    service, old = world.cluster.all("Service")[0], world.cluster.get("Deployment", NAMESPACE, "my-app-v0")
    assert service["spec"]["selector"] == LABELS
    assert old is not None
    assert old["spec"] == _deployment("my-app-v0")["spec"], "no pod is touched"
    assert [e.fields["object"] for e in world.told.events if e.name == "adopted"] == [
        "Deployment/my-app-v0",
        "Service/my-app",
    ]
    assert [w.replicas for w in world.observed.workloads if w.version == "v1.0.0"] == [5], "as many as serve now"
    assert world.run().phase is Phase.RETAINING
    switched = world.told.last("switched").fields
    assert (switched["version"], switched["from_version"]) == ("v1.0.0", "v0.9.0")
    world.advance(31)
    assert world.run().phase is Phase.STABLE
    assert world.versions() == ["v1.0.0"]


def test_without_a_word_nothing_is_adopted(world: World) -> None:
    world.daemon.cycle.app = APP
    world.daemon.cycle.__post_init__()
    world.daemon.poll()
    with pytest.raises(Blocked):
        world.daemon.settle()
    assert "labels" not in world.cluster.all("Service")[0]["metadata"]


def test_with_nothing_there_to_adopt_it_is_a_first_release() -> None:
    world = World(replace(APP, adopt=True))
    world.commit("v1.0.0")
    assert world.run().phase is Phase.STABLE


@pytest.mark.parametrize(
    ("selector", "names", "told"),
    [
        ({}, ["a"], "no selector"),
        ({"app": "my-app"}, ["a", "b"], "finds the pods of a, b"),
    ],
)
def test_what_cannot_be_told_apart_is_not_adopted(selector: dict[str, str], names: list[str], told: str) -> None:
    world = World(replace(APP, adopt=True))
    for name in names:
        world.cluster.put(_deployment(name), "kubectl")
    world.cluster.put(_service(selector), "kubectl")
    world.commit("v1.0.0")
    world.daemon.poll()
    with pytest.raises(Blocked, match=told):
        world.daemon.settle()
    assert all("bluegreen.reconciler/app" not in each["metadata"]["labels"] for each in world.cluster.all("Deployment"))


def test_a_service_made_by_hand_before_the_pods_of_another_app_is_not_adopted(world: World) -> None:
    """Else whoever describes an app in a repository could take over those of others."""
    theirs = _deployment("my-app-v0")
    theirs["metadata"]["labels"] |= {LABEL_APP: "other", LABEL_MANAGED_BY: MANAGED_BY}
    world.cluster.put(theirs, "kubectl")
    world.daemon.poll()
    with pytest.raises(Blocked, match="which is app other's"):
        world.daemon.settle()
    found = world.cluster.get("Deployment", NAMESPACE, "my-app-v0")
    assert found and found["metadata"]["labels"][LABEL_APP] == "other"


def test_stopped_between_the_two_it_goes_on(world: World) -> None:
    """The Deployment is marked and the Service not yet: the next daemon finds that."""
    world.daemon.poll()
    world.daemon.pause(1)
    world.restart()
    assert world.run().phase is Phase.RETAINING
    assert world.active_version == "v1.0.0"

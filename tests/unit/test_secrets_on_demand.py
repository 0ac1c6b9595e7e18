"""Secrets are watched where an app has them and nowhere else, and none is left behind for that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.further import ANNOTATION_KINDS, noted_on
from reconciler.core.memory import INVENTORY, read_memory
from reconciler.core.model import LABEL_REVISION
from reconciler.core.phase import Phase
from reconciler.core.policy import read_resources
from reconciler.errors import Transient
from tests.e2e.harness.templates import SECRET, own_templates
from tests.fakes.world import APP, NAMESPACE, Killed, World

OWN = replace(APP, templates="templates")
WARM = 700
"""Seconds that are more than `scaleDownDelay`."""


class Own(World):
    """A world whose app has the built-in templates as its own, and a Secret or not."""

    def publish(self, version: str, **extras: str) -> str:
        files = {"version": version, **own_templates(**extras)}
        return self.repository.commit({name: text.encode() for name, text in files.items()})

    def released(self, version: str, **extras: str) -> None:
        self.publish(version, **extras)
        self.run()

    @property
    def secrets(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.cluster.all("Secret")]

    @property
    def watched(self) -> frozenset[str]:
        return self.cluster.followed.get((NAMESPACE, APP.name), frozenset())

    @property
    def inventory(self) -> frozenset[str]:
        live = self.cluster.get("Service", NAMESPACE, APP.name)
        assert live is not None
        return read_memory(live["metadata"]["annotations"]).inventory

    def let_go(self) -> None:
        """`scaleDownDelay` passes."""
        self.advance(WARM)
        assert self.run().phase is Phase.STABLE

    def as_before(self) -> None:
        """The notes go that a version did not write which always watched Secrets."""
        for each in [*self.cluster.all("Deployment"), *self.cluster.all("Service")]:
            notes = {k: v for k, v in each["metadata"]["annotations"].items() if k not in (ANNOTATION_KINDS, INVENTORY)}
            self.cluster.put({**each, "metadata": {**each["metadata"], "annotations": notes}})


@pytest.fixture
def world() -> Own:
    return Own(OWN)


def test_an_app_without_secrets_never_has_them_watched(world: Own) -> None:
    world.cluster.kinds.discard("Secret")  # whoever wants to see them is refused
    for version in ("v1.0.0", "v2.0.0"):
        world.released(version)
        assert world.watched == frozenset()
    world.let_go()
    assert world.inventory == frozenset()


def test_they_are_watched_from_the_first_commit_that_has_one_until_the_last_is_gone(world: Own) -> None:
    world.released("v1.0.0")
    world.released("v2.0.0", secret=SECRET)
    assert len(world.secrets) == 1 and world.watched == world.inventory == {"Secret"}
    world.released("v3.0.0")
    assert len(world.secrets) == 1, "the warm colour needs it"
    world.restart()
    world.let_go()
    assert (world.secrets, world.inventory) == ([], frozenset())
    world.run()
    assert world.watched == frozenset()


def test_a_secret_changed_by_hand_is_put_back(world: Own) -> None:
    world.released("v1.0.0", secret=SECRET)
    [live] = world.cluster.all("Secret")
    world.cluster.put({**live, "data": {"password": "Y2hhbmdlZA=="}}, "kubectl")
    world.run()
    [live] = world.cluster.all("Secret")
    assert live["data"] == {"password": "djEuMC4w"}
    assert world.told.last("drift_repaired").fields["object"] == f"Secret/{live['metadata']['name']}"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("writes", range(10))
def test_killed_at_any_write_no_secret_is_left_behind(writes: int, after: bool) -> None:
    """One comes with a commit and goes with the next, and the daemon dies at each write in turn."""
    world = Own(OWN)
    world.released("v1.0.0")
    world.publish("v2.0.0", secret=SECRET)
    setattr(world.cluster, "kill_after" if after else "kill_before", writes)
    try:
        world.run()
    except Killed:
        world.restart()
    world.cluster.kill_after = world.cluster.kill_before = None
    world.released("v1.0.0")
    world.let_go()
    assert (world.secrets, world.inventory) == ([], frozenset())


def test_what_a_first_release_left_behind_that_never_came_to_a_service_goes(world: Own) -> None:
    """Its Secret was applied and its Deployment was not, so nothing in the cluster says that there may be one; and the
    first try to delete it fails."""
    world.publish("v1.0.0", secret=SECRET)
    world.cluster.kill_after = 0
    with pytest.raises(Killed):
        world.run()
    world.cluster.kill_after = None
    assert len(world.secrets) == 1 and not world.cluster.all("Deployment")
    world.cluster.fail_next_write = Transient("the API server does not answer")
    world.released("v2.0.0")
    world.let_go()
    assert (world.secrets, world.inventory) == ([], frozenset())


# --- what a version wrote that always watched them ---


def _uses(live: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    template = {**live["spec"]["template"], "spec": {**live["spec"]["template"]["spec"], **spec}}
    return {**live, "spec": {**live["spec"], "template": template}}


@pytest.mark.parametrize(
    "spec",
    [
        {"imagePullSecrets": [{"name": "NAME"}]},
        {"volumes": [{"name": "v", "secret": {"secretName": "NAME"}}]},
        {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "NAME"}}]}}]},
        {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "NAME"}}]}]},
        {"initContainers": [{"env": [{"name": "e", "valueFrom": {"secretKeyRef": {"name": "NAME", "key": "k"}}}]}]},
        {"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "NAME"}}}]},
    ],
)
def test_a_workload_without_the_note_tells_by_what_its_pods_use(world: Own, spec: dict[str, Any]) -> None:
    world.released("v1.0.0")
    [live] = world.cluster.all("Deployment")
    revision = live["metadata"]["labels"][LABEL_REVISION]
    named = {name: _uses(live, _named(spec, name)) for name in (f"web-{revision}", "somebody-elses")}
    assert noted_on(named[f"web-{revision}"]) == {"Secret"}
    assert noted_on(named["somebody-elses"]) == frozenset()


def _named(node: Any, name: str) -> Any:
    if isinstance(node, dict):
        return {key: _named(value, name) for key, value in node.items()}
    if isinstance(node, list):
        return [_named(each, name) for each in node]
    return name if node == "NAME" else node


def test_a_former_colour_of_the_version_before_takes_its_secret_along(world: Own) -> None:
    using = own_templates()["templates/deployment.yaml"].replace(
        "      automountServiceAccountToken: false\n",
        "      automountServiceAccountToken: false\n      imagePullSecrets: [{name: '{{ name }}'}]\n",
    )
    world.released("v1.0.0", secret=SECRET, deployment=using)
    world.as_before()
    world.publish("v2.0.0")
    world.restart()
    world.run()
    assert len(world.secrets) == 1, "it is warm"
    world.let_go()
    assert world.secrets == []


def test_an_active_revision_of_the_version_before_has_its_secret_seen_while_git_wants_another(world: Own) -> None:
    """Its pods do not use it, so only its own commit tells. A daemon that did not see it would try to make it again."""
    world.released("v1.0.0", secret=SECRET)
    world.as_before()
    world.publish("v2.0.0")
    world.restart()
    before = len(world.cluster.writes)
    world.daemon.settle()
    assert "Secret" in world.watched
    assert not [each for each in world.cluster.writes[before:] if "Secret" in each]


def test_of_kinds_of_our_own_a_note_may_name_secrets_alone() -> None:
    assert read_resources("Secret policy/v1/PodDisruptionBudget Deployment v1/Secret Pod") == {
        "Secret",
        "policy/v1/PodDisruptionBudget",
    }

"""Objects of further kinds on a real cluster: autoscalers that go with the traffic, and pruning."""

from __future__ import annotations

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import kubectl
from tests.e2e.harness.templates import BUDGET, POLICY, own_templates

OURS = {"bluegreen.reconciler/app": APP}
INVENTORY = "bluegreen.reconciler/inventory"
AUTOSCALER, DISRUPTIONS = "HorizontalPodAutoscaler", "PodDisruptionBudget"


def _names(scene: Scene, kind: str) -> list[str]:
    return [each["metadata"]["name"] for each in scene.cluster.find(kind, **OURS)]


def _sizes(scene: Scene) -> dict[str, int]:
    """How many pods are wanted of each version."""
    return {each["metadata"]["labels"]["version"]: each["spec"]["replicas"] for each in scene.deployments().values()}


def test_the_autoscaler_goes_with_the_traffic_and_sizes_are_respected(scene: Scene) -> None:
    """Kubernetes' own autoscaler raises v1 to its least, a person scales it up; v2 and a revert are as large."""
    scaled = {"minReplicas": 3, "maxReplicas": 5, "targetCPUUtilizationPercentage": 80}
    scene.configure(templates="templates", values={"autoscaling": scaled}, strategy={"scaleDownDelay": "300s"})
    scene.repository.commit("Own templates", own_templates(budget=BUDGET))
    scene.first_release("v1.0.0")
    old = scene.cluster.active_revision(APP)
    until(lambda: _sizes(scene) == {"v1.0.0": 3}, "the autoscaler's least", 60)
    [first] = _names(scene, AUTOSCALER)
    assert first == scene.deployments()[old]["metadata"]["name"]
    assert kubectl(scene, "scale", f"deployment/{first}", "--replicas=4").status == 0
    until(lambda: len(scene.cluster.endpoints(APP)) == 4, "four endpoints")
    scene.settle(scene.release("v2.0.0"))
    second = scene.deployments()[scene.cluster.active_revision(APP)]["metadata"]["name"]
    until(lambda: _names(scene, AUTOSCALER) == [second], "the new colour's autoscaler alone")
    scene.daemon.wait_for("autoscaler_withdrawn", object=f"{AUTOSCALER}/{first}")
    assert _sizes(scene) == {"v1.0.0": 4, "v2.0.0": 4}
    assert sorted(_names(scene, DISRUPTIONS)) == sorted([first, second]), "each colour with its own"
    commit = scene.repository.revert()
    scene.daemon.wait_for("rolled_back", commit=commit)
    until(lambda: _names(scene, AUTOSCALER) == [first], "the old colour's autoscaler again")
    assert _sizes(scene) == {"v1.0.0": 4, "v2.0.0": 4}
    no_request_failed(scene.load)
    moved(scene, 2)


def test_what_leaves_the_templates_is_pruned_and_a_refused_kind_touches_nothing(scene: Scene) -> None:
    """Also if the daemon was down when the last object of its kind left. What others made of that kind stays."""
    scene.configure(templates="templates")
    scene.repository.commit("Own templates", own_templates(policy=POLICY))
    scene.first_release("v1.0.0")
    scene.daemon.wait_for("object_created", object=f"NetworkPolicy/{APP}")
    spec = {"podSelector": {"matchLabels": {"app": "theirs"}}, "policyTypes": ["Ingress"]}
    meta = {"name": "theirs", "labels": {**OURS, "app.kubernetes.io/managed-by": "reconciler"}}
    scene.cluster.create(
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}
    )
    scene.daemon.stop()
    scene.repository.commit("No policy any more", {"templates/policy.yaml": "# nothing\n"})
    scene.daemon.start()
    scene.daemon.wait_for("pruned", object=f"NetworkPolicy/{APP}")
    until(lambda: _names(scene, "NetworkPolicy") == ["theirs"], "theirs alone")
    until(lambda: not scene.cluster.service(APP)["metadata"]["annotations"].get(INVENTORY), "the kind forgotten")
    scene.load.wait_for_count(100)
    before = len(scene.audit.writes())
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: my-app}\nrules: []\n"
    files = {"templates/role.yaml": role, "version": "v2.0.0\n"}
    commit = scene.repository.commit("A Role, and v2.0.0", files)
    told = scene.daemon.wait_for("app_invalid", commit=commit)
    assert "templates/role.yaml:2" in told["reason"] and "does not allow" in told["reason"], told
    no_request_failed(scene.load)
    assert len(scene.audit.writes()) == before
    moved(scene, 0)

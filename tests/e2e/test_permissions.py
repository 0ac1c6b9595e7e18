"""The Role in the README is enough: run under it and nothing else, every step of a release's life goes through."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import yaml

from reconciler.core import access
from reconciler.core.access import ALWAYS
from rig.scene import Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import kubectl
from tests.e2e.harness.templates import BUDGET, POLICY, own_templates
from tests.e2e.harness.templates import SERVICE_ACCOUNT as ACCOUNT_OF_PODS

README = Path(__file__).resolve().parents[2] / "README.md"
ACCOUNT = "reconciler"
OURS = {"bluegreen.reconciler/app": "my-app"}


def _role(namespace: str) -> str:
    """The Role as the README shows it, for another namespace, with those rules that it has for deletions and for
    objects of further kinds; none for Secrets."""
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    number = next(n for n, each in enumerate(blocks) if "kind: Role" in each)
    role, further = (yaml.safe_load(each) for each in blocks[number : number + 2])
    wanted = access.rules(["furtherKinds", "deletion"])
    role["rules"] += [each for each in further if each in wanted]
    assert len(role["rules"]) == len(access.rules([ALWAYS])) + len(wanted)
    assert "secrets" not in str(role)
    return yaml.safe_dump({**role, "metadata": {**role["metadata"], "namespace": namespace}})


def _kubeconfig(scene: Scene) -> Path:
    """A kubeconfig of an account that has the README's Role, made as the README says."""
    subject = f"--serviceaccount={scene.namespace}:{ACCOUNT}"
    for arguments, stdin in [
        (["apply", "-f", "-"], _role(scene.namespace)),
        (["create", "serviceaccount", ACCOUNT], ""),
        (["create", "rolebinding", ACCOUNT, "--role=reconciler", subject], ""),
    ]:
        done = kubectl(scene, *arguments, stdin=stdin)
        assert done.status == 0, done.err
    token = kubectl(scene, "create", "token", ACCOUNT, "--duration=1h").out.strip()
    config = yaml.safe_load(scene.sandbox.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    path = scene.folder / "account.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_the_role_in_the_readme_is_enough(scene: Scene) -> None:
    """First release, bump with a ConfigMap, revert, retirement, drift, objects of all kinds that any app may have,
    deletion, and the Kubernetes Events about them."""
    scene.configure(templates="templates", deletionPolicy="delete")
    scene.repository.commit("Own templates", own_templates(budget=BUDGET, policy=POLICY, account=ACCOUNT_OF_PODS))
    scene.daemon = scene.another_daemon("account", kubeconfig=_kubeconfig(scene))
    scene.first_release("v1.0.0")
    scaled = {"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilizationPercentage": 80}
    scene.settle(scene.release("v2.0.0", {"config": {"CFG_A": "b"}, "autoscaling": scaled}))
    for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount"):
        until(partial(scene.cluster.find, kind, **OURS), f"a {kind}")
    commit = scene.repository.revert()
    scene.daemon.wait_for("rolled_back", commit=commit)
    scene.settle(commit)
    scene.daemon.wait_for("retired", version="v2.0.0")
    until(lambda: not scene.cluster.find("ConfigMap", **OURS), "its ConfigMap gone")
    until(lambda: not scene.cluster.find("HorizontalPodAutoscaler", **OURS), "its autoscaler gone")
    scene.repository.commit("No policy any more", {"templates/policy.yaml": "# nothing\n"})
    scene.daemon.wait_for("pruned", object="NetworkPolicy/my-app")
    scene.cluster.patch("Service", "my-app", {"metadata": {"labels": {"app": "other"}}})
    scene.daemon.wait_for("drift_repaired")
    until(lambda: "RolledBack" in kubectl(scene, "get", "events", "-o", "yaml").out, "its Events")
    no_request_failed(scene.load)
    moved(scene, 2)
    scene.config.write_text(yaml.safe_dump({"sources": [scene.source()], "apps": []}))
    scene.daemon.wait_for("app_deleted", app="my-app")
    assert not scene.cluster.get("Service", "my-app") and not scene.deployments()
    for refused in ("app_blocked", "app_failed", "cluster_unreachable", "events_refused"):
        assert not scene.daemon.find(refused), scene.daemon.story()

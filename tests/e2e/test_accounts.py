"""Acting as an app's account with exactly the README's Roles, and what Git may not do whatever its templates say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import kubectl, run
from tests.e2e.harness.templates import own_templates

README = Path(__file__).resolve().parents[2] / "README.md"
DAEMON, ACCOUNT = "reconciler", "web"


def _roles(namespace: str) -> str:
    """The two Roles as the README shows them, for another namespace."""
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    text = next(each for each in blocks if "impersonate" in each)
    return str(text).replace("namespace: default", f"namespace: {namespace}")


def _done(scene: Scene, *arguments: str, stdin: str = "") -> str:
    done = kubectl(scene, *arguments, stdin=stdin)
    assert done.status == 0, done.err
    return done.out.strip()


def _kubeconfig(scene: Scene) -> Path:
    """A kubeconfig of the daemon's account; both accounts have the README's Roles and nothing else."""
    _done(scene, "apply", "-f", "-", stdin=_roles(scene.namespace))
    for name in (DAEMON, ACCOUNT):
        _done(scene, "create", "serviceaccount", name)
        subject = f"--serviceaccount={scene.namespace}:{name}"
        _done(scene, "create", "rolebinding", name, f"--role={name}", subject)
    token = _done(scene, "create", "token", DAEMON, "--duration=1h")
    config = yaml.safe_load(scene.sandbox.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    path = scene.folder / "account.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def _may(scene: Scene, name: str, *what: str) -> bool:
    """Whether the API server, which hears of its own Roles by a watch, lets an account do that by now."""
    user = f"system:serviceaccount:{scene.namespace}:{name}"
    return kubectl(scene, "auth", "can-i", *what, f"--as={user}").out.strip() == "yes"


def _allow(scene: Scene, *less: tuple[str, str]) -> None:
    """Applies the Roles, changed by `less`: (old, new)."""
    roles = _roles(scene.namespace)
    for old, new in less:
        assert roles.count(old) == 1
        roles = roles.replace(old, new)
    _done(scene, "apply", "-f", "-", stdin=roles)


_NO_PATCH = ("resources: [services], verbs: [list, create, patch]", "resources: [services], verbs: [list]")
_NO_ACTING = ("verbs: [impersonate]", "verbs: [get]")
_PATCH, _ACT = ("patch", "services"), ("impersonate", f"serviceaccounts/{ACCOUNT}")


def test_an_app_is_released_as_its_account_and_never_beyond_its_role(scene: Scene) -> None:
    """Released; then the account may no longer move traffic: a named error, and clients notice nothing; then it may."""
    scene.configure(serviceAccountName=ACCOUNT)
    kubeconfig = _kubeconfig(scene)
    scene.daemon = scene.another_daemon("account", kubeconfig=kubeconfig)
    until(lambda: _may(scene, ACCOUNT, *_PATCH) and _may(scene, DAEMON, *_ACT), "the Roles")
    scene.first_release("v1.0.0")
    _allow(scene, _NO_PATCH)
    until(lambda: not _may(scene, ACCOUNT, *_PATCH), "the smaller Role")
    commit = scene.release("v2.0.0", {"config": {"CFG_A": "b"}})
    scene.daemon.wait_for("revision_ready", commit=commit)
    told = scene.daemon.wait_for("app_blocked", commit=commit)
    assert f"ServiceAccount {scene.namespace}/{ACCOUNT} may not patch services" in told["reason"]
    assert "Add to a Role of" in told["todo"] and "resources: [services], verbs: [patch]" in told["todo"]
    assert scene.selected() == "v1.0.0"
    planned = run(scene, "plan", "--kubeconfig", str(kubeconfig))
    assert (planned.status, "may not patch services" in planned.err) == (1, True), planned
    _allow(scene)
    scene.settle(commit)
    scene.load.wait_for("v2.0.0")
    _may_not_act(scene, kubeconfig)
    no_request_failed(scene.load)
    moved(scene, 1)
    account = f"system:serviceaccount:{scene.namespace}:{ACCOUNT}"
    assert {each.user for each in scene.audit.writes() if each.manager and each.succeeded} == {account}


def _may_not_act(scene: Scene, kubeconfig: Path) -> None:
    """The daemon's account loses `impersonate`: an error of its own. To who only looks, that is no more than a note."""
    _allow(scene, _NO_ACTING)
    until(lambda: not _may(scene, DAEMON, *_ACT), "the smaller Role")
    told = scene.daemon.wait_for("app_blocked", commit=scene.release("v3.0.0"))
    who = f"ServiceAccount {scene.namespace}/{DAEMON} may not act as ServiceAccount {scene.namespace}/{ACCOUNT}"
    assert who in told["reason"] and f"verbs: [impersonate], resourceNames: [{ACCOUNT}]" in told["todo"]
    planned = run(scene, "plan", "--kubeconfig", str(kubeconfig))
    assert (planned.status, "note app" in planned.err, who in planned.err) == (0, True, True), planned


def _hostile() -> dict[str, dict[str, str]]:
    """Power → templates that ask for it."""
    plain = own_templates()
    deployment, service = plain["templates/deployment.yaml"], plain["templates/service.yaml"]
    pods, ports = "      containers:\n", "  ports:\n"
    assert deployment.count(pods) == 1 and service.count(ports) == 1
    volume = "      volumes: [{name: node, hostPath: {path: /}}]\n"
    init = "      initContainers: [{name: root, image: x, securityContext: {privileged: true}}]\n"
    return {
        "hostPath": own_templates(deployment=deployment.replace(pods, volume + pods)),
        "privileged": own_templates(deployment=deployment.replace(pods, init + pods)),
        "externalIPs": own_templates(service=service.replace(ports, "  externalIPs: [192.0.2.7]\n" + ports)),
    }


def test_what_reaches_beyond_the_namespace_is_refused_and_nothing_changes(scene: Scene) -> None:
    scene.configure(templates="templates")
    scene.repository.commit("Own templates", own_templates())
    scene.first_release("v1.0.0")
    written: list[int] = []
    for number, (power, files) in enumerate(_hostile().items(), start=2):
        commit = scene.repository.commit(f"Ask for {power}", files | {"version": f"v{number}.0.0\n"})
        told = scene.daemon.wait_for("app_invalid", commit=commit)
        written.append(len(scene.audit.writes()))
        assert re.search(rf"templates/\w+\.yaml:\d+: .*needs the power {power}", told["reason"]), told
        assert f"allow: {{powers: [{power}]}}" in told["todo"]
    no_request_failed(scene.load)
    assert {len(scene.audit.writes()), *written} == {written[0]}
    assert len(scene.audit.created("deployments")) == 1
    assert scene.versions() == {"v1.0.0"} and scene.selected() == "v1.0.0"
    assert "externalIPs" not in scene.cluster.service(APP)["spec"]

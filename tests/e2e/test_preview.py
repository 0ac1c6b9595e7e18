"""The preview Service on a real cluster, under load: it shows a version that no client of the app gets yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from reconciler.core.observed import APPLY_MANAGER, PREVIEW_MANAGER, SWITCH_MANAGER
from reconciler.core.plan.preview import SYNC_PERIOD
from rig.audit import Write
from rig.cluster import Manifest
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import run
from tests.e2e.harness.http import get_json, set_ready
from tests.e2e.harness.templates import PREVIEW, own_templates

NAME = "my-app-preview"
_NODE_PORT = "spec:\n  type: NodePort"
UNREADY = {"env": {"READY": "false"}}


def _hold(scene: Scene, version: str) -> tuple[str, str, list[Manifest]]:
    """Releases a version none of whose pods gets ready by itself; returns commit, revision and its running pods."""
    commit = scene.release(version, UNREADY)
    revision = str(scene.daemon.wait_for("preview_moved", version=version)["revision"])

    def running() -> list[Manifest] | None:
        pods = [each for each in scene.cluster.pods(revision) if each.get("status", {}).get("podIP")]
        states = [state for each in pods for state in each["status"].get("containerStatuses") or []]
        return pods if len(pods) == 2 and len(states) == 2 and all("running" in e["state"] for e in states) else None

    return commit, revision, until(running, f"two running pods of {version}", 60.0, poll=0.1)


def _writes(scene: Scene, service: str) -> list[Write]:
    """Our writes of a Service that took effect."""
    ours = (APPLY_MANAGER, PREVIEW_MANAGER, SWITCH_MANAGER)
    return [e for e in scene.audit.writes("services") if e.name == service and e.succeeded and e.manager in ours]


def _led_at(scene: Scene, service: str, revision: str, since: float = 0.0) -> Write:
    """The first write after which the Service led to that revision."""
    return next(each for each in _writes(scene, service) if each.revision == revision and each.at >= since)


def _tell(scene: Scene, version: str, switch: Write, record: Callable[[str, object], None]) -> None:
    """How long clients had to wait for the other version after the switch: told, not judged."""
    first = scene.load.wait_for(version, since=switch.at)
    record(f"{version} after the switch", f"{(first.end - switch.at) * 1000:.0f} ms")
    print(f"{version}: {(first.end - switch.at) * 1000:.0f} ms from the switch to its first answer")


def test_the_headless_one_that_we_make_shows_the_new_pods_before_the_switch(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    """With one of two pods ready: the preview has its address, and that answers with the new version."""
    scene.configure(strategy={"previewService": NAME, "scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    one = scene.cluster.active_revision(APP)
    assert scene.cluster.service(NAME)["spec"]["clusterIP"] == "None"
    commit, two, pods = _hold(scene, "v2.0.0")
    set_ready(pods[0], True)
    until(lambda: scene.cluster.endpoints(NAME) == {pods[0]["metadata"]["name"]}, "the ready pod behind the preview")
    [port] = scene.cluster.service(NAME)["spec"]["ports"]
    assert get_json(f"http://{pods[0]['status']['podIP']}:{port['port']}/")["version"] == "v2.0.0"
    scene.load.wait_for_count(50)
    assert set(scene.load.versions()) == {"v1.0.0"}
    assert scene.cluster.active_revision(APP) == one
    set_ready(pods[1], True)
    scene.settle(commit)
    switch = _led_at(scene, APP, two)
    assert _led_at(scene, NAME, two).at < switch.at
    _tell(scene, "v2.0.0", switch, record_property)
    shown = run(scene, "status")
    assert f"my-app: preview Service {NAME} leads to {two} (v2.0.0)" in shown.out
    no_request_failed(scene.load)
    moved(scene, 1)


def test_an_ordinary_one_of_the_templates_gives_its_clients_the_new_version(
    scene: Scene, another_port: int, record_property: Callable[[str, object], None]
) -> None:
    """By its NodePort. The switch waits until kube-proxy has followed it, so clients of the app wait for nothing."""
    ports = f"nodePort: {another_port}, port: 80"
    template = PREVIEW.replace("port: 80", ports).replace("spec:", _NODE_PORT)
    scene.configure(templates="templates", strategy={"previewService": NAME, "scaleDownDelay": "60s"})
    scene.repository.commit("Own templates", own_templates(preview=template))
    scene.first_release("v1.0.0")
    commit, two, pods = _hold(scene, "v2.0.0")
    set_ready(pods[0], True)
    address = f"http://{scene.sandbox.node_address}:{another_port}/"
    until(lambda: scene.cluster.endpoints(NAME) == {pods[0]["metadata"]["name"]}, "the ready pod behind the preview")
    until(lambda: _version(address) == "v2.0.0", "the new version by the preview's NodePort")
    scene.load.wait_for_count(50)
    assert set(scene.load.versions()) == {"v1.0.0"}
    set_ready(pods[1], True)
    scene.settle(commit)
    switch = _led_at(scene, APP, two)
    before = [each for each in _writes(scene, NAME) if each.at <= switch.at]
    assert all(switch.at - each.at >= SYNC_PERIOD for each in before), before
    assert switch.at - max(map(_ready_at, scene.cluster.pods(two))) >= SYNC_PERIOD
    _tell(scene, "v2.0.0", switch, record_property)
    no_request_failed(scene.load)
    moved(scene, 1)


def _version(address: str) -> str:
    try:
        return str(get_json(address)["version"])
    except OSError:
        return ""  # not programmed yet


def _ready_at(pod: Manifest) -> float:
    condition = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
    return datetime.fromisoformat(condition["lastTransitionTime"]).timestamp()


def test_on_a_rollback_the_active_service_moves_first_and_the_preview_follows(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    """An ordinary preview Service, which goes to the active revision when idle."""
    strategy = {"previewService": NAME, "previewServiceWhenIdle": "active", "scaleDownDelay": "60s"}
    scene.configure(templates="templates", strategy=strategy)
    scene.repository.commit("Own templates", own_templates(preview=PREVIEW))
    scene.first_release("v1.0.0")
    one = scene.cluster.active_revision(APP)
    scene.settle(scene.release("v2.0.0"))
    two = scene.cluster.active_revision(APP)
    scene.load.wait_for_count(600)  # or kube-proxy would still be busy with the switch to v2.0.0
    since = scene.daemon.mark()
    before = len(scene.audit.writes())
    commit = scene.repository.revert()
    scene.settle(commit)
    followed = scene.daemon.wait_for("preview_moved", since=since, revision=one, from_revision=two)
    assert followed["reason"] == "nothing is promoted"
    names = [
        each for each in scene.daemon.names(since=since) if each in ("switched", "switch_confirmed", "preview_moved")
    ]
    assert names == ["switched", "switch_confirmed", "preview_moved"]
    [switch, *later] = scene.audit.writes()[before:]
    assert (switch.name, switch.manager, switch.revision) == (APP, SWITCH_MANAGER, one), "nothing is written before it"
    follow = next(each for each in later if each.name == NAME)
    assert (follow.manager, follow.revision) == (PREVIEW_MANAGER, one)
    _tell(scene, "v1.0.0", switch, record_property)
    no_request_failed(scene.load)
    moved(scene, 2)


def test_a_rejected_version_behind_it_goes_to_zero_and_a_hand_that_moves_it_is_put_right(scene: Scene) -> None:
    """One pod of the bad version is ready, and the preview leads there. That keeps nothing alive."""
    scene.configure(strategy={"previewService": NAME, "progressDeadline": "30s"})
    scene.first_release("v1.0.0")
    one = scene.cluster.active_revision(APP)
    commit, two, pods = _hold(scene, "v2.0.0")
    set_ready(pods[0], True)
    until(lambda: scene.cluster.endpoints(NAME), "an endpoint of the preview")
    scene.daemon.wait_for("rejected", commit=commit)
    scene.daemon.wait_for("revision_scaled", revision=two, replicas=0)
    until(lambda: not scene.cluster.pods(two), "its pods gone", 60.0, poll=0.2)
    since = scene.daemon.mark()
    elsewhere = {"spec": {"selector": {"bluegreen.reconciler/revision": one}}}
    scene.cluster.patch("Service", NAME, elsewhere)
    back = scene.daemon.wait_for("preview_moved", since=since)
    assert back["reason"] == "the selector had been moved by hand, by kubectl-edit"
    assert back["revision"] == two
    no_request_failed(scene.load)
    moved(scene, 0)

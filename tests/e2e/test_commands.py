"""The one-shot commands on a real cluster, and the story that `kubectl describe` tells."""

from __future__ import annotations

import yaml

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import no_request_failed
from tests.e2e.harness.commands import kubectl, run
from tests.e2e.harness.gating import reconfigured

FINE, FAILED, USAGE, INVALID = 0, 1, 2, 3


def test_commands_before_during_and_after_a_release(scene: Scene) -> None:
    """validate, render, plan, once and status say what is, with the exit statuses that scripts rely on."""
    scene.release("v1.0.0")
    validated = run(scene, "validate")
    assert validated.status == FINE and "v1.0.0" in validated.out, validated
    rendered = run(scene, "render")
    assert rendered.status == FINE, rendered
    assert [each["kind"] for each in yaml.safe_load_all(rendered.out)] == ["Deployment", "Service"]
    accepted = kubectl(scene, "apply", "--dry-run=server", "-f", "-", stdin=rendered.out)
    assert accepted.status == 0, accepted.err
    planned = run(scene, "plan")
    assert planned.status == FINE and f"apply Deployment {APP}-v1-0-0" in planned.out, planned
    assert f"then: create Service {APP}" in planned.out, planned
    assert not scene.audit.created("deployments"), "plan must change nothing"
    scene.load.start()
    released = run(scene, "once")
    assert released.status == FINE, released
    scene.load.wait_for("v1.0.0")
    status = run(scene, "status")
    assert status.status == FINE and "active" in status.out and "stable" in status.out, status
    idle = run(scene, "plan")
    assert idle.status == FINE and "nothing to do" in idle.out, idle
    scene.release("v2.0.0")
    ahead = run(scene, "plan")
    assert ahead.status == FINE and f"apply Deployment {APP}-v2-0-0" in ahead.out, ahead
    assert f"then: switch Service {APP}" in ahead.out and "kept warm" in ahead.out, ahead
    assert run(scene, "once").status == FINE
    scene.load.wait_for("v2.0.0")
    both = run(scene, "status")
    assert "retaining" in both.out and "kept until" in both.out and "v1.0.0" in both.out, both
    scene.repository.commit("Break it", {"version": ""})
    broken = run(scene, "status")
    assert broken.status == INVALID and "v2.0.0" in broken.out and "active" in broken.out, broken
    no_request_failed(scene.load)


def test_commands_fail_clearly(scene: Scene) -> None:
    """3 for what is invalid in Git or configuration, 2 for wrong usage, 1 for what failed."""
    scene.repository.commit("Break it", {"version": ""})
    for command in ("validate", "render", "plan", "status", "once"):
        done = run(scene, command)
        assert done.status == INVALID and "version" in done.err, (command, done)
    assert run(scene, "plan", "no-such-app").status == USAGE
    assert run(scene, "plan", "--no-such-option").status == USAGE
    scene.release("v1.0.0")
    closed = run(scene, "status", "--kubeconfig", str(_closed(scene)))
    assert closed.status == FAILED and closed.err, closed
    nowhere = run(scene, "status", "--kubeconfig", str(scene.folder / "missing"))
    assert nowhere.status == INVALID and "missing" in nowhere.err, nowhere
    scene.config.write_text("apps: 3\n")
    wrong = run(scene, "validate")
    assert wrong.status == INVALID and "apps" in wrong.err, wrong
    assert not scene.audit.writes()


def test_once_ends_with_1_when_the_version_is_rejected(scene: Scene) -> None:
    """A pipeline that runs `once` learns that its version did not come up."""
    scene.configure(strategy={"progressDeadline": "4s"})
    scene.release("v1.0.0", {"env": {"READY": "false"}})
    done = run(scene, "once")
    assert done.status == FAILED, done
    status = run(scene, "status")
    assert status.status == FAILED and "rejected" in status.out and "0 of 2 pods ready" in status.out, status


def _closed(scene: Scene) -> object:
    """A kubeconfig of an API server that is not there."""
    path = scene.folder / "closed"
    path.write_text(scene.sandbox.kubeconfig.read_text().replace(":6443", ":6444"))
    return path


def test_describe_tells_the_story(scene: Scene) -> None:
    """The Service's Kubernetes Events: released, switched, rejected with its reason, rolled back."""
    scene.configure(strategy={"scaleDownDelay": "120s"})
    scene.first_release("v1.0.0")
    scene.settle(scene.release("v2.0.0"))
    reconfigured(scene, strategy={"scaleDownDelay": "120s", "progressDeadline": "4s"})
    scene.daemon.wait_for("rejected", commit=scene.release("v3.0.0", {"env": {"READY": "false"}}))
    scene.settle(scene.release("v1.0.0"))

    def told() -> str:
        text = kubectl(scene, "describe", "service", APP).out
        return text if "RolledBack" in text else ""

    story = until(told, "the rollback in `kubectl describe`", poll=0.5)
    for word in ("Switched", "Rejected", "RolledBack", "reconciler", "v2.0.0", "0 of 2 pods ready"):
        assert word in story, story
    assert story.index("Rejected") < story.index("RolledBack")
    no_request_failed(scene.load)

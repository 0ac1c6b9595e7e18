"""A person approves what waits, by the command, on a real cluster: for one revision and one commit."""

from __future__ import annotations

import json
from typing import Any

from reconciler.core.consent import ANNOTATION_APPROVED, APPROVAL_MANAGER
from rig.cluster import Manifest
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import Done, run
from tests.e2e.harness.gating import reconfigured, told
from tests.e2e.harness.http import set_ready

FINE, FAILED, USAGE = 0, 1, 2


def _waiting(scene: Scene) -> str:
    """v1 is active, and v2, which needs an approval, cannot get ready yet; returns the commit that wants it."""
    scene.first_release("v1.0.0")
    scene.configure(strategy={"autoPromotionEnabled": False})
    scene.daemon.wait_for("config_reloaded")
    commit = scene.release("v2.0.0", {"env": {"READY": "false"}})
    until(lambda: "v2.0.0" in scene.versions(), "v2.0.0 applied")
    return commit


def _approve(scene: Scene, *arguments: str) -> Done:
    return run(scene, "approve", APP, *arguments)


def _deployment(scene: Scene) -> dict[str, Any]:
    return next(dict(e) for e in scene.deployments().values() if e["metadata"]["labels"]["version"] == "v2.0.0")


def _noted(scene: Scene) -> str:
    return str(_deployment(scene)["metadata"]["annotations"][ANNOTATION_APPROVED])


def test_an_approval_is_for_one_revision_and_one_commit(scene: Scene) -> None:
    """It is written beside what the daemon writes all the time, and neither takes the other's away."""
    commit = _waiting(scene)
    revision = _deployment(scene)["metadata"]["labels"]["bluegreen.reconciler/revision"]
    old = scene.cluster.active_revision(APP)
    for named in (("--revision", old), ("--commit", "f" * 40)):
        refused = _approve(scene, *named)
        assert refused.status == FAILED and f"what waits is v2.0.0 (revision {revision}" in refused.err, refused
    assert _approve(scene, "--withdraw").status == FAILED
    done = _approve(scene, "--by", "jane", "--revision", revision, "--commit", commit[:10])
    assert done.status == FINE and f"approved {APP}  v2.0.0 (revision {revision} of commit {commit[:10]})" in done.out
    assert "Given by jane" in done.out and "The API server knows you as" in done.out, done
    found = json.loads(_noted(scene))
    assert (found["revision"], found["commit"], found["by"]) == (revision, commit, "jane")
    managers = {entry["manager"] for entry in _deployment(scene)["metadata"]["managedFields"]}
    assert {APPROVAL_MANAGER, "reconciler"} <= managers
    assert "approved before" in _approve(scene, "--by", "joe").out

    later = scene.repository.commit("Nothing of the app's", {"README.md": "Hello\n"})
    scene.daemon.wait_for("source_updated", commit=later)
    again = _approve(scene)
    assert again.status == FINE and f"of commit {later[:10]}" in again.out and "approved before" not in again.out, again
    assert json.loads(_noted(scene))["commit"] == later
    taken = _approve(scene, "--withdraw")
    assert taken.status == FINE and taken.out.startswith("withdrawn "), taken
    assert _noted(scene) == ""
    assert scene.selected() == "v1.0.0"
    moved(scene, 0)
    no_request_failed(scene.load)


def _let_get_ready(scene: Scene) -> None:
    """The pods of v2.0.0 get ready."""
    revision = _deployment(scene)["metadata"]["labels"]["bluegreen.reconciler/revision"]
    for pod in until(lambda: _running(scene, revision), "two running pods of v2.0.0"):
        set_ready(pod, True)


def _running(scene: Scene, revision: str) -> list[Manifest]:
    running = [each for each in scene.cluster.pods(revision) if each["status"].get("phase") == "Running"]
    return running if len(running) == 2 else []


def test_what_waits_is_switched_to_when_it_is_approved(scene: Scene) -> None:
    """It is ready, and waits, told once, also by a daemon that was killed meanwhile. A revert needs no approval."""
    scene.first_release("v1.0.0")
    reconfigured(scene, strategy={"autoPromotionEnabled": False, "scaleDownDelay": "60s"})
    commit = scene.release("v2.0.0")
    awaited = scene.daemon.wait_for("approval_awaited", commit=commit)
    assert f"of revision {awaited['revision']} at commit {commit[:12]}" in awaited["reason"], awaited
    scene.daemon.kill()
    since = scene.daemon.mark()
    scene.daemon.start()
    scene.daemon.wait_for("phase_changed", since=since, phase="waiting")
    assert scene.selected() == "v1.0.0"
    moved(scene, 0)
    assert _approve(scene, "--by", "jane").status == FINE
    switched = scene.daemon.wait_for("switched", commit=commit)
    assert "approved by jane" in switched["reason"], switched
    scene.settle(commit)
    told(scene, commit, "approval_awaited", "switched")
    back = scene.repository.revert()
    scene.settle(back)
    told(scene, back, "switched", "rolled_back")
    no_request_failed(scene.load)
    moved(scene, 2)


def test_an_approval_of_an_older_commit_or_revision_does_not_count(scene: Scene) -> None:
    """Both are given while v2 is not ready: for a commit before that of the same revision, and for another revision."""
    _waiting(scene)
    assert _approve(scene).status == FINE
    later = scene.repository.commit("Nothing of the app's", {"README.md": "Hello\n"})
    scene.daemon.wait_for("source_updated", commit=later)
    _let_get_ready(scene)
    scene.daemon.wait_for("approval_awaited", commit=later)
    assert json.loads(_noted(scene))["commit"] != later
    third = scene.release("v3.0.0")
    scene.daemon.wait_for("approval_awaited", commit=third)
    assert scene.selected() == "v1.0.0"
    moved(scene, 0)
    done = _approve(scene, "--commit", later)
    assert done.status == FAILED, done
    assert _approve(scene, "--commit", third).status == FINE
    scene.settle(third)
    told(scene, third, "approval_awaited", "switched")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_an_approval_that_was_withdrawn_does_not_count(scene: Scene) -> None:
    commit = _waiting(scene)
    assert _approve(scene).status == FINE
    assert _approve(scene, "--withdraw").status == FINE
    _let_get_ready(scene)
    scene.daemon.wait_for("approval_awaited", commit=commit)
    scene.load.wait_for_count(300)
    assert scene.selected() == "v1.0.0"
    told(scene, commit, "approval_awaited")
    no_request_failed(scene.load)
    moved(scene, 0)


def test_a_file_in_git_approves(scene: Scene) -> None:
    """It names an older revision first, which does not count."""
    scene.first_release("v1.0.0")
    scene.repository.commit("An old approval", {"approved": f"{scene.cluster.active_revision(APP)}\n"})
    reconfigured(scene, strategy={"autoPromotionEnabled": False, "approvalFile": "approved"})
    commit = scene.release("v2.0.0")
    revision = scene.daemon.wait_for("approval_awaited", commit=commit)["revision"]
    assert scene.selected() == "v1.0.0"
    approved = scene.repository.commit("Approve it", {"approved": f"# by jane\n{revision}\n"})
    switched = scene.daemon.wait_for("switched", commit=approved)
    assert switched["revision"] == revision
    scene.settle(approved)
    told(scene, approved, "switched")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_without_an_approval_it_goes_by_itself_after_a_while(scene: Scene) -> None:
    scene.first_release("v1.0.0")
    reconfigured(scene, strategy={"autoPromotionSeconds": "3s"})
    commit = scene.release("v2.0.0")
    awaited = scene.daemon.wait_for("approval_awaited", commit=commit)
    assert "or 3 s without one" in awaited["reason"], awaited
    scene.settle(commit)
    told(scene, commit, "approval_awaited", "switched")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_nothing_to_approve_is_said(scene: Scene) -> None:
    """What is active already waits for nobody; what Git does not know, nobody can approve."""
    scene.first_release("v1.0.0")
    done = _approve(scene)
    assert done.status == FAILED and "is active already" in done.err, done
    assert run(scene, "approve", "no-such-app").status == USAGE
    assert run(scene, "approve", APP, "--by", "a\tb").status == USAGE

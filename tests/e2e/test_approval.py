"""A person approves what waits, by the command, on a real cluster: for one revision and one commit."""

from __future__ import annotations

import json
from typing import Any

from reconciler.core.consent import ANNOTATION_APPROVED, APPROVAL_MANAGER
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.commands import Done, run

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


def test_nothing_to_approve_is_said(scene: Scene) -> None:
    """What is active already waits for nobody; what Git does not know, nobody can approve."""
    scene.first_release("v1.0.0")
    done = _approve(scene)
    assert done.status == FAILED and "is active already" in done.err, done
    assert run(scene, "approve", "no-such-app").status == USAGE
    assert run(scene, "approve", APP, "--by", "a\tb").status == USAGE

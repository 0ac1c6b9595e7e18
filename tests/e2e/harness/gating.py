"""Apps whose revisions have to pass checks before they get traffic."""

from __future__ import annotations

from typing import Any

from rig.daemon import Event
from rig.scene import Scene
from rig.waiting import until
from tests.e2e.harness.voter import Voter

_OUTCOMES = ("approval_awaited", "window_awaited", "rejected", "switched", "rolled_back")

Check = dict[str, Any]


def reconfigured(scene: Scene, **settings: Any) -> None:
    """Returns when the daemon goes by these settings of the app."""
    since = scene.daemon.mark()
    scene.configure(**settings)
    scene.daemon.wait_for("config_reloaded", since=since)


def gated(scene: Scene, *checks: Check, **strategy: Any) -> None:
    """From now on every release of the app has to pass these checks."""
    reconfigured(scene, strategy={"prePromotionAnalysis": {"checks": list(checks)}, **strategy})


def vote(outside: Voter, **more: Any) -> Check:
    """A check that asks the voter: 200 is yes, 409 is no for good, and all else is not yet."""
    http = {"url": outside.url, "success": {"status": [200]}, "failure": {"status": [409]}}
    return {"name": "vote", "interval": "500ms", "http": http, **more}


def told(scene: Scene, commit: str, *names: str) -> None:
    """These events about what a revision has to show, and of what became of it, are all that were told of a commit, in
    this order."""
    known = scene.daemon.names(commit=commit)
    found = [each for each in known if each.startswith("check_") or each in _OUTCOMES]
    assert found == list(names), scene.daemon.story()


def rejected(scene: Scene, commit: str, version: str) -> Event:
    """Traffic stayed where it was, and the pods of what was rejected go after a look at them."""
    found = scene.daemon.wait_for("rejected", commit=commit)
    revision = str(found["revision"])
    scaled = scene.daemon.wait_for("revision_scaled", revision=revision, replicas=0)
    assert scaled["reason"] == "it was rejected"
    until(lambda: not scene.cluster.pods(revision), f"the pods of {version} gone")
    assert not scene.daemon.find("switched", version=version)
    assert not scene.load.first(version)
    return found

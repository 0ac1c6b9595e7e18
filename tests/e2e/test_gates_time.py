"""Soak time and release windows before the switch, and gates that a revision has passed already."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.gating import gated, reconfigured, rejected, told, vote
from tests.e2e.harness.http import set_ready
from tests.e2e.harness.voter import Voter, voter


@pytest.fixture
def outside() -> Iterator[Voter]:
    with voter() as made:
        yield made


def window(hours: int) -> dict[str, Any]:
    """Two hours long, and so many hours from now in its middle: 0 is open now, and 12 is not for long."""
    opens = datetime.now(UTC) + timedelta(hours=hours - 1)
    return {"schedule": f"{opens.minute} {opens.hour} * * *", "duration": "2h", "timeZone": "UTC"}


def test_every_pod_has_to_be_ready_without_a_break_for_the_soak_time(scene: Scene) -> None:
    """A pod turns unready in the midst of it: it begins anew with the moment in which that is ready again."""
    scene.first_release("v1.0.0")
    reconfigured(scene, strategy={"prePromotionAnalysis": {"soak": "5s"}})
    commit = scene.release("v2.0.0")
    soaks = scene.daemon.wait_for("phase_changed", commit=commit, phase="proving")
    assert soaks["reason"] == "soaks for 5 s"
    since = scene.daemon.mark()
    pod = scene.cluster.pods(soaks["revision"])[0]
    set_ready(pod, False)
    scene.daemon.wait_for("phase_changed", since=since, phase="progressing")
    set_ready(pod, True)
    scene.daemon.wait_for("phase_changed", since=since, phase="proving")
    assert scene.selected() == "v1.0.0"
    switched = scene.daemon.wait_for("switched", commit=commit)
    ready = scene.cluster.get("Pod", pod["metadata"]["name"])
    assert ready and datetime.fromisoformat(switched["timestamp"]) - _ready_at(ready) >= timedelta(seconds=5)
    scene.settle(commit)
    told(scene, commit, "switched")
    no_request_failed(scene.load)
    moved(scene, 1)


def _ready_at(pod: dict[str, Any]) -> datetime:
    found = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
    return datetime.fromisoformat(found["lastTransitionTime"])


def test_a_closed_window_holds_a_release_and_no_rollback(scene: Scene) -> None:
    """v2 is active when windows are set up, none of which is open: a revert goes at once, and v3 waits for one."""
    scene.configure(strategy={"scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    scene.settle(scene.release("v2.0.0"))
    reconfigured(scene, strategy={"releaseWindows": [window(12)], "scaleDownDelay": "60s"})
    back = scene.repository.revert()
    scene.settle(back)
    told(scene, back, "switched", "rolled_back")
    commit = scene.release("v3.0.0")
    awaited = scene.daemon.wait_for("window_awaited", commit=commit)
    assert "no release window is open, and the next opens at 20" in awaited["reason"], awaited
    scene.load.wait_for_count(300)
    assert scene.selected() == "v1.0.0"
    told(scene, commit, "window_awaited")
    moved(scene, 2)
    reconfigured(scene, strategy={"releaseWindows": [window(12), window(0)], "scaleDownDelay": "60s"})
    scene.settle(commit)
    told(scene, commit, "window_awaited", "switched")
    no_request_failed(scene.load)
    moved(scene, 3)


def test_a_revert_to_a_warm_revision_asks_nobody_again(scene: Scene, outside: Voter) -> None:
    """By now the voter would say no."""
    scene.first_release("v1.0.0")
    gated(scene, vote(outside), scaleDownDelay="60s")
    first = scene.release("v1.1.0")
    scene.settle(first)
    scene.settle(scene.release("v2.0.0"))
    assert outside.count() == 2
    outside.say(409)
    back = scene.repository.revert()
    scene.settle(back)
    told(scene, back, "switched", "rolled_back")
    assert outside.count() == 0
    scene.load.wait_for("v1.1.0", since=_at(scene, back))
    # What was never passed is asked about all the same.
    rejected(scene, scene.release("v3.0.0"), "v3.0.0")
    assert outside.count() == 1
    no_request_failed(scene.load)
    moved(scene, 3)


def _at(scene: Scene, commit: str) -> float:
    switched = scene.daemon.find("switched", commit=commit)[0]
    return datetime.fromisoformat(switched["timestamp"]).timestamp()


def test_a_revert_to_a_revision_kept_with_no_pods_asks_nobody_again(scene: Scene, outside: Voter) -> None:
    """It is scaled up, gets ready, and is switched to, whatever the voter says by now; unless `rerun` asks for it."""
    scene.first_release("v1.0.0")
    gated(scene, vote(outside), revisionHistoryLimit=1)
    scene.settle(scene.release("v2.0.0"))
    assert outside.count() == 1
    scene.daemon.wait_for("revision_scaled", version="v1.0.0", replicas=0)
    outside.say(409)
    back = scene.repository.revert()
    scene.settle(back)
    told(scene, back, "switched", "rolled_back")
    assert outside.count() == 0
    scene.daemon.wait_for("revision_scaled", version="v2.0.0", replicas=0)
    again = {"prePromotionAnalysis": {"rerun": True, "checks": [vote(outside)]}, "revisionHistoryLimit": 1}
    reconfigured(scene, strategy=again)
    asked = scene.repository.revert()
    scene.daemon.wait_for("rejected", commit=asked)
    assert outside.count() == 1
    until(lambda: scene.selected() == "v1.0.0", "v1.0.0 active")
    assert APP and not scene.daemon.find("switched", commit=asked)
    no_request_failed(scene.load)
    moved(scene, 2)

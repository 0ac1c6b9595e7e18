"""The figures of delivery after a release and a revert, as the command and the event tell them."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from rig.daemon import Event
from rig.scene import APP, Scene
from tests.e2e.harness.asserts import no_request_failed
from tests.e2e.harness.commands import run


def test_a_release_and_a_revert_are_in_the_figures(scene: Scene) -> None:
    """Two deployments, of which the second was reverted: it failed, and was restored by the switch back."""
    scene.configure(strategy={"scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    released = scene.release("v2.0.0")
    there = scene.daemon.wait_for("switched", commit=released)
    scene.settle(released)
    reverted = scene.repository.revert()
    back = scene.daemon.wait_for("switched", commit=reverted)
    scene.settle(reverted)
    assert there["lead_time"] > 0, "from the commit, whose date has whole seconds, to the switch"
    assert "lead_time" not in back, "a rollback is no deployment"
    scene.daemon.stop()
    scene.daemon.start()
    [found] = json.loads(run(scene, "delivery", "--since", "1d", "--output", "json").out)
    assert (found["app"], found["deployments"], found["failures"]) == (APP, 2, 1), found
    assert found["change_failure_rate"] == 0.5
    assert found["lead_time_p90"] >= found["lead_time_median"] > 0
    assert there["lead_time"] in (found["lead_time_p90"], found["lead_time_median"])
    apart = _at(back) - _at(there)
    assert found["time_to_restore_median"] == pytest.approx(apart, abs=1.0)
    table = run(scene, "delivery", APP)
    assert table.status == 0 and "1 (50%)" in table.out and "LEAD TIME" in table.out, table
    assert run(scene, "delivery", "--since", "soon").status == 2
    no_request_failed(scene.load)


def _at(event: Event) -> float:
    return datetime.fromisoformat(str(event["timestamp"])).timestamp()

"""HTTP checks before the switch: what fails, hangs, is away or flaps gets no traffic, and an outside system votes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from rig.scene import Scene
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.gating import gated, rejected, told, vote
from tests.e2e.harness.voter import Voter, voter

FAILING = {"env": {"ERROR_RATE": "1"}}
SLOW = {"env": {"LATENCY": "1m"}}
SMOKE = {"name": "smoke", "attempts": 2, "interval": "500ms", "http": {"path": "/", "requests": 5}}


@pytest.fixture
def outside() -> Iterator[Voter]:
    with voter() as made:
        yield made


def test_a_check_that_fails_keeps_traffic_away(scene: Scene) -> None:
    """v2 is ready, and answers nothing but errors. The next commit, which mends it, passes."""
    scene.configure(strategy={"prePromotionAnalysis": {"checks": [SMOKE]}})
    scene.first_release("v1.0.0")
    bad = scene.release("v2.0.0", FAILING)
    reason = rejected(scene, bad, "v2.0.0")["reason"]
    assert "check smoke failed: " in reason and "0 of 5 requests" in reason, reason
    told(scene, bad, "check_attempt_failed", "check_failed", "rejected")
    failed = scene.daemon.find("check_failed", commit=bad)[0]
    assert (failed["check"], failed["stage"]) == ("smoke", "prePromotionAnalysis") and "500" in failed["measured"]
    moved(scene, 0)
    good = scene.release("v2.0.1")
    scene.settle(good)
    told(scene, good, "check_passed", "switched")
    scene.load.wait_for("v2.0.1")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_pods_that_never_answer_fail(scene: Scene) -> None:
    """They are ready, by another port than that of the traffic."""
    scene.first_release("v1.0.0")
    gated(scene, {**SMOKE, "timeout": "1s"})
    bad = scene.release("v2.0.0", SLOW)
    reason = rejected(scene, bad, "v2.0.0")["reason"]
    assert "check smoke failed: " in reason and "within 1s" in reason, reason
    told(scene, bad, "check_attempt_failed", "check_failed", "rejected")
    no_request_failed(scene.load)
    moved(scene, 0)


@pytest.mark.parametrize("fault", ["hangs", "refuses"])
def test_who_is_asked_and_says_nothing_has_not_voted(scene: Scene, outside: Voter, fault: str) -> None:
    """No answer is no pass; with the voter back, a new commit of the same version is tried again."""
    scene.first_release("v1.0.0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}/"
    address = {"hangs": outside.url, "refuses": closed}[fault]
    outside.hold.clear()
    gated(scene, {"name": "vote", "attempts": 2, "interval": "500ms", "timeout": "1s", "http": {"url": address}})
    bad = scene.release("v2.0.0")
    reason = rejected(scene, bad, "v2.0.0")["reason"]
    assert "check vote could not be evaluated, which is no pass: " in reason, reason
    assert {"hangs": "within 1s", "refuses": "refuses the connection"}[fault] in reason, reason
    told(scene, bad, "check_attempt_failed", "check_inconclusive", "rejected")
    assert outside.count() == (2 if fault == "hangs" else 0)
    moved(scene, 0)
    outside.hold.set()
    gated(scene, vote(outside))
    again = scene.repository.commit("Try it again", {"README.md": "Hello\n"})
    scene.settle(again)
    told(scene, again, "check_passed", "switched")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_who_flaps_passes_once_he_is_steady(scene: Scene, outside: Voter) -> None:
    """Three good answers in a row are asked for: two and a bad one are none."""
    scene.first_release("v1.0.0")
    gated(scene, vote(outside, successes=3, attempts=10))
    outside.say(500, 200, 200, 503, 200, 500, 200, 200, 200)
    commit = scene.release("v2.0.0")
    outside.wait_for(6)
    assert scene.selected() == "v1.0.0"
    scene.settle(commit)
    assert outside.count() == 9
    told(scene, commit, *["check_attempt_failed"] * 3, "check_passed", "switched")
    no_request_failed(scene.load)
    moved(scene, 1)


def test_who_flaps_to_the_end_does_not_pass(scene: Scene, outside: Voter) -> None:
    scene.first_release("v1.0.0")
    gated(scene, vote(outside, successes=3, attempts=6))
    outside.say(200, 200, 500, 200, 200, 500)
    commit = scene.release("v2.0.0")
    assert "check vote failed: " in rejected(scene, commit, "v2.0.0")["reason"]
    assert outside.count() == 6
    no_request_failed(scene.load)
    moved(scene, 0)


def test_an_outside_system_votes(scene: Scene, outside: Voter) -> None:
    """Not yet, and then no for good: nothing is asked any more. To the next commit it says not yet, and then yes."""
    scene.first_release("v1.0.0")
    gated(scene, vote(outside, attempts=60))
    outside.say(404, 409)
    bad = scene.release("v2.0.0")
    assert "409" in rejected(scene, bad, "v2.0.0")["reason"]
    assert outside.count() == 2
    told(scene, bad, "check_attempt_failed", "check_failed", "rejected")
    moved(scene, 0)
    outside.say(404, 200)
    good = scene.repository.commit("Please", {"README.md": "Hello\n"})
    scene.settle(good)
    assert outside.count() == 2
    told(scene, good, "check_attempt_failed", "check_passed", "switched")
    no_request_failed(scene.load)
    moved(scene, 1)

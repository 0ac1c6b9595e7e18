"""What is told of a revision that does not get ready: each trouble once, in whole words."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.text import shortened
from tests.fakes.world import World


def _waits(world: World, reason: str, message: str) -> None:
    """Every pod's container waits, as the kubelet says it."""
    waiting = {"name": "app", "ready": False, "state": {"waiting": {"reason": reason, "message": message}}}
    pods: list[dict[str, Any]] = world.cluster.all("Pod")
    for pod in pods:
        world.cluster.put({**pod, "status": {**pod.get("status", {}), "containerStatuses": [waiting]}})
    world.daemon.settle()


def test_two_words_for_one_trouble_that_come_in_turn_are_told_once_each() -> None:
    """As an image that cannot be pulled makes them, for as long as it is tried."""
    world = World()
    world.controllers.kubelet = lambda *_: None  # type: ignore[method-assign]
    world.release("v1.0.0")
    for _ in range(3):
        _waits(world, "ErrImagePull", "no such image")
        _waits(world, "ImagePullBackOff", "Back-off pulling image")
    reasons = [each.fields["reason"] for each in world.told.events if each.name == "revision_unhealthy"]
    assert len(reasons) == 2
    assert "ErrImagePull (no such image)" in str(reasons[0])
    world.release("v2.0.0")
    _waits(world, "ErrImagePull", "no such image")
    assert world.told.names().count("revision_unhealthy") == 3


@pytest.mark.parametrize(
    ("message", "limit", "shown"),
    [
        ("no such image", 13, "no such image"),
        ("no such image", 12, "no such …"),
        ("a-long-digest", 8, "a-long …"),
        ("", 3, ""),
    ],
)
def test_what_is_too_long_ends_with_a_whole_word(message: str, limit: int, shown: str) -> None:
    assert shortened(message, limit) == shown
    assert len(shown) <= limit

"""People are told of a release and of the way back, by one channel, while another one never answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.fakes.services import WebService

SECRET = "what-only-chat-and-daemon-know"


def test_a_release_and_its_revert_are_told_though_another_channel_hangs(scene: Scene) -> None:
    """The hanging service takes each message and never answers: neither traffic nor the other channel waits for it."""
    with WebService() as works, WebService(status=None) as hangs:
        scene.configure(strategy={"scaleDownDelay": "30s"})
        _add_channels(
            scene,
            _channel(scene, "works", works, events=["started", "switched", "rolledBack"]),
            _channel(scene, "hangs", hangs, timeout="1s", events=["started", "switched", "rolledBack"]),
        )
        scene.first_release("v1.0.0")
        failed = scene.daemon.wait_for("notification_failed")
        assert (failed["channel"], failed["reason"]) == ("hangs", "took longer than 1 s")
        released = scene.release("v2.0.0")
        scene.settle(released)
        scene.load.wait_for("v2.0.0")
        reverted = scene.repository.revert()
        scene.settle(reverted)
        until(lambda: len(works.taken) == 5, "five messages")
        assert works.titles() == [
            f"{APP}: the release of v1.0.0 begins",
            f"{APP}: traffic moved to v1.0.0",
            f"{APP}: the release of v2.0.0 begins",
            f"{APP}: traffic moved to v2.0.0",
            f"{APP}: rolled back to v1.0.0",
        ]
        told = works.taken[-1]["message"]
        for part in (f"App {scene.namespace}/{APP}", "source shop", "before v2.0.0", f"commit {reverted[:12]}"):
            assert part in told, told
        assert hangs.asked and not hangs.taken
        assert {each["channel"] for each in scene.daemon.find("notification_failed")} == {"hangs"}
        no_request_failed(scene.load)
        moved(scene, 2)
        assert scene.daemon.stop() == 0, "a thread that hangs does not hold up the end"
    said = scene.daemon.output.read_text() + scene.daemon.stderr.read_text()
    assert SECRET not in said and not scene.daemon.find("bug")


def _channel(scene: Scene, name: str, service: WebService, **settings: Any) -> Mapping[str, Any]:
    file = scene.folder / f"channel-{name}"
    file.write_text(service.address(SECRET, rto="300") + "\n")
    return {"name": name, "urlFile": str(file), **settings}


def _add_channels(scene: Scene, *channels: Mapping[str, Any]) -> None:
    held = yaml.safe_load(scene.config.read_text())
    scene.config.write_text(yaml.safe_dump({**held, "notifications": list(channels)}, sort_keys=False))

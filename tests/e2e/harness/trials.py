"""Analyses after a switch as the tests ask for them, and what became of one: told, not judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rig.audit import Write
from rig.daemon import Event
from rig.load import Errors
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.queries import for_the_daemon

BAD: Mapping[str, Any] = {"env": {"ERROR_RATE": "0.2"}}
"""Values of a version that gets ready, and answers every fifth request by 500."""

Recorder = Callable[[str, object], None]


def watched(*checks: Mapping[str, Any], window: str = "60s", **more: Any) -> dict[str, Any]:
    """A strategy that watches for `window` after a switch; measurements twice a second."""
    return {"postPromotionAnalysis": {"window": window, "checks": [{"interval": "0.5s", **e} for e in checks], **more}}


def error_ratio(address: str) -> dict[str, Any]:
    """Asks the Prometheus there for the share of errors of the revision, by the query of the manual."""
    query = for_the_daemon("Error ratio")
    return {"name": "errors", "prometheus": {"address": address, "query": query, "success": {"below": 0.05}}}


def answers(**more: Any) -> dict[str, Any]:
    """Asks each pod twenty times, and every answer has to be good."""
    return {"name": "answers", "http": {"path": "/", "requests": 20, **more}}


def led_back(scene: Scene, bad: str, service: str = APP) -> Write:
    """The write that led the Service away from the revision `bad`, once the API server's log has it."""

    def found() -> Write | None:
        ours = [each for each in scene.audit.writes("services") if each.name == service and each.succeeded]
        seen = [each for each in ours if each.revision]
        there = next((index for index, each in enumerate(seen) if each.revision == bad), len(seen))
        return next((each for each in seen[there:] if each.revision != bad), None)

    return until(found, f"{service} led away from {bad}", poll=0.1)


def tell(scene: Scene, errors: Errors, failed: Event, record: Recorder) -> None:
    """Prints what users saw of a bad version, and how long the way from its detection to the good one took."""
    detected, back = at(failed), led_back(scene, str(failed["revision"]))
    asked = sum(each.version == failed["version"] for each in scene.load.requests)
    if not errors:  # a check that asks the pods itself may be quicker than the way of the first user to them
        print("users saw no error")
        return
    told = (
        f"{errors} of {asked} answers of it, at {scene.load.rate:g} requests a second; from the first error to the "
        f"detection {detected - errors.first:.3f} s; from the detection to the switch back {back.at - detected:.3f} s, "
        f"to the last error {errors.last - detected:.3f} s"
    )
    record("seen of the bad version", told)
    print(told)


def at(event: Event) -> float:
    """When it happened, in epoch seconds."""
    return datetime.fromisoformat(str(event["timestamp"])).timestamp()

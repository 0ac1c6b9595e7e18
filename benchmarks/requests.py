"""What a release costs the API server, counted between daemon and API server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rig.proxy import Call, Proxy
from rig.scene import Scene
from sandbox import Sandbox

IDLE = 20.0
"""Seconds without anything to do."""


def count_requests(sandbox: Sandbox, folder: Path) -> dict[str, Counter[str]]:
    """Requests of each step by what they are: `read`, `write`, `Kubernetes Event`. Watches that stand do not count."""
    folder.mkdir()
    scene = Scene(sandbox, folder / "scene", kind="bench")
    scene.configure(strategy={"scaleDownDelay": "5s"})
    try:
        with Proxy(sandbox.kubeconfig, folder) as proxy:
            daemon = scene.daemon = scene.another_daemon("counted", proxy.kubeconfig)
            scene.repository.commit("Nothing to release yet", {"README.md": ""})
            daemon.start()
            daemon.wait_for("app_invalid")
            return _steps(scene, proxy)
    finally:
        scene.close()


def _steps(scene: Scene, proxy: Proxy) -> dict[str, Counter[str]]:
    def first() -> None:
        scene.settle(scene.release("v1.0.0"))

    def bump() -> None:
        scene.settle(scene.release("v2.0.0"))

    def revert() -> None:
        scene.settle(scene.repository.revert())

    def retire() -> None:
        scene.daemon.wait_for("retired")

    def idle() -> None:
        time.sleep(IDLE)

    named: dict[str, Callable[[], None]] = {
        "first release": first,
        "bump, until the switch is confirmed": bump,
        "revert, until the switch is confirmed": revert,
        "removal of the old colour": retire,
        f"{IDLE:g} s of rest": idle,
    }
    return {name: _counted(proxy, step) for name, step in named.items()}


def _counted(proxy: Proxy, step: Callable[[], None]) -> Counter[str]:
    before = len(proxy.calls)
    step()
    time.sleep(1)  # Kubernetes Events are written after the step
    return count(proxy.calls[before:])


def count(calls: Sequence[Call]) -> Counter[str]:
    """Calls by what they are."""
    kinds = ("Kubernetes Event" if each.resource == "events" else "write" if each.write else "read" for each in calls)
    return Counter(kind for kind, call in zip(kinds, calls, strict=True) if not call.watch)

"""When an app is where Git wants it, by what the cluster holds."""

from __future__ import annotations

from rig.scene import APP, Scene
from rig.waiting import until

PATIENCE = 150.0
"""Seconds. A few; the rest is for a daemon that has to come up again on a machine that does several other things."""


def is_active(scene: Scene, version: str, app: str = APP) -> bool:
    """Whether a version is selected, its pods are the only endpoints, and the switch is noted as confirmed."""
    service = scene.cluster.get("Service", app)
    if service is None or service["spec"]["selector"].get("version") != version:
        return False
    pods = {each["metadata"]["name"] for each in scene.cluster.pods(scene.cluster.active_revision(app))}
    confirmed = service["metadata"]["annotations"].get("bluegreen.reconciler/confirmed-at")
    return bool(confirmed and pods and scene.cluster.endpoints(app) == pods)


def converged(scene: Scene, version: str, app: str = APP, *, alone: bool = True, timeout: float = PATIENCE) -> None:
    """Returns when a version is active, and (unless others are kept warm) there is no other."""
    until(
        lambda: is_active(scene, version, app) and (not alone or scene.versions(app) == {version}),
        f"{version} of {app} {'alone, ' if alone else ''}active and confirmed",
        timeout,
        poll=0.1,
    )

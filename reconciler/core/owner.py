"""Which daemon looks after an app, as an annotation of its active Service. Pure.

It fences off a former owner: see `app.cycle`. It has a field manager of its own, so that neither an apply of the
Service nor a switch touches it.
"""

from __future__ import annotations

from reconciler.core.model import PREFIX, Manifest

OWNER = PREFIX + "owner"
OWNER_MANAGER = "reconciler-owner"
"""Field manager of the owner's name, and of nothing else."""


def owner_on(live: Manifest) -> str:
    """Whose name stands on a live Service or Ingress; '' if nobody's does."""
    notes = live["metadata"].get("annotations") or {}
    return str(notes.get(OWNER, ""))


def owner_manifest(live: Manifest, holder: str) -> Manifest:
    """What is applied to it: the owner's name alone."""
    meta = {key: live["metadata"][key] for key in ("name", "namespace")}
    identity = {"apiVersion": live["apiVersion"], "kind": live["kind"]}
    return {**identity, "metadata": {**meta, "annotations": {OWNER: holder}}}

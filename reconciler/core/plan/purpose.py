"""Why an object has to be applied, read off its differences: Git asked for something else, or a hand changed it."""

from __future__ import annotations

from reconciler.core.action import Purpose
from reconciler.core.diff import Difference
from reconciler.core.live import GIT_REPLICAS
from reconciler.core.model import ANNOTATION_RENDERING, PREFIX

_NOTES = "metadata.annotations."
_CLAIM = f"{_NOTES}{PREFIX}promoted-"


def purpose_of(found: tuple[Difference, ...]) -> Purpose:
    """What an apply with these differences is for. A rendering that is not the one last applied is Git's wish."""
    paths = [each.path for each in found]
    if f"{_NOTES}{ANNOTATION_RENDERING}" in paths:
        return Purpose.UPDATE
    if "spec.replicas" in paths:
        return Purpose.SCALE
    if any(path.startswith(_CLAIM) for path in paths) and all(path.startswith(_NOTES + PREFIX) for path in paths):
        return Purpose.REUSE
    return Purpose.NOTE if set(paths) <= {_NOTES + GIT_REPLICAS} else Purpose.REPAIR

"""Whether the apps that another one depends on have settled at what Git wants of them, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.core.phase import Phase
from reconciler.errors import ReconcilerError

WAITS_FOR = "waits for "


@dataclass(frozen=True, slots=True)
class Standing:
    """How an app stands: at which commit it was last looked at, and which is `wanted` now; None: not known yet."""

    name: str
    phase: Phase | None = None
    commit: str | None = None
    wanted: str | None = None
    error: ReconcilerError | None = None
    suspended: bool = False
    known: bool = True


def held(dependencies: Iterable[Standing]) -> str:
    """Why an app that depends on these has to wait; '' if it need not."""
    found = [f"{each.name} ({why})" for each in dependencies if (why := _unsettled(each))]
    return WAITS_FOR + ", ".join(found) if found else ""


def _unsettled(app: Standing) -> str:
    if not app.known:
        return "there is no such app"
    if app.suspended:
        return "it is suspended"
    if app.error is not None:
        return f"it failed: {app.error.located}"
    if app.phase is None or app.commit is None or app.commit != app.wanted:
        return "it is not yet at what Git wants"
    return "" if app.phase in (Phase.STABLE, Phase.RETAINING) else f"it is {app.phase.value}"

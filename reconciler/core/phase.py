"""The phases of an app, as a table of data. The diagram in ARCHITECTURE.md is drawn from it.

A phase is a name for what `plan` found, never an input of it: every cycle looks afresh. The table says which phase may
follow which; the property tests hold the planner to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where an app stands between what Git says and what the cluster does."""

    APPLYING = "applying"
    PROGRESSING = "progressing"
    SWITCHING = "switching"
    CONFIRMING = "confirming"
    RETAINING = "retaining"
    STABLE = "stable"
    DEGRADED = "degraded"
    DRIFTED = "drifted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a phase says about the app, and which phases may follow it: phase → what has to happen."""

    says: str
    next: Mapping[Phase, str]
    settled: bool = False


_NEW_COMMIT = {Phase.APPLYING: "a commit wants another revision"}
_WARM_COMMIT = {Phase.SWITCHING: "a commit wants a revision that is still warm"}
_SELECTED = {
    Phase.CONFIRMING: "a commit wants what is active, or the selector was moved to what Git wants",
    Phase.RETAINING: "a commit wants what is active, and another colour is warm",
    Phase.STABLE: "a commit wants what is active",
    Phase.DRIFTED: "a commit wants what is active, and that was edited by hand",
    Phase.DEGRADED: "a commit wants what is active, and none of its pods is ready",
}
_DRIFTED = {Phase.DRIFTED: "the active pod template was edited by hand"}
_DEGRADED = {Phase.DEGRADED: "no pod of the active colour is ready any more"}

PHASES: Mapping[Phase, Meaning] = {
    Phase.APPLYING: Meaning(
        "the desired revision's objects are missing, differ, or are not yet claimed for this commit",
        {
            Phase.PROGRESSING: "objects applied",
            Phase.SWITCHING: "objects applied, and every pod is ready",
            Phase.REJECTED: "a commit wants what was rejected for it",
            **_SELECTED,
        },
    ),
    Phase.PROGRESSING: Meaning(
        "the desired revision is starting; traffic stays where it is",
        {
            Phase.SWITCHING: "every wanted pod is ready",
            Phase.REJECTED: "progressDeadline passed",
            Phase.APPLYING: "a newer commit overtook, or an object was changed",
            **_SELECTED,
        },
    ),
    Phase.SWITCHING: Meaning(
        "every wanted pod is ready: the selector is being patched",
        {
            Phase.PROGRESSING: "a pod turned unready before the patch",
            Phase.APPLYING: "a newer commit overtook, or the active colour grew",
            Phase.REJECTED: "a pod turned unready, and progressDeadline has passed",
            **_SELECTED,
            Phase.CONFIRMING: "the selector was patched",
        },
    ),
    Phase.CONFIRMING: Meaning(
        "the selector points to the desired revision; EndpointSlices do not yet show its pods alone",
        {
            Phase.RETAINING: "EndpointSlices show the new colour's ready pods alone",
            Phase.STABLE: "the same, and there is no other colour",
            **_NEW_COMMIT,
            **_WARM_COMMIT,
            **_DRIFTED,
            **_DEGRADED,
            Phase.PROGRESSING: "a commit wants a revision that is already starting",
            Phase.REJECTED: "a commit wants a revision rejected for it",
        },
    ),
    Phase.RETAINING: Meaning(
        "the desired revision is active; an earlier one is kept warm for scaleDownDelay",
        {
            Phase.STABLE: "scaleDownDelay passed, and nothing routes to the old colour",
            Phase.CONFIRMING: "the selector was moved by hand and found again",
            **_NEW_COMMIT,
            **_WARM_COMMIT,
            **_DRIFTED,
            **_DEGRADED,
            Phase.PROGRESSING: "a commit wants a former revision that has to start again",
            Phase.REJECTED: "a commit wants a revision rejected for it",
        },
        settled=True,
    ),
    Phase.STABLE: Meaning(
        "the desired revision is active, and no other has pods",
        {
            **_NEW_COMMIT,
            **_WARM_COMMIT,
            **_DRIFTED,
            **_DEGRADED,
            Phase.CONFIRMING: "the Service was deleted or moved by hand, and put right",
            Phase.RETAINING: "another colour turned up",
            Phase.PROGRESSING: "a commit wants a revision that is already there",
            Phase.REJECTED: "a commit wants a revision rejected for it",
        },
        settled=True,
    ),
    Phase.DEGRADED: Meaning(
        "the desired revision is active, and not one of its pods is ready; an earlier colour is kept for a revert",
        {
            Phase.STABLE: "a pod is ready again",
            Phase.RETAINING: "a pod is ready again, and another colour is warm",
            Phase.CONFIRMING: "a pod is ready again, and the switch was not confirmed before",
            **_NEW_COMMIT,
            **_WARM_COMMIT,
            **_DRIFTED,
            Phase.PROGRESSING: "a commit wants a revision that is already there",
            Phase.REJECTED: "a commit wants a revision rejected for it",
        },
        settled=True,
    ),
    Phase.DRIFTED: Meaning(
        "the desired revision is active, but its pod template was edited by hand; it is left until the next release",
        {
            Phase.STABLE: "the edit was taken back",
            Phase.RETAINING: "the edit was taken back, and another colour is warm",
            Phase.CONFIRMING: "the edit was taken back before the switch was confirmed",
            Phase.DEGRADED: "the edit was taken back, and no pod is ready",
            **_NEW_COMMIT,
            **_WARM_COMMIT,
            Phase.PROGRESSING: "a commit wants a revision that is already there",
            Phase.REJECTED: "a commit wants a revision rejected for it",
        },
        settled=True,
    ),
    Phase.REJECTED: Meaning(
        "the desired revision failed for this commit; traffic stays on the last good one until a new commit",
        {
            **_NEW_COMMIT,
            **_SELECTED,
            Phase.SWITCHING: "a commit wants a warm revision, or with no Service to hold, every pod got ready late",
            Phase.PROGRESSING: "a new commit wants the same revision, so it is tried again",
        },
        settled=True,
    ),
}


def diagram() -> str:
    """The phase table as a Mermaid state diagram. (Its labels may hold neither ':' nor ';'.)"""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.APPLYING}: first commit"]
    for phase, meaning in PHASES.items():
        lines += [f"    {phase} --> {following}: {why}" for following, why in meaning.next.items()]
    return "\n".join(lines)

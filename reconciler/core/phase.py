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
    PROVING = "proving"
    WAITING = "waiting"
    SWITCHING = "switching"
    CONFIRMING = "confirming"
    WATCHING = "watching"
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
_READY = {
    Phase.PROVING: "every pod is ready, and checks or a soak time are asked for",
    Phase.WAITING: "every pod is ready, and an approval or a release window is awaited",
}
_WARM_COMMIT = {Phase.SWITCHING: "a commit wants a revision that is still warm", **_READY}
_SELECTED = {
    Phase.CONFIRMING: "a commit wants what is active, or the selector was moved to what Git wants",
    Phase.WATCHING: "a commit wants what is active, and the analysis after its switch is not over",
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
            **_READY,
            Phase.REJECTED: "a commit wants what was rejected for it",
            **_SELECTED,
        },
    ),
    Phase.PROGRESSING: Meaning(
        "the desired revision is starting; traffic stays where it is",
        {
            Phase.SWITCHING: "every wanted pod is ready",
            **_READY,
            Phase.REJECTED: "progressDeadline passed",
            Phase.APPLYING: "a newer commit overtook, or an object was changed",
            **_SELECTED,
        },
    ),
    Phase.PROVING: Meaning(
        "every wanted pod is ready: checks are made, or the soak time runs; traffic stays where it is",
        {
            Phase.SWITCHING: "all checks passed, and nothing else is to be waited for",
            Phase.WAITING: "all checks passed",
            Phase.PROGRESSING: "a pod turned unready",
            Phase.APPLYING: "a newer commit overtook, or the active colour grew",
            Phase.REJECTED: "a check failed, or could not be evaluated",
            **_SELECTED,
        },
    ),
    Phase.WAITING: Meaning(
        "every wanted pod is ready and every check passed: an approval or a release window is awaited",
        {
            Phase.SWITCHING: "it was approved, the time for that is over, or a window opened",
            Phase.PROVING: "the checks that are asked for changed, or a new commit tries again",
            Phase.PROGRESSING: "a pod turned unready",
            Phase.APPLYING: "a newer commit overtook, or the active colour grew",
            Phase.REJECTED: "a commit wants a revision rejected for it",
            **_SELECTED,
        },
    ),
    Phase.SWITCHING: Meaning(
        "every wanted pod is ready: the selector is being patched",
        {
            Phase.PROGRESSING: "a pod turned unready before the patch",
            **_READY,
            Phase.APPLYING: "a newer commit overtook, or the active colour grew",
            Phase.REJECTED: "a pod turned unready, and progressDeadline has passed",
            **_SELECTED,
            Phase.CONFIRMING: "the selector was patched",
        },
    ),
    Phase.CONFIRMING: Meaning(
        "the selector points to the desired revision; EndpointSlices do not yet show its pods alone",
        {
            Phase.WATCHING: "EndpointSlices show the new colour's ready pods alone, and an analysis is asked for",
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
    Phase.WATCHING: Meaning(
        "the desired revision is active, and has to stand the analysis after the switch; the earlier one is kept warm",
        {
            Phase.REJECTED: "it failed, and traffic was led back",
            Phase.RETAINING: "it is over, and the earlier colour is still warm",
            Phase.STABLE: "it is over, and there is no other colour",
            Phase.CONFIRMING: "the Service was deleted or moved by hand, and put right",
            **_NEW_COMMIT,
            **_WARM_COMMIT,
            **_DRIFTED,
            **_DEGRADED,
            Phase.PROGRESSING: "a commit wants a revision that is already there",
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
        "the desired revision is active, and alone",
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
            Phase.WATCHING: "a pod is ready again, and the analysis after the switch goes on",
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
            Phase.WATCHING: "the analysis after the switch goes on",
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
            **_READY,
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

"""What every phase may clean up: overtaken, rejected and formerly active revisions, each when its time has come.

`never-cut-the-active` is kept here: nothing is retired that is desired, selected, last known as active, or has ready
endpoints; and no former colour goes while the active one cannot serve, since it is what a revert would need.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import replace

from reconciler.core.action import Action, Ref, Remember, Retire, ScaleDown
from reconciler.core.health import ready_pods
from reconciler.core.live import LiveRevision, Workload
from reconciler.core.model import ADOPTED
from reconciler.core.plan.kept import is_idle, is_kept, scaled_to_zero
from reconciler.core.plan.manifests import remember
from reconciler.core.plan.view import View, doom_of, nobody_serves, ref_of, serves

DRAIN_MARGIN = 2.0
"""Seconds between a confirmed switch and the first deletion of a colour that was in service, whatever
`scaleDownDelay` says: kube-proxy programs a change up to a second (its minSyncPeriod) after EndpointSlices show it."""

INGRESS_MARGIN = 10.0
"""The same behind an Ingress, which is confirmed before its controller has followed: nothing tells when that has.
ingress-nginx takes a change over every 3.3 s (`--sync-rate-limit`), Traefik every 2 s (`providersThrottleDuration`)."""

NODES_BEHIND = 60.0
"""Seconds for which a node may go on by what it knew before an outage of the API server: kube-proxy's watches try again
after up to 30 s, and as much again by jitter (client-go's reflector back-off). A colour that was in service is not
deleted while a node may still send requests there."""

STEADY = 30.0
"""Seconds that a pod of the active colour must have been ready before the colour that could replace it goes. A program
that crashes seconds after each start has been ready, too."""


def clean_up(view: View, going: tuple[Workload, ...] = ()) -> tuple[tuple[Action, ...], float | None]:
    """Deletions, and scalings to zero, that are due, and when (epoch seconds) the next one will be.

    `going` workloads are about to be scaled to zero by the caller, and noted as such together with the others.
    """
    due, ahead = [], []
    for revision in view.observed.revisions:
        fate = _fate(view, revision)
        if isinstance(fate, float):
            ahead.append(fate)
        elif fate is not None:
            due.append((revision, fate))
    notes = _note(view, [*going, *(workload for revision, _ in due for workload in revision.workloads)])
    retired = [action for revision, why in due for action in _ended(view, revision, *why)]
    return (*notes, *retired, *_orphans(view)), min(ahead, default=None)


def _note(view: View, going: Iterable[Workload]) -> Iterator[Remember]:
    """The note on the active Service by which a switch and a deletion exclude each other (see `memory.Doom`)."""
    doomed = frozenset(map(doom_of, going))
    if view.front and not doomed <= view.memory.doomed:
        names = ", ".join(sorted({each.revision for each in doomed}))
        yield remember(view.front, replace(view.memory, doomed=doomed), "", f"{names} is about to go")


def _fate(view: View, revision: LiveRevision) -> tuple[str, str] | float | None:
    """One revision's end: event and reason of what is to be done now, the time at which it is due, or None while events
    alone can decide."""
    if _protected(view, revision) or revision.deleting or serves(view, revision.revision) or is_idle(view, revision):
        return None
    former = view.memory.former(revision.revision)
    if former is None:
        if revision.revision.startswith(ADOPTED) or (nobody_serves(view) and ready_pods(revision)):
            return None  # the Service was deleted or moved by hand: nothing that may serve goes before it is back
        return _why_never_active(view, revision)
    due, steady = retirement_due(view, revision), _steady_from(view)
    if due is None or steady is None or former.until is None:
        return None
    when = max(due, steady, _followed_from(view), _followed_services(view))
    if view.now < when:
        return when
    limit = view.desired.app.strategy.revision_history_limit
    if is_kept(view, revision):
        return "revision_scaled", f"kept for a revert: revisionHistoryLimit is {limit}"
    if revision.replicas == 0:
        return "retired", f"revisionHistoryLimit is {limit}, and it is not among the latest"
    return "retired", f"kept warm for {view.now - former.until:.0f} s after it was active"


def _steady_from(view: View) -> float | None:
    """From when on (epoch seconds) the active colour has proved that it can stand alone: of each workload one pod has
    been ready for as long as the old colour was to be kept, or for `STEADY`. None: no pod of one is ready."""
    if view.active is None:
        return None
    wait = min(STEADY, view.desired.app.strategy.scale_down_delay)
    # One scaled to zero by hand is meant so.
    since = [_ready_since(each) for each in view.active.workloads if each.replicas > 0]
    proved = [at + wait for at in since if at is not None]
    return None if len(proved) < len(since) else max(proved, default=view.now)


def _ready_since(workload: Workload) -> float | None:
    ready = ready_pods(workload)
    return min((pod.ready_since for pod in workload.pods if pod.name in ready), default=None)


def _followed_from(view: View) -> float:
    """From when on (epoch seconds) every node follows the API server again after an outage."""
    back = view.observed.recovered_at
    return 0.0 if back is None else back + NODES_BEHIND + DRAIN_MARGIN


def _followed_services(view: View) -> float:
    """From when on (epoch seconds) every node has seen the last move of a further Service. One that a hand had moved
    is led back long after the switch was confirmed. (Times of managedFields are whole seconds.)"""
    return max((each.moved_at + 1.0 + DRAIN_MARGIN for each in view.services), default=0.0)


def retirement_due(view: View, revision: LiveRevision) -> float | None:
    """When (epoch seconds) a formerly active revision may go. None: it never was active, or the switch that replaced it
    is not confirmed, or its analysis not over: traffic may have to go back."""
    former, drained, active = view.memory.former(revision.revision), drained_from(view), view.memory.active
    if former is None or former.until is None or drained is None or (active and active.on_trial):
        return None
    strategy = view.desired.app.strategy
    # What was led back from is kept to be looked at, not to be gone back to.
    delay = strategy.abort_scale_down_delay if former.failed else strategy.scale_down_delay
    return max(former.until + delay, drained)


def drained_from(view: View) -> float | None:
    """From when on (epoch seconds) no node sends a request to what had traffic before the last switch; None: that is
    not confirmed."""
    margin = INGRESS_MARGIN if view.front and view.front.kind == "Ingress" else DRAIN_MARGIN
    return None if view.memory.confirmed_at is None else view.memory.confirmed_at + margin


def _protected(view: View, revision: LiveRevision) -> bool:
    """Desired, selected, or last known as active: never to be touched."""
    noted = view.memory.active
    led_to = (each.revision for front in view.observed.others for each in view.led_to(front))
    selected = (each.revision for each in view.selected)
    return revision.revision in {view.desired.revision, noted.revision if noted else None, *selected, *led_to}


def _why_never_active(view: View, revision: LiveRevision) -> tuple[str, str]:
    rejection = view.memory.rejection or revision.rejection
    if rejection and rejection.revision == revision.revision:
        return "retired", "it was rejected, and Git wants another revision now"
    return "overtaken", f"commit {view.desired.commit[:12]} wants {view.desired.version}"


def _ended(view: View, revision: LiveRevision, event: str, reason: str) -> Iterator[Retire | ScaleDown]:
    if event == "revision_scaled":
        return scaled_to_zero(view, revision, reason)
    return _retire(view, revision, event, reason)


def _retire(view: View, revision: LiveRevision, event: str, reason: str) -> Iterator[Retire]:
    """The workloads first: what else it has is of no use to anybody, and is found again if we die in between."""
    who = revision.revision, revision.version, revision.colour
    yield Retire(*who, tuple(map(ref_of, revision.workloads)), event, reason)
    configs = tuple(_gone_with(view, {revision.revision}))
    if configs:
        yield Retire(*who, configs, "", "they belong to it")


def _gone_with(view: View, revisions: Container[str]) -> Iterator[Ref]:
    """The configuration of these revisions, as far as it is not being deleted already."""
    for each in view.observed.configs:
        if each.revision in revisions and not each.deleting:
            yield ref_of(each)


def _orphans(view: View) -> Iterator[Retire]:
    """Configuration whose workloads are gone, and that no pod can need: a daemon stopped between two deletions."""
    noted = view.memory.active
    known = {view.desired.revision, noted.revision if noted else ""}
    kept = known | view.observed.serving | view.observed.running | {each.revision for each in view.observed.revisions}
    for revision in sorted({each.revision for each in view.observed.configs} - kept):
        refs = tuple(_gone_with(view, {revision}))
        if refs:
            yield Retire(revision, "", view.desired.slot.colour, refs, "leftovers_deleted", "its workloads are gone")

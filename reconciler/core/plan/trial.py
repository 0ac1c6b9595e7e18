"""The analysis after a switch: while it lasts the former colour is kept warm; if it fails traffic goes back at once.

Going back depends on the colour that is gone back to alone, never on the health of the one that is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import floor

from reconciler.core.action import Action, NoteEvidence, Remember
from reconciler.core.check import Inconclusive, Outcome, PostPromotion, Result, Series, Stage
from reconciler.core.evidence import Evidence
from reconciler.core.health import explain, is_down, ready_pods
from reconciler.core.live import LiveRevision
from reconciler.core.memory import Active, Cause, Claim, Memory, Rejection
from reconciler.core.model import Desired, Slot
from reconciler.core.observed import Front, Observed
from reconciler.core.phase import Phase
from reconciler.core.plan.cutover import cut_over
from reconciler.core.plan.manifests import evidence_manifest, remember
from reconciler.core.plan.stand_in import led_to
from reconciler.core.plan.view import Plan, View, is_doomed, is_fit, ref_of


@dataclass(frozen=True, slots=True)
class Trial:
    """How the analysis stands. `failed`: why traffic has to go back. `over`: the event by which it ends well."""

    reason: str
    failed: bool = False
    over: str = ""
    checks: frozenset[Series] = frozenset()
    wake_at: float | None = None


def trial_of(view: View) -> Trial | None:
    """The analysis of the active revision, which is the desired one; None if there is none, or none any more."""
    active, asked = view.memory.active, view.desired.app.strategy.post_promotion
    if active is None or not active.on_trial or active.revision != view.desired.revision:
        return None
    if asked is None:
        return Trial("it is not asked for any more", over="analysis_ended")
    since = view.memory.confirmed_at
    revision = view.desired.revision
    series = [] if since is None else [Series(e, Stage.POST, revision, since, asked.window) for e in asked.checks]
    if reason := _too_few(view.target, asked, active.on_trial):
        return Trial(reason, failed=True, checks=frozenset(series))
    if since is None:
        return Trial("the switch is not confirmed yet")
    return replace(_measured(view, asked, series, since + asked.window), checks=frozenset(series))


def _too_few(target: LiveRevision | None, asked: PostPromotion, switched_with: int) -> str:
    """Why the share of ready pods counts as a failure; '' if it does not. Pods that it got since the switch may take
    their time: an autoscaler, or Git, made it larger."""
    if target is None:
        return "its workloads are gone"
    wanted, ready = min(target.replicas, switched_with), len(ready_pods(target))
    if ready * 100 < wanted * asked.min_ready_percent:
        return f"{ready} of {wanted} pods are ready, less than minReadyPercent ({asked.min_ready_percent}%)"
    return f"a part of it is down: {explain(target)}" if is_down(target) else ""


def _measured(view: View, asked: PostPromotion, series: list[Series], due: float) -> Trial:
    results = {each: view.results[each] for each in series if each in view.results}
    failed, unknown = (_first(results, which) for which in (Outcome.FAILED, Outcome.INCONCLUSIVE))
    if failed:
        return Trial(failed, failed=True)
    left = [each.check.name for each in series if each not in results]
    if left or view.now < due:
        waits = f"analysis after the switch: {', '.join(left) or 'until its window ends'}"
        return Trial(waits, wake_at=due if view.now < due else None)
    if not unknown:
        return Trial(f"nothing failed for {asked.window:g} s", over="analysis_passed")
    if asked.inconclusive is Inconclusive.ROLLBACK:
        return Trial(unknown, failed=True)
    return Trial(unknown, over="analysis_inconclusive")


def _first(results: Mapping[Series, Result], outcome: Outcome) -> str:
    """The first result of that kind in words; '' if there is none."""
    found = ((each, result) for each, result in results.items() if result.outcome is outcome)
    return next((_told(*each) for each in found), "")


def _told(series: Series, result: Result) -> str:
    ended = "failed" if result.outcome is Outcome.FAILED else "could not be evaluated"
    return f"check {series.check.name} {ended} after the switch: {result}"


def ended(view: View, front: Front, trial: Trial) -> Remember:
    """The note that the analysis is over, and the revision stays."""
    assert view.memory.active is not None
    memory = replace(view.memory, active=replace(view.memory.active, on_trial=0))
    return remember(front, memory, trial.over, trial.reason, view.memory.confirmed_at, of=memory.active)


def go_back(view: View, front: Front, reason: str, held: Rejection | None = None) -> Plan:
    """Traffic goes back to the first of `ways_back`; this revision is rejected in the same write. Without one, it
    stays, and that is told. `held`: the rejection of what Git wants by now, which goes on to hold."""
    former = next(iter(ways_back(view.memory, view.observed)), None)
    live = view.observed.revision(former.revision) if former else None
    if former is None or live is None:
        return _nowhere(view, front, reason)
    desired = view.previous if view.previous and view.previous.revision == former.revision else None
    desired = desired or _as_it_is(view, former, live)
    there = None if desired is None else replace(view, desired=desired, standing=None, previous=None)
    if there is None or not is_fit(there, live):
        return Plan(Phase.WATCHING, f"{reason}. Traffic goes back as soon as {former.version} is ready")
    wanted = view.desired
    rejection = Rejection(wanted.revision, wanted.version, wanted.commit, reason, view.now, Cause.ANALYSIS)
    switch = cut_over(there, Claim(former.commit, view.now), reason, rejection, held)
    return Plan(Phase.WATCHING, reason, (*_kept(there, live), switch))


def ways_back(memory: Memory, observed: Observed) -> list[Active]:
    """The former revisions that are there and were not led back from, the best first: one that stood its analysis, if
    there was one, before what was left in the middle of it; the latest of these."""
    found = ((each, observed.revision(each.revision)) for each in memory.history if not each.failed)
    there = [(each, live) for each, live in found if live and not live.deleting and not _is_active(memory, each)]
    return [each for each, _ in sorted(there, key=lambda pair: (pair[1].replicas == 0, pair[0].on_trial > 0))]


def _is_active(memory: Memory, former: Active) -> bool:
    return memory.active is not None and memory.active.revision == former.revision


def _as_it_is(view: View, former: Active, live: LiveRevision) -> Desired | None:
    """What traffic has to lead to, read off the live objects: its commit cannot be rendered (any more)."""
    fronts = [led_to(view, each, live) for each in view.desired.fronts]
    if any(each is None for each in fronts):
        return None
    *services, front = [each for each in fronts if each is not None]
    slot = Slot(former.colour, former.commit)
    bare = replace(view.desired, components=(), configs=(), front=front, services=tuple(services))
    return replace(bare, commit=former.commit, version=former.version, revision=former.revision, slot=slot)


def _kept(view: View, live: LiveRevision) -> tuple[Action, ...]:
    """A deletion of it that some daemon has announced fails, once its workloads are written (docs/adr/0014)."""
    if not is_doomed(view):
        return ()
    known = (each.evidence or Evidence(0.0) for each in live.workloads)
    return tuple(
        NoteEvidence(ref_of(each), evidence_manifest(each, replace(evidence, awaiting=floor(view.now))))
        for each, evidence in zip(live.workloads, known, strict=True)
    )


def _nowhere(view: View, front: Front, reason: str) -> Plan:
    assert view.memory.active is not None
    memory = replace(view.memory, active=replace(view.memory.active, on_trial=0, failed=True))
    told = f"{reason}. There is no earlier revision to go back to"
    noted = remember(front, memory, "analysis_failed", told, view.memory.active.since, of=view.memory.active)
    return Plan(Phase.WATCHING, told, (noted,))

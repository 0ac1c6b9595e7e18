"""What stands between a ready revision and traffic: soak time, checks, an approval, release windows, in this order.

A revision that had traffic before, and was not led back from, passes all of it at once: rollbacks do not wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.core.action import NoteEvidence
from reconciler.core.check import Outcome, PrePromotion, Result, Series, Stage
from reconciler.core.consent import is_approved
from reconciler.core.evidence import Evidence
from reconciler.core.job import gate_key
from reconciler.core.live import LiveRevision
from reconciler.core.memory import Claim, format_time
from reconciler.core.phase import Phase
from reconciler.core.plan.manifests import evidence_manifest
from reconciler.core.plan.preview import WHOLE_SECONDS, before_switch
from reconciler.core.plan.view import View, is_known_good, nobody_serves, ref_of, was_serving
from reconciler.core.window import open_at, opens_next


@dataclass(frozen=True, slots=True)
class Gate:
    """Why traffic does not move yet, and what is to be under way meanwhile. `failed`: it never will, for `reason`.
    `evidence` is what is to be on record with that, `awaiting` of it since when an approval is awaited."""

    phase: Phase
    reason: str
    evidence: Evidence | None = None
    wake_at: float | None = None
    checks: frozenset[Series] = frozenset()
    failed: bool = False
    event: str = ""
    awaiting: float | None = None


def closed_gate(view: View, claim: Claim, target: LiveRevision) -> Gate | None:
    """The first thing that is in the way; None: nothing is (any more). `target` is fit for traffic."""
    if was_serving(view):
        return None
    found, series = evidence_of(target, claim), _all(view, claim, target)
    done = {each: view.results[each] for each in series if each in view.results}
    if bad := [(each, result) for each, result in done.items() if result.outcome is not Outcome.PASSED]:
        return Gate(Phase.PROVING, _failure(bad), checks=frozenset(done), failed=True)
    passed = found.passed | {each.key for each in done}
    # If another commit undoes the approval, it is asked for anew.
    awaiting = None if _is_approved(view, target) else found.awaiting
    seen = replace(found, ready_at=found.ready_at or view.now, passed=passed, awaiting=awaiting)
    left = [each for each in series if each not in done]
    closed = _proving(view, target, left) or _unapproved(view, target, seen) or _outside(view, seen)
    closed = closed or _unquiet(view, seen)
    if closed is None:
        return None
    return replace(closed, checks=closed.checks | frozenset(done), evidence=replace(seen, awaiting=closed.awaiting))


def results_used(view: View, claim: Claim, target: LiveRevision) -> frozenset[Series]:
    """The checks by whose results traffic moves: they are kept until it has, since the write may fail."""
    return frozenset(each for each in _all(view, claim, target) if each in view.results)


def _all(view: View, claim: Claim, target: LiveRevision) -> list[Series]:
    """The checks of this promotion that are not on record as passed."""
    known, who = evidence_of(target, claim).passed, (Stage.PRE, target.revision, claim.since)
    checks = _wanted(view).checks
    series = (Series(each, *who, key=gate_key(each, view.desired)) for each in checks)
    return [each for each in series if each.key not in known]


def evidence_of(target: LiveRevision | None, claim: Claim) -> Evidence:
    """What was shown in this very promotion: what belongs to an earlier one does not count, but that it served."""
    found = target.workloads[0].evidence if target else None
    return (
        found if found and found.since == claim.since else Evidence(claim.since, served=found.served if found else None)
    )


def note_of_service(view: View) -> tuple[NoteEvidence, ...]:
    """That the active revision has its traffic, where that tells it from one that is being proved."""
    target, active = view.target, view.memory.active
    if target is None or active is None or not view.desired.app.strategy.has_gates:
        return ()
    workload = target.workloads[0]
    found = workload.evidence or Evidence(active.since)
    if found.served is not None or workload.deleting:
        return ()
    noted = replace(found, served=view.memory.confirmed_at)
    return (NoteEvidence(ref_of(workload), evidence_manifest(workload, noted)),)


def note_of(gate: Gate, claim: Claim, target: LiveRevision) -> tuple[NoteEvidence, ...]:
    """The write of what is not written down yet."""
    if gate.evidence is None or gate.evidence == evidence_of(target, claim):
        return ()
    workload = target.workloads[0]
    return (NoteEvidence(ref_of(workload), evidence_manifest(workload, gate.evidence), gate.event, gate.reason),)


def unready_since(target: LiveRevision, claim: Claim) -> float:
    """From when on (epoch seconds) `progressDeadline` counts: the claim, or if the revision was fit once, the moment in
    which a pod of it was lost."""
    found = evidence_of(target, claim)
    if found.ready_at is None:
        return claim.since
    lost = (pod.ready_since for pod in target.pods if not pod.ready and not pod.terminating)
    return max(claim.since, found.ready_at, *lost)


def _wanted(view: View) -> PrePromotion:
    wanted = view.desired.app.strategy.pre_promotion
    skipped = was_serving(view) or (is_known_good(view) and not wanted.rerun)
    return PrePromotion() if skipped else wanted


def _failure(bad: Iterable[tuple[Series, Result]]) -> str:
    return "; ".join(f"check {each.check.name} {_ENDED[result.outcome]}: {result}" for each, result in bad)


_ENDED = {Outcome.FAILED: "failed", Outcome.INCONCLUSIVE: "could not be evaluated, which is no pass"}


def _proving(view: View, target: LiveRevision, left: list[Series]) -> Gate | None:
    """Checks that are not over, and the soak time, which runs while they are made."""
    wanted = _wanted(view)
    began = max((pod.ready_since for pod in target.pods if not pod.terminating), default=view.now) + WHOLE_SECONDS
    soaked = began + wanted.soak
    due = soaked if soaked > view.now and wanted.soak else None
    if not left and due is None:
        return None
    waits = [f"checks: {', '.join(each.check.name for each in left)}"] if left else []
    waits += [f"soaks for {wanted.soak:g} s"] if due else []
    running = frozenset(left[:1] if wanted.sequential else left)
    return Gate(Phase.PROVING, "; ".join(waits), None, due, running)


def _unapproved(view: View, target: LiveRevision, seen: Evidence) -> Gate | None:
    """Nobody has approved it, and the time for that is not over."""
    strategy, wanted = view.desired.app.strategy, view.desired
    after = strategy.auto_promotion_after if strategy.auto_promotion else None
    asked = not strategy.auto_promotion or after is not None
    if not asked or is_known_good(view) or _is_approved(view, target):
        return None
    since = seen.awaiting or view.now
    if after is not None and view.now >= since + after:
        return None
    event = "approval_awaited" if seen.awaiting is None else ""
    due = None if after is None else since + after
    reason = f"waits for an approval of revision {wanted.revision} at commit {wanted.commit[:12]}"
    reason += f", or {after:g} s without one" if after is not None else ""
    return Gate(Phase.WAITING, reason, None, due, event=event, awaiting=since)


def _is_approved(view: View, target: LiveRevision) -> bool:
    """By a commit, or by a person."""
    return view.desired.revision in view.desired.approved or bool(approval(view, target))


def _outside(view: View, seen: Evidence) -> Gate | None:
    """No release window is open. They protect who is served: where nobody is, nothing is to be waited for."""
    windows = view.desired.app.strategy.release_windows
    if not windows or is_known_good(view) or nobody_serves(view) or open_at(windows, view.now):
        return None
    opens = opens_next(windows, view.now)
    when = f"opens at {format_time(opens)}" if opens is not None else "ever opens: correct releaseWindows"
    reason = f"{OUTSIDE}, and {'the next' if opens is not None else 'none'} {when}"
    return Gate(Phase.WAITING, reason, None, opens, awaiting=seen.awaiting)


def _unquiet(view: View, seen: Evidence) -> Gate | None:
    """The preview Service is not where it belongs yet, or kube-proxy still follows it."""
    waits = before_switch(view)
    return Gate(Phase.PROGRESSING, waits.why, None, waits.until, awaiting=seen.awaiting) if waits else None


OUTSIDE = "no release window is open"
"""How the reason begins while one is awaited."""


def approval(view: View, target: LiveRevision) -> str:
    """Who approved the desired revision for this commit, in words; '' if nobody did."""
    found = next(filter(None, (is_approved(view.desired, each) for each in target.workloads)), None)
    return f"approved {found}" if found else ""

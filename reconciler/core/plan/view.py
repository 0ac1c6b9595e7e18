"""The planner's inputs, and the facts that follow from them at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.core.action import Action, Ref
from reconciler.core.diff import Difference, differences
from reconciler.core.health import can_serve, is_ready
from reconciler.core.ignore import as_left
from reconciler.core.memory import Active, Claim, Doom, Memory, Rejection
from reconciler.core.model import Desired, Manifest
from reconciler.core.observed import APPLY_MANAGER, SWITCH_MANAGER, ActiveService, Config, Observed, Workload
from reconciler.core.phase import Phase
from reconciler.core.place import manager_of


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order; `wake_at` (epoch seconds) is when to look again if nothing happens before."""

    phase: Phase
    reason: str = ""
    actions: tuple[Action, ...] = ()
    wake_at: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The planner's inputs, and the facts that follow from them at once.

    `standing` is the active revision as the commit rendered it that it was switched for; None when it is the desired
    one, or can no longer be rendered.
    """

    desired: Desired
    observed: Observed
    now: float
    standing: Desired | None = None

    @property
    def service(self) -> ActiveService | None:
        """The active Service, if it exists."""
        return self.observed.service

    @property
    def memory(self) -> Memory:
        """What it remembers; an empty memory while there is none."""
        return self.service.memory if self.service else Memory()

    @property
    def target(self) -> Workload | None:
        """The desired revision's Deployment, if it exists."""
        return self.observed.workload(self.desired.revision)

    @property
    def selected(self) -> tuple[Workload, ...]:
        """The workloads that the selector matches: one, unless somebody wrote another selector."""
        if not self.service or not self.service.selector:
            return ()
        selector = self.service.selector.items()
        return tuple(w for w in self.observed.workloads if selector <= w.pod_labels.items())

    @property
    def active(self) -> Workload | None:
        """The workload that traffic goes to; of several, the one that was switched to. None: the selector matches none
        of ours, or there is no Service."""
        noted = self.memory.active
        known = (each for each in self.selected if noted and each.revision == noted.revision)
        return next(known, next(iter(self.selected), None))

    @property
    def desired_is_active(self) -> bool:
        """Whether traffic goes where Git wants it, and nowhere else."""
        if not self.service:
            return False
        alone = [each.revision for each in self.selected] == [self.desired.revision]
        return alone or self.service.selector == self.desired.selector

    @property
    def rejection(self) -> Rejection | None:
        """Why the desired revision must not be tried at this commit, if so."""
        noted = self.memory.rejection or (self.target.rejection if self.target else None)
        wanted = (self.desired.revision, self.desired.commit)
        return noted if noted and (noted.revision, noted.commit) == wanted else None

    def as_active(self, since: float) -> Active:
        """The desired revision as the memory will hold it."""
        wanted = self.desired
        return Active(wanted.revision, wanted.version, wanted.slot.colour, wanted.commit, since)


def compared(view: View, manifest: Manifest, live: Manifest) -> tuple[Manifest, tuple[Difference, ...]]:
    """What to apply, with ignored fields as they are; and what of it differs, without what the API server was seen to
    hold for the same (it writes some values in another form)."""
    manifest = as_left(manifest, live, view.desired.app.ignored)
    name = f"{manifest['kind']}/{manifest['metadata']['name']}"
    found = (each for each in differences(manifest, live) if f"{name} {each.identity}" not in view.observed.equivalent)
    return manifest, tuple(replace(each, by=_somebody_else(manager_of(live, each.at))) for each in found)


def _somebody_else(manager: str) -> str:
    return "" if manager in (APPLY_MANAGER, SWITCH_MANAGER) else manager


def claim_of(view: View) -> Claim:
    """The running promotion's claim: since when this revision is being brought up, whichever commits asked for it.

    It begins anew when the revision failed since (a new commit tries it again), when that promotion succeeded long ago
    (Git came back to it), and when a deletion of the Deployment may be under way: then writing it is what stops that.
    """
    claim = view.target.claim if view.target else None
    if claim is None or _is_over(view, claim) or is_doomed(view):
        return Claim(view.desired.commit, view.now)
    return Claim(view.desired.commit, claim.since)


def _is_over(view: View, claim: Claim) -> bool:
    revision = view.desired.revision
    former = view.memory.former(revision)
    failed = view.memory.rejection or (view.target.rejection if view.target else None)
    succeeded = former is not None and former.since >= claim.since
    return succeeded or (failed is not None and failed.revision == revision and failed.at >= claim.since)


def is_doomed(view: View) -> bool:
    """Whether some daemon said that it is about to delete the desired revision's Deployment, or scale it to zero, and
    that can still happen: the Deployment is as it was then."""
    target = view.target
    return target is not None and Doom(target.revision, target.resource_version) in view.memory.doomed


def serves(view: View, workload: Workload) -> bool:
    """Whether any Service of the app has a ready endpoint of this revision."""
    return workload.revision in view.observed.serving


def nobody_serves(view: View) -> bool:
    """Whether clients get no answer at all: there is no Service, or it has no ready endpoint."""
    return view.service is None or not view.service.endpoints


def is_fit(view: View, target: Workload) -> bool:
    """Whether traffic may move to `target`: it is wholly ready; or it served before, can serve with what it has, and
    that is better than what is, since nobody serves now or a hand moved the selector off it."""
    if is_ready(target):
        return True
    noted = view.memory.active
    moved_off = noted is not None and noted.revision == target.revision
    return can_serve(target) and (moved_off or nobody_serves(view))


def ref_of(kind: str, live: Workload | ActiveService | Config) -> Ref:
    """The live object, pinned to the state that it was seen in."""
    return Ref(kind, live.name, live.uid, live.resource_version)

"""The planner's inputs, and the facts that follow from them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.core.action import Action, Ref
from reconciler.core.check import Result, Series
from reconciler.core.diff import Difference, differences
from reconciler.core.front import route_of, same_route
from reconciler.core.health import can_serve, is_ready
from reconciler.core.ignore import as_left
from reconciler.core.live import LiveRevision, Workload
from reconciler.core.memory import Active, Cause, Claim, Doom, Memory, Rejection
from reconciler.core.model import Component, Desired, Manifest
from reconciler.core.observed import OUR_MANAGERS, Config, Front, Observed, led_to
from reconciler.core.phase import Phase
from reconciler.core.place import manager_of


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order; `wake_at` (epoch seconds) is when to look again if nothing happens before. `checks`
    are those that are to be under way meanwhile, and no others."""

    phase: Phase
    reason: str = ""
    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    checks: frozenset[Series] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """The planner's inputs, and the facts that follow from them at once.

    `standing` is the active revision as the commit rendered it that it was switched for; None when it is the desired
    one, or can no longer be rendered. `previous`, in the same way, is the revision that traffic goes back to if the
    analysis after a switch fails. `results` are those of the checks that are over.
    """

    desired: Desired
    observed: Observed
    now: float
    standing: Desired | None = None
    previous: Desired | None = None
    results: Mapping[Series, Result] = field(default_factory=dict)

    @property
    def front(self) -> Front | None:
        """The active Service or Ingress, if it exists."""
        return self.observed.front

    @property
    def memory(self) -> Memory:
        """What it remembers; an empty memory while there is none."""
        return self.front.memory if self.front else Memory()

    @property
    def target(self) -> LiveRevision | None:
        """What is there of the desired revision."""
        return self.observed.revision(self.desired.revision)

    @property
    def services(self) -> tuple[Front, ...]:
        """The live Services that move with the active one."""
        known = {(each["kind"], each["metadata"]["name"]) for each in self.desired.services}
        return tuple(each for each in self.observed.others if (each.kind, each.name) in known)

    @property
    def strays(self) -> tuple[Front, ...]:
        """Services of ours that Git does not know, or not any more, and such an Ingress."""
        known = {(each.kind, each.name) for each in self.services}
        return tuple(each for each in self.observed.others if (each.kind, each.name) not in known)

    def led_to(self, front: Front) -> tuple[LiveRevision, ...]:
        """The revisions that a Service or Ingress leads to: one, unless somebody wrote another route."""
        return led_to(self.observed, front)

    @property
    def selected(self) -> tuple[LiveRevision, ...]:
        """The revisions that the active Service or Ingress leads to."""
        return self.led_to(self.front) if self.front else ()

    @property
    def active(self) -> LiveRevision | None:
        """The revision that traffic goes to; of several, the one that was switched to. None: the route leads to none
        of ours, or there is no Service."""
        noted = self.memory.active
        known = (each for each in self.selected if noted and each.revision == noted.revision)
        return next(known, next(iter(self.selected), None))

    @property
    def desired_is_active(self) -> bool:
        """Whether traffic goes where Git wants it, and nowhere else."""
        if not self.front:
            return False
        alone = [each.revision for each in self.selected] == [self.desired.revision]
        return alone or same_route(self.front.route, route_of(self.desired.front))

    @property
    def rejection(self) -> Rejection | None:
        """Why the desired revision must not be tried at this commit, if so."""
        noted = (self.memory.rejection, self.target.rejection if self.target else None)
        return next((each for each in noted if each and self._holds(each)), None)

    def _holds(self, rejection: Rejection) -> bool:
        wanted = self.desired
        same = rejection.cause is Cause.ANALYSIS and rejection.commit == wanted.same_as
        return rejection.revision == wanted.revision and (same or rejection.commit == wanted.commit)

    def as_active(self, since: float) -> Active:
        """The desired revision as the memory will hold it."""
        wanted = self.desired
        who = wanted.revision, wanted.version, wanted.slot.colour, wanted.commit
        return Active(*who, since, committed=wanted.committed)


def compared(view: View, manifest: Manifest, live: Manifest) -> tuple[Manifest, tuple[Difference, ...]]:
    """What to apply, with ignored fields as they are; and what of it differs, without what the API server was seen to
    hold for the same (it writes some values in another form)."""
    manifest = as_left(manifest, live, view.desired.app.ignored)
    name = f"{manifest['kind']}/{manifest['metadata']['name']}"
    found = (each for each in differences(manifest, live) if f"{name} {each.identity}" not in view.observed.equivalent)
    return manifest, tuple(replace(each, by=_somebody_else(manager_of(live, each.at))) for each in found)


def _somebody_else(manager: str) -> str:
    return "" if manager in OUR_MANAGERS else manager


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
    """Whether some daemon said that it is about to delete a workload of the desired revision, or scale it to zero, and
    that can still happen: the workload is as it was then."""
    workloads = view.target.workloads if view.target else ()
    return any(doom_of(each) in view.memory.doomed for each in workloads)


def doom_of(workload: Workload) -> Doom:
    """The note that this very state of it is about to go."""
    return Doom(workload.revision, workload.resource_version)


def is_known_good(view: View) -> bool:
    """Whether the desired revision had traffic before, and was not led back from. Without a Service there is no memory
    of that, but the workload's own record."""
    former = view.memory.former(view.desired.revision)
    if view.front is None:
        return view.target is not None and view.target.served
    return former is not None and not former.failed


def was_serving(view: View) -> bool:
    """Whether this is no promotion but a repair: the desired revision is what was last switched to, and a hand moved
    the route off it. The claim is an old one then, and a pod that is unready no reason to give up what Git wants."""
    noted = view.memory.active
    return noted is not None and noted.revision == view.desired.revision


def serves(view: View, revision: str) -> bool:
    """Whether clients may reach a ready endpoint of this revision."""
    return revision in view.observed.serving


def nobody_serves(view: View) -> bool:
    """Whether clients get no answer at all: there is no Service, or it has no ready endpoint."""
    return view.front is None or not view.front.endpoints


def is_fit(view: View, target: LiveRevision) -> bool:
    """Whether traffic may move to `target`: it is wholly ready; or it served before, can serve with what it has, and
    that is better than what is, since nobody serves now or a hand moved the route off it."""
    if is_ready(target):
        return True
    noted = view.memory.active
    moved_off = noted is not None and noted.revision == target.revision
    return can_serve(target) and (moved_off or nobody_serves(view))


def is_whole(view: View) -> bool:
    """Whether every workload of the desired revision is there."""
    return all(live_of(view, each) for each in view.desired.components)


def live_of(view: View, component: Component) -> Workload | None:
    """The live workload of the desired revision that a rendered one is about."""
    manifest = component.manifest
    return view.target.find(manifest["kind"], manifest["metadata"]["name"]) if view.target else None


def counterpart(view: View, component: Component, of: LiveRevision | None) -> Workload | None:
    """The workload of another revision that corresponds to `component`: by its name, or since each is the only one."""
    workloads = of.workloads if of else ()
    of_kind = [each for each in workloads if each.kind == component.manifest["kind"]]
    if len(workloads) == len(of_kind) == len(view.desired.components) == 1:
        return of_kind[0]
    return next((each for each in of_kind if each.component == component.name), None)


def ref_of(live: Workload | Front | Config) -> Ref:
    """The live object, pinned to the state that it was seen in."""
    return Ref(live.kind, live.name, live.uid, live.resource_version)

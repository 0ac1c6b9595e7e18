"""One cycle of one app: see, plan, execute. Level-triggered: it keeps nothing that the next one needs.

What a `Cycle` does keep serves the reader of events: which phase was told last, and which step may still have to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reconciler.app.dependence import WAITS_FOR
from reconciler.app.execute import Executor
from reconciler.app.observe import Eyes, with_equivalent
from reconciler.app.ownership import Tenure
from reconciler.app.reversal import revert_in_git
from reconciler.app.tell import Teller, who
from reconciler.core.action import Action, RequireFree, RevertInGit
from reconciler.core.check import Result, Series
from reconciler.core.effect import took_effect
from reconciler.core.event import event
from reconciler.core.health import trouble
from reconciler.core.model import App, Desired, Manifest
from reconciler.core.observed import Observed
from reconciler.core.owner import OWNER_MANAGER, owner_manifest, owner_on
from reconciler.core.phase import Phase
from reconciler.core.plan import Plan, plan, watch
from reconciler.core.plan.gate import OUTSIDE
from reconciler.core.plan.view import ref_of
from reconciler.core.removal import REMOVAL_MANAGER, Note, keep_known, read_mark, release
from reconciler.errors import Blocked, Conflict, Invalid, Transient
from reconciler.ports import Analysis, Clock, Cluster, Repository, Subject, Telemetry


@dataclass(frozen=True, slots=True)
class Tip:
    """The commit that a source's branch points to.

    `noticed_at` is when the branch was first seen to point there, `checked_at` when the last look at the repository
    began that still found it so (epoch seconds of this process' clock).
    """

    commit: str
    noticed_at: float
    checked_at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cycle came to. `acted`: something was done, so look again at once. `outdated`: nothing was done, since
    somebody else has acted after Git was last looked at: look at Git first, then again."""

    plan: Plan
    acted: bool
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """A step that may have taken effect or not: its answer never came."""

    action: Action
    desired: Desired
    noticed_at: float


class NoAnalysis:
    """Makes no check: for those who only look."""

    def keep(self, wanted: frozenset[Series], subjects: Mapping[str, Subject], about: Manifest | None) -> None:
        """Nothing is under way."""

    def results(self) -> Mapping[Series, Result]:
        """Nothing is known."""
        return {}

    async def close(self) -> None:
        """Nothing is under way."""


@dataclass(slots=True)
class Cycle:
    """The cycles of one app, one after the other, never two at a time.

    `analyst` makes the checks that a plan asks for. `tenure` knows whether the app is this daemon's. `held` says
    why a promotion is not to be begun now; '' if it may.
    """

    app: App
    repository: Repository
    cluster: Cluster
    telemetry: Telemetry
    clock: Clock
    analyst: Analysis = field(default_factory=NoAnalysis)
    told: _Told = field(init=False)
    held: Callable[[], str] = lambda: ""
    tenure: Tenure = field(default_factory=Tenure)
    switched_at: float | None = None
    """When (epoch seconds) traffic last moved, as far as was seen."""
    _eyes: Eyes = field(init=False)
    _teller: Teller = field(init=False)
    _executor: Executor = field(init=False)
    _equivalent: frozenset[str] = frozenset()
    _unanswered: _Unanswered | None = None
    _seen: dict[tuple[str, str, float], float] = field(default_factory=dict)
    _first_look: float = 0.0
    _standing: Desired | None = None
    _reverted: tuple[str, float] = "", 0.0

    def __post_init__(self) -> None:
        self._eyes = Eyes(self.app, self.repository, self.cluster)
        self._teller = Teller(self.telemetry, self.clock)
        self._executor = Executor(self.cluster, self._teller)
        self.told = _Told(self.telemetry)

    def inherit(self, former: Cycle) -> None:
        """Takes over what a former cycle of this app has seen: an old switch is not news after a reload."""
        self._seen = former._seen

    async def synced(self) -> None:
        """Returns once it is known for sure what the cluster holds of the app."""
        await self.cluster.synced(self.app.namespace)

    @property
    def about(self) -> Manifest | None:
        """The live active Service or Ingress, if there is one."""
        live = self.cluster.view(self.app.namespace, self.app.name)
        wanted = self.app.strategy.front
        return next((each for each in live if (each["kind"], each["metadata"]["name"]) == wanted), None)

    async def observed(self) -> Observed:
        """What the cluster holds, whatever Git says."""
        return await self._eyes.see_cluster()

    async def look(self, tip: Tip) -> tuple[Desired, Observed, Plan]:
        """Sees and plans, and changes nothing. Raises what Git and the cluster raise."""
        desired, observed = await self._eyes.see(tip.commit)
        observed = with_equivalent(observed, self._equivalent)
        desired = await self._eyes.see_likeness(desired, observed)
        standing = await self._eyes.see_standing(desired, observed)
        previous, self._standing = await self._eyes.see_previous(observed), standing
        now, held, results = self.clock.now(), self.held(), self.analyst.results()
        return desired, observed, plan(desired, observed, now, standing, held, previous, results)

    def _subjects(self, desired: Desired, observed: Observed) -> Mapping[str, Subject]:
        """What is checked: what Git wants, and before it gets there what has the traffic."""
        known = (desired, self._standing) if self._standing else (desired,)
        return {each.revision: subject_of(each, observed) for each in known}

    async def preconditions(self, made: Plan) -> None:
        """Raises what a plan would fail at before its first write; changes nothing."""
        for action in made.actions:
            if isinstance(action, RequireFree):
                await self.cluster.require_free(action.manifest)

    async def run(self, tip: Tip) -> Outcome:
        """Sees, plans, and does what the plan says. Raises at the first action that fails; those before it stand."""
        self.tenure.begin()
        try:
            desired, observed, made = await self.look(tip)
        except Invalid:
            await self._watch()
            raise
        self._note_switch(observed)
        if await self._take_over(observed):
            return Outcome(made, acted=True)
        others = self._others(observed)
        released, notes = self._notes(made)
        if (made.actions or notes) and any(
            each.commit != tip.commit and tip.checked_at <= each.seen_at for each in others
        ):
            return Outcome(made, acted=False, outdated=True)
        if made.actions:
            self._refuse_rivalry(desired, observed, others)
        about = observed.front.live if observed.front else None
        self.analyst.keep(made.checks, self._subjects(desired, observed), about)
        self._tell_late(observed, about)
        if notes:
            await self._write(notes, released, desired, about)
            return Outcome(made, acted=True)
        self.told.about(desired, observed, made, self.clock.now())
        for action in made.actions:
            if isinstance(action, RevertInGit):
                await self._revert(action, desired, about, tip)
                return Outcome(made, acted=False, outdated=True)
            await self._execute(_Unanswered(action, desired, tip.noticed_at), about)
        return Outcome(made, bool(made.actions))

    async def _watch(self) -> None:
        """Goes on with the analysis after a switch, though what Git says by now cannot be used: somebody's mistake
        there must not leave clients on a version that fails."""
        observed = await self._eyes.see_cluster()
        self._note_switch(observed)
        active, now = await self._eyes.see_on_trial(observed), self.clock.now()
        if active is None or observed.front is None or await self._take_over(observed):
            return
        previous, about = await self._eyes.see_previous(observed), observed.front.live
        made = watch(active, observed, now, previous, self.analyst.results())
        self.analyst.keep(made.checks, {active.revision: subject_of(active, observed)}, about)
        self._tell_late(observed, about)
        for action in made.actions:
            await self._execute(_Unanswered(action, active, now), about)

    async def _take_over(self, observed: Observed) -> bool:
        """Writes onto the active Service that the app is this daemon's from now on, if another one's name stands there.
        Returns whether it had to.

        Whatever that other one decided before, and sends late, was for the Service as it was: its resourceVersion is
        another by then. No clock and no pause can come between. And who had the app before, and gets it back, may see
        it as it was then: the name is that of one term, so what it writes first is refused until its view is new.
        """
        front, holder = observed.front, self.tenure.term
        if not holder or front is None or owner_on(front.live) == holder:
            return False
        await self.cluster.apply(owner_manifest(front.live, holder), OWNER_MANAGER, ref_of(front))
        told = {"app": self.app.name, "namespace": self.app.namespace, "holder": holder}
        self.telemetry.emit(event("app_taken_over", from_holder=owner_on(front.live) or None, **told))
        return True

    def _note_switch(self, observed: Observed) -> None:
        active = observed.front.memory.active if observed.front else None
        self.switched_at = active.since if active else None

    async def _execute(self, step: _Unanswered, about: Manifest | None) -> None:
        try:
            self._equivalent |= await self._executor.execute(step.action, step.desired, about, step.noticed_at)
        except Transient:
            self._unanswered = step
            raise
        self._unanswered = None

    async def _revert(self, action: RevertInGit, desired: Desired, about: Manifest | None, tip: Tip) -> None:
        """Nothing comes of it in the cluster: the next look at Git shows what there is then. Until then it is
        not tried again, and what the daemon pushed itself is not taken for somebody else's."""
        commit, ended_at = self._reverted
        if tip.commit == commit and tip.checked_at <= ended_at:
            return
        told = f"traffic was led back to {action.good.version}"
        self.tenure.permit()
        try:
            made = await revert_in_git(self.app, self.repository, action, tip.commit)
            self._teller.emit("reverted_in_git", desired, about, to_commit=made, reason=told)
        except Conflict as error:
            self._teller.emit("revert_overtaken", desired, about, reason=error.located)
        self._reverted = tip.commit, self.clock.now()

    def _notes(self, made: Plan) -> tuple[bool, tuple[Note, ...]]:
        """What is to be written down before anything is done: that the app is back, if it was being deleted (True); or
        what its description says of its end, where no apply of the Service is due that would say it."""
        live = self.cluster.view(self.app.namespace, self.app.name)
        back = release(live)
        return bool(back), back or (() if made.actions else keep_known(self.app, live))

    async def _write(self, notes: tuple[Note, ...], released: bool, desired: Desired, about: Manifest | None) -> None:
        for each in notes:
            await self.cluster.apply(each.manifest, REMOVAL_MANAGER, each.live)
        if released:
            reason = f"commit {desired.commit[:12]} has the app"
            self.telemetry.emit(event("deletion_ended", **who(desired), reason=reason), about)

    def _tell_late(self, observed: Observed, about: Manifest | None) -> None:
        """Tells of a step whose answer was lost, once the cluster shows that it took effect."""
        step = self._unanswered
        if step and took_effect(step.action, observed):
            self._unanswered = None
            self._teller.tell(step.action, step.desired, about, step.noticed_at)

    def _others(self, observed: Observed) -> list[_Mark]:
        """What was done for this app, by whomever: a switch is known by the Service's memory, a promotion by its claim,
        a deletion by its marks.

        Another daemon (a new leader, or one that polls sooner) may know a newer commit. To undo its switch, or delete
        what it is bringing up, from an old view of Git would move live traffic back and forth. Times of this process
        alone are compared.
        """
        now = self.clock.now()
        active = observed.front.memory.active if observed.front else None
        marks = {("switch", active.revision, active.since): (active.commit, active.revision)} if active else {}
        marks |= {("claim", w.uid, w.claim.since): (w.claim.commit, w.revision) for w in observed.workloads if w.claim}
        if (end := read_mark(self.cluster.view(self.app.namespace, self.app.name))) and end.commit:
            marks |= {("removal", end.commit, 0.0): (end.commit, "")}
        self._first_look = self._first_look or now
        self._seen = {mark: self._seen.get(mark, now) for mark in marks}
        return [_Mark(*said, self._seen[mark]) for mark, said in marks.items()]

    def _refuse_rivalry(self, desired: Desired, observed: Observed, others: list[_Mark]) -> None:
        """Two daemons that render the same commit differently would undo each other's work for ever. The one that was
        there first stands back: the other was started later, with what is meant now. But what is active since this
        revision was led back from is no rival's work."""
        noted = observed.front.memory.rejection if observed.front else None
        if noted and (noted.revision, noted.commit) == (desired.revision, desired.commit):
            return
        for each in others:
            came_later = each.seen_at > self._first_look
            if came_later and each.commit == desired.commit and each.revision != desired.revision:
                raise Blocked(
                    f"another daemon acts for this app: for the same commit it renders revision {each.revision}, "
                    f"and this one {desired.revision}",
                    where=f"app {self.app.name}",
                    untouched="This one leaves the app to the other",
                    todo="Run one daemon, or give both the same configuration and version. A restart takes over",
                )


class Onlooker(Cycle):
    """Looks at an app that another daemon looks after, and does nothing."""

    async def run(self, tip: Tip) -> Outcome:
        """Sees and plans. What there is to do, somebody else will."""
        _, _, made = await self.look(tip)
        return Outcome(made, acted=False)


def subject_of(desired: Desired, observed: Observed) -> Subject:
    """What checks of the desired revision are about."""
    target = observed.revision(desired.revision)
    ready = (pod for pod in target.pods if pod.ready and not pod.terminating) if target else ()
    return Subject(desired, {pod.name: pod.address for pod in ready})


@dataclass(frozen=True, slots=True)
class _Mark:
    """A switch or promotion that somebody made: for which commit and revision, and when this process first saw it."""

    commit: str
    revision: str
    seen_at: float


@dataclass(slots=True)
class _Told:
    """Tells of changes of phase and of health, each once."""

    telemetry: Telemetry
    phase: Phase | None = None
    _ready: tuple[str, str] | None = None
    _troubled: tuple[str, str] | None = None
    _troubles: set[str] = field(default_factory=set)
    """What was told of one release: pods go back and forth between two words for one trouble."""
    _waits: tuple[str, str] | None = None

    def about(self, desired: Desired, observed: Observed, made: Plan, now: float) -> None:
        """Emits what is new in this plan. `now` in epoch seconds."""
        self._waiting(desired, made)
        self._readiness(desired, observed, made, now)
        self._health(desired, observed, made, now)
        if made.phase is self.phase:
            return
        before = self.phase.value if self.phase else None
        self.phase = made.phase
        reason = {"reason": made.reason} if made.reason else {}
        self._emit("phase_changed", desired, None, phase=made.phase.value, from_phase=before, **reason)
        about = observed.front.live if observed.front else None
        if made.phase is Phase.DRIFTED:
            self._emit("drift_refused", desired, about, **_DRIFT, **reason)
        if made.phase is Phase.DEGRADED:
            self._emit("degraded", desired, about, **_DOWN, **reason)
        if before == Phase.DEGRADED and made.phase in (Phase.STABLE, Phase.RETAINING, Phase.CONFIRMING):
            self._emit("recovered", desired, about, **reason)

    def _waiting(self, desired: Desired, made: Plan) -> None:
        told = next(
            (_AWAITED[each] for each in _AWAITED if made.phase is each[0] and made.reason.startswith(each[1])), ""
        )
        waits = (desired.commit, made.reason) if told else None
        if waits and waits != self._waits:
            self._emit(told, desired, None, reason=made.reason)
        self._waits = waits

    def _readiness(self, desired: Desired, observed: Observed, made: Plan, now: float) -> None:
        key = desired.revision, desired.commit
        target = observed.revision(desired.revision)
        if made.phase is Phase.SWITCHING and target and self._ready != key:
            self._ready = key
            began = target.claim.since if target.claim and target.claim.commit == desired.commit else now
            self._emit("revision_ready", desired, None, replicas=target.replicas, duration=round(now - began, 3))

    def _health(self, desired: Desired, observed: Observed, made: Plan, now: float) -> None:
        target = observed.revision(desired.revision)
        found = trouble(target, now) if target and made.phase is Phase.PROGRESSING else ""
        key = desired.revision, desired.commit
        if self._troubled != key:
            self._troubled, self._troubles = key, set()
        if found and found not in self._troubles:
            self._troubles.add(found)
            self._emit("revision_unhealthy", desired, None, reason=found)

    def _emit(self, name: str, desired: Desired, about: Manifest | None, **fields: object) -> None:
        self.telemetry.emit(event(name, **who(desired), **fields), about)


_AWAITED: Mapping[tuple[Phase, str], str] = {
    (Phase.APPLYING, WAITS_FOR): "waiting_for",
    (Phase.WAITING, OUTSIDE): "window_awaited",
}
"""How the reason of what is waited for begins, in which phase; an approval is told of with its note."""
_DOWN: Mapping[str, str] = {
    "untouched": "An earlier colour that is still there is kept until this one serves again",
    "todo": "Run `git revert`, or mend what its pods complain of",
}
_DRIFT: Mapping[str, str] = {
    "untouched": "The Deployment was left as it is: to put it back would restart pods in service",
    "todo": "Take the edit back by hand, or commit a change: the next release brings up a clean colour",
}

"""Random walks through everything that can happen, in any order; the invariants are checked at every write.

`tests.fakes.world.GuardedCluster` checks `ready-before-switch`, `never-cut-the-active` and `one-writer` at each write,
and the end of every walk checks `git-is-final`, `own-things-only` and `crash-anywhere`: once the trouble stops, the
system settles on what Git says, or has said why it does not.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from reconciler.core.check import Check, Outcome, PostPromotion, PrePromotion
from reconciler.core.front import route_of, services_in, with_services
from reconciler.core.live import LiveRevision
from reconciler.core.model import LABEL_REVISION, Desired
from reconciler.core.observed import Observed
from reconciler.core.phase import PHASES, Phase
from reconciler.core.plan import Plan
from reconciler.core.probe import HttpProbe
from reconciler.errors import Transient
from tests.e2e.harness.templates import PREVIEW, SECRET, own_templates
from tests.fakes.whole import BY_INGRESS, BY_SERVICES, whole_world
from tests.fakes.world import APP, NAMESPACE, FakeDaemon, Killed, World, drive

_STANDING = (Phase.STABLE, Phase.RETAINING, Phase.CONFIRMING, Phase.DEGRADED)
_AUTOSCALING = {"maxReplicas": 9, "targetCPUUtilizationPercentage": 80}
VERSIONS = ("v1.0.0", "v2.0.0", "v3.0.0")
FOREIGN = {"kind": "ConfigMap", "metadata": {"name": "my-app", "namespace": NAMESPACE}, "data": {"key": "value"}}


class Walk(RuleBasedStateMachine):
    """One app, two daemons, a hostile world."""

    app = APP

    def make_world(self) -> World:
        return World(self.app)

    @initialize()
    def begin(self) -> None:
        self.world = self.make_world()
        self.world.cluster.put(FOREIGN)
        self.daemons = [self.world.daemon, FakeDaemon(self.world)]
        self.hands_on = False
        self.world.commit(VERSIONS[0])

    # --- Git ---

    @rule(version=st.sampled_from(VERSIONS), greeting=st.sampled_from(["", "hello"]), replicas=st.sampled_from([2, 3]))
    def commit(self, version: str, greeting: str, replicas: int) -> None:
        self.world.commit(version, env=f"{{GREETING: '{greeting}'}}", replicas=replicas)

    @rule()
    def commit_rubbish(self) -> None:
        self.world.repository.commit({"version": b"\x00"})
        self.world.commit(VERSIONS[1])

    @rule(which=st.integers(0, 1))
    def poll(self, which: int) -> None:
        self.daemons[which].poll()

    # --- the daemons ---

    @rule(which=st.integers(0, 1), times=st.integers(1, 4))
    def turn(self, which: int, times: int) -> None:
        for _ in range(times):
            self._guarded(which)

    @rule(which=st.integers(0, 1), writes=st.integers(0, 3), after=st.booleans())
    def turn_and_be_killed(self, which: int, writes: int, after: bool) -> None:
        setattr(self.world.cluster, "kill_after" if after else "kill_before", writes)
        self._guarded(which)
        self._guarded(which)
        self.world.cluster.kill_after = self.world.cluster.kill_before = None

    @rule(which=st.integers(0, 1), writes=st.integers(0, 2))
    def be_stopped_before_a_write(self, which: int, writes: int) -> None:
        self.daemons[which].pause(writes)

    @rule(which=st.integers(0, 1), lost=st.booleans())
    def turn_with_a_failing_write(self, which: int, lost: bool) -> None:
        error = Transient("the API server does not answer")
        if lost:
            self.world.cluster.lose_next_answer = error
        else:
            self.world.cluster.fail_next_write = error
        self._guarded(which)
        self.world.cluster.fail_next_write = self.world.cluster.lose_next_answer = None

    def _guarded(self, which: int) -> None:
        daemon = self.daemons[which]
        before = daemon.cycle.told.phase
        try:
            daemon.turn()
        except Killed:
            self.daemons[which] = FakeDaemon(self.world)
            self.daemons[which].poll()
            return
        self._check_transition(before, daemon.cycle.told.phase)

    def _check_transition(self, before: Phase | None, after: Phase | None) -> None:
        if before is None or after is None or before is after:
            return
        assert after in PHASES[before].next, f"the phase table has no way from {before} to {after}"

    # --- the cluster ---

    @rule()
    def controllers(self) -> None:
        self.world.controllers.deployments()

    @rule(count=st.integers(1, 4))
    def some_pods_get_ready(self, count: int) -> None:
        self.world.controllers.kubelet(count=count)

    @rule()
    def endpoints(self) -> None:
        self.world.controllers.endpoints()

    @rule()
    def the_controllers_fall_behind(self) -> None:
        self.world.controllers.behind = True

    @rule()
    def everything_gets_on(self) -> None:
        self.world.controllers.everything()

    @rule(index=st.integers(0, 3), count=st.integers(1, 3))
    def pods_turn_unready(self, index: int, count: int) -> None:
        workloads = self.world.observed.workloads
        if workloads:
            self.world.controllers.unready(workloads[index % len(workloads)].revision, count)

    @rule(index=st.integers(0, 3))
    def a_revision_breaks(self, index: int) -> None:
        workloads = self.world.observed.workloads
        if workloads:
            self.world.controllers.broken.add(workloads[index % len(workloads)].revision)

    @rule(seconds=st.sampled_from([1.0, 9.0, 31.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    # --- hands ---

    @rule(replicas=st.integers(1, 5), index=st.integers(0, 3))
    def scale_by_hand(self, replicas: int, index: int) -> None:
        deployments = self.world.cluster.all("Deployment")
        if deployments:
            live = deployments[index % len(deployments)]
            self.world.cluster.put({**live, "spec": {**live["spec"], "replicas": replicas}}, "kubectl")

    @rule(index=st.integers(0, 3))
    def move_the_selector_by_hand(self, index: int) -> None:
        workloads, services = self.world.observed.workloads, self.world.cluster.all("Service")
        if workloads and services:
            selector = workloads[index % len(workloads)].live["spec"]["selector"]["matchLabels"]
            live = services[0]
            self.world.cluster.put({**live, "spec": {**live["spec"], "selector": selector}}, "kubectl")

    @rule()
    def broaden_the_selector_by_hand(self) -> None:
        for live in self.world.cluster.all("Service"):
            self.world.cluster.put({**live, "spec": {**live["spec"], "selector": {"app": "my-app"}}}, "kubectl")

    @rule()
    def wipe_the_memory_by_hand(self) -> None:
        for live in self.world.cluster.all("Service"):
            self.world.cluster.put({**live, "metadata": {**live["metadata"], "annotations": {}}}, "kubectl")

    @rule()
    def change_the_service_by_hand(self) -> None:
        for live in self.world.cluster.all("Service"):
            ports = [{**each, "targetPort": 9999} for each in live["spec"]["ports"]]
            self.world.cluster.put({**live, "spec": {**live["spec"], "ports": ports}}, "kubectl")

    @rule()
    def delete_the_service_by_hand(self) -> None:
        self.world.cluster.remove(self.app.strategy.front[0], NAMESPACE, "my-app")

    @rule(index=st.integers(0, 3))
    def delete_a_deployment_by_hand(self, index: int) -> None:
        workloads = self.world.observed.workloads
        if workloads:
            chosen = workloads[index % len(workloads)]
            self.world.cluster.remove(chosen.kind, NAMESPACE, chosen.name)

    # --- what must hold ---

    @invariant()
    def foreign_things_are_untouched(self) -> None:
        there = self.world.cluster.get("ConfigMap", NAMESPACE, "my-app")
        assert there is not None
        assert there["data"] == FOREIGN["data"], "own-things-only"

    def teardown(self) -> None:
        """git-is-final, crash-anywhere: let the trouble stop, and see where it settles."""
        if not hasattr(self, "world"):
            return
        world = self.world
        self._let_it_settle()
        world.advance(700)
        self._let_it_settle()
        world.advance(700)
        self._let_it_settle()
        made = self.daemons[0].settle()
        if made.phase is Phase.REJECTED:
            self._a_new_commit_is_tried_again()
        elif self._desired().revision in world.controllers.broken:
            assert made.phase in _STANDING, f"it broke while it was active: {made}"
        else:
            self._has_settled(made)

    def _a_new_commit_is_tried_again(self) -> None:
        """A rejection was told, with its reason, and holds for that commit alone."""
        told = self.world.told.events
        assert any(each.fields.get("phase") == "rejected" and each.fields["reason"] for each in told), "nobody was told"
        self.world.controllers.broken.clear()
        self.world.commit(VERSIONS[2], env="{GREETING: 'again'}")
        self._let_it_settle()
        self.world.advance(700)
        self._let_it_settle()
        self._has_settled(self.daemons[0].settle())

    def _has_settled(self, made: Plan) -> None:
        desired, observed, _ = _look(self.daemons[0])
        assert made.phase is Phase.STABLE, f"git-is-final: {made}"
        assert observed.front is not None
        assert len(observed.fronts) == len(desired.fronts)
        for live, rendered in zip(observed.fronts, desired.fronts, strict=True):
            assert live.route == route_of(rendered), "git-is-final"
            assert set(live.endpoints.values()) == {desired.revision}
            assert live.live["spec"].get("ports") == rendered["spec"].get("ports"), "drift is repaired"
        kept = self._kept(desired, observed)
        assert {each.revision for each in observed.revisions} == {desired.revision, *kept}, "nothing is left behind"
        active = observed.revision(desired.revision)
        assert active and active.workloads[0].noted_replicas == str(desired.components[0].replicas), (
            "the count that Git asks for is followed"
        )
        labels = [c.live["metadata"]["labels"][LABEL_REVISION] for c in observed.configs]
        assert set(labels) <= {desired.revision, *kept}

    def _kept(self, desired: Desired, observed: Observed) -> set[str]:
        """What is left of former revisions: no more of them than the limit, and no pod."""
        assert observed.front is not None
        left = [each for each in observed.revisions if each.revision != desired.revision]
        assert len(left) <= self.app.strategy.revision_history_limit
        assert all(not each.pods and each.replicas == 0 for each in left), "kept with no pods"
        kept = {each.revision for each in left}
        assert kept <= {each.revision for each in observed.front.memory.history}, "only what was active is kept"
        return kept

    def _desired(self) -> Desired:
        return _look(self.daemons[0])[0]

    def _let_it_settle(self) -> None:
        for _ in range(12):
            for which in (0, 1):
                self.daemons[which].poll()
                for _ in range(15):
                    self._guarded(which)
                self.world.controllers.everything()


def _look(daemon: FakeDaemon) -> tuple[Desired, Observed, Plan]:
    assert daemon.tip is not None
    return drive(daemon.cycle.look(daemon.tip))


class WalkWithSmallPreviews(Walk):
    """The same, where a new revision starts with one pod."""

    app = replace(APP, strategy=replace(APP.strategy, preview_replica_count=1))


class WalkWithHistory(Walk):
    """The same, where up to three former revisions are kept with no pods."""

    @initialize(limit=st.integers(0, 3))
    def begin(self, limit: int = 0) -> None:
        self.app = replace(APP, strategy=replace(APP.strategy, revision_history_limit=limit))
        super().begin()


class WalkOfAWholeApp(Walk):
    """Two Deployments and a StatefulSet, and two Services that are switched."""

    app = BY_SERVICES

    def make_world(self) -> World:
        return whole_world(self.app)

    @rule()
    def delete_the_other_service_by_hand(self) -> None:
        self.world.cluster.remove("Service", NAMESPACE, "my-app-b")

    @rule(index=st.integers(0, 5))
    def move_the_other_selector_by_hand(self, index: int) -> None:
        workloads, live = self.world.observed.workloads, self.world.cluster.get("Service", NAMESPACE, "my-app-b")
        if workloads and live:
            selector = workloads[index % len(workloads)].live["spec"]["selector"]["matchLabels"]
            self.world.cluster.put({**live, "spec": {**live["spec"], "selector": selector}}, "kubectl")


class WalkOfAnIngress(Walk):
    """The same workloads behind an Ingress, with Services of each revision's own."""

    app = BY_INGRESS

    def make_world(self) -> World:
        return whole_world(self.app)

    @rule(index=st.integers(0, 5))
    def move_a_backend_by_hand(self, index: int) -> None:
        live = self.world.cluster.get("Ingress", NAMESPACE, "my-app")
        own = [each for each in self.world.observed.configs if each.kind == "Service"]
        if live and own:
            chosen = own[index % len(own)].name
            rules = with_services(live["spec"], {next(iter(sorted(services_in(live["spec"])))): chosen})
            self.world.cluster.put({**live, "spec": rules}, "kubectl")


class WalkWithAutoscalers(Walk):
    """The same, where the active colour has an autoscaler, and no other has."""

    app = replace(APP, values={**APP.values, "autoscaling": _AUTOSCALING})

    def _has_settled(self, made: Plan) -> None:
        super()._has_settled(made)
        found = [each["metadata"]["name"] for each in self.world.cluster.all("HorizontalPodAutoscaler")]
        assert found == [each.name for each in self.world.observed.workloads], "each colour with its own"


class WalkWithGates(Walk):
    """The same with a check and an approval before the switch, and an analysis after it. Nobody moves traffic by hand:
    that would be the one way around them."""

    app = replace(
        APP,
        strategy=replace(
            APP.strategy,
            pre_promotion=PrePromotion((Check("smoke", HttpProbe()),), soak=5.0),
            auto_promotion_after=60.0,
            post_promotion=PostPromotion(20.0, (Check("errors", HttpProbe()),)),
        ),
    )
    move_the_selector_by_hand = broaden_the_selector_by_hand = wipe_the_memory_by_hand = None  # type: ignore[assignment]

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.world.cluster.why_not = self._why_not

    def _why_not(self, target: LiveRevision) -> str:
        had_traffic = target.revision in self.world.cluster.selector_writes
        passed = (target.revision, "smoke") in self.world.verdicts.passed
        return "" if had_traffic or passed else "it has not passed its check"

    @rule(name=st.sampled_from(["smoke", "errors"]), outcome=st.sampled_from([None, *Outcome]))
    def a_check_ends(self, name: str, outcome: Outcome | None) -> None:
        self.world.verdicts.outcomes.pop(name, None)
        if outcome:
            self.world.verdicts.outcomes[name] = outcome

    @rule(index=st.integers(0, 3), late=st.booleans())
    def somebody_approves(self, index: int, late: bool) -> None:
        workloads = self.world.observed.workloads
        commits = [*self.world.repository.commits]
        if workloads:
            self.world.approve(workloads[index % len(workloads)].revision, commits[0 if late else -1])

    def _let_it_settle(self) -> None:
        self.world.verdicts.outcomes = {"smoke": Outcome.PASSED, "errors": Outcome.PASSED}
        for _ in range(3):
            super()._let_it_settle()
            self.world.advance(70)
        super()._let_it_settle()


class WalkWithReverts(WalkWithGates):
    """The same, where the daemon reverts in Git what it led back from."""

    app = replace(WalkWithGates.app, strategy=replace(WalkWithGates.app.strategy, revert_in_git=True))


class WalkWithPreview(Walk):
    """The same with a preview Service that kube-proxy watches, and that leads to the active revision when idle."""

    app = replace(
        APP,
        templates="templates",
        strategy=replace(APP.strategy, preview_service="my-app-preview", preview_idles_on_active=True),
    )

    def make_world(self) -> World:
        return World(self.app, own_templates(preview=PREVIEW))

    @rule(index=st.integers(0, 3))
    def move_the_preview_by_hand(self, index: int) -> None:
        workloads, live = self.world.observed.workloads, self.world.cluster.get("Service", NAMESPACE, "my-app-preview")
        if workloads and live:
            selector = workloads[index % len(workloads)].live["spec"]["selector"]["matchLabels"]
            self.world.cluster.put({**live, "spec": {**live["spec"], "selector": selector}}, "kubectl")

    @rule()
    def delete_the_preview_by_hand(self) -> None:
        self.world.cluster.remove("Service", NAMESPACE, "my-app-preview")

    @rule(seconds=st.sampled_from([0.1, 0.5, 0.9]))
    def a_moment_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    def _has_settled(self, made: Plan) -> None:
        super()._has_settled(made)
        desired, observed, _ = _look(self.daemons[0])
        assert observed.preview is not None
        assert desired.preview is not None
        assert observed.preview.route == route_of(desired.preview)
        assert set(observed.preview.endpoints.values()) == {desired.revision}
        assert observed.preview.live["spec"]["ports"] == desired.preview["spec"]["ports"], "drift is repaired"

    def _let_it_settle(self) -> None:
        super()._let_it_settle()
        self.world.advance(3)
        super()._let_it_settle()


class WalkWithSecrets(Walk):
    """The same, where one version has a Secret. Nobody deletes the note of what kinds there are: ADR 31 says what then
    may be left."""

    app = replace(APP, templates="templates")
    wipe_the_memory_by_hand = delete_the_service_by_hand = None  # type: ignore[assignment]

    def make_world(self) -> World:
        secret = "{% if version == '" + VERSIONS[1] + "' %}\n" + SECRET + "{% endif %}\n"
        return World(self.app, own_templates(secret=secret))

    @initialize()
    def begin(self) -> None:
        super().begin()
        self._let_it_settle()  # the same holds for the very first release
        self.daemons[0].settle()

    def _has_settled(self, made: Plan) -> None:
        super()._has_settled(made)
        desired, _, _ = _look(self.daemons[0])
        left = [each["metadata"]["labels"][LABEL_REVISION] for each in self.world.cluster.all("Secret")]
        assert left == ([desired.revision] if desired.version == VERSIONS[1] else []), "no Secret is left behind"


_WALKS = (
    Walk,
    WalkWithSmallPreviews,
    WalkWithAutoscalers,
    WalkWithHistory,
    WalkWithSecrets,
    WalkWithPreview,
    WalkWithGates,
    WalkWithReverts,
    WalkOfAWholeApp,
    WalkOfAnIngress,
)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("walk", _WALKS)
def test_random_walks_keep_the_invariants(walk: type[Walk]) -> None:
    """As long as the Hypothesis profile says: `quick` for `make test-unit`, `thorough` for `make test`."""
    run_state_machine_as_test(walk)

"""What comes after the switch: a version that gets ready and is bad is led back from, whatever of it still stands."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.observed import SWITCH_MANAGER
from rig.daemon import Event
from rig.ingress import IngressProxy
from rig.pair import PairLoad, Target
from rig.prometheus import Prometheus
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed, only_errors_of
from tests.e2e.harness.commands import run
from tests.e2e.harness.http import set_error_rate, set_ready
from tests.e2e.harness.trials import BAD, Recorder, answers, at, error_ratio, led_back, tell, watched
from tests.e2e.harness.whole import describe

A, B = "my-app-a", "my-app-b"
HOSTS = ("a.example.com", "b.example.com")
FAILED = 1
"""The exit status of `status` when an app has failed."""


def _led_back_from(scene: Scene, bad: str) -> Event:
    """The rejection of what commit `bad` asked for, once clients of v1.0.0 are those of the Service again."""
    scene.daemon.wait_for("rolled_back", commit=bad, version="v1.0.0", from_version="v2.0.0")
    rejected = scene.daemon.wait_for("rejected", commit=bad)
    assert scene.selected() == "v1.0.0" and rejected["version"] == "v2.0.0", rejected
    scene.load.wait_for("v1.0.0", since=led_back(scene, str(rejected["revision"])).at)
    return rejected


def test_a_fifth_of_errors_is_seen_by_prometheus_and_led_back_from(
    scene: Scene, prometheus: Prometheus, record_property: Recorder
) -> None:
    """It gets ready and is switched to. No connection fails; it is not tried again until Git asks for another."""
    strategy = {**watched(error_ratio(prometheus.url)), "scaleDownDelay": "60s"}
    other = scene.app("other", path="other", strategy={"scaleDownDelay": "1s"}, values={"replicas": 1})
    scene.configure(apps=[scene.app(strategy=strategy), other])
    scene.repository.commit("Another app", {"other/version": "v1.0.0\n"})
    scene.first_release("v1.0.0")
    bad = scene.release("v2.0.0", BAD)
    scene.settle(bad)
    failed = scene.daemon.wait_for("check_failed", commit=bad)
    rejected = _led_back_from(scene, bad)
    assert (failed["check"], failed["stage"]) == ("errors", "postPromotionAnalysis"), failed
    assert "check errors failed after the switch" in rejected["reason"] and "0.05" in rejected["reason"], rejected
    shown = run(scene, "status")
    assert shown.status == FAILED and "rejected" in shown.out and "check errors failed" in shown.out, shown
    beside = scene.repository.commit("The other app", {"other/version": "v1.1.0\n"})
    scene.daemon.wait_for("switch_confirmed", commit=beside, app="other")
    scene.load.wait_for_count(300)
    moved(scene, 2)
    good = scene.release("v2.0.1")
    scene.settle(good)
    scene.load.wait_for("v2.0.1")
    errors = only_errors_of("v2.0.0", scene.load)
    assert errors, "no user saw what the check saw"
    tell(scene, errors, failed, record_property)
    moved(scene, 3)


def test_errors_that_a_check_over_http_finds_are_led_back_from(scene: Scene, record_property: Recorder) -> None:
    """The same without a Prometheus: the daemon asks the pods. A revert in Git by hand then clears it."""
    scene.configure(strategy={**watched(answers()), "scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    bad = scene.release("v2.0.0", BAD)
    failed = scene.daemon.wait_for("check_failed", commit=bad)
    rejected = _led_back_from(scene, bad)
    assert "check answers failed after the switch" in rejected["reason"], rejected
    scene.daemon.wait_for("switch_confirmed", commit=bad, version="v1.0.0")
    reverted = scene.repository.revert()
    scene.daemon.wait_for("rejection_cleared", commit=reverted)
    scene.load.wait_for_count(200)
    tell(scene, only_errors_of("v2.0.0", scene.load), failed, record_property)
    moved(scene, 2)


def test_a_colour_that_loses_most_of_its_pods_is_led_back_from(scene: Scene) -> None:
    """Two of three pods turn unready, which is less than half. The last of them answers until all is moved."""
    scene.configure(values={"replicas": 3}, strategy={**watched(), "scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    warm = scene.cluster.endpoints(APP)
    bad = _second(scene)
    first, *others = scene.cluster.pods(scene.cluster.active_revision(APP))
    set_ready(first, False)
    until(lambda: len(scene.cluster.endpoints(APP)) == 2, "two endpoints left")
    scene.load.wait_for_count(100)
    assert scene.selected() == "v2.0.0", "two of three are enough"
    set_ready(others[0], False)
    rejected = _led_back_from(scene, bad)
    assert "1 of 3 pods" in rejected["reason"] and "minReadyPercent (50%)" in rejected["reason"], rejected
    scene.daemon.wait_for("switch_confirmed", commit=bad, version="v1.0.0")
    assert scene.cluster.endpoints(APP) == warm
    no_request_failed(scene.load)
    moved(scene, 2)


def test_a_colour_that_is_wholly_down_is_led_back_from(scene: Scene) -> None:
    """Every pod turns unready, the daemon being away meanwhile: nobody answers until it is back, and then v1.0.0."""
    scene.configure(strategy={**watched(), "scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    bad = _second(scene)
    scene.daemon.kill()
    for pod in scene.cluster.pods(scene.cluster.active_revision(APP)):
        set_ready(pod, False)
    until(lambda: not scene.cluster.endpoints(APP), "no endpoint left")
    until(lambda: scene.load.unanswered, "a client whom nobody answers")
    scene.daemon.start()
    rejected = _led_back_from(scene, bad)
    assert "0 of 2 pods" in rejected["reason"], rejected
    _answered_from_then_on(scene, rejected)


def test_a_colour_that_crashes_after_the_switch_is_led_back_from(scene: Scene) -> None:
    """Its one pod ends by itself: who asks between that and the way back is not answered, and everybody after it."""
    scene.configure(values={"replicas": 1}, strategy={**watched(), "scaleDownDelay": "60s"})
    scene.first_release("v1.0.0")
    bad = scene.release("v2.0.0", {"env": {"CRASH_AFTER": "8s"}})
    scene.settle(bad)
    rejected = _led_back_from(scene, bad)
    assert "0 of 1 pods" in rejected["reason"], rejected
    _answered_from_then_on(scene, rejected)


@pytest.mark.parametrize("policy", ["proceed", "rollback"])
def test_without_prometheus_the_policy_decides(scene: Scene, prometheus: Prometheus, policy: str) -> None:
    """It is gone when v2 is switched to, so nothing is measured. `proceed` keeps v2, and says so; `rollback` not."""
    _without_analysis_first(scene)
    prometheus.stop()
    _watch(scene, watched(error_ratio(prometheus.url), window="3s", inconclusive=policy))
    commit = _second(scene)
    if policy == "rollback":
        rejected = _led_back_from(scene, commit)
        assert "check errors could not be evaluated" in rejected["reason"], rejected
    else:
        told = scene.daemon.wait_for("analysis_inconclusive", commit=commit)
        assert "check errors could not be evaluated" in told["reason"], told
        scene.load.wait_for("v2.0.0")
        assert scene.selected() == "v2.0.0"
    assert scene.daemon.find("check_inconclusive", commit=commit, check="errors")
    no_request_failed(scene.load)
    moved(scene, 2 if policy == "rollback" else 1)


def test_the_old_colour_stays_until_the_analysis_is_over(scene: Scene) -> None:
    """scaleDownDelay is one second, the window is several: nothing of v1 goes before the end, and then all of it."""
    _without_analysis_first(scene)
    _watch(scene, {**watched(window="8s"), "scaleDownDelay": "1s"})
    commit = _second(scene)
    passed = scene.daemon.wait_for("analysis_passed", commit=commit)
    retired = scene.daemon.wait_for("retired", version="v1.0.0")
    told = scene.daemon.events
    assert told.index(passed) < told.index(retired)
    gone = [each.at for each in scene.audit.writes("deployments") if each.verb == "delete"]
    assert gone and min(gone) > at(passed), (gone, passed)
    no_request_failed(scene.load)
    moved(scene, 1)


def test_a_first_release_that_fails_its_analysis_keeps_the_traffic(scene: Scene) -> None:
    """There is nothing to go back to: that is told, once, and the next version goes through."""
    scene.configure(strategy=watched(answers()))
    commit = scene.first_release("v1.0.0", {"env": {"ERROR_RATE": "0.2"}})
    failed = scene.daemon.wait_for("analysis_failed", commit=commit)
    assert "check answers failed" in failed["reason"] and "no earlier revision" in failed["reason"], failed
    scene.load.wait_for_count(200)
    assert scene.selected() == "v1.0.0"
    good = scene.release("v2.0.0")
    scene.settle(good)
    scene.load.wait_for("v2.0.0")
    assert len(scene.daemon.find("analysis_failed")) == 1 and not scene.daemon.find("rejected")
    only_errors_of("v1.0.0", scene.load)
    moved(scene, 1)


def _second(scene: Scene) -> str:
    """Releases v2.0.0; returns its commit when the switch to it is confirmed."""
    commit = scene.release("v2.0.0")
    scene.settle(commit)
    return commit


def _without_analysis_first(scene: Scene) -> None:
    """v1.0.0, released with no analysis and so nothing to wait for, and no daemon any more."""
    scene.first_release("v1.0.0")
    assert scene.daemon.stop() == 0


def _watch(scene: Scene, strategy: dict[str, Any]) -> None:
    """From now on, with a daemon."""
    scene.configure(strategy=strategy)
    scene.daemon.start()


def _answered_from_then_on(scene: Scene, rejected: Event) -> None:
    """Once clients get v1.0.0 again, none of them is left without an answer."""
    first = scene.load.wait_for("v1.0.0", since=led_back(scene, str(rejected["revision"])).at)
    scene.load.wait_for_count(300)
    scene.load.stop()
    late = [each for each in scene.load.failures if each.start > first.end]
    assert not late, late[:3]
    assert scene.load.failures, "nobody noticed that it was down"
    moved(scene, 2)


def test_all_services_of_an_app_go_back(scene: Scene, another_port: int) -> None:
    """One of v2's workloads turns bad: both Services return, and in the end no client gets anything of v2."""
    a, b = ({"nodePort": each} for each in (scene.node_port, another_port))
    describe(scene, {"activeService": A, **watched(answers()), "scaleDownDelay": "60s"}, a, b)
    targets = [Target(scene.sandbox.node_address, each) for each in (scene.node_port, another_port)]
    with PairLoad(targets[0], targets[1], scene.sandbox.source_addresses) as probe:
        one, two = _pairs_go_back(scene, probe)
    for service in (A, B):
        assert scene.audit.moves(service) == [(one, two), (two, one)]
        assert set(scene.audit.movers(service)) == {SWITCH_MANAGER}


def test_an_ingress_goes_back(scene: Scene) -> None:
    """The same through a real proxy, where the hosts of an Ingress move in one write."""
    a, b = ({"host": host} for host in HOSTS)
    describe(scene, {"activeIngress": APP, **watched(answers()), "scaleDownDelay": "60s"}, a, b)
    with IngressProxy(scene.sandbox, scene.namespace) as proxy:
        targets = [Target(proxy.address, proxy.port, host) for host in HOSTS]
        with PairLoad(targets[0], targets[1], scene.sandbox.source_addresses) as probe:
            _pairs_go_back(scene, probe)
            there, back = [each.hosts for each in proxy.moves if set(each.hosts) == set(HOSTS)][-2:]
    assert not set(there.values()) & set(back.values())


def _pairs_go_back(scene: Scene, probe: PairLoad) -> tuple[str, str]:
    """Releases v1.0.0, and v2.0.0, which is led back from: every request was answered, if by an error then by a 500.

    Returns both revisions.
    """
    commit = scene.release("v1.0.0")
    scene.daemon.start()
    one = str(scene.settle(commit)["revision"])
    probe.wait_until_settled("v1.0.0")
    bad = scene.release("v2.0.0")
    two = str(scene.settle(bad)["revision"])
    probe.wait_until_settled("v2.0.0")
    for pod in scene.cluster.pods(two):
        if pod["metadata"]["labels"]["component"] == "b":
            set_error_rate(pod, 0.5)
    rejected = scene.daemon.wait_for("rejected", commit=bad)
    assert "check answers failed after the switch" in rejected["reason"], rejected
    back = scene.daemon.wait_for("switch_confirmed", commit=bad, version="v1.0.0")
    assert back["revision"] == one
    probe.wait_until_settled("v1.0.0")
    since = probe.pairs[-1].end
    probe.wait_for_count(40)
    assert set(probe.versions(since)) == {"v1.0.0"} and not probe.mixed(since)
    assert {error for each in probe.failures for error in (each.first.error, each.second.error)} <= {"", "500"}
    assert all(each.start < since for each in probe.failures)
    return one, two

"""Apps of several workloads and Services: they switch as a whole or not at all, and no client notices."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.observed import SWITCH_MANAGER
from rig.ingress import IngressProxy, Move
from rig.pair import PairLoad, Target, met_one_moment
from rig.proxy import Call, Cut, Proxy
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.commands import kubectl
from tests.e2e.harness.whole import describe, hold, let_go

A, B = "my-app-a", "my-app-b"
"""The Services. A is the active one, which holds the memory and moves last."""

HOSTS = {"a": "a.example.com", "b": "b.example.com"}


@pytest.fixture
def probe(scene: Scene, another_port: int) -> Iterator[PairLoad]:
    """Pairs on the two NodePorts of an app that is described and not yet released."""
    describe(
        scene, {"activeService": A, "scaleDownDelay": "60s"}, {"nodePort": scene.node_port}, {"nodePort": another_port}
    )
    a, b = (Target(scene.sandbox.node_address, each) for each in (scene.node_port, another_port))
    with PairLoad(a, b, scene.sandbox.source_addresses) as made:
        yield made


def _first_release(scene: Scene, probe: PairLoad) -> str:
    """Returns the revision of v1.0.0 when clients get it."""
    commit = scene.release("v1.0.0")
    scene.daemon.start()
    scene.settle(commit)
    probe.wait_until_settled("v1.0.0")
    return scene.cluster.active_revision(A)


def _settled(probe: PairLoad, version: str) -> None:
    """Clients get one version alone, another than before, and go on to; no request has failed."""
    probe.wait_until_settled(version)
    since = probe.pairs[-1].end
    probe.wait_for_count(40)
    assert not probe.mixed(since) and set(probe.versions(since)) == {version}, probe.versions(since)
    assert not probe.failures, probe.failures[:3]


def _selected(scene: Scene) -> tuple[str, str]:
    return scene.cluster.active_revision(A), scene.cluster.active_revision(B)


def test_all_switch_once_the_last_of_them_is_ready_and_back(
    scene: Scene, probe: PairLoad, record_property: Callable[[str, object], None]
) -> None:
    """One pod of the StatefulSet is missing: both Services stay. Then both move, and both move back by a revert."""
    one = _first_release(scene, probe)
    commit, two, last = hold(scene, scene.daemon, "v2.0.0")
    probe.wait_for_count(60)
    assert _selected(scene) == (one, one) and set(probe.versions()) == {"v1.0.0"}
    assert not scene.daemon.find("switched", commit=commit)
    let_go(last)
    scene.settle(commit)
    assert _selected(scene) == (two, two)
    _settled(probe, "v2.0.0")
    moved = min(each.at for each in scene.audit.writes("services") if each.revision == two and each.name in (A, B))
    account = probe.account(moved, "v2.0.0")
    record_property("two Services moved", str(account))
    print(account)
    scene.settle(scene.repository.revert())
    _settled(probe, "v1.0.0")
    assert scene.daemon.find("rolled_back", version="v1.0.0")
    for service in (A, B):
        assert scene.audit.moves(service) == [(one, two), (two, one)]
        assert set(scene.audit.movers(service)) == {SWITCH_MANAGER}


def test_a_service_that_may_not_be_moved_takes_the_others_back(scene: Scene, probe: PairLoad) -> None:
    """The API server refuses the active Service's move for good: the other, moved before it, returns; Git is told.

    A node may hear late of both moves, or of neither. So what clients get is looked at after the next release.
    """
    one = _first_release(scene, probe)
    with _refusing_moves(scene, A):
        commit, two, last = hold(scene, scene.daemon, "v2.0.0")
        let_go(last)
        rejected = scene.daemon.wait_for("rejected", commit=commit)
        until(lambda: _selected(scene) == (one, one), "both Services where they were")
    assert (rejected["version"], rejected["revision"]) == ("v2.0.0", two)
    assert "this Service stays where it is" in rejected["reason"] and not scene.daemon.find("switched", commit=commit)
    [back] = scene.daemon.find("switch_taken_back", commit=commit)
    assert len(back["objects"]) == 1 and back["objects"][0].endswith(B), back
    assert scene.audit.moves(B) == [(one, two), (two, one)] and scene.audit.moves(A) == []
    scene.settle(scene.release("v3.0.0"))
    _settled(probe, "v3.0.0")


@contextmanager
def _refusing_moves(scene: Scene, service: str) -> Iterator[None]:
    """A policy of the cluster's owners by which this Service's selector must not change."""
    name = f"{scene.namespace}-{service}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["services"]}
    allowed = f"object.metadata.name != '{service}' || object.spec.selector == oldObject.spec.selector"
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}}
    specs = {
        "ValidatingAdmissionPolicy": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": allowed, "message": "this Service stays where it is"}],
        },
        "ValidatingAdmissionPolicyBinding": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": namespace},
        },
    }
    try:
        for kind, spec in specs.items():
            known = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
            scene.cluster.create({**known, "spec": spec})
        patch = ("-p", '{"spec": {"selector": {"moved": "yes"}}}', "--dry-run=server")
        until(lambda: kubectl(scene, "patch", "service", service, *patch).status, "the policy in force", 60, poll=0.2)
        yield
    finally:
        for kind in specs:
            if scene.cluster.get(kind, name):
                scene.cluster.delete(kind, name)


def _killed_in_between(scene: Scene, probe: PairLoad, tmp_path: Path) -> tuple[str, str, str]:
    """Releases v1.0.0, and v2.0.0 with a daemon that dies when B has moved and A has not. Returns v2's commit, and both
    revisions."""
    one = _first_release(scene, probe)
    assert scene.daemon.stop(timeout=30) == 0
    with Proxy(scene.sandbox.kubeconfig, tmp_path) as proxy:
        mortal = scene.another_daemon("mortal", proxy.kubeconfig)
        mortal.start()
        commit, two, last = hold(scene, mortal, "v2.0.0")

        def kill_after_the_first(call: Call, answered: bool) -> None:
            if (
                answered
                and call.manager == SWITCH_MANAGER
                and call.path.endswith(f"/{B}")
                and two in call.body.decode()
            ):
                mortal.signal(signal.SIGKILL)
                raise Cut

        proxy.hook = kill_after_the_first
        let_go(last)
        until(lambda: not mortal.running, "the daemon killed between two writes", 60)
    assert _selected(scene) == (one, two)
    until(probe.mixed, "clients that get both versions")
    return commit, one, two


def test_killed_between_two_services_and_then_refused_it_takes_the_first_back(
    scene: Scene, probe: PairLoad, tmp_path: Path
) -> None:
    """What the dead daemon moved is moved back by the next one, when the rest may not be moved."""
    commit, one, _ = _killed_in_between(scene, probe, tmp_path)
    with _refusing_moves(scene, A):
        scene.daemon.start()
        scene.daemon.wait_for("rejected", commit=commit)
        until(lambda: _selected(scene) == (one, one), "both Services at v1.0.0")
        _settled(probe, "v1.0.0")
    assert not scene.daemon.find("bug"), scene.daemon.find("bug")


def test_killed_between_two_services_it_comes_to_the_same_end(scene: Scene, probe: PairLoad, tmp_path: Path) -> None:
    """SIGKILL when one Service has moved and the other has not: clients do see both; the next daemon ends it."""
    _, one, two = _killed_in_between(scene, probe, tmp_path)
    scene.daemon.start()
    until(lambda: _selected(scene) == (two, two), "both Services at v2.0.0")
    _settled(probe, "v2.0.0")
    assert scene.audit.moves(A) == scene.audit.moves(B) == [(one, two)]


def test_an_ingress_moves_both_hosts_in_one_write(scene: Scene) -> None:
    """Release and revert through a real proxy, under load: no request fails, no pair that began later is mixed."""
    a, b = ({"host": host} for host in HOSTS.values())
    describe(scene, {"activeIngress": APP, "scaleDownDelay": "60s"}, a, b)
    with IngressProxy(scene.sandbox, scene.namespace) as proxy:
        targets = [Target(proxy.address, proxy.port, host) for host in HOSTS.values()]
        with PairLoad(targets[0], targets[1], scene.sandbox.source_addresses) as probe:
            commit = scene.release("v1.0.0")
            scene.daemon.start()
            scene.settle(commit)
            probe.wait_until_settled("v1.0.0")
            moves = [proxy.moves[-1]]
            scene.settle(scene.release("v2.0.0"))
            moves.append(_cut(proxy, probe, moves[-1], "v2.0.0"))
            scene.settle(scene.repository.revert())
            moves.append(_cut(proxy, probe, moves[-1], "v1.0.0"))
            assert not probe.failures, probe.failures[:3]
    assert moves[0].hosts == moves[2].hosts and not set(moves[0].hosts.values()) & set(moves[1].hosts.values())
    assert scene.daemon.find("rolled_back", version="v1.0.0")


def _cut(proxy: IngressProxy, probe: PairLoad, before: Move, version: str) -> Move:
    """The one exchange of the hosts that led clients to `version`, with no pair after it that is mixed."""
    probe.wait_until_settled(version)
    until(lambda: proxy.moves[-1].at > before.at, "the proxy's word for it")
    [cut] = [each for each in proxy.moves if each.at > before.at]
    probe.wait_for_count(40)
    since = probe.versions(since=cut.at)
    assert set(since) == {version} and not probe.mixed(since=cut.at), f"{since} {probe.mixed(since=cut.at)[:3]}"
    assert met_one_moment(probe.mixed(since=before.at)), probe.mixed(since=before.at)
    return cut

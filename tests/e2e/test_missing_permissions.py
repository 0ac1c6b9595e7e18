"""What the table of permissions says is all that is needed, and all of it is needed.

Each permission in turn is taken away from a running daemon: it says which, where, and what would allow it, and goes on
once it is given back, without a restart. What a whole life of two apps asks of the API server equals the table.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.core import access
from reconciler.core.access import ALWAYS, FEATURES, MEMBERS, NAMED
from reconciler.core.model import ANNOTATION_RENDERING, LABEL_APP, LABEL_REVISION
from reconciler.core.plan.retire import NODES_BEHIND
from rig.access import Account, Asked, asked, differences, documented, listed
from rig.cluster import Manifest
from rig.daemon import Daemon, Event
from rig.proxy import Proxy
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.commands import kubectl
from tests.e2e.harness.templates import BUDGET, POLICY, PREVIEW, SECRET, own_templates
from tests.e2e.harness.templates import SERVICE_ACCOUNT as ACCOUNT_OF_PODS

STORE = "store"
FULL = frozenset(access.pairs(FEATURES.keys() - NAMED - {MEMBERS}))
_OF_MEMBERS = frozenset(access.pairs([MEMBERS]))
_LEASES = "coordination.k8s.io"
_CHECKED = frozenset(access.pairs(["jobs", "apiServerProxy"])) - frozenset(access.pairs([ALWAYS]))
_STEADY = sorted(FULL - _CHECKED)
"""What an app needs that has no checks."""
_MULTI = Path(__file__).resolve().parents[2] / "manifests" / "multi-service"
_KINDS = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "services": "Service",
    "ingresses": "Ingress",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "serviceaccounts": "ServiceAccount",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "networkpolicies": "NetworkPolicy",
}
_OF_STORE = ("statefulsets", "ingresses")
_OTHER = "zzzzzzzzzz"
"""A revision that nobody knows."""
_JOB = """\
apiVersion: batch/v1
kind: Job
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - {name: smoke, image: '{{ values.image }}', imagePullPolicy: IfNotPresent, args: [sleep, 0s]}
"""
_GATES = {"gates/smoke.yaml": _JOB}
_FURTHER = {"secret": SECRET, "budget": BUDGET, "policy": POLICY, "account": ACCOUNT_OF_PODS}
_MORE: dict[str, Any] = {
    "config": {"CFG_A": "a"},
    "autoscaling": {"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilizationPercentage": 80},
}
"""Values by which the built-in templates have a ConfigMap and an autoscaler."""


@dataclass(slots=True)
class Stage:
    """Two apps, a daemon that may do what its account was allowed, and what passes between it and the API server."""

    scene: Scene
    account: Account
    proxy: Proxy
    daemon: Daemon

    def without(self, missing: Asked, provoke: Callable[[], None], told: Callable[[int], Event]) -> None:
        """Takes one permission away, provokes its use, and looks at what is told of it, from event number n on."""
        self.account.allow(FULL - {missing})
        since = self.daemon.mark()
        provoke()
        names_it(told(since), missing, self.scene.namespace)
        self.account.allow(FULL)


def names_it(event: Event, missing: Asked, namespace: str) -> None:
    """The event says which verb on which resource is refused, where, and what would allow it."""
    verb, group, resource = missing
    text = " ".join(str(event.get(key, "")) for key in ("reason", "measured", "todo"))
    ours = f"may not {verb} {resource}{f'.{group}' if group else ''}"
    # What comes of a request through its proxy, the API server says in words of its own.
    theirs = f'cannot {verb} resource "{resource}" in API group "{group}"'
    assert ours in text or theirs in text, event
    assert namespace in text, event
    if event.get("todo"):
        rule = f'apiGroups: ["{group}"], resources: [{resource}], verbs: [{verb}]'
        assert rule in event["todo"] and f"in namespace {namespace}" in event["todo"], event


@pytest.fixture
def stage(scene: Scene) -> Iterator[Stage]:
    account = Account(scene.cluster)
    account.allow(FULL)
    config = account.kubeconfig(scene.sandbox.kubeconfig, scene.folder / "account.kubeconfig")
    with Proxy(config, scene.folder) as proxy:
        scene.daemon = scene.another_daemon("account", kubeconfig=proxy.kubeconfig)
        yield Stage(scene, account, proxy, scene.daemon)
        scene.daemon.close()


def _both_released(stage: Stage, **settings: Any) -> None:
    """An app with every kind that any app may have, and one of a StatefulSet behind an Ingress."""
    scene = stage.scene
    _write(scene, _apps(scene, **settings), shared="strategy" in settings)
    kinds = own_templates(preview=PREVIEW if "strategy" in settings else "# none\n", **_FURTHER)
    other = {f"{STORE}/templates/{each.name}": each.read_text(encoding="utf-8") for each in _MULTI.glob("*.yaml")}
    scene.repository.commit("Templates", {**kinds, **other, **_GATES, f"{STORE}/version": "v1.0.0\n"})
    commit = scene.release("v1.0.0", _MORE)
    stage.daemon.start()
    scene.settle(commit, timeout=_PATIENT)
    stage.daemon.wait_for("switch_confirmed", app=STORE)
    until(lambda: scene.cluster.find("HorizontalPodAutoscaler", **{LABEL_APP: APP}), "the autoscaler")


def _write(scene: Scene, apps: list[dict[str, Any]], *, shared: bool = True) -> None:
    """The configuration; `shared`: of a daemon that is a member of a group."""
    group = {"group": "shop", "namespace": scene.namespace, "leaseDuration": "5s"}
    held = {"sources": [scene.source()], "apps": apps, **({"highAvailability": group} if shared else {})}
    scene.config.write_text(yaml.safe_dump(held))


def _apps(scene: Scene, **settings: Any) -> list[dict[str, Any]]:
    app = scene.app(templates="templates", values={"replicas": 1}, **settings)
    part = {"image": scene.sandbox.sample_image, "kind": "StatefulSet", "replicas": 1, "host": "store.example.com"}
    strategy = {"activeIngress": STORE, "scaleDownDelay": "1s"}
    own = {"path": STORE, "templates": "templates", "deletionPolicy": "delete", "strategy": strategy}
    store = {"name": STORE, "namespace": scene.namespace, "source": "shop", "values": {"components": {"db": part}}}
    return [app, {**store, **own}]


def test_each_permission_of_a_release_is_named_when_it_is_missing(stage: Stage) -> None:
    _both_released(stage)
    for missing in _STEADY:
        verb, _, resource = missing
        if verb == "watch":
            _not_seen(stage, *missing[1:])
        elif verb != "list" and resource in _KINDS and missing[0::2] != ("delete", "ingresses"):
            _not_written(stage, missing)
    _not_told(stage)
    _quotas_unread(stage)
    _not_deleted(stage)
    assert stage.daemon.lives == 1
    assert not stage.daemon.find("bug"), stage.daemon.story()


def _not_seen(stage: Stage, group: str, resource: str) -> None:
    """A watch that is broken off, and may begin anew by neither list nor watch, then by list alone, then by both."""
    since = stage.daemon.mark()
    for verb in ("list", "watch"):
        stage.account.allow(FULL - {(verb, group, resource)})
        if verb == "list":
            stage.proxy.hang_up(resource)
        told = until(partial(_refusals, stage, since, verb), f"{verb} {resource} refused")
        names_it(told[0], (verb, group, resource), stage.scene.namespace)
    stage.account.allow(FULL)
    stage.daemon.wait_for("cluster_reachable", since=since)


def _refusals(stage: Stage, since: int, verb: str) -> list[Event]:
    lost = stage.daemon.find("cluster_unreachable", since=since)
    return [each for each in lost if f"may not {verb}" in each["reason"]]


def _not_written(stage: Stage, missing: Asked) -> None:
    """An object that has to be made, changed or deleted, and must not be."""
    verb, _, resource = missing
    kind, app = _KINDS[resource], STORE if resource in _OF_STORE else APP
    live = _example(stage.scene, kind, STORE if (verb, resource) == ("delete", "services") else app)
    provoke, done = {"create": _deleted, "patch": _changed, "delete": _superfluous}[verb](stage.scene, kind, live)
    stage.without(missing, provoke, lambda since: stage.daemon.wait_for("app_blocked", since=since))
    until(done, f"{kind} {verb}d after all", poll=0.05)


Provoked = tuple[Callable[[], None], Callable[[], object]]


def _example(scene: Scene, kind: str, app: str) -> Manifest:
    """An object of the app: of several Services the one in front, or one of a revision's own."""
    found = scene.cluster.find(kind, **{LABEL_APP: app})
    names = [str(each["metadata"]["name"]) for each in found]
    live = scene.cluster.get(kind, app if app in names and kind == "Service" else names[0])
    assert live is not None
    return live


def _deleted(scene: Scene, kind: str, live: Manifest) -> Provoked:
    """A hand deletes what is wanted, and the daemon makes it again."""
    name, uid = live["metadata"]["name"], live["metadata"]["uid"]

    def made_again() -> bool:
        found = scene.cluster.get(kind, name)
        return bool(found and found["metadata"]["uid"] != uid and not found["metadata"].get("deletionTimestamp"))

    return lambda: scene.cluster.delete(kind, name), made_again


def _changed(scene: Scene, kind: str, live: Manifest) -> Provoked:
    """A hand changes what is ours, and the daemon puts it back."""
    name, note = live["metadata"]["name"], f"{live['metadata']['name']}@changed"

    def put_back() -> bool:
        found = scene.cluster.get(kind, name)
        return bool(found and found["metadata"]["annotations"][ANNOTATION_RENDERING] != note)

    change = {"metadata": {"annotations": {ANNOTATION_RENDERING: note}}}
    return lambda: void(scene.cluster.patch(kind, name, change)), put_back


def _superfluous(scene: Scene, kind: str, live: Manifest) -> Provoked:
    """What looks like ours, and belongs to no revision that anybody wants."""
    copied = _copy(live)
    name = copied["metadata"]["name"]
    return lambda: void(scene.cluster.create(copied)), lambda: scene.cluster.get(kind, name) is None


def _copy(live: Manifest) -> Manifest:
    made = copy.deepcopy(live)
    meta, name = made["metadata"], f"{live['metadata']['name'][:30]}-{_OTHER}"
    # Without the claim: it would be another daemon's.
    kept = {key: text for key, text in (meta.get("annotations") or {}).items() if "/promoted-" not in key}
    made["metadata"] = {
        "name": name,
        "labels": {**meta["labels"], **({LABEL_REVISION: _OTHER} if LABEL_REVISION in meta["labels"] else {})},
        "annotations": {**kept, ANNOTATION_RENDERING: f"{name}@x"},
    }
    made.pop("status", None)
    spec = made.get("spec", {})
    for key in ("clusterIP", "clusterIPs"):
        spec.pop(key, None)
    if "template" in spec:
        spec["replicas"] = 0
        spec["selector"]["matchLabels"][LABEL_REVISION] = _OTHER
        spec["template"]["metadata"]["labels"][LABEL_REVISION] = _OTHER
    return made


def _not_told(stage: Stage) -> None:
    """Kubernetes Events: releases go on, and the next one is written."""
    cluster = stage.scene.cluster
    drift = {"metadata": {"labels": {"app": "other"}}}

    def drifts() -> None:
        cluster.patch("Service", APP, drift)

    stage.without(("create", "", "events"), drifts, lambda since: stage.daemon.wait_for("events_refused", since=since))
    before = len(cluster.find("Event"))
    drifts()
    until(lambda: len(cluster.find("Event")) > before, "an Event")


def _quotas_unread(stage: Stage) -> None:
    """The release goes on all the same."""
    commits: list[str] = []
    stage.without(
        ("list", "", "resourcequotas"),
        lambda: commits.append(stage.scene.release("v2.0.0", _MORE)),
        lambda since: stage.daemon.wait_for("quotas_refused", since=since, app=APP),
    )
    stage.scene.settle(commits[0])


def _not_deleted(stage: Stage) -> None:
    """An app that left the configuration stays until it may be deleted, then nothing is left of it."""
    scene = stage.scene
    stage.without(
        ("delete", "networking.k8s.io", "ingresses"),
        lambda: _write(scene, _apps(scene)[:1], shared=False),
        lambda since: stage.daemon.wait_for("app_blocked", since=since, app=STORE),
    )
    # The watches that were broken off before count as an outage, after which nodes may be behind.
    stage.daemon.wait_for("app_deleted", app=STORE, timeout=NODES_BEHIND + _PATIENT)


_OFTEN = {"attempts": 100, "interval": "500ms", "timeout": "20s"}
_WHILE_OTHERS = {**_OFTEN, "interval": "4s", "timeout": "60s"}
"""A check that fails while all others are let through: of each, only the first ten attempts are told."""
_PODS = {"target": "pods", "viaApiServer": True}
_SERVICE = {"target": "previewService", "viaApiServer": True}
_PATIENT = 150.0
"""Seconds for a Job's pod on a busy machine, and what is before it."""
_CHECKS = {
    "previewService": "my-app-preview",
    "progressDeadline": "5m",
    "prePromotionAnalysis": {
        "checks": [
            {"name": "pods-get", **_OFTEN, "http": _PODS},
            {"name": "pods-post", **_OFTEN, "http": {**_PODS, "method": "POST", "port": 8086, "path": "/ready/on"}},
            {"name": "service-get", **_OFTEN, "http": _SERVICE},
            {"name": "service-post", **_OFTEN, "http": {**_SERVICE, "method": "POST", "success": {"status": [405]}}},
            {"name": "job", **_WHILE_OTHERS, "job": {"template": "gates/smoke.yaml"}},
        ]
    },
}
_ASKED_BY: dict[str, Asked] = {
    "pods-get": ("get", "", "pods/proxy"),
    "pods-post": ("create", "", "pods/proxy"),
    "service-get": ("get", "", "services/proxy"),
    "service-post": ("create", "", "services/proxy"),
}


def test_each_permission_of_a_check_is_named_when_it_is_missing(stage: Stage) -> None:
    """Requests through the API server and Jobs: a check is inconclusive, and tried again."""
    scene = stage.scene
    scene.configure(templates="templates", values={"replicas": 1}, strategy=_CHECKS)
    scene.repository.commit("Templates", {**own_templates(preview=PREVIEW), **_GATES})
    commit = scene.release("v1.0.0")
    stage.account.allow(FULL - set(_ASKED_BY.values()) - {("get", "batch", "jobs")})
    stage.daemon.start()
    for name, each in _ASKED_BY.items():
        names_it(stage.daemon.wait_for("check_attempt_failed", check=name), each, scene.namespace)
        stage.account.allow(stage.account.allowed | {each})
        stage.daemon.wait_for("check_passed", check=name, commit=commit)
    _of_a_job(stage)


def _of_a_job(stage: Stage) -> None:
    """That it may not be looked at, made, or deleted; and what says why one failed."""
    get, make, log = ("get", "batch", "jobs"), ("create", "batch", "jobs"), ("get", "", "pods/log")
    names_it(stage.daemon.wait_for("check_attempt_failed", check="job"), get, stage.scene.namespace)
    stage.account.allow(FULL - {make})
    told = partial(stage.daemon.find, "check_attempt_failed", check="job")
    until(lambda: "may not create" in told()[-1]["reason"], "that it may not be made")
    names_it(told()[-1], make, stage.scene.namespace)
    ends = [("list", "", "pods"), ("delete", "batch", "jobs")]
    stage.account.allow(FULL - set(ends))
    passed = stage.daemon.wait_for("check_passed", check="job", timeout=_PATIENT)
    for missing in ends:
        names_it(passed, missing, stage.scene.namespace)
    stage.account.allow(FULL - {log})
    commit = stage.scene.release("v2.0.0")
    names_it(
        stage.daemon.wait_for("check_passed", check="job", commit=commit, timeout=_PATIENT), log, stage.scene.namespace
    )
    stage.account.allow(FULL)
    stage.scene.settle(commit)


def test_each_permission_of_a_member_is_named_when_it_is_missing(stage: Stage) -> None:
    """At the start those that it needs to be one, and that to see the others come and go; while it is one that to renew
    its Lease."""
    _write(stage.scene, [stage.scene.app()])
    stage.account.allow((FULL | _OF_MEMBERS) - {("watch", _LEASES, "leases")})
    stage.daemon.start()
    names_it(stage.daemon.wait_for("members_unseen"), ("watch", _LEASES, "leases"), stage.scene.namespace)
    stage.daemon.wait_for("membership_changed")
    stage.daemon.stop()
    assert not stage.daemon.find("lease_lost")
    for verb in ("list", "create"):
        since = stage.daemon.mark()
        stage.account.allow((FULL | _OF_MEMBERS) - {(verb, _LEASES, "leases")})
        stage.daemon.start()
        told = stage.daemon.wait_for("lease_lost", since=since)
        names_it(told, (verb, _LEASES, "leases"), stage.scene.namespace)
        stage.account.allow(FULL | _OF_MEMBERS)
        stage.daemon.wait_for("lease_recovered", since=since)
        if verb == "list":
            stage.daemon.stop()
    since = stage.daemon.mark()
    stage.account.allow((FULL | _OF_MEMBERS) - {("patch", _LEASES, "leases")})
    names_it(stage.daemon.wait_for("lease_lost", since=since), ("patch", _LEASES, "leases"), stage.scene.namespace)
    stage.account.allow(FULL | _OF_MEMBERS)
    stage.daemon.wait_for("lease_recovered", since=since)


def test_what_is_asked_in_a_whole_life_is_the_table_and_nothing_else(stage: Stage) -> None:
    """Releases with checks and objects of all kinds; what the second lacks goes with the first; an app is deleted."""
    scene = stage.scene
    stage.account.allow(FULL | _OF_MEMBERS)
    _both_released(stage, strategy=_CHECKS)
    scene.repository.commit("Less", {f"templates/{name}.yaml": "# nothing\n" for name in _FURTHER})
    scene.repository.commit("Another", {f"{STORE}/version": "v2.0.0\n"})
    scene.settle(scene.release("v2.0.0"), timeout=_PATIENT)
    for app in (APP, STORE):
        stage.daemon.wait_for("retired", app=app, version="v1.0.0")
    _write(scene, _apps(scene, strategy=_CHECKS)[:1])
    stage.daemon.wait_for("app_deleted", app=STORE)
    gone = [_KINDS[each] for each in _KINDS if each not in ("deployments", "services")]
    until(lambda: not [each for kind in gone for each in scene.cluster.find(kind, **{LABEL_APP: APP})], "the rest gone")
    stage.daemon.stop()
    assert asked(stage.proxy.answers, scene.namespace) == FULL | _OF_MEMBERS
    assert 403 not in {status for _, status in stage.proxy.answers}
    printed = kubectl(scene, "auth", "can-i", "--list", f"--as={stage.account.user}").out
    assert not differences(listed(printed), documented(FEATURES.keys() - NAMED)), printed


def void(_: object) -> None:
    """For its effect alone."""

"""Objects of further kinds: which are allowed, when each is applied, and what goes when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.app.discovery import Found, parse_app_file
from reconciler.app.oneshot import writes_ahead
from reconciler.app.roster import Seen
from reconciler.app.settings import Settings, parse_settings
from reconciler.app.wanted import Wanted
from reconciler.core.memory import read_memory
from reconciler.core.model import LABEL_APP, LABEL_MANAGED_BY, LABEL_REVISION, MANAGED_BY
from reconciler.core.observed import observe
from reconciler.core.phase import Phase
from reconciler.core.plan import View
from reconciler.core.plan.extras import kept
from reconciler.core.policy import ANY_KIND, wrong_kind_name
from reconciler.core.render import identify, render
from reconciler.errors import Blocked, Invalid
from tests.e2e.harness.templates import BUDGET, POLICY, own_templates
from tests.e2e.harness.templates import SERVICE_ACCOUNT as ACCOUNT
from tests.fakes.rendering import APP as SHOP
from tests.fakes.rendering import SLOT, refusal, release
from tests.fakes.world import APP, NAMESPACE, FakeDaemon, Killed, Recorder, World, drive

OWN = replace(APP, templates="templates", kinds=("CronJob.batch",))
SCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: '{{ name }}'}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: '{{ name }}'}, minReplicas: 2, maxReplicas: 9}
"""
CRON = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: my-app}\nspec: {schedule: '@daily'}\n"


class Own(World):
    """A world whose app has templates of its own: the built-in ones, and `extras` by their file's name."""

    def publish(self, version: str, **extras: str) -> str:
        files = {"version": version, **own_templates(**extras)}
        return self.repository.commit({name: text.encode() for name, text in files.items()})

    def released(self, version: str, **extras: str) -> None:
        self.publish(version, **extras)
        self.run()

    def names(self, kind: str) -> list[str]:
        return [each["metadata"]["name"] for each in self.cluster.all(kind)]

    def inventory(self) -> set[str]:
        live = self.cluster.get("Service", NAMESPACE, "my-app")
        assert live is not None
        return set(read_memory(live["metadata"]["annotations"]).inventory)


@pytest.fixture
def world() -> Own:
    return Own(OWN)


def _owner(name: str, **labels: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE, "labels": labels}


# --- which kinds ---


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("Role", "rbac.authorization.k8s.io/v1"),
        ("ClusterRoleBinding", "rbac.authorization.k8s.io/v1"),
        ("Namespace", "v1"),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1"),
        ("CronJob", "batch/v1"),
        ("ServiceMonitor", "monitoring.coreos.com/v1"),
        ("HorizontalPodAutoscaler", "example.com/v1"),
    ],
)
def test_a_kind_that_is_not_allowed_by_name_is_refused_where_it_stands(kind: str, version: str) -> None:
    rendered = release(f"# a comment\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n")
    group = version.rpartition("/")[0]
    name = f"{kind}.{group}" if group else kind
    assert refusal(rendered).startswith(
        f"x0.yaml:3: the document: `kind` is {name}, which source source does not allow"
    )
    for allowed in ((name,), ANY_KIND):
        assert identify(replace(SHOP, kinds=allowed), rendered)


@pytest.mark.parametrize("text", ["*", "role", "Role.", "Role.rbac/v1", "Deployment.apps", "Pod", "ServiceAccount", ""])
def test_what_is_no_further_kind_cannot_be_allowed(text: str) -> None:
    assert wrong_kind_name(text)
    with pytest.raises(Invalid, match=r"sources\[0\].allow.kinds\[0\]"):
        parse_settings(f"sources: [{{name: s, url: ., allow: {{kinds: ['{text}']}}}}]\napps: []\n", "file")


def test_the_kinds_of_a_source_are_those_of_all_its_apps() -> None:
    text = """
sources: [{name: s, url: ., apps: '*/app.yaml', allow: {kinds: [Role.rbac.authorization.k8s.io, CronJob.batch]}}]
apps: [{name: a, source: s}]
"""
    settings = parse_settings(text, "file")
    assert settings.apps[0].kinds == ("CronJob.batch", "Role.rbac.authorization.k8s.io")
    assert parse_app_file(b"", "b/app.yaml", settings.sources[0]).kinds == settings.apps[0].kinds


def test_what_is_allowed_no_more_is_not_allowed_to_an_app_that_is_held_at_its_last_good_file_either() -> None:
    def settings(kinds: str) -> Settings:
        return parse_settings(
            f"sources: [{{name: s, url: ., apps: '*/app.yaml', allow: {{kinds: {kinds}}}}}]\napps: []\n", "f"
        )

    wanted, before = Wanted(Recorder()), settings("[CronJob.batch]")
    wanted.configured(before, {"s"})
    wanted.discovered("s", Seen("c" * 40, (Found("b/app.yaml", parse_app_file(b"", "b/app.yaml", before.sources[0])),)))
    assert list(wanted.running["b"].kinds) == ["CronJob.batch"]
    wanted.configured(settings("[]"), {"s"})
    assert not wanted.running["b"].kinds


def test_a_plan_asks_the_api_server_about_shared_objects_before_they_are_applied(world: Own) -> None:
    world.released("v1.0.0")
    world.publish("v2.0.0", policy=POLICY)
    world.daemon.poll()
    assert world.daemon.tip is not None
    desired, observed, made = drive(world.daemon.cycle.look(world.daemon.tip))
    asked = [each.manifest["kind"] for each in writes_ahead(desired, observed, made)]
    assert asked == ["Deployment", "Service", "NetworkPolicy"]


def test_an_object_of_an_allowed_group_never_passes_for_one_of_ours() -> None:
    """A Service of serving.knative.dev is no Service."""
    app = replace(SHOP, kinds=("Service.serving.knative.dev",))
    text = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: shop}\n"
    assert [each["apiVersion"] for each in render(app, release(text), SLOT).extras] == ["serving.knative.dev/v1"]
    assert "must be v1 for a Service" in refusal(release(text))


def test_an_autoscaler_of_somebody_elses_deployment_is_refused() -> None:
    text = SCALER.replace("name: '{{ name }}'},", "name: theirs},")
    assert "is no workload that these templates render" in refusal(release(text))


def test_what_pods_may_depend_on_counts_for_the_revision_and_what_only_tells_about_them_does_not() -> None:
    app = replace(SHOP, kinds=("ExternalSecret.external-secrets.io",))
    coloured = (
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: '{{ name }}'}\nspec: {of: a}\n"
    )
    shared = coloured.replace("{{ name }}", "shop")
    assert identify(app, release(coloured)) != identify(app, release(coloured.replace("of: a", "of: b")))
    assert identify(app, release(shared)) == identify(app, release(shared.replace("of: a", "of: b")))
    assert identify(app, release(BUDGET, SCALER, POLICY)) == identify(app, release())


def test_a_refused_kind_touches_nothing(world: Own) -> None:
    world.released("v1.0.0")
    before = dict(world.cluster.objects)
    world.publish("v2.0.0", role="apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: x}\n")
    world.daemon.poll()
    with pytest.raises(Invalid, match="does not allow"):
        world.daemon.turn()
    assert world.cluster.objects == before


def test_a_kind_that_the_cluster_does_not_have_touches_nothing(world: Own) -> None:
    world.released("v1.0.0")
    before = dict(world.cluster.objects)
    world.cluster.kinds.discard("batch/v1/CronJob")
    world.publish("v2.0.0", cron=CRON)
    world.daemon.poll()
    with pytest.raises(Blocked, match="CronJob"):
        world.daemon.turn()
    assert world.cluster.objects == before
    world.released("v2.0.0")
    assert world.active_version == "v2.0.0"


# --- coloured and shared ---


def test_a_coloured_object_is_there_before_its_pods_and_goes_with_its_revision(world: Own) -> None:
    world.released("v1.0.0", budget=BUDGET)
    made = [each for each in world.cluster.writes if each.startswith("apply")]
    assert made.index(f"apply PodDisruptionBudget/{world.names('Deployment')[0]}") < made.index(
        f"apply Deployment/{world.names('Deployment')[0]}"
    )
    world.released("v2.0.0", budget=BUDGET)
    assert world.names("PodDisruptionBudget") == world.names("Deployment")
    assert len(world.names("Deployment")) == 2
    world.advance(31)
    world.run()
    assert world.names("PodDisruptionBudget") == world.names("Deployment")
    assert len(world.names("Deployment")) == 1


def test_a_shared_object_changes_only_once_its_revision_is_active(world: Own) -> None:
    world.released("v1.0.0", policy=POLICY)
    other = POLICY.replace("ingress: [{}]", "ingress: []")
    world.publish("v2.0.0", policy=other)
    world.daemon.poll()
    world.daemon.settle()
    [live] = world.cluster.all("NetworkPolicy")
    assert live["spec"]["ingress"] == [{}], "v2.0.0 has no traffic yet"
    world.run()
    [live] = world.cluster.all("NetworkPolicy")
    assert live["spec"]["ingress"] == []
    assert world.told.last("object_updated").fields["object"] == "NetworkPolicy/my-app"


def test_an_account_is_made_before_the_pods_that_need_it_and_taken_back_with_the_commit(world: Own) -> None:
    world.released("v1.0.0")
    world.publish("v2.0.0", account=ACCOUNT)
    world.daemon.poll()
    world.daemon.settle()
    assert world.names("ServiceAccount") == ["my-app"]
    assert world.active_version == "v1.0.0"
    assert world.inventory() == {"v1/ServiceAccount"}, "a restart must find it"
    world.released("v1.0.0")
    assert world.names("ServiceAccount") == []
    assert world.told.last("pruned").fields["object"] == "ServiceAccount/my-app"


def test_an_account_that_a_hand_deleted_is_made_again_by_one_write(world: Own) -> None:
    world.released("v1.0.0", account=ACCOUNT)
    world.cluster.remove("ServiceAccount", NAMESPACE, "my-app")
    before = len(world.cluster.writes)
    world.run()
    assert world.cluster.writes[before:] == ["apply ServiceAccount/my-app"]


def test_a_hand_edited_further_object_is_put_back_whatever_git_wants_meanwhile(world: Own) -> None:
    world.released("v1.0.0", policy=POLICY, budget=BUDGET)
    world.publish("v2.0.0", policy=POLICY, budget=BUDGET)
    world.daemon.poll()
    world.daemon.settle()
    [live] = world.cluster.all("NetworkPolicy")
    world.cluster.put({**live, "spec": {**live["spec"], "ingress": []}}, "kubectl")
    world.daemon.settle()
    [live] = world.cluster.all("NetworkPolicy")
    assert live["spec"]["ingress"] == [{}]
    assert world.told.last("drift_repaired").fields["object"] == "NetworkPolicy/my-app"


# --- pruning ---


def test_what_left_the_templates_is_pruned_after_a_restart_too_and_the_kind_forgotten(world: Own) -> None:
    world.released("v1.0.0", policy=POLICY, cron=CRON)
    assert world.inventory() == {"networking.k8s.io/v1/NetworkPolicy", "batch/v1/CronJob"}
    world.publish("v1.0.0")
    world.cluster.followed.clear()
    world.restart()
    assert world.run().phase is Phase.STABLE
    assert world.names("NetworkPolicy") == world.names("CronJob") == []
    assert world.told.names().count("pruned") == 2
    assert world.inventory() == set(), "nothing is watched that nobody uses"


def test_only_what_is_wholly_ours_is_pruned(world: Own) -> None:
    world.released("v1.0.0", policy=POLICY)
    [ours] = world.cluster.all("NetworkPolicy")
    labels = {LABEL_APP: "my-app", LABEL_MANAGED_BY: MANAGED_BY}
    notes = ours["metadata"]["annotations"]
    strangers: dict[str, dict[str, Any]] = {
        "theirs": _owner("theirs"),
        "labelled": _owner("labelled", **labels),
        "a-copy": {**_owner("a-copy", **labels), "annotations": notes},
        "unstamped": {
            **_owner("unstamped", **labels),
            "annotations": {"bluegreen.reconciler/namespace": NAMESPACE},
        },
        "not-managed": {**ours["metadata"], **_owner("not-managed", **{LABEL_APP: "my-app"})},
        "elsewhere": {
            **_owner("elsewhere", **labels),
            "annotations": {
                "bluegreen.reconciler/rendering": "elsewhere@x",
                "bluegreen.reconciler/namespace": "another",
            },
        },
    }
    for meta in strangers.values():
        world.cluster.put({**ours, "metadata": meta})
    world.released("v1.0.0")
    assert set(world.names("NetworkPolicy")) == set(strangers)


def test_an_object_that_is_to_be_kept_is_kept(world: Own) -> None:
    kept = CRON.replace("name: my-app", "name: my-app, annotations: {bluegreen.reconciler/prune: disabled}")
    world.released("v1.0.0", cron=kept)
    world.released("v1.0.0")
    assert world.names("CronJob") == ["my-app"]
    assert world.inventory() == {"batch/v1/CronJob"}


def test_nothing_is_pruned_of_a_kind_that_is_not_allowed_any_more(world: Own) -> None:
    world.released("v1.0.0", cron=CRON)
    world.publish("v1.0.0")
    world.daemon = FakeDaemon(world, replace(OWN, kinds=()))
    world.run()
    assert world.names("CronJob") == ["my-app"]
    assert world.inventory() == {"batch/v1/CronJob"}


def test_killed_at_any_write_nothing_of_a_further_kind_is_left_behind() -> None:
    """A kind comes with one commit and goes with the next, and the daemon dies at each write in turn."""
    for writes in range(12):
        for after in (False, True):
            world = Own(OWN)
            world.released("v1.0.0")
            world.publish("v2.0.0", policy=POLICY, budget=BUDGET, account=ACCOUNT, scaler=SCALER)
            setattr(world.cluster, "kill_after" if after else "kill_before", writes)
            try:
                world.run()
            except Killed:
                world.restart()
            world.cluster.kill_after = world.cluster.kill_before = None
            world.cluster.followed.clear()
            world.released("v1.0.0")
            world.advance(700)
            assert world.run().phase is Phase.STABLE
            left = [world.names(kind) for kind in ("NetworkPolicy", "PodDisruptionBudget", "ServiceAccount")]
            assert (left, world.names("HorizontalPodAutoscaler")) == ([[], [], []], []), (writes, after)
            assert world.inventory() == set()


# --- autoscalers ---


def test_the_autoscaler_moves_to_the_colour_that_has_the_traffic_and_sizes_are_kept(world: Own) -> None:
    world.released("v1.0.0", scaler=SCALER)
    [old] = world.names("HorizontalPodAutoscaler")
    _scale(world, old, 7)
    world.publish("v2.0.0", scaler=SCALER)
    world.daemon.poll()
    world.daemon.settle()
    assert world.names("HorizontalPodAutoscaler") == [old], "a preview has none"
    world.run()
    [new] = world.names("HorizontalPodAutoscaler")
    assert new != old
    assert world.told.last("autoscaler_withdrawn").fields["object"] == f"HorizontalPodAutoscaler/{old}"
    assert {each.replicas for each in world.observed.workloads} == {7}, "the warm colour keeps its size"
    _scale(world, new, 8)
    world.released("v1.0.0", scaler=SCALER)
    assert world.names("HorizontalPodAutoscaler") == [old]
    assert {each.name: each.replicas for each in world.observed.workloads}[old] == 8


def test_a_missing_autoscaler_is_made_again_while_another_version_is_brought_up(world: Own) -> None:
    world.released("v1.0.0", scaler=SCALER)
    [old] = world.names("HorizontalPodAutoscaler")
    world.publish("v2.0.0", scaler=SCALER)
    world.daemon.poll()
    world.daemon.settle()
    world.cluster.remove("HorizontalPodAutoscaler", NAMESPACE, old)
    world.daemon.settle()
    assert world.names("HorizontalPodAutoscaler") == [old]


def test_a_hand_labelled_shared_object_is_no_reason_to_go_on_for_ever(world: Own) -> None:
    world.released("v1.0.0", policy=POLICY)
    [live] = world.cluster.all("NetworkPolicy")
    labels = {**live["metadata"]["labels"], LABEL_REVISION: "bcdfghjklm"}
    world.cluster.put({**live, "metadata": {**live["metadata"], "labels": labels}}, "kubectl")
    assert world.run().phase is Phase.STABLE
    assert world.names("NetworkPolicy") == ["my-app"]


def _scale(world: Own, name: str, replicas: int) -> None:
    live = world.cluster.get("Deployment", NAMESPACE, name)
    assert live is not None
    world.cluster.put({**live, "spec": {**live["spec"], "replicas": replicas}}, "autoscaler")
    world.run()


def test_a_cluster_scoped_object_is_found_as_it_is_and_told_from_that_of_an_app_elsewhere() -> None:
    """The API server knows no namespace of it; the annotation says whose it is."""
    app = replace(SHOP, kinds=("ClusterRole.rbac.authorization.k8s.io",))
    text = (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: shop}\nrules: [{verbs: [get]}]\n"
    )
    desired = render(app, release(text), SLOT)
    [rendered] = desired.extras
    meta = {key: value for key, value in rendered["metadata"].items() if key != "namespace"}
    live = {**rendered, "metadata": {**meta, "uid": "1", "resourceVersion": "1"}}
    assert not list(kept(View(desired, observe([live], app.strategy, app.namespace), 0.0)))
    [repair] = kept(View(desired, observe([{**live, "rules": []}], app.strategy, app.namespace), 0.0))
    assert [each.path for each in repair.differences] == ["rules"]
    assert not observe([live], app.strategy, "elsewhere").shared


def test_looking_changes_nothing(world: Own) -> None:
    world.publish("v1.0.0", policy=POLICY)
    world.daemon.poll()
    assert world.daemon.tip is not None
    drive(world.daemon.cycle.look(world.daemon.tip))
    assert not world.cluster.writes

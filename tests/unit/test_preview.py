"""The preview Service: what it is, where it leads and when, and that it never holds up or decides anything."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from reconciler import report
from reconciler.app.discovery import parse_app_file
from reconciler.app.oneshot import Sight
from reconciler.app.roster import Seen, roster
from reconciler.app.settings import parse_settings
from reconciler.core.check import Check, Outcome, PostPromotion, PrePromotion
from reconciler.core.front import route_of
from reconciler.core.model import LABEL_APP, LABEL_REVISION, App, Manifest
from reconciler.core.phase import Phase
from reconciler.core.plan import forecast
from reconciler.core.plan.preview import LAG, SYNC_PERIOD, WHOLE_SECONDS
from reconciler.core.preview import ANNOTATION_PREVIEW
from reconciler.core.probe import HttpProbe
from reconciler.core.removal import mark_of, next_step
from reconciler.core.render import render
from reconciler.errors import Blocked, Invalid
from tests.e2e.harness.templates import PREVIEW, own_templates
from tests.fakes.discovery import SOURCE, found
from tests.fakes.rendering import APP as SHOP
from tests.fakes.rendering import SERVICE, SLOT, changed, release
from tests.fakes.whole import INGRESS, SERVICES
from tests.fakes.world import APP, NAMESPACE, FakeDaemon, World, drive

NAME = "my-app-preview"
QUIET = WHOLE_SECONDS + SYNC_PERIOD + LAG


def named(app: App = APP, **strategy: Any) -> App:
    """The app with a preview Service."""
    return replace(app, strategy=replace(app.strategy, preview_service=NAME, **strategy))


HEADLESS = named()
ORDINARY = replace(HEADLESS, templates="templates")
TO_ACTIVE = named(preview_idles_on_active=True)


def of(app: App) -> World:
    """A world in which v1.0.0 of the app is active, and alone."""
    world = World(app, own_templates(preview=PREVIEW) if app.templates else None)
    world.verdicts.outcomes = {"errors": Outcome.PASSED, "smoke": Outcome.PASSED}
    world.release("v1.0.0")
    if not app.strategy.auto_promotion:
        approve(world, "v1.0.0")
        world.run()
    world.advance(100)
    assert world.run().phase is Phase.STABLE
    forget(world)
    return world


def approve(world: World, version: str) -> None:
    revision = next(each.revision for each in world.observed.revisions if each.version == version)
    world.approve(revision, world.repository.branches["main"])


def forget(world: World) -> None:
    world.told.events.clear()
    world.cluster.writes.clear()


def service(world: World) -> dict[str, Any]:
    there = world.cluster.get("Service", NAMESPACE, NAME)
    assert there is not None
    return there


def led(world: World) -> str:
    """The version that the preview leads to; '' for nothing."""
    wanted = service(world)["spec"].get("selector") or {}
    return next((e.version for e in world.observed.revisions if e.revision == wanted.get(LABEL_REVISION)), "")


def begin(world: World, version: str, **values: object) -> None:
    """The new colour is there, and no controller has done anything yet."""
    world.commit(version, **values)
    world.daemon.poll()
    world.daemon.settle()


def switches(world: World) -> bool:
    """Whether the next cycle is the one that moves traffic; it is carried out. Kubernetes' controllers have seen by
    then what was noted on the Deployments."""
    world.controllers.everything()
    outcome = world.daemon.turn()
    assert outcome is not None
    return outcome.plan.phase is Phase.SWITCHING


def edit(world: World, **spec: Any) -> None:
    live = service(world)
    world.cluster.put({**live, "spec": {**live["spec"], **spec}}, "kubectl")


# --- what it is ---


def preview_of(app: App, *extra: str, service: str = SERVICE) -> Manifest:
    made = render(app, release(*extra, service=service), SLOT).preview
    assert made is not None
    return made


def test_the_one_that_we_make_is_headless_with_the_pods_own_ports() -> None:
    made = preview_of(named(SHOP))
    assert made["spec"]["clusterIP"] == "None"
    assert made["spec"]["ports"] == [{"port": 8080, "targetPort": "http"}]
    assert made["spec"]["selector"].keys() == {"app", LABEL_APP, LABEL_REVISION}
    assert LABEL_REVISION not in made["metadata"]["labels"]


def test_two_ports_of_the_active_service_that_lead_to_one_are_one() -> None:
    twice = changed(
        SERVICE, "- port: 80\n      targetPort: http", "- {name: a, port: 80, targetPort: http, nodePort: 30123}"
    )
    twice += "    - {name: b, port: 81, targetPort: 8080}\n    - {name: c, port: 9000, protocol: UDP}\n"
    assert preview_of(named(SHOP), service=twice)["spec"]["ports"] == [
        {"name": "a", "port": 8080, "targetPort": "http"},
        {"name": "c", "protocol": "UDP", "port": 9000, "targetPort": 9000},
    ]


def test_one_of_the_templates_is_as_they_have_it_and_finds_the_revision() -> None:
    rendered = PREVIEW.replace("{{ app }}", "shop").replace("port: 80", "port: 81")
    made = preview_of(named(SHOP), rendered)
    assert made["spec"]["ports"] == [{"name": "http", "port": 81, "targetPort": "http"}]
    assert "clusterIP" not in made["spec"]
    wanted = render(named(SHOP), release(rendered), SLOT)
    assert wanted.services == ()
    assert made["spec"]["selector"][LABEL_REVISION] == wanted.revision


def test_it_is_no_part_of_the_revision() -> None:
    with_it, without = (render(each, release(), SLOT) for each in (named(SHOP), SHOP))
    assert with_it.revision == without.revision
    assert without.preview is None


def test_behind_an_ingress_it_finds_what_its_first_service_finds() -> None:
    world = World(_by_ingress(), {f"templates/{name}": text for name, text in INGRESS.items()})
    assert world.release("v1.0.0").phase is Phase.STABLE
    assert world.observed.preview is not None
    assert world.observed.preview.selector["part"] == "a"
    assert len(world.observed.preview.endpoints) == 2


def test_an_ingress_must_not_lead_to_it() -> None:
    leading = INGRESS["ingress.yaml"].replace("paths:", f"paths:\n          - {_path()}")
    files = {**INGRESS, "ingress.yaml": leading, "preview.yaml": PREVIEW.replace("app: '{{ app }}'", "part: a")}
    world = World(_by_ingress(), {f"templates/{name}": text for name, text in files.items()})
    world.commit("v1.0.0")
    world.daemon.poll()
    with pytest.raises(Invalid, match=r"ingress.yaml.*is the preview Service"):
        world.daemon.turn()


def _path() -> str:
    return "{path: /new, pathType: Prefix, backend: {service: {name: '{{ preview_service }}', port: {number: 80}}}}"


def _by_ingress() -> App:
    app = named(active_ingress="my-app")
    return replace(app, templates="templates", values={"replicas": 2})


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (
            "name: b, source: s, strategy: {previewService: b}",
            "apps[1].strategy.previewService: is the active Service:",
        ),
        ("name: b, source: s, strategy: {previewService: a}", "is the active Service of another app (apps[0])"),
        ("name: b, source: s, strategy: {previewService: p}", "is the preview Service of another app (apps[0])"),
        ("name: b, source: s, strategy: {activeService: p}", "is the active Service of another app (apps[1])"),
        ("name: b, source: s, strategy: {previewService: P}", "apps[1].strategy.previewService: may only hold"),
        ("name: b, source: s, strategy: {previewServiceWhenIdle: none}", "apps[1].strategy.previewServiceWhenIdle:"),
    ],
)
def test_what_it_cannot_be_called(second: str, told: str) -> None:
    first = "name: a, source: s, strategy: {previewService: p}"
    with pytest.raises(Invalid) as caught:
        parse_settings(f"sources: [{{name: s, url: .}}]\napps:\n- {{{first}}}\n- {{{second}}}\n", "file")
    assert told in str(caught.value)


def test_with_an_ingress_it_may_be_called_as_the_app() -> None:
    text = "{previewService: a, activeIngress: a, previewServiceWhenIdle: active}"
    settings = parse_settings(f"sources: [{{name: s, url: .}}]\napps: [{{name: a, source: s, strategy: {text}}}]", "f")
    strategy = settings.apps[0].strategy
    assert (strategy.preview_service, strategy.preview_idles_on_active) == ("a", True)


def test_discovered_apps_are_held_to_the_same() -> None:
    with pytest.raises(Invalid, match=r"strategy.previewService: is the active Service"):
        parse_app_file(b"strategy: {previewService: web}", "web/app.yaml", SOURCE)
    files = ("a/app.yaml", "strategy: {activeService: www}"), ("b/app.yaml", "strategy: {previewService: www}")
    made = roster((), {"git": Seen("c" * 40, tuple(found(*each) for each in files))}, {})
    assert [each.error.what for each in made.faults] == ["the Service shop/www is that of app a"]
    assert "strategy.previewService" in made.faults[0].error.todo


# --- where it leads, and when ---


def test_it_leads_to_the_first_version_before_that_is_ready() -> None:
    world = World(HEADLESS)
    begin(world, "v1.0.0")
    assert world.observed.front is None
    assert led(world) == "v1.0.0"
    assert world.run().phase is Phase.STABLE


def test_it_leads_to_a_new_version_as_soon_as_that_is_there() -> None:
    world = of(HEADLESS)
    begin(world, "v2.0.0")
    assert (led(world), world.active_version) == ("v2.0.0", "v1.0.0")
    moved = world.told.last("preview_moved").fields
    assert moved["object"] == f"Service/{NAME}"
    assert moved["version"] == "v2.0.0"
    assert moved["from_revision"] not in (None, moved["revision"])
    assert moved["reason"] == "v2.0.0 is being promoted"


def test_its_selector_has_a_manager_of_its_own() -> None:
    world = of(ORDINARY)
    owners = world.cluster.owners["Service", NAMESPACE, NAME]
    assert owners["reconciler-preview", "Apply"] == {
        ("spec", "selector"),
        ("metadata", "annotations", ANNOTATION_PREVIEW),
    }
    assert ("spec", "ports", "80/TCP") in owners["reconciler", "Apply"]
    assert ("spec", "selector") not in owners["reconciler", "Apply"]
    assert set(owners) == {("reconciler-preview", "Apply"), ("reconciler", "Apply")}


def test_nobody_waits_for_a_headless_one() -> None:
    world = of(HEADLESS)
    begin(world, "v2.0.0")
    world.controllers.everything()
    assert switches(world)
    assert world.active_version == "v2.0.0"


def test_a_switch_waits_until_kube_proxy_has_followed_an_ordinary_one() -> None:
    world = of(ORDINARY)
    begin(world, "v2.0.0")
    world.advance(30)
    forget(world)
    ready_at = world.clock.time
    world.controllers.everything()
    outcome = world.daemon.turn()
    assert outcome is not None
    assert outcome.plan.phase is Phase.PROGRESSING
    assert not [each for each in world.cluster.writes if "Service" in each]
    assert "every pod is ready; kube-proxy still follows Service my-app-preview" in outcome.plan.reason
    assert outcome.plan.wake_at == pytest.approx(ready_at + QUIET, abs=0.01)
    world.advance(QUIET - 0.1)
    assert not switches(world)
    world.advance(0.1)
    assert switches(world)


def test_it_waits_for_an_ordinary_one_that_was_moved_long_after_the_pods_were_ready() -> None:
    """The daemon was away meanwhile, or somebody has written it."""
    world = of(ORDINARY)
    begin(world, "v2.0.0")
    world.controllers.everything()
    world.cluster.remove("Service", NAMESPACE, NAME)
    world.advance(30)
    world.daemon.settle()
    assert (led(world), world.active_version) == ("v2.0.0", "v1.0.0")
    world.advance(QUIET + 0.1)
    assert switches(world)


def test_the_wait_is_not_counted_towards_the_deadline() -> None:
    world = of(ORDINARY)
    begin(world, "v2.0.0")
    world.advance(59)
    world.controllers.everything()
    assert not switches(world)
    world.advance(QUIET)
    assert switches(world)


def test_a_revision_that_was_ready_before_anybody_led_there_is_led_to_first() -> None:
    world = of(HEADLESS)
    world.daemon = FakeDaemon(world, APP)
    begin(world, "v2.0.0")
    world.controllers.everything()
    world.daemon = FakeDaemon(world)
    world.daemon.poll()
    world.daemon.turn()  # what others did before its first look at Git makes it look once more
    assert not switches(world)
    assert (led(world), world.active_version) == ("v2.0.0", "v1.0.0")
    assert switches(world)


def test_whoever_fights_over_it_keeps_no_switch_from_being_made() -> None:
    world = of(HEADLESS)
    begin(world, "v2.0.0")
    world.controllers.everything()
    edit(world, selector={"app": "another"}, ports=[{"port": 1}])
    assert switches(world)


def test_a_rollback_is_one_patch_and_leaves_the_preview_alone() -> None:
    world = of(ORDINARY)
    begin(world, "v2.0.0")
    world.controllers.everything()
    world.advance(QUIET)
    world.run()
    forget(world)
    world.commit("v1.0.0")
    world.daemon.poll()
    assert switches(world)
    assert world.cluster.writes == ["apply Service/my-app"]
    world.run()
    world.advance(20)
    world.run()
    assert led(world) == "v2.0.0"
    world.advance(20)
    assert world.run().phase is Phase.STABLE
    assert led(world) == ""
    assert "preview_moved" not in world.told.names()


def test_when_idle_it_goes_to_the_active_revision_a_second_after_the_switch_was_confirmed() -> None:
    world = of(TO_ACTIVE)
    world.release("v2.0.0")
    forget(world)
    made = world.release("v1.0.0")
    assert (led(world), world.active_version) == ("v2.0.0", "v1.0.0")
    front = world.observed.front
    assert front is not None
    assert front.memory.confirmed_at is not None
    assert made.wake_at == pytest.approx(front.memory.confirmed_at + SYNC_PERIOD)
    world.advance(SYNC_PERIOD)
    world.run()
    assert led(world) == "v1.0.0"
    assert world.told.last("preview_moved").fields["reason"] == "nothing is promoted"


@pytest.mark.parametrize(("app", "leads_to"), [(HEADLESS, "v2.0.0"), (TO_ACTIVE, "v1.0.0")])
def test_a_rejected_revision_goes_to_zero_though_the_preview_leads_there(app: App, leads_to: str) -> None:
    world = of(app)
    _reject(world)
    assert led(world) == leads_to
    assert [each.replicas for each in world.observed.revisions if each.version == "v2.0.0"] == [0]


def _reject(world: World) -> None:
    """v2.0.0 gets ready in part, which shows in the preview's endpoints, and fails."""
    begin(world, "v2.0.0")
    world.controllers.deployments()
    world.controllers.kubelet(count=1)
    world.controllers.endpoints()
    assert world.observed.preview is not None
    assert world.observed.preview.endpoints
    world.controllers.broken.add(next(e.revision for e in world.observed.revisions if e.version == "v2.0.0"))
    world.advance(61)
    assert world.run().phase is Phase.REJECTED
    world.advance(11)
    assert world.run().phase is Phase.REJECTED


def test_what_it_alone_leads_to_is_deleted_in_time() -> None:
    world = of(HEADLESS)
    world.release("v2.0.0")
    world.release("v1.0.0")
    world.advance(40)
    world.run()
    assert world.versions() == ["v1.0.0"]


def test_of_an_app_of_several_workloads_it_is_one_of_the_templates() -> None:
    files = {**SERVICES, "preview.yaml": PREVIEW.replace("app: '{{ app }}'", "part: b")}
    world = World(
        replace(ORDINARY, values={"replicas": 2}), {f"templates/{name}": text for name, text in files.items()}
    )
    world.release("v1.0.0")
    begin(world, "v2.0.0")
    assert led(world) == "v2.0.0"
    world.controllers.everything()
    assert world.observed.preview is not None
    assert len(world.observed.preview.endpoints) == 2
    world.advance(QUIET)
    assert world.run().phase is Phase.RETAINING


# --- gates, and the analysis after the switch ---


def test_while_an_approval_is_awaited_it_shows_what_is_to_be_approved() -> None:
    world = of(named(ORDINARY, auto_promotion=False))
    world.release("v2.0.0")
    assert world.run().phase is Phase.WAITING
    edit(world, selector={"app": "another"})
    world.run()
    assert (led(world), world.active_version) == ("v2.0.0", "v1.0.0")
    approve(world, "v2.0.0")
    assert not switches(world), "it has just been put back"
    world.advance(QUIET)
    assert world.run().phase is Phase.RETAINING


def test_what_a_check_came_to_is_kept_while_kube_proxy_follows() -> None:
    smoke = Check("smoke", HttpProbe())
    world = of(named(ORDINARY, pre_promotion=PrePromotion((smoke,))))
    world.daemon.analyst.begun.clear()
    begin(world, "v2.0.0")
    world.controllers.everything()
    assert world.daemon.settle().phase is Phase.PROGRESSING
    begun = len(world.daemon.analyst.begun)
    world.advance(QUIET)
    world.verdicts.outcomes.clear()
    assert world.run().phase is Phase.RETAINING
    assert len(world.daemon.analyst.begun) == begun == 1


def test_when_an_analysis_fails_traffic_goes_back_at_once_and_the_preview_after_it() -> None:
    errors = PostPromotion(60.0, (Check("errors", HttpProbe()),))
    world = of(named(ORDINARY, post_promotion=errors, preview_idles_on_active=True))
    world.verdicts.outcomes = {"errors": Outcome.FAILED}
    begin(world, "v2.0.0")
    world.controllers.everything()
    world.daemon.settle()
    world.advance(QUIET)
    assert world.run().phase is Phase.REJECTED
    assert (led(world), world.active_version) == ("v2.0.0", "v1.0.0")
    world.advance(SYNC_PERIOD)
    world.run()
    assert led(world) == "v1.0.0"
    world.release("v1.0.0")
    begin(world, "v2.0.0")
    assert led(world) == "v2.0.0", "what failed has to prove itself again"


# --- hands ---


@pytest.mark.parametrize("app", [HEADLESS, TO_ACTIVE])
def test_moved_by_hand_it_is_put_back(app: App) -> None:
    world = of(app)
    edit(world, selector={"app": "another"})
    world.run()
    assert led(world) == "v1.0.0"
    assert world.told.last("preview_moved").fields["reason"] == "the selector had been moved by hand"


def test_moved_by_hand_it_is_put_back_to_a_revision_that_is_not_wanted_any_more() -> None:
    world = of(HEADLESS)
    world.release("v2.0.0")
    world.release("v1.0.0")
    assert led(world) == "v2.0.0"
    edit(world, selector={"app": "another"})
    world.advance(2)
    world.run()
    assert led(world) == "v2.0.0"


def test_moved_by_hand_it_is_put_back_while_a_revision_is_rejected() -> None:
    world = of(HEADLESS)
    _reject(world)
    edit(world, selector={"app": "another"})
    world.run()
    assert led(world) == "v2.0.0"


def test_deleted_by_hand_it_is_made_again() -> None:
    world = of(HEADLESS)
    world.cluster.remove("Service", NAMESPACE, NAME)
    world.run()
    assert led(world) == "v1.0.0"
    assert world.told.last("preview_moved").fields["from_revision"] is None


def test_its_other_fields_are_repaired() -> None:
    world = of(ORDINARY)
    ports = service(world)["spec"]["ports"]
    edit(world, ports=[{"name": "http", "port": 81, "targetPort": "http"}])
    world.run()
    assert service(world)["spec"]["ports"] == ports
    assert world.told.last("drift_repaired").fields["object"] == f"Service/{NAME}"


def test_a_changed_port_of_the_pods_is_a_changed_port_of_the_headless_one() -> None:
    """Another number under the same name, which server-side apply cannot write."""
    world = of(HEADLESS)
    begin(world, "v2.0.0", ports="{http: 8181}")
    assert service(world)["spec"]["ports"] == [{"name": "http", "port": 8181, "targetPort": "http"}]
    assert led(world) == "v2.0.0"


def test_a_foreign_service_of_its_name_blocks_the_app_before_anything_is_applied() -> None:
    world = World(HEADLESS)
    foreign = {"kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": {"selector": {"a": "b"}}}
    world.cluster.put(foreign)
    world.commit("v1.0.0")
    world.daemon.poll()
    with pytest.raises(Blocked):
        world.daemon.turn()
    assert world.cluster.all("Deployment") == []
    assert service(world)["spec"] == foreign["spec"]


def test_a_foreign_service_of_its_name_keeps_nobody_from_being_served() -> None:
    """The active Service is deleted while Git wants another version, and somebody has taken the preview's name."""
    world = of(HEADLESS)
    world.controllers.everything()
    world.commit("v2.0.0")
    world.daemon.poll()
    world.cluster.remove("Service", NAMESPACE, NAME)
    world.cluster.put({"kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": {}})
    world.cluster.remove("Service", NAMESPACE, "my-app")
    world.daemon.turn()
    assert world.active_version == "v1.0.0"


# --- changes of the configuration, and the end ---


def reconfigured(world: World, app: App, files: Mapping[str, str] | None = None) -> None:
    world.files = {name: text.encode() for name, text in (files or {}).items()}
    world.daemon = FakeDaemon(world, app)
    world.cluster.strategy = app.strategy


def test_named_for_an_app_that_is_stable_it_leads_to_the_active_revision() -> None:
    world = of(APP)
    reconfigured(world, HEADLESS)
    assert world.run().phase is Phase.STABLE
    assert led(world) == "v1.0.0"
    assert "switched" not in world.told.names()


def test_one_that_the_configuration_does_not_name_any_more_is_deleted() -> None:
    world = of(HEADLESS)
    reconfigured(world, APP)
    assert world.run().phase is Phase.STABLE
    assert world.cluster.get("Service", NAMESPACE, NAME) is None
    assert world.told.last("pruned").fields["object"] == f"Service/{NAME}"


def test_neither_does_a_rejected_revision_stay_for_it() -> None:
    world = of(HEADLESS)
    _reject(world)
    reconfigured(world, APP)
    assert world.run().phase is Phase.REJECTED
    assert world.cluster.get("Service", NAMESPACE, NAME) is None


@pytest.mark.parametrize("headless_first", [True, False])
def test_one_that_gets_or_loses_its_address_is_made_anew(headless_first: bool) -> None:
    world = of(ORDINARY)
    files = [own_templates(), own_templates(preview=PREVIEW)]
    for now in files if headless_first else reversed(files):
        world.files = {name: text.encode() for name, text in now.items()}
        world.release("v1.0.0")
        world.advance(QUIET)
        world.run()
        assert led(world) == "v1.0.0"
        assert (service(world)["spec"].get("clusterIP") == "None") is ("templates/preview.yaml" not in now)


def test_it_goes_with_an_app_that_is_deleted() -> None:
    world = of(HEADLESS)
    objects = list(world.cluster.objects.values())
    step = next_step(objects, mark_of(HEADLESS), 0.0, None, None)
    assert NAME in {each.live.name for each in step.actions}, "it is marked"
    marked = [{**e, "metadata": {**e["metadata"], "annotations": {**_notes(e), **_mark(step)}}} for e in objects]
    step = next_step(marked, mark_of(HEADLESS), 0.0, None, None)
    assert {each.live.name for each in step.actions} == {"my-app", NAME}


def _notes(live: Mapping[str, Any]) -> dict[str, str]:
    return live["metadata"].get("annotations") or {}


def _mark(step: Any) -> dict[str, str]:
    notes: dict[str, str] = step.actions[0].manifest["metadata"]["annotations"]
    return notes


# --- what people see ---


def test_a_plan_tells_of_it_beforehand_and_in_its_turn() -> None:
    world = of(HEADLESS)
    world.commit("v2.0.0")
    world.daemon.poll()
    assert world.daemon.tip is not None
    desired, observed, _ = drive(world.daemon.cycle.look(world.daemon.tip))
    assert forecast(desired, observed, 0.0)[0] == f"lead preview Service {NAME} to {desired.revision} (v2.0.0)"
    world.daemon.turn()
    _, _, made = drive(world.daemon.cycle.look(world.daemon.tip))
    old = observed.revisions[0].revision
    wanted = f"lead preview Service {NAME} from {old} to {desired.revision} (v2.0.0) (v2.0.0 is being promoted)"
    assert [str(each) for each in made.actions] == [wanted]


def test_status_says_where_it_leads() -> None:
    world = of(HEADLESS)
    observed = world.observed

    def shown(sight: Sight) -> str:
        out = io.StringIO()
        report.statuses(iter([sight]), Console(file=out, width=200))
        return out.getvalue().splitlines()[-1]

    assert shown(Sight(HEADLESS, observed=observed)) == (
        f"my-app: preview Service {NAME} leads to {observed.revisions[0].revision} (v1.0.0)"
    )
    assert shown(Sight(HEADLESS, observed=replace(observed, revisions=()))).endswith("leads to nothing")
    assert shown(Sight(HEADLESS, observed=replace(observed, preview=None))).endswith("is not there")
    assert "preview Service" not in shown(Sight(APP, observed=observed))


def test_rendering_shows_it() -> None:
    desired = render(named(SHOP), release(), SLOT)
    out = io.StringIO()
    report.manifests([Sight(named(SHOP), desired)], out)
    assert f"name: {NAME}\n" in out.getvalue()
    assert desired.preview is not None
    assert route_of(desired.preview)["selector"][LABEL_REVISION] == desired.revision

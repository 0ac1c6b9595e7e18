"""The end of a removed app: in which order its objects go, whatever kills the daemon, and what keeps it from going."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.app.departed import Fate, Known, judge
from reconciler.app.roster import Seen, roster
from reconciler.app.settings import Settings
from reconciler.app.sweep import Sweep
from reconciler.core.gitref import branch
from reconciler.core.model import App, DeletionPolicy, Manifest
from reconciler.core.phase import Phase
from reconciler.core.policy import OWN as KINDS
from reconciler.core.removal import POLICY, REMOVAL, next_step, read_mark
from reconciler.errors import Blocked
from tests.fakes.discovery import SOURCE, found
from tests.fakes.whole import BY_INGRESS, whole_world
from tests.fakes.world import APP, NAMESPACE, FakeDaemon, Killed, Recorder, World, drive

FILE = "apps/my-app/app.yaml"
DOOMED = replace(
    APP,
    file=FILE,
    origin=SOURCE.origin,
    deletion_policy=DeletionPolicy.DELETE,
    values={**APP.values, "config": {"GREETING": "hello"}},
)
OTHER = {"apps/other/app.yaml": "values: {image: x}"}
OWN = ("Service", "Deployment", "ConfigMap")


class Yard:
    """An app with a warm colour, the repository that describes it, and the sweep of its namespace."""

    def __init__(self, app: App = DOOMED) -> None:
        self.world = whole_world(app) if app.templates else World(app)
        self.world.release("v1.0.0")
        self.world.release("v2.0.0")
        self.files: dict[str, str] = {**OTHER, FILE: "deletionPolicy: delete"}
        self.settings = Settings((SOURCE,), ())
        self.left: dict[tuple[str, str], App] = {}
        self.read = True
        self.tips: dict[str, str] = {"git": "c" * 40}
        self.troubles: dict[str, str] = {}
        self.told = Recorder()
        self.sweep = self.another()

    def another(self) -> Sweep:
        """The sweep of a daemon that knows nothing yet."""
        world = self.world
        return Sweep(NAMESPACE, world.cluster, self.told, world.clock, self.judge, self.forget, lambda _: world.cluster)

    def forget(self, namespace: str, name: str) -> None:
        self.left.pop((namespace, name), None)

    def judge(self, namespace: str, name: str, objects: Any) -> Any:
        seen = Seen("c" * 40, tuple(found(file, text) for file, text in sorted(self.files.items())))
        known = {each.name: seen if self.read else None for each in self.settings.sources}
        made = roster(self.settings.apps, known, {})
        return judge(Known(self.settings, made, known, self.left, self.tips, self.troubles), namespace, name, objects)

    def remove(self) -> None:
        """Git lacks the app from now on."""
        self.files.pop(FILE)

    def turn(self) -> float:
        wait = drive(self.sweep.turn())
        self.world.controllers.everything()
        return wait

    def run(self, turns: int = 30) -> None:
        for _ in range(turns):
            self.turn()
            self.world.advance(0.5)

    def kinds(self) -> set[str]:
        return {each["kind"] for each in self.world.cluster.view(NAMESPACE, APP.name)} & set(OWN)

    def marks(self) -> set[str]:
        live = self.world.cluster.view(NAMESPACE, APP.name)
        return {(each["metadata"].get("annotations") or {}).get(REMOVAL, "") for each in live if each["kind"] in OWN}

    def deletions(self) -> list[str]:
        return [each.split()[1].split("/")[0] for each in self.world.cluster.writes if each.startswith("delete")]


@pytest.fixture
def yard() -> Yard:
    return Yard()


def test_an_app_that_is_described_is_left_alone(yard: Yard) -> None:
    before = list(yard.world.cluster.writes)
    yard.run(3)
    assert yard.world.cluster.writes == before
    assert yard.kinds() == set(OWN)


def test_its_service_goes_first_then_its_deployments_then_what_belongs_to_them(yard: Yard) -> None:
    yard.remove()
    yard.turn()
    assert all(each.endswith(f" {SOURCE.origin}@{FILE}") for each in yard.marks()), "all are marked before any goes"
    assert yard.deletions() == []
    yard.turn()
    assert yard.kinds() == {"Deployment", "ConfigMap"}
    gone_at = yard.world.clock.time
    yard.run()
    assert yard.kinds() == set()
    assert yard.deletions() == ["Service", "Deployment", "Deployment", "ConfigMap", "ConfigMap"]
    assert yard.told.names() == ["deletion_begun", "app_deleted"]
    assert yard.told.last("app_deleted").fields["path"] == FILE
    assert yard.world.clock.time - gone_at > 2.0


def test_pods_stay_until_no_node_can_send_requests_there(yard: Yard) -> None:
    yard.remove()
    yard.turn()
    drive(yard.sweep.turn())
    for _ in range(5):
        drive(yard.sweep.turn())  # the endpoint controller has not followed yet
        yard.world.advance(10)
    assert "Deployment" in yard.kinds()
    yard.world.controllers.endpoints()
    wait = drive(yard.sweep.turn())
    assert 1.9 < wait <= 2.0
    yard.world.advance(1.9)
    drive(yard.sweep.turn())
    assert "Deployment" in yard.kinds()
    yard.world.advance(0.2)
    drive(yard.sweep.turn())
    assert "Deployment" not in yard.kinds()


def test_after_an_outage_pods_stay_until_every_node_has_caught_up(yard: Yard) -> None:
    yard.remove()
    yard.turn()
    yard.turn()
    yard.world.cluster.back_since = yard.world.clock.now()
    yard.run(20)
    assert "Deployment" in yard.kinds()
    yard.world.advance(60)
    yard.run(5)
    assert yard.kinds() == set()


def test_a_foreign_service_that_leads_to_its_pods_keeps_them_and_is_told(yard: Yard) -> None:
    selector = {"bluegreen.reconciler/app": "my-app"}
    foreign = {"kind": "Service", "metadata": {"name": "mine", "namespace": NAMESPACE, "labels": selector}}
    yard.world.cluster.put({**foreign, "spec": {"selector": selector, "ports": []}})
    yard.world.controllers.everything()
    yard.remove()
    yard.run()
    assert {"Deployment", "ConfigMap"} <= yard.kinds()
    assert yard.world.cluster.get("Service", NAMESPACE, "mine")
    assert yard.told.names() == ["deletion_begun", "deletion_held"]
    assert yard.told.last("deletion_held").fields["reason"] == "Service mine, which is not ours, leads to its pods"


KILLS = [(writes, after) for writes in range(12) for after in (False, True)]


def killed(yard: Yard, writes: int, after: bool) -> bool:
    """Removes the app, and kills the daemon at one of its writes. False: it had no so many."""
    yard.remove()
    setattr(yard.world.cluster, "kill_after" if after else "kill_before", writes)
    try:
        yard.run()
    except Killed:
        yard.left.clear()
        yard.sweep = yard.another()
        return True
    finally:
        yard.world.cluster.kill_after = yard.world.cluster.kill_before = None
    return False


def test_objects_of_further_kinds_go_too_whatever_restarts() -> None:
    """The kinds are known by what is still there: a new daemon that follows none of them yet finds them again."""
    scaled = {"minReplicas": 2, "maxReplicas": 4, "targetCPUUtilizationPercentage": 80}
    yard = Yard(replace(DOOMED, values={**DOOMED.values, "autoscaling": scaled}))
    yard.world.advance(60)
    yard.world.run()
    assert yard.world.cluster.all("HorizontalPodAutoscaler")
    yard.remove()
    for _ in range(30):
        yard.world.cluster.followed.clear()
        yard.sweep = yard.another()
        for _ in range(4):
            yard.turn()
            yard.world.advance(1.0)
    assert not yard.world.cluster.all("HorizontalPodAutoscaler")
    assert yard.kinds() == set()


def test_an_ingress_goes_before_the_services_that_it_leads_to() -> None:
    app = replace(BY_INGRESS, file=FILE, origin=SOURCE.origin, deletion_policy=DeletionPolicy.DELETE)
    yard = Yard(app)
    assert yard.kinds() >= {"Service", "Deployment"}
    yard.remove()
    yard.run(60)
    assert yard.deletions()[0] == "Ingress"
    assert not [each for each in yard.world.cluster.view(NAMESPACE, APP.name) if each["kind"] in (*OWN, "Ingress")]


@pytest.mark.parametrize(("writes", "after"), KILLS)
def test_killed_at_any_write_the_next_daemon_ends_the_work(yard: Yard, writes: int, after: bool) -> None:
    assert killed(yard, writes, after) == (writes < 10), "five marks and five deletions"
    yard.world.controllers.everything()
    yard.run()
    assert yard.kinds() == set()
    order = yard.deletions()
    assert order == sorted(order, key=OWN.index)


@pytest.mark.parametrize(("writes", "after"), KILLS[:20])
def test_an_app_that_comes_back_at_any_moment_is_released_again(yard: Yard, writes: int, after: bool) -> None:
    assert killed(yard, writes, after)
    yard.files[FILE] = "deletionPolicy: delete"
    yard.world.restart()
    for _ in range(6):
        yard.run(2)
        assert yard.world.run().phase in (Phase.STABLE, Phase.RETAINING)
        yard.world.advance(40)
    assert yard.world.active_version == "v2.0.0"
    assert yard.world.versions() == ["v2.0.0"]
    assert yard.kinds() == set(OWN)
    assert yard.marks() == {""}
    assert len(yard.world.observed.front.endpoints) == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("turns", [1, 2])
def test_a_daemon_that_has_not_seen_that_commit_looks_at_git_before_it_brings_anything_back(
    yard: Yard, turns: int
) -> None:
    behind = FakeDaemon(yard.world)
    behind.poll()
    behind.settle()
    behind.poll()
    yard.remove()
    for _ in range(turns):
        yard.turn()
    there, marks = yard.kinds(), yard.marks()
    outcome = behind.turn()
    assert outcome and outcome.outdated and not outcome.acted
    assert (yard.kinds(), yard.marks()) == (there, marks)
    behind.poll()
    behind.settle()
    assert yard.marks() == {""}, "Git has the app, as it sees now"


def test_an_app_that_comes_back_between_two_writes_is_not_touched_any_more(yard: Yard) -> None:
    yard.remove()

    def after_the_first(*_: object) -> Any:
        return len([each for each in yard.world.cluster.writes if each.startswith("apply")])

    before = after_the_first()
    judged = yard.judge

    def back_soon(namespace: str, name: str, objects: Any) -> Any:
        if after_the_first() > before:
            yard.files[FILE] = ""
        return judged(namespace, name, objects)

    yard.sweep.judge = back_soon
    yard.run(5)
    assert after_the_first() == before + 1
    assert yard.kinds() == set(OWN)


def changed(yard: Yard, **change: Any) -> None:
    yard.settings = Settings((replace(SOURCE, **change),), ())


def _broken(yard: Yard) -> None:
    yard.files["apps/other/app.yaml"] = "nonsense: 1"


def _unread(yard: Yard) -> None:
    yard.read = False


def _failing(yard: Yard) -> None:
    yard.troubles = {"git": "source git cannot be read: commit cccc is not signed"}


def _being_read(yard: Yard) -> None:
    yard.troubles = {"git": ""}


def _moved(yard: Yard) -> None:
    yard.files["apps/elsewhere/app.yaml"] = "name: my-app"


def _renamed_in_place(yard: Yard) -> None:
    yard.files[FILE] = "name: another"


def _configured(yard: Yard) -> None:
    yard.settings = Settings((SOURCE,), (replace(APP, source="git"),))


def _unread_other_source(yard: Yard) -> None:
    yard.settings = Settings((SOURCE, replace(SOURCE, name="more", url="https://git.example.com/more.git")), ())
    yard.read = False


KEPT: Mapping[str, Any] = {
    "another file is broken": (_broken, "apps/other/app.yaml cannot be read as an app, and may be this one"),
    "Git was not read yet": (_unread, None),
    "Git cannot be read or the commit is refused": (_failing, "source git cannot be read: commit cccc is not signed"),
    "Git is being read": (_being_read, None),
    "another source was not read yet": (_unread_other_source, None),
    "the source is suspended": (lambda yard: changed(yard, suspend=True), "source git is suspended"),
    "the source has another address": (lambda yard: changed(yard, url="https://git.example.com/new.git"), None),
    "the source has another ref": (lambda yard: changed(yard, ref=branch("prod")), None),
    "the source looks at other files": (lambda yard: changed(yard, apps="teams/*/app.yaml"), None),
    "the source looks at none": (lambda yard: changed(yard, apps=""), None),
    "the namespace is not allowed any more": (lambda yard: changed(yard, namespaces=("back",)), None),
    "the app moved to another file": (_moved, None),
    "the file names another app": (_renamed_in_place, None),
    "the configuration has the app": (_configured, None),
}


@pytest.mark.parametrize("why", KEPT)
def test_it_is_not_deleted_if(why: str, yard: Yard) -> None:
    meddle, told = KEPT[why]
    yard.remove()
    meddle(yard)
    before = list(yard.world.cluster.writes)
    yard.run()
    assert yard.world.cluster.writes == before
    assert [each.fields["reason"] for each in yard.told.events] == ([told] if told else [])


@pytest.mark.parametrize("why", [key for key in KEPT if key not in ("another source was not read yet",)])
def test_a_deletion_that_was_begun_stops_if(why: str, yard: Yard) -> None:
    yard.remove()
    yard.turn()
    yard.turn()
    KEPT[why][0](yard)
    before = list(yard.world.cluster.writes)
    yard.run()
    assert yard.world.cluster.writes == before
    assert yard.kinds() == {"Deployment", "ConfigMap"}


def test_an_app_of_a_suspended_source_goes_when_that_is_resumed(yard: Yard) -> None:
    yard.remove()
    changed(yard, suspend=True)
    yard.run(3)
    changed(yard)
    yard.run()
    assert yard.kinds() == set()


def test_the_default_is_that_it_stays() -> None:
    yard = Yard(replace(DOOMED, deletion_policy=App("", "", "", APP.strategy).deletion_policy))
    yard.remove()
    before = list(yard.world.cluster.writes)
    yard.run()
    assert yard.world.cluster.writes == before


def test_an_app_whose_services_say_nothing_stays(yard: Yard) -> None:
    """As those of a version before this one."""
    for live in yard.world.cluster.all("Service"):
        notes = {key: value for key, value in live["metadata"]["annotations"].items() if key != POLICY}
        yard.world.cluster.put({**live, "metadata": {**live["metadata"], "annotations": notes}})
    yard.remove()
    yard.run()
    assert yard.kinds() == set(OWN)


def test_what_an_accepted_commit_said_last_counts_and_is_written_down(yard: Yard) -> None:
    """The policy became `orphan`, and the file went before the Service could be told."""
    yard.remove()
    yard.left = {(NAMESPACE, APP.name): replace(DOOMED, deletion_policy=DeletionPolicy.ORPHAN)}
    yard.run(3)
    assert yard.left == {}
    mark = read_mark(yard.world.cluster.view(NAMESPACE, APP.name))
    assert mark and mark.policy is DeletionPolicy.ORPHAN
    yard.sweep = yard.another()
    yard.run()
    assert yard.kinds() == set(OWN)


def test_an_app_of_the_configuration_goes_only_with_who_has_seen_its_entry() -> None:
    """Another daemon's configuration may have the same repository, and other apps."""
    yard = Yard(replace(DOOMED, file=""))
    yard.remove()
    yard.run(3)
    assert yard.kinds() == set(OWN)
    yard.left = {(NAMESPACE, APP.name): yard.world.app}
    yard.turn()
    yard.left.clear()  # a new process: the marks tell it
    yard.sweep = yard.another()
    yard.run()
    assert yard.kinds() == set()


def test_a_missing_permission_is_told_and_the_deletion_waits(yard: Yard) -> None:
    yard.remove()
    yard.turn()
    yard.world.cluster.fail_next_write = Blocked("services may not be deleted", where="x", untouched="y", todo="z")
    assert yard.turn() > 0
    assert yard.told.last("app_blocked").fields["reason"].endswith("services may not be deleted")
    yard.world.advance(2)
    yard.run()
    assert yard.kinds() == set()


def test_a_policy_that_changes_while_a_promotion_waits_is_written_down() -> None:
    yard = Yard()
    world = yard.world
    world.commit("v3.0.0")
    world.daemon.poll()
    world.daemon.turn()  # applied; its pods are not ready
    world.app = replace(DOOMED, deletion_policy=DeletionPolicy.ORPHAN)
    world.restart()
    world.daemon.settle()
    mark = read_mark(world.cluster.view(NAMESPACE, APP.name))
    assert mark and mark.policy is DeletionPolicy.ORPHAN
    before = len(world.cluster.writes)
    world.daemon.settle()
    assert len(world.cluster.writes) == before, "once"


def live(kind: str, name: str, **notes: str) -> Manifest:
    labels = {"app.kubernetes.io/managed-by": "reconciler", "bluegreen.reconciler/app": "a"}
    meta = {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1", "labels": labels, "annotations": notes}
    return {"apiVersion": KINDS.get(kind, "autoscaling/v2"), "kind": kind, "metadata": meta}


def test_any_number_of_any_kind_goes_in_that_order() -> None:
    kinds = ["Secret", "StatefulSet", "HorizontalPodAutoscaler", "Service", "Deployment", "Ingress", "ConfigMap"]
    objects = [live(kind, f"{kind.lower()}-{n}", **{REMOVAL: "c o@f"}) for kind in kinds for n in (1, 2)]
    mark = read_mark(objects)
    assert mark and (mark.commit, mark.origin, mark.file) == ("c", "o", "f")
    gone: list[set[str]] = []
    since, now = None, 0.0
    while objects:
        step = next_step(objects, mark, now, since, None)
        since, now = step.unrouted_since, now + 1
        drops = {each.live.name for each in step.actions}
        gone += [{each["kind"] for each in objects if each["metadata"]["name"] in drops}] if drops else []
        objects = [each for each in objects if each["metadata"]["name"] not in drops]
    assert gone == [
        {"Ingress"},
        {"Service"},
        {"HorizontalPodAutoscaler", "Secret"},
        {"Deployment", "StatefulSet"},
        {"ConfigMap"},
    ]


def test_one_service_that_says_orphan_keeps_all() -> None:
    said = [live("Service", "a", **{POLICY: "delete"}), live("Service", "b", **{POLICY: "orphan"})]
    mark = read_mark(said)
    assert mark and mark.policy is DeletionPolicy.ORPHAN


def test_what_is_not_ours_is_neither_read_nor_deleted() -> None:
    foreign = live("Service", "a", **{POLICY: "delete", "bluegreen.reconciler/rendering": "b@x"})
    assert read_mark([foreign]) is None
    mark = read_mark([live("Service", "b", **{POLICY: "delete"})])
    assert mark and next_step([foreign], mark, 0.0, None, None).gone
    assert Fate.KEEP is judge(Known(Settings((), ()), roster((), {}, {}), {}, {}), "n", "a", [foreign]).fate

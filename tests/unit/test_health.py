"""When a revision is ready: exactly when every wanted pod is, at the generation that was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.health import PATIENCE, explain, is_ready, is_unseen, trouble, trouble_from
from reconciler.core.live import LiveRevision, Workload
from reconciler.core.model import Colour
from reconciler.core.pods import Pod

POD = Pod("pod", "r", {}, ready=True, ready_since=900.0, terminating=False, trouble="")
READY = Workload(
    kind="Deployment", name="app-r", component="*",
    uid="u", resource_version="1", revision="r", version="v1", colour=Colour.BLUE, commit="c",
    created=800.0, deleting=False, replicas=2, generation=1, observed_generation=1, total=2, updated=2, available=2,
    min_ready_seconds=0.0, completed=True, pod_labels={}, claim=None, rejection=None, noted_replicas="2", failure="",
    pods=(POD, replace(POD, name="pod2")), live={},
)  # fmt: skip


def of(*workloads: Workload) -> LiveRevision:
    return LiveRevision(workloads)


def test_ready_when_pods_and_status_say_so() -> None:
    assert is_ready(of(READY))


@pytest.mark.parametrize(
    ("name", "workload"),
    [
        ("deleting", replace(READY, deleting=True)),
        ("no replicas", replace(READY, replicas=0, pods=())),
        ("spec not seen", replace(READY, generation=2)),
        ("old template's pods left", replace(READY, total=3)),
        ("not all made", replace(READY, updated=1, total=1)),
        ("one unready", replace(READY, pods=(POD, replace(POD, name="b", ready=False)))),
        ("one terminating", replace(READY, pods=(POD, replace(POD, name="b", terminating=True)))),
        ("Kubernetes' controllers do not know all of the pods yet", replace(READY, available=1)),
    ],
)
def test_not_ready(name: str, workload: Workload) -> None:
    assert not is_ready(of(workload)), name


def test_unseen_is_what_only_lacks_a_controllers_look() -> None:
    assert is_unseen(of(READY, replace(READY, generation=2)))
    assert not is_unseen(of(READY)), "it was seen"
    assert not is_unseen(of(replace(READY, generation=2, replicas=3))), "a pod is missing, too"
    assert not is_unseen(of(replace(READY, generation=2), replace(READY, available=0))), "another workload is not ready"


def test_the_news_of_one_pod_of_three_may_be_on_its_way() -> None:
    three = replace(READY, replicas=3, total=3, updated=3, pods=(*READY.pods, replace(POD, name="c")))
    assert is_ready(of(replace(three, available=2)))
    assert not is_ready(of(replace(three, available=1))), "the controllers may be behind"
    assert not is_ready(of(replace(three, available=2, min_ready_seconds=5.0))), "only they count minReadySeconds"
    assert not is_ready(of(replace(three, available=3, pods=READY.pods))), "a pod turned unready"


def test_strays_do_not_matter() -> None:
    assert is_ready(of(replace(READY, pods=(*READY.pods, replace(POD, name="c")))))


def test_says_what_the_status_does_not_know_yet() -> None:
    assert explain(of(replace(READY, available=1))) == "2 of 2 pods ready; 1 available by the Deployment's status"


PROBED = {"name": "web", "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}}}
WAITING = replace(
    POD, ready=False, waiting="web", waiting_since=1000.0, unready="containers with unready status: [web]"
)


def test_a_container_that_does_not_get_ready_is_told_with_its_probe_after_a_while() -> None:
    live = {"spec": {"template": {"spec": {"containers": [PROBED]}}}}
    workload = replace(READY, pods=(WAITING,), live=live)
    assert trouble(of(workload), 1010.0) == ""
    assert trouble_from(of(workload), 1010.0) == 1000.0 + PATIENCE
    told = "pod pod: container web runs, but its readiness probe, GET /healthz on port http, does not succeed"
    assert trouble(of(workload), 1016.0) == told
    assert trouble_from(of(workload), 1016.0) is None


def test_why_no_pods_can_be_made_is_told() -> None:
    workload = replace(READY, pods=(POD,), failure='pods "x" is forbidden: exceeded quota: q')
    assert explain(of(workload)).endswith("exceeded quota: q")


def test_explains_with_the_first_trouble() -> None:
    broken = replace(POD, name="b", ready=False, trouble="container c: CrashLoopBackOff")
    assert explain(of(replace(READY, pods=(POD, broken)))) == (
        "1 of 2 pods ready; pod b: container c: CrashLoopBackOff"
    )


def test_a_revision_is_ready_when_all_of_its_workloads_are() -> None:
    database = replace(READY, kind="StatefulSet", name="db-r", component="db-*")
    assert is_ready(of(READY, database))
    assert not is_ready(of(READY, replace(database, available=1)))
    assert explain(of(READY, replace(database, available=1))) == (
        "4 of 4 pods ready; 1 available by the StatefulSet's status"
    )

"""When a revision is ready: exactly when every wanted pod is, at the generation that was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.health import explain, is_ready, ready_from
from reconciler.core.model import Colour
from reconciler.core.observed import Pod, Workload

NOW = 1000.0
POD = Pod("pod", "r", ready=True, ready_since=900.0, created=800.0, terminating=False, trouble="")
READY = Workload(
    name="app-r", uid="u", resource_version="1", revision="r", version="v1", colour=Colour.BLUE, commit="c",
    created=800.0, deleting=False, replicas=2, generation=1, observed_generation=1, total=2, updated=2, ready_count=0,
    min_ready_seconds=0.0, pod_labels={}, claim=None, rejection=None, pods=(POD, replace(POD, name="pod2")), live={},
)  # fmt: skip


def test_ready_before_the_status_says_so() -> None:
    assert is_ready(READY, NOW)


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
        ("one of an earlier Deployment", replace(READY, pods=(POD, replace(POD, name="b", created=700.0)))),
        ("strays about, status not sure", replace(READY, pods=(*READY.pods, replace(POD, name="c")))),
        ("not ready for long enough", replace(READY, min_ready_seconds=101.0)),
    ],
)
def test_not_ready(name: str, workload: Workload) -> None:
    assert not is_ready(workload, NOW), name


def test_strays_and_a_sure_status_are_ready() -> None:
    assert is_ready(replace(READY, pods=(*READY.pods, replace(POD, name="c")), ready_count=2), NOW)


def test_says_when_min_ready_seconds_will_have_passed() -> None:
    waiting = replace(READY, min_ready_seconds=150.0)
    assert ready_from(waiting, NOW) == 1050.0
    assert ready_from(READY, NOW) is None


def test_explains_with_the_first_trouble() -> None:
    broken = replace(POD, name="b", ready=False, trouble="container c: CrashLoopBackOff")
    assert explain(replace(READY, pods=(POD, broken))) == ("1 of 2 pods ready; pod b: container c: CrashLoopBackOff")

"""What a Job's status and its pods say about how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.check import Outcome
from reconciler.core.jobend import (
    has_started,
    is_finished,
    measured,
    outcome_of,
    owned,
    speaker,
    tail,
    why,
    why_unfinished,
)


def job(*conditions: str, **status: Any) -> dict[str, Any]:
    found = [{"type": each, "status": "True", "reason": "Why", "message": "it did"} for each in conditions]
    return {"metadata": {"name": "smoke-1"}, "status": {"conditions": found, **status}}


def pod(name: str = "p", made: str = "", phase: str = "Running", **status: Any) -> dict[str, Any]:
    meta = {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{made}Z" if made else None}
    containers = [{"name": "one"}, {"name": "two"}]
    return {"metadata": meta, "spec": {"containers": containers}, "status": {"phase": phase, **status}}


def ended(name: str, code: int) -> dict[str, Any]:
    return {"name": name, "state": {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}}


GONE = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting"}


@pytest.mark.parametrize(
    ("subject", "pods", "outcome"),
    [
        (job(), [], None),
        ({"metadata": {}}, [], None),
        (job("FailureTarget"), [], None),
        (job("SuccessCriteriaMet"), [], None),
        (job("SuccessCriteriaMet", "Complete"), [], Outcome.PASSED),
        (job("FailureTarget", "Failed"), [pod()], Outcome.FAILED),
        (job("Failed"), [pod(conditions=[GONE])], Outcome.INCONCLUSIVE),
        (job("Complete"), [pod(conditions=[GONE])], Outcome.PASSED),
        ({"metadata": {}, "status": {"conditions": [{"type": "Failed", "status": "False"}]}}, [], None),
    ],
)
def test_the_condition_decides(subject: Any, pods: list[Any], outcome: Outcome | None) -> None:
    assert outcome_of(subject, pods) is outcome
    assert is_finished(subject) is (outcome is not None)


def test_why_it_failed_is_told_by_controller_and_pods() -> None:
    assert why(job("Complete"), []) == "the Job completed"
    failed = pod(phase="Failed", containerStatuses=[ended("one", 0), ended("two", 3)])
    assert why(job("Failed"), [failed]) == "Why: it did; container two: Error, last exit code 3"
    assert "EvictionByEvictionAPI" in why(job("Failed"), [pod(conditions=[GONE])])


def test_why_it_is_not_finished_depends_on_whether_it_ever_ran() -> None:
    waiting = {"name": "one", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    restarted = {**waiting, "lastState": {"terminated": {"exitCode": 1}}}
    assert not has_started([pod(containerStatuses=[waiting])])
    assert has_started([pod(containerStatuses=[restarted])])
    assert has_started([pod(initContainerStatuses=[{"name": "i", "state": {"running": {}}}])])
    assert "ErrImagePull (no such image)" in why_unfinished([pod(containerStatuses=[waiting])], 5)
    assert "A quota or a policy" in why_unfinished([], 5)
    assert "could not be seen" in why_unfinished(None, 5)
    assert why_unfinished([pod(containerStatuses=[restarted])], 2.5) == "the Job was not complete after 2.5s"


def test_the_log_read_is_that_of_what_failed_last() -> None:
    assert speaker([]) is None
    assert speaker([pod("a", "1"), pod("b", "2")]) == ("b", "one")
    bad = pod("a", "1", "Failed", containerStatuses=[ended("one", 0), ended("two", 2)])
    assert speaker([bad, pod("b", "2")]) == ("a", "two")
    early = pod("a", "1", "Failed", initContainerStatuses=[ended("init", 1)])
    assert speaker([early]) == ("a", "init")


def test_a_log_is_cut_to_its_end_and_made_harmless() -> None:
    assert tail("") == ""
    assert tail("".join(f"{number}\n" for number in range(30))).split("\n") == [str(n) for n in range(10, 30)]
    assert tail("\x1b[31mred\x07\r\n") == "\\x1b[31mred\\x07"
    long = tail("x" * 5000 + "end")
    assert len(long) == 1800 and long.endswith("xend") and long.startswith("…")


def test_what_was_measured_says_how_long_and_what_was_printed() -> None:
    times = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z"}
    assert measured(job("Complete", **times), "a\nb\n") == "Job smoke-1 complete after 7s; its log ends with\na\nb"
    assert measured(job("Failed"), "") == "Job smoke-1 failed"
    assert measured(job(), " ") == "Job smoke-1 unfinished"


def test_pods_of_an_earlier_job_of_the_name_are_not_its_own() -> None:
    mine = {"metadata": {"name": "a", "ownerReferences": [{"uid": "1"}]}}
    assert owned([mine, {"metadata": {"name": "b", "ownerReferences": [{"uid": "2"}]}}, pod()], "1") == [mine]

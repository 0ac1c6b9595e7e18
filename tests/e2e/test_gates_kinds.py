"""Jobs and queries before the switch, on the real cluster and a real Prometheus."""

from __future__ import annotations

from typing import Any

from rig.prometheus import Prometheus
from rig.scene import Scene
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.gating import gated, rejected, told

JOB = """\
apiVersion: batch/v1
kind: Job
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: smoke
          image: '{{ values.image }}'
          imagePullPolicy: IfNotPresent
          args: %s
"""
MIGRATION = {"name": "migration", "attempts": 1, "timeout": "30s", "job": {"template": "gates/smoke.yaml"}}


def test_a_job_that_fails_keeps_traffic_away_and_one_that_completes_lets_it_through(scene: Scene) -> None:
    """What it said last is in the event. The commit that mends the Job alone is another try of the same revision."""
    scene.first_release("v1.0.0")
    scene.repository.commit("A Job", {"gates/smoke.yaml": JOB % "[smoke, test]"})
    gated(scene, MIGRATION)
    bad = scene.release("v2.0.0")
    reason = rejected(scene, bad, "v2.0.0")["reason"]
    assert "check migration failed: " in reason and "last exit code 2" in reason, reason
    failed = scene.daemon.find("check_failed", commit=bad)[0]
    assert failed["measured"].endswith("its log ends with\nusage: sample-app [sleep DURATION]"), failed
    told(scene, bad, "check_failed", "rejected")
    moved(scene, 0)
    good = scene.repository.commit("Mend the Job", {"gates/smoke.yaml": JOB % "[sleep, 0s]"})
    scene.settle(good)
    assert scene.daemon.find("switched", commit=good)[0]["version"] == "v2.0.0"
    told(scene, good, "check_passed", "switched")
    assert "complete after" in scene.daemon.find("check_passed", commit=good)[0]["measured"]
    no_request_failed(scene.load)
    moved(scene, 1)


def test_a_job_that_hangs_fails_within_its_time(scene: Scene) -> None:
    scene.first_release("v1.0.0")
    scene.repository.commit("A Job", {"gates/smoke.yaml": JOB % "[sleep, 1h]"})
    gated(scene, {**MIGRATION, "timeout": "20s"})  # its container is to be started within that
    bad = scene.release("v2.0.0")
    reason = rejected(scene, bad, "v2.0.0")["reason"]
    assert "the Job was not complete after 20s" in reason, reason
    told(scene, bad, "check_failed", "rejected")
    no_request_failed(scene.load)
    moved(scene, 0)


def test_a_query_is_asked_of_prometheus_and_none_is_answered_while_it_is_away(
    scene: Scene, prometheus: Prometheus
) -> None:
    """Both pods of the new revision have to be scraped. While Prometheus is away nobody knows, so nothing moves."""
    scene.first_release("v1.0.0")
    prometheus.stop()
    gated(scene, _scraped(prometheus, attempts=2))
    bad = scene.release("v2.0.0")
    reason = rejected(scene, bad, "v2.0.0")["reason"]
    assert "check scraped could not be evaluated, which is no pass: " in reason, reason
    assert "refuses the connection" in reason, reason
    told(scene, bad, "check_attempt_failed", "check_inconclusive", "rejected")
    moved(scene, 0)
    prometheus.start()
    gated(scene, _scraped(prometheus, attempts=100))
    good = scene.repository.commit("Prometheus is back", {"README.md": "Hello\n"})
    scene.settle(good)
    passed = scene.daemon.find("check_passed", commit=good)
    assert len(passed) == 1 and "2" in passed[0]["measured"], passed
    assert scene.daemon.names(commit=good).count("switched") == 1
    no_request_failed(scene.load)
    moved(scene, 1)


def test_a_value_that_meets_the_failure_condition_is_final(scene: Scene, prometheus: Prometheus) -> None:
    scene.first_release("v1.0.0")
    query = {"query": "vector(0.2)", "address": prometheus.url, "success": {"below": 0.05}, "failure": {"above": 0.1}}
    gated(scene, {"name": "errors", "attempts": 50, "prometheus": query})
    bad = scene.release("v2.0.0")
    reason = rejected(scene, bad, "v2.0.0")["reason"]
    assert "check errors failed: it met the failure condition" in reason and "0.2" in reason, reason
    told(scene, bad, "check_failed", "rejected")
    no_request_failed(scene.load)
    moved(scene, 0)


def _scraped(prometheus: Prometheus, attempts: int) -> dict[str, Any]:
    query = 'count(up{namespace="{{ namespace }}", revision="{{ revision }}"} == 1)'
    asked = {"query": query, "address": prometheus.url, "success": {"equals": 2}}
    return {"name": "scraped", "attempts": attempts, "interval": "500ms", "timeout": "5s", "prometheus": asked}

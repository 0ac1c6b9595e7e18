"""The tools of the tests of analysis: a real Prometheus that sees what the load and the pods' errors make true.

The queries are those of docs/analysis-queries.md.
"""

from __future__ import annotations

import math
import time

import pytest

from rig.cluster import Manifest
from rig.prometheus import Prometheus, PrometheusError, Samples
from rig.scene import APP, Scene
from tests.e2e.harness.asserts import no_request_failed, only_errors_of
from tests.e2e.harness.http import set_error_rate, set_latency
from tests.e2e.harness.queries import documented
from tests.e2e.harness.starting import make_ready

ENOUGH = 800
"""Of so many requests a fifth fails, give or take a tenth, but for once in millions of times. Half of it may be what
Prometheus adds for the time before the first and after the last scrape."""
WINDOW = "30s"


def test_error_ratio_of_each_revision_is_measured_under_load(scene: Scene, prometheus: Prometheus) -> None:
    """v2 answers every fifth request by 500. Each query answers of its own revision, whose pods it names."""
    scene.configure(strategy={"scaleDownDelay": "120s"})
    scene.first_release("v1.0.0")
    first = scene.cluster.active_revision(APP)
    prometheus.wait_for(_enough(first))
    scene.settle(scene.release("v2.0.0", {"env": {"ERROR_RATE": "0.2"}}))
    second = scene.cluster.active_revision(APP)
    prometheus.wait_for(_enough(second))
    assert 0.1 < _one(prometheus.query(_ratio(scene, second, window=WINDOW))) < 0.3
    assert 0.1 < scene.load.error_ratio("v2.0.0") < 0.3
    failed = prometheus.query('sum by (version) (http_requests_total{code="500"})')
    assert {each.labels["version"]: each.value > 0 for each in failed} == {"v1.0.0": False, "v2.0.0": True}
    for revision, version in ((first, "v1.0.0"), (second, "v2.0.0")):
        series = prometheus.query(f'http_requests_total{{namespace="{scene.namespace}",revision="{revision}"}}')
        pods = {each["metadata"]["name"] for each in scene.cluster.pods(revision)}
        told = {(each.labels["pod"], each.labels["version"], each.labels["app"]) for each in series}
        assert told == {(pod, version, APP) for pod in pods} and len(series) == 4  # two codes of two pods
        assert not any("exported_version" in each.labels for each in series)
    errors = only_errors_of("v2.0.0", scene.load)
    assert errors.first < errors.last and set(errors.versions) == {"v2.0.0"}, str(errors)


def test_without_traffic_there_is_no_data(scene: Scene, prometheus: Prometheus) -> None:
    """v2 is scraped before it is ready: plainly written, a ratio is no number then; as documented, it is not there.

    Once v2 gets its traffic, it is 0. Of a revision that nobody knows there is nothing, however it is asked for.
    """
    scene.first_release("v1.0.0")
    commit = scene.release("v2.0.0", {"env": {"READY": "false"}})
    revision = str(scene.daemon.wait_for("revision_applied", commit=commit)["revision"])
    plain = f"sum(rate({_series(revision, code='500')}[5s])) / sum(rate({_series(revision)}[5s]))"
    assert math.isnan(_one(prometheus.wait_for(plain)))
    for query in (_ratio(scene, revision), _worst(scene, revision), _latency(scene, revision)):
        assert prometheus.query(query) == []
    make_ready(scene, "v2.0.0")
    scene.settle(commit)
    assert _one(prometheus.wait_for(_ratio(scene, revision))) == 0
    assert _one(prometheus.wait_for(_latency(scene, revision))) > 0
    assert _one(prometheus.query(_ratio(scene, revision, code="503"))) == 0  # which the app never shows
    assert prometheus.query(plain.replace("500", "503")) == []
    for unknown in (plain.replace(revision, "unknown"), _ratio(scene, "unknown"), _latency(scene, "unknown")):
        assert prometheus.query(unknown) == []
    no_request_failed(scene.load)


def test_a_pod_that_is_told_to_fail_or_to_be_slow_is_seen(scene: Scene, prometheus: Prometheus) -> None:
    """One of two pods fails all of its requests, recovers, and gets slow: the queries follow each time."""
    scene.first_release("v1.0.0")
    revision = scene.cluster.active_revision(APP)
    bad, _ = scene.cluster.pods(revision)
    ratio, worst = _ratio(scene, revision), _worst(scene, revision)
    prometheus.wait_for(_enough(revision))
    assert _one(prometheus.query(ratio)) == 0
    set_error_rate(bad, 1)
    assert set(scene.load.wait_for_errors("v1.0.0").versions) == {"v1.0.0"}
    prometheus.wait_for(worst, lambda found: bool(found) and found[0].value == 1)
    assert 0.2 < _one(prometheus.query(ratio)) < 0.8
    set_error_rate(bad, 0)
    prometheus.wait_for(worst, lambda found: bool(found) and found[0].value == 0)
    set_latency(bad, "300ms")
    prometheus.wait_for(_latency(scene, revision), lambda found: bool(found) and found[0].value > 0.25)
    errors = only_errors_of("v1.0.0", scene.load)
    assert {each.host for each in errors.requests} == {bad["metadata"]["name"]}


def test_it_is_away_while_stopped_and_goes_on_where_it_was(scene: Scene, prometheus: Prometheus) -> None:
    """On the same port, with what it had measured before; a second one beside it is not disturbed."""
    scene.cluster.create(_deployment(scene))
    up = 'up{app="idle"}'
    prometheus.wait_for(f"{up} == 1")
    before, port = time.time(), prometheus.port
    with Prometheus(scene.folder / "another", []) as another:
        prometheus.stop()
        away = time.time()
        with pytest.raises(PrometheusError):
            prometheus.query(up)
        assert another.query("1") and another.port != port
    prometheus.start()
    assert prometheus.port == port
    assert _one(prometheus.query(f"{up} @ {before}")) == 1
    prometheus.wait_for(f"timestamp({up} == 1) > {away}")


def _ratio(scene: Scene, revision: str, *, code: str = "5..", window: str = "5s") -> str:
    query = documented("Error ratio", window=window, namespace=scene.namespace, revision=revision)
    assert query.count('"5.."') == 1
    return query.replace('"5.."', f'"{code}"')


def _worst(scene: Scene, revision: str) -> str:
    return documented("Error ratio of the worst pod", namespace=scene.namespace, revision=revision)


def _latency(scene: Scene, revision: str) -> str:
    return documented("Latency p99", namespace=scene.namespace, revision=revision)


def _series(revision: str, **labels: str) -> str:
    named = ",".join(f'{name}="{value}"' for name, value in {"revision": revision, **labels}.items())
    return f"http_requests_total{{{named}}}"


def _enough(revision: str) -> str:
    """Rates, out of requests enough, of both pods, each with two codes: they may be discovered one after the other."""
    increase = f"increase({_series(revision)}[{WINDOW}])"
    return f"sum({increase}) >= {ENOUGH} and count({increase}) == 4"


def _one(found: Samples) -> float:
    """The value of a vector of one."""
    assert len(found) == 1, found
    return found[0].value


def _deployment(scene: Scene) -> Manifest:
    labels, annotations = {"app": "idle"}, {"prometheus.io/scrape": "true", "prometheus.io/port": "9101"}
    container = {"name": "idle", "image": scene.sandbox.sample_image, "imagePullPolicy": "IfNotPresent"}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "idle"}, "spec": spec}

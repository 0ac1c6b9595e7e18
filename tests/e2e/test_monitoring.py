"""What the kubelet and Prometheus see of a daemon: while it releases, and while the API server swallows everything."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rig.daemon import Daemon
from rig.proxy import Call, Proxy
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.http import get

Labels = frozenset[tuple[str, str]]
Values = Mapping[tuple[str, Labels], float]
_EVERY = 0.2
"""Seconds between two scrapes: far more often than anybody does it."""


def _address(daemon: Daemon) -> str:
    return f"http://{daemon.wait_for('monitoring_opened')['address']}"


def _scrape(address: str) -> Values:
    status, text = get(f"{address}/metrics")
    assert status == 200
    families = text_string_to_metric_families(text)
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def _value(values: Values, name: str, **labels: str) -> float:
    return values["reconciler_" + name, frozenset(labels.items())]


def _sum(values: Values, name: str, **labels: str) -> float:
    return sum(value for (each, its), value in values.items() if each == "reconciler_" + name and labels.items() <= its)


class Watcher(threading.Thread):
    """Asks for everything again and again, as kubelet and Prometheus do."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.address = address
        self.live: Counter[int] = Counter()
        self.ready: Counter[int] = Counter()
        self.phases: set[str] = set()
        self.slowest = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(_EVERY):
            began = time.monotonic()
            self.live[get(f"{self.address}/livez")[0]] += 1
            self.ready[get(f"{self.address}/readyz")[0]] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            for (name, labels), value in _scrape(self.address).items():
                if name == "reconciler_app_phase" and value:
                    self.phases.add(dict(labels)["phase"])


@contextmanager
def _watched(address: str) -> Iterator[Watcher]:
    watcher = Watcher(address)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.ended.set()
        watcher.join(30)


def test_a_release_and_a_revert_show_in_the_metrics(scene: Scene) -> None:
    """Scraped five times a second all the while; no request of a client fails by it."""
    scene.configure(monitoring={"address": "127.0.0.1:0"})
    scene.first_release("v1.0.0")
    address = _address(scene.daemon)
    with _watched(address) as watcher:
        scene.settle(scene.release("v2.0.0"))
        scene.load.wait_for("v2.0.0")
        scene.settle(scene.repository.revert())
        scene.load.wait_for("v1.0.0", since=time.time())
        scene.daemon.wait_for("retired", version="v2.0.0")
        until(lambda: _phase(_scrape(address), scene) == "stable", "the phase in the metrics", 30)
    print(f"{sum(watcher.live.values())} times asked; the slowest two probes took {watcher.slowest * 1000:.0f} ms")
    assert (set(watcher.live), set(watcher.ready)) == ({200}, {200})
    assert {"progressing", "retaining"} <= watcher.phases
    _tells_the_story(scene, _scrape(address))
    no_request_failed(scene.load)
    moved(scene, 2)
    assert scene.daemon.stop() == 0


def _phase(values: Values, scene: Scene) -> str:
    return next(dict(its)["phase"] for (name, its), value in values.items() if name == "reconciler_app_phase" and value)


def _tells_the_story(scene: Scene, values: Values) -> None:
    app = {"app": APP, "namespace": scene.namespace}
    switched, confirmed = scene.daemon.find("switched"), scene.daemon.find("switch_confirmed")
    assert _value(values, "switches_total", **app) == len(switched) == 3
    assert _value(values, "rollbacks_total", **app) == len(scene.daemon.find("rolled_back")) == 1
    assert _value(values, "rejections_total", **app) == 0
    assert _value(values, "switch_duration_seconds_count") == 3
    assert _value(values, "switch_duration_seconds_sum") == pytest.approx(sum(each["duration"] for each in switched))
    durations = sum(each["duration"] for each in confirmed)
    assert _value(values, "switch_confirmation_seconds_sum") == pytest.approx(durations)
    assert 0 <= time.time() - _value(values, "last_switch_timestamp_seconds", **app) < 300
    assert _value(values, "source_age_seconds", source="shop") < 30
    assert _value(values, "apps_owned") == 1
    assert _value(values, "events_total", event="switched", level="info") == 3
    assert _value(values, "events_total", event="task_hung", level="error") == 0
    _agrees_with_the_audit(scene, values)


def _agrees_with_the_audit(scene: Scene, values: Values) -> None:
    """What the daemon counts is what the API server wrote down."""
    for resource in ("services", "deployments"):
        ours = [each for each in scene.audit.writes(resource) if each.manager.startswith("reconciler")]
        ours += [each for each in scene.audit.writes(resource) if each.verb == "delete"]
        written = sum(
            _sum(values, "api_requests_total", resource=resource, verb=verb)
            for verb in ("apply", "patch", "create", "delete")
        )
        assert written == len(ours) > 0, resource
    assert _sum(values, "api_requests_total", code="error") == 0
    assert _value(values, "api_request_duration_seconds_count", verb="apply") > 0
    assert _sum(values, "watch_restarts_total") == 0


class Swallow:
    """A proxy's hook that holds everything up, from the first request on after it was armed, until let go."""

    def __init__(self) -> None:
        self.armed = False
        self.held = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, call: Call, answered: bool) -> None:
        if self.armed:
            self.held.set()
            self.go_on.wait(120)


def test_an_api_server_that_swallows_everything_fails_neither_probe(scene: Scene, tmp_path: Path) -> None:
    """Requests end by their time-outs, which is no hang: a restart would mend nothing. Then the release goes on."""
    swallow = Swallow()
    with Proxy(scene.sandbox.kubeconfig, tmp_path, swallow) as proxy:
        scene.configure(monitoring={"address": "127.0.0.1:0"})
        daemon = scene.another_daemon("cut-off", proxy.kubeconfig).start()
        daemon.wait_for("switch_confirmed", commit=scene.release("v1.0.0"))
        address = _address(daemon)
        try:
            with _watched(address) as watcher:
                swallow.armed = True
                commit = scene.release("v2.0.0")
                assert swallow.held.wait(60), "nothing was asked of the API server"
                daemon.wait_for("app_failed")
                until(lambda: _sum(_scrape(address), "api_requests_total", code="error") > 0, "the error counted", 30)
        finally:
            swallow.armed = False
            swallow.go_on.set()
        assert (set(watcher.live), set(watcher.ready)) == ({200}, {200})
        daemon.wait_for("switch_confirmed", commit=commit)
        assert daemon.stop() == 0


def test_a_daemon_that_stands_still_does_not_answer_and_is_well_again_after_that(scene: Scene) -> None:
    """As an event loop that is blocked, or a node that is: the kubelet counts no answer as a failure."""
    scene.configure(monitoring={"address": "127.0.0.1:0"})
    scene.release("v1.0.0")
    scene.daemon.start()
    address = _address(scene.daemon)
    until(lambda: get(f"{address}/readyz")[0] == 200, "it to be ready", 30)
    scene.daemon.signal(signal.SIGSTOP)
    try:
        with pytest.raises(OSError, match="timed out"):
            get(f"{address}/livez", timeout=1)
    finally:
        scene.daemon.signal(signal.SIGCONT)
    until(lambda: get(f"{address}/livez")[0] == 200, "it to live", 30)
    assert scene.daemon.stop() == 0

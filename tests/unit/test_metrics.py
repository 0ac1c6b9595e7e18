"""Metrics: each as the table says it is, none that grows with what others make up, and nothing left of what is gone."""

from __future__ import annotations

import itertools

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample
from yarl import URL

from reconciler.adapters.cluster.metered import named
from reconciler.adapters.metrics import Metrics, tallies
from reconciler.adapters.metrics.catalog import METRICS, Type
from reconciler.adapters.metrics.tallies import Tallies
from reconciler.core.event import EVENTS, Event, event
from reconciler.core.phase import Phase
from reconciler.core.state import AppState, SourceState, State

OURS = "reconciler_"


class Bench:
    """Metrics of a daemon that is what `state` says."""

    def __init__(self) -> None:
        self.state = State()
        self.metrics = Metrics("1.2.3", lambda: self.state)

    async def families(self, openmetrics: bool = False) -> list[Metric]:
        text, _ = await self.metrics.exposition(openmetrics)
        parse = parse_openmetrics if openmetrics else parse_text
        return list(parse(text.decode()))

    async def samples(self) -> list[Sample]:
        return [sample for family in await self.families() for sample in family.samples]

    async def value(self, name: str, **labels: str) -> float:
        [found] = [each.value for each in await self.samples() if (each.name, each.labels) == (name, labels)]
        return found


@pytest.fixture
def bench() -> Bench:
    return Bench()


FULL = State(
    (AppState("web", "shop", Phase.STABLE, 1_700_000_000.0, True), AppState("api", "shop")),
    (SourceState("git", 12.5),),
    members=3,
)


def _everything(bench: Bench) -> None:
    """Makes each metric be there."""
    bench.state = FULL
    bench.metrics.turned(0.01, True)
    bench.metrics.waited(0.001)
    bench.metrics.source_failed("git")
    bench.metrics.requested("list", "pods", "200", 0.004)
    bench.metrics.watch_restarted("pods")
    bench.metrics.heard(_switched("web", 12.0))


def _switched(app: str, duration: float, name: str = "switched") -> Event:
    return event(name, app=app, namespace="shop", version="v2", revision="r", commit="c", duration=duration)


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_every_metric_of_the_table_is_shown_as_it_says_and_no_other(bench: Bench, openmetrics: bool) -> None:
    _everything(bench)
    found = {}
    for family in await bench.families(openmetrics):
        total = family.name + "_total" if family.type == "counter" else family.name
        name = total.replace("_total_total", "_total")
        found[name] = (family.type, family.documentation, {key for each in family.samples for key in each.labels})
    ours = {name: shown for name, shown in found.items() if name.startswith(OURS)}
    assert ours.keys() == METRICS.keys()
    for name, spec in METRICS.items():
        labels = set(spec.labels) | ({"le"} if spec.type is Type.HISTOGRAM else set())
        assert ours[name] == (spec.type.value, spec.help, labels), name
    assert {"process_resident_memory_bytes", "python_info"} <= found.keys()


def test_names_follow_prometheus_conventions() -> None:
    for name, spec in METRICS.items():
        assert name.startswith(OURS)
        assert name.endswith("_total") == (spec.type is Type.COUNTER), name
        assert not spec.buckets or name.endswith("_seconds"), name
        assert (spec.type is Type.HISTOGRAM) == bool(spec.buckets), name
        assert list(spec.buckets) == sorted(set(spec.buckets)), name


async def test_the_values_are_what_happened(bench: Bench) -> None:
    _everything(bench)
    web = {"app": "web", "namespace": "shop"}
    assert await bench.value("reconciler_build_info", version="1.2.3") == 1
    assert await bench.value("reconciler_reconcile_duration_seconds_count", result="ok") == 1
    assert await bench.value("reconciler_reconcile_duration_seconds_count", result="failed") == 0
    assert await bench.value("reconciler_queue_depth") == 1
    assert await bench.value("reconciler_source_age_seconds", source="git") == 12.5
    assert await bench.value("reconciler_source_failures_total", source="git") == 1
    assert await bench.value("reconciler_switches_total", **web) == 1
    assert await bench.value("reconciler_switches_total", app="api", namespace="shop") == 0
    assert await bench.value("reconciler_rollbacks_total", **web) == 0
    assert await bench.value("reconciler_last_switch_timestamp_seconds", **web) == 1_700_000_000.0
    assert await bench.value("reconciler_switch_duration_seconds_sum") == 12.0
    assert await bench.value("reconciler_events_total", event="switched", level="info") == 1
    assert await bench.value("reconciler_events_total", event="bug", level="error") == 0
    assert await bench.value("reconciler_members") == 3
    assert await bench.value("reconciler_apps_owned") == 2


async def test_an_app_is_in_one_phase_or_none(bench: Bench) -> None:
    bench.state = FULL
    phases = {
        app: {each.labels["phase"]: each.value for each in found}
        for app, found in itertools.groupby(
            [each for each in await bench.samples() if each.name == "reconciler_app_phase"],
            key=lambda each: each.labels["app"],
        )
    }
    assert phases["web"] == {phase.value: float(phase is Phase.STABLE) for phase in Phase}
    assert phases["api"] == {phase.value: 0.0 for phase in Phase}


async def test_what_leaves_takes_its_series_along_and_begins_anew_when_it_is_back(bench: Bench) -> None:
    _everything(bench)
    await bench.samples()
    bench.state = State()
    labels = [each.labels for each in await bench.samples()]
    assert not [each for each in labels if {"app", "source"} & each.keys()]
    bench.state = FULL
    assert await bench.value("reconciler_switches_total", app="web", namespace="shop") == 0


async def test_a_service_that_was_led_along_took_no_time_but_a_revert_did(bench: Bench) -> None:
    bench.metrics.heard(event("switched", app="web", namespace="shop"))
    assert await bench.value("reconciler_switch_duration_seconds_count") == 0
    bench.metrics.heard(_switched("web", 0.0))
    assert await bench.value("reconciler_switch_duration_seconds_count") == 1


async def test_nobody_can_make_up_series(bench: Bench) -> None:
    """Ten thousand apps that come, act and go, with names, kinds, paths and reasons as bad as can be."""
    _everything(bench)
    usual = {(each.name, *sorted(each.labels.items())) for each in await bench.samples()}
    for number in range(10_000):
        evil = f'x{number}"}} \n\\'
        for name in ("switched", "rolled_back", "rejected"):
            bench.metrics.heard(_switched(evil, 1.0, name))
        bench.metrics.heard(event("app_invalid", app=evil, namespace=evil, reason=evil))
        path = f"/apis/evil{number}.example.com/v{number}/namespaces/n{number}/kinds{number}/o/proxy/{number}"
        verb, resource = named("GET", URL("https://10.0.0.1" + path, encoded=True), "")
        bench.metrics.requested(verb, resource, "200", 0.1)
    now = {(each.name, *sorted(each.labels.items())) for each in await bench.samples()}
    # `other` is one more resource, and `get` one more verb with its buckets.
    more = {each for each in now - usual if ("verb", "get") not in each}
    assert more == set()
    assert len(now - usual) < 20


async def test_hostile_names_are_quoted(bench: Bench) -> None:
    """Names of apps and sources are checked long before; here nothing is taken for granted."""
    evil = 'x"} 1\nreconciler_fake 1\n\\'
    bench.state = State((AppState(evil, evil, Phase.STABLE),), (SourceState(evil, 1.0),))
    for openmetrics in (False, True):
        samples = [each for family in await bench.families(openmetrics) for each in family.samples]
        assert {each.labels["app"] for each in samples if "app" in each.labels} == {evil}
        assert not [each for each in samples if each.name == "reconciler_fake"]


def test_counts_that_nobody_looks_at_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "LIMIT", 3)
    counts: Tallies[str] = Tallies()
    for key in "aabcd":
        counts.count(key)
    assert len(counts) == 3
    assert counts.of("ad") == {"a": 0, "d": 1}
    assert len(counts) == 1, "who looks says who is there"


async def test_two_daemons_in_one_process_count_by_themselves() -> None:
    one, two = Bench(), Bench()
    one.metrics.waited(1.0)
    assert await one.value("reconciler_queue_latency_seconds_count") == 1
    assert await two.value("reconciler_queue_latency_seconds_count") == 0


async def test_every_event_can_be_heard(bench: Bench) -> None:
    """With no more than its name, too: a field that does not apply is absent."""
    for name, spec in EVENTS.items():
        bench.metrics.heard(event(name, **{key: "x" for key in spec.fields if key in ("app", "namespace")}))
        assert await bench.value("reconciler_events_total", event=name, level=spec.level.value) == 1


def test_buckets_reach_from_the_quickest_to_the_slowest() -> None:
    """No gap is wider than a factor of six, so that a quantile means something."""
    for spec in METRICS.values():
        assert all(later / earlier <= 6 for earlier, later in itertools.pairwise(spec.buckets))

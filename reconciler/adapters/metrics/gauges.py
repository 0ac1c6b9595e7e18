"""What is shown as it is at the moment of a scrape, so that nothing is left of apps and sources that are gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.adapters.metrics.catalog import METRICS
from reconciler.adapters.metrics.tallies import Tallies
from reconciler.core.phase import Phase
from reconciler.core.state import State

AppKey = tuple[str, str]
"""Name and namespace."""

_COUNTED = {
    "reconciler_switches_total": "switched",
    "reconciler_rollbacks_total": "rolled_back",
    "reconciler_rejections_total": "rejected",
}


@dataclass(frozen=True, slots=True)
class _Shown:
    """What there was at one moment. By event: how often it happened to each app; by source: how often it failed."""

    state: State
    moves: Mapping[str, Mapping[AppKey, int]]
    failures: Mapping[str, int]


class Gauges(Collector):
    """The families that are made of a `State`. `moves` are the counts of apps' events, `failures` those of sources."""

    def __init__(self) -> None:
        self.moves: Mapping[str, Tallies[AppKey]] = {event: Tallies() for event in _COUNTED.values()}
        self.failures: Tallies[str] = Tallies()
        self._shown = _Shown(State(), {}, {})

    def show(self, state: State) -> None:
        """Takes over what there is now. That is on the event loop, so it is no more; `collect` is in a thread."""
        apps = [(app.name, app.namespace) for app in state.apps]
        moves = {event: tally.of(apps) for event, tally in self.moves.items()}
        self._shown = _Shown(state, moves, self.failures.of([source.name for source in state.sources]))

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """See prometheus_client."""
        shown = self._shown
        yield from _of_all(shown.state)
        yield from _of_apps(shown.state, shown.moves)
        yield from _of_sources(shown.state, shown.failures)


def _of_all(state: State) -> Iterator[GaugeMetricFamily]:
    yield _gauge("reconciler_queue_depth", [((), sum(app.queued for app in state.apps))])
    yield _gauge("reconciler_apps_owned", [((), len(state.apps))])
    if state.members is not None:
        yield _gauge("reconciler_members", [((), state.members)])


def _of_apps(
    state: State, moves: Mapping[str, Mapping[AppKey, int]]
) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    known = [((app.name, app.namespace), app) for app in state.apps]
    phases = [((*key, phase.value), float(app.phase is phase)) for key, app in known for phase in Phase]
    yield _gauge("reconciler_app_phase", phases)
    moved = [(key, app.switched_at) for key, app in known if app.switched_at is not None]
    yield _gauge("reconciler_last_switch_timestamp_seconds", moved)
    for name, event in _COUNTED.items():
        yield _counter(name, moves.get(event, {}))


def _of_sources(state: State, failures: Mapping[str, int]) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    yield _gauge("reconciler_source_age_seconds", [((each.name,), each.age) for each in state.sources])
    yield _counter("reconciler_source_failures_total", {(name,): count for name, count in failures.items()})


_Values = Sequence[tuple[Sequence[str], float]]
"""Values of labels, and the metric's."""


def _gauge(name: str, values: _Values) -> GaugeMetricFamily:
    spec = METRICS[name]
    family = GaugeMetricFamily(name, spec.help, labels=spec.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _counter(name: str, values: Mapping[AppKey, int] | Mapping[tuple[str], int]) -> CounterMetricFamily:
    spec = METRICS[name]
    family = CounterMetricFamily(name, spec.help, labels=spec.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family

"""What is shown as it is at the moment of a scrape, so that nothing is left of apps and sources that are gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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


class Gauges(Collector):
    """The families that are made of a `State`. `moves` are the counts of apps' events, `failures` those of sources."""

    def __init__(self) -> None:
        self.moves: Mapping[str, Tallies[AppKey]] = {event: Tallies() for event in _COUNTED.values()}
        self.failures: Tallies[str] = Tallies()
        self._families: tuple[GaugeMetricFamily | CounterMetricFamily, ...] = ()

    def show(self, state: State) -> None:
        """Takes over what there is now, and forgets the counts of what is not."""
        apps = {(app.name, app.namespace) for app in state.apps}
        for tally in self.moves.values():
            tally.keep(apps)
        self.failures.keep({source.name for source in state.sources})
        self._families = (*self._of_all(state), *self._of_apps(state), *self._of_sources(state))

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """See prometheus_client."""
        yield from self._families

    def _of_all(self, state: State) -> Iterator[GaugeMetricFamily]:
        yield _gauge("reconciler_queue_depth", [((), sum(app.queued for app in state.apps))])
        yield _gauge("reconciler_apps_owned", [((), len(state.apps))])
        if state.members is not None:
            yield _gauge("reconciler_members", [((), state.members)])

    def _of_apps(self, state: State) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        known = [((app.name, app.namespace), app) for app in state.apps]
        phases = [((*key, phase.value), float(app.phase is phase)) for key, app in known for phase in Phase]
        yield _gauge("reconciler_app_phase", phases)
        moved = [(key, app.switched_at) for key, app in known if app.switched_at is not None]
        yield _gauge("reconciler_last_switch_timestamp_seconds", moved)
        for name, event in _COUNTED.items():
            yield _counter(name, [(key, self.moves[event].of(key)) for key, _ in known])

    def _of_sources(self, state: State) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        yield _gauge("reconciler_source_age_seconds", [((each.name,), each.age) for each in state.sources])
        failures = [((each.name,), self.failures.of(each.name)) for each in state.sources]
        yield _counter("reconciler_source_failures_total", failures)


_Values = Sequence[tuple[Sequence[str], float]]
"""Values of labels, and the metric's."""


def _gauge(name: str, values: _Values) -> GaugeMetricFamily:
    spec = METRICS[name]
    family = GaugeMetricFamily(name, spec.help, labels=spec.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _counter(name: str, values: _Values) -> CounterMetricFamily:
    spec = METRICS[name]
    family = CounterMetricFamily(name, spec.help, labels=spec.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family

"""Counts what happens, and shows it to Prometheus: the `ports.Meter` of a daemon, with a registry of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics

from reconciler.adapters.cluster.kinds import WATCHED
from reconciler.adapters.metrics.catalog import METRICS
from reconciler.adapters.metrics.gauges import Gauges
from reconciler.core.event import EVENTS, Event
from reconciler.core.state import State


class Metrics:
    """Everything that is measured of one daemon. `version` is the reconciler's; `state` is asked at every scrape what
    there is, on the event loop."""

    def __init__(self, version: str, state: Callable[[], State]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else each series has a twin that nobody asks for
        registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._registry, self._state = registry, state
        self._gauges = Gauges()
        registry.register(self._gauges)
        _gauge("reconciler_build_info", registry).labels(version).set(1)
        turns = _histogram("reconciler_reconcile_duration_seconds", registry)
        self._turns = {ok: turns.labels("ok" if ok else "failed") for ok in (True, False)}
        self._latency = _histogram("reconciler_queue_latency_seconds", registry)
        self._durations = {
            "switched": _histogram("reconciler_switch_duration_seconds", registry),
            "switch_confirmed": _histogram("reconciler_switch_confirmation_seconds", registry),
        }
        self._requests = _counter("reconciler_api_requests_total", registry)
        self._answers = _histogram("reconciler_api_request_duration_seconds", registry)
        self._restarts = _counter("reconciler_watch_restarts_total", registry)
        events = _counter("reconciler_events_total", registry)
        # From 0 on, so that the first of a kind is an increase.
        for kind in WATCHED:
            self._restarts.labels(kind.plural)
        self._events = {name: events.labels(name, spec.level.value) for name, spec in EVENTS.items()}

    def turned(self, seconds: float, ok: bool) -> None:
        """See `ports.Meter`."""
        self._turns[ok].observe(seconds)

    def waited(self, seconds: float) -> None:
        """See `ports.Meter`."""
        self._latency.observe(seconds)

    def source_failed(self, source: str) -> None:
        """See `ports.Meter`."""
        self._gauges.failures.count(source)

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """See `ports.Meter`."""
        self._requests.labels(verb, resource, code).inc()
        self._answers.labels(verb).observe(seconds)

    def watch_restarted(self, resource: str) -> None:
        """See `ports.Meter`."""
        self._restarts.labels(resource).inc()

    def heard(self, event: Event) -> None:
        """An event was told."""
        self._events[event.name].inc()
        if event.name in self._gauges.moves:
            self._gauges.moves[event.name].count((event.fields["app"], event.fields["namespace"]))
        seconds = event.fields.get("duration")
        if event.name in self._durations and seconds is not None:
            self._durations[event.name].observe(seconds)

    async def exposition(self, openmetrics: bool) -> tuple[bytes, str]:
        """All of it in OpenMetrics' or in Prometheus' text format, and its Content-Type.

        What there is, is looked at on the event loop; the text is made in a thread, as it takes some 0.1 s for a
        thousand apps, and a switch must not wait for it.
        """
        self._gauges.show(self._state())
        encode, content_type = (as_openmetrics, OPENMETRICS) if openmetrics else (as_text, CONTENT_TYPE_PLAIN_0_0_4)
        return await asyncio.to_thread(encode, self._registry), content_type


def _gauge(name: str, registry: CollectorRegistry) -> Gauge:
    spec = METRICS[name]
    return Gauge(name, spec.help, spec.labels, registry=registry)


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    spec = METRICS[name]
    return Counter(name, spec.help, spec.labels, registry=registry)


def _histogram(name: str, registry: CollectorRegistry) -> Histogram:
    spec = METRICS[name]
    return Histogram(name, spec.help, spec.labels, registry=registry, buckets=spec.buckets)

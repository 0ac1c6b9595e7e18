"""The gates before a switch, and the watch after it: probers by kind of probe, behind the one port `Prober`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from kubernetes.aio import client

from reconciler.adapters.cluster.requests import open_proxied
from reconciler.adapters.gates.http import HttpProber
from reconciler.adapters.gates.prometheus import PrometheusProber
from reconciler.core.check import Check, Measurement
from reconciler.core.probe import HttpProbe, JobProbe, PrometheusProbe, PrometheusServer
from reconciler.ports import Prober, Subject

__all__ = ["HttpProber", "Probers", "PrometheusProber", "probers"]


@dataclass(frozen=True, slots=True)
class Probers:
    """The prober of each kind of probe."""

    http: Prober
    prometheus: Prober
    job: Prober

    async def measure(self, check: Check, subject: Subject) -> Measurement:
        """As `ports.Prober.measure`."""
        match check.probe:
            case HttpProbe():
                return await self.http.measure(check, subject)
            case PrometheusProbe():
                return await self.prometheus.measure(check, subject)
            case JobProbe():
                return await self.job.measure(check, subject)


def probers(api: client.ApiClient, prometheus: Callable[[], PrometheusServer | None], job: Prober) -> Probers:
    """All of them. `api` is what `viaApiServer` goes through; `prometheus` gives the server of the configuration as it
    is at that moment, for it can be reloaded."""
    return Probers(HttpProber(partial(open_proxied, api)), PrometheusProber(prometheus), job)

"""What can be measured of a revision: an HTTP answer, a Job's end, a Prometheus query. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Requests to each ready pod's address, to the preview Service, or to any `url`, and what the answers must be."""

    url: str = ""
    path: str = "/"
    port: str = "http"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JobProbe:
    """A Job out of the app's folder, which has to complete."""

    template: str


@dataclass(frozen=True, slots=True)
class PrometheusProbe:
    """A query, and what its value must be."""

    address: str
    query: str


Probe = HttpProbe | JobProbe | PrometheusProbe

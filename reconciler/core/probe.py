"""What can be measured of a revision: an HTTP answer, a Job's end, a Prometheus query. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Scalar = str | float | bool | None
"""What a value in JSON can be compared with."""


class Operator(StrEnum):
    """How a text, or a value in JSON, is compared; the names are those of the configuration."""

    EQUALS = "equals"
    NOT_EQUALS = "notEquals"
    CONTAINS = "contains"
    MATCHES = "matches"
    ABOVE = "above"
    BELOW = "below"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison. `value` of `exists` says whether it has to; that of `matches` is an RE2 regular expression."""

    operator: Operator
    value: Scalar

    __test__ = False  # it is none of pytest's


@dataclass(frozen=True, slots=True)
class HeaderTest:
    """What a header of the answer must be; header names know no case."""

    name: str
    test: Test


@dataclass(frozen=True, slots=True)
class JsonTest:
    """What the values at `path` (a JSONPath, see `core.jsonpath`) of the answer's JSON must be: every one of them."""

    path: str
    test: Test


@dataclass(frozen=True, slots=True)
class Conditions:
    """What can be said of one HTTP answer. `statuses` are ranges, both ends included; one of them is enough."""

    statuses: tuple[tuple[int, int], ...] = ()
    headers: tuple[HeaderTest, ...] = ()
    body: tuple[Test, ...] = ()
    json: tuple[JsonTest, ...] = ()

    @property
    def reads_body(self) -> bool:
        """Whether anything is said of the body."""
        return bool(self.body or self.json)


SUCCESS = Conditions(statuses=((200, 299),))


@dataclass(frozen=True, slots=True)
class Latency:
    """`percentile` of the answers (1 to 100) must have been there in less than `below` seconds."""

    percentile: float
    below: float


class Target(StrEnum):
    """Who is asked, where it is not an URL."""

    PODS = "pods"
    PREVIEW = "previewService"


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Requests to each ready pod's address, to the preview Service, or to any `url`, and what the answers must be.

    `url` counts instead of `target`, `port` and `path`. `port` is a name or number: of the pods' containers, or of the
    Service. With `via_api_server` requests go through the API server's proxy. `secret_headers` are read from files.
    `ca_file`: whom to trust instead of the system's authorities. Of `requests` to each target at least
    `min_success_percent` must meet all of `success`. One that meets any part of `failure` is final.
    """

    url: str = ""
    path: str = "/"
    port: str = "http"
    headers: tuple[tuple[str, str], ...] = ()
    target: Target = Target.PODS
    via_api_server: bool = False
    method: str = "GET"
    body: str = ""
    secret_headers: tuple[tuple[str, str], ...] = ()
    ca_file: str = ""
    requests: int = 1
    min_success_percent: float = 100.0
    latency: Latency | None = None
    success: Conditions = SUCCESS
    failure: Conditions | None = None


@dataclass(frozen=True, slots=True)
class JobProbe:
    """A Job out of the app's folder, which has to complete."""

    template: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a number must be; what is None is not asked for."""

    below: float | None = None
    above: float | None = None
    equals: float | None = None


class Empty(StrEnum):
    """What a query without any value counts as."""

    INCONCLUSIVE = "inconclusive"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class PrometheusProbe:
    """A query, and what its value must be: every one of them, if there are several.

    `address`: of the server; '': that of the configuration. `query` may use the names of `core.promql`. One value that
    meets `failure` is final. With both conditions, a value that meets neither is inconclusive.
    """

    address: str
    query: str
    success: Bounds | None = None
    failure: Bounds | None = None
    empty: Empty = Empty.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class PrometheusServer:
    """Where checks are asked that name no address. `token_file` holds a bearer token, `ca_file` the certificates to
    trust instead of the system's; '': none."""

    url: str
    token_file: str = ""
    ca_file: str = ""


Probe = HttpProbe | JobProbe | PrometheusProbe

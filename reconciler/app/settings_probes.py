"""What a check measures: HTTP requests, a Job, a Prometheus query, as the configuration says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from reconciler.app.settings_conditions import (
    AS_TEXT,
    MANY,
    BoundsModel,
    ConditionsModel,
    LatencyModel,
    Number,
    Text,
)
from reconciler.app.settings_fields import FolderPath, Model, rule
from reconciler.core.probe import (
    SUCCESS,
    Empty,
    HttpProbe,
    JobProbe,
    Latency,
    Probe,
    PrometheusProbe,
    Target,
)
from reconciler.core.promql import query_fault
from reconciler.core.target import header_fault, path_fault, port_fault, proxied_header_fault, url_fault


def _wrong_file(value: str) -> str:
    return "" if value and value.isprintable() and value == value.strip() else "must be the path of a file"


FilePath = Annotated[str, rule(_wrong_file)]


class _Header(Model):
    """A header of the request."""

    name: Annotated[str, rule(header_fault)] = Field(description="Its name.")
    value: Text | None = Field(default=None, description="Its value.")
    value_file: FilePath | None = Field(
        default=None, description="The file with its value, which is a secret. Not in an app.yaml."
    )

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if (self.value is None) == (self.value_file is None):
            raise ValueError("give either `value` or `valueFile`")
        if fault := header_fault(self.name, self.value or ""):
            raise ValueError(fault)
        return self


class HttpModel(Model):
    """Requests to each ready pod, to the preview Service, or to a URL, and what the answers must be."""

    url: Annotated[str, rule(url_fault)] | None = Field(
        default=None,
        description="An absolute URL instead of the app's pods. In an app.yaml only of a host that the source allows.",
    )
    target: Literal["pods", "previewService"] = Field(
        default="pods", description="Who is asked: every ready pod of the revision, or the preview Service."
    )
    via_api_server: bool = Field(
        default=False, description="Ask through the API server's proxy: for a daemon outside the cluster's network."
    )
    path: Annotated[str, rule(path_fault)] = Field(default="/", description="The path, with a query or without.")
    port: Annotated[str, AS_TEXT, rule(port_fault)] = Field(
        default="http", description="The port's name or number: of the pods' containers, or of the Service."
    )
    method: Literal["GET", "POST", "HEAD"] = Field(default="GET", description="The method.")
    headers: list[_Header] = Field(default_factory=list, max_length=MANY, description="Headers to send.")
    body: Text = Field(default="", description="What to send with POST.")
    ca_file: FilePath | None = Field(
        default=None,
        description="The certificates to trust for an https URL instead of the system's. Not in an app.yaml.",
    )
    requests: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Requests to each target in one measurement, one after the other."
    )
    min_success_percent: Annotated[Number, Field(ge=0, le=100)] = Field(
        default=100.0, description="How many of the requests to each target must meet `success`."
    )
    latency: LatencyModel | None = Field(default=None, description="How fast the answers have to be.")
    success: ConditionsModel | None = Field(
        default=None, description="What an answer must be: all of this. Status 2xx, if no `status` is given."
    )
    failure: ConditionsModel | None = Field(
        default=None, description="What no answer may be: with any of this the check fails at once."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if fault := next(_http_faults(self), ""):
            raise ValueError(fault)
        return self


def _http_faults(http: HttpModel) -> Iterator[str]:
    given = [name for name in ("target", "viaApiServer", "path", "port") if _snake(name) in http.model_fields_set]
    if http.url and given:
        yield f"has `url` and {', '.join(f'`{name}`' for name in given)}: a URL says all of that"
    if http.ca_file and not (http.url or "").startswith("https:"):
        yield "has `caFile`, which is for an https `url`"
    if http.body and http.method != "POST":
        yield "has a `body`, which is for method POST"
    if http.method == "HEAD" and any(each and (each.body or each.json_values) for each in (http.success, http.failure)):
        yield "asks for the body of an answer to HEAD, which has none"
    names = [each.name for each in http.headers]
    if twice := next((name for name in names if [each.lower() for each in names].count(name.lower()) > 1), None):
        yield f"has the header {twice} twice"
    for name in names if http.via_api_server else ():
        if fault := proxied_header_fault(name):
            yield f"has the header {name}, which {fault}"


def _snake(camel: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", camel)


class JobModel(Model):
    """A Job that has to complete."""

    template: FolderPath = Field(description="The file with the Job's template, relative to the app's folder.")


class QueryModel(Model):
    """A query to Prometheus, and what its value must be."""

    query: Annotated[str, rule(query_fault)] = Field(
        description="PromQL that gives a scalar or an instant vector; it may use `{{ app }}`, `{{ namespace }}`, "
        "`{{ version }}`, `{{ revision }}` and `{{ colour }}`."
    )
    address: Annotated[str, rule(url_fault)] | None = Field(
        default=None,
        description="Another server than that of the configuration's `prometheus`; its token is not sent there. In an "
        "app.yaml only of a host that the source allows.",
    )
    success: BoundsModel | None = Field(
        default=None, description="What every value must be. Anything that is no failure."
    )
    failure: BoundsModel | None = Field(
        default=None, description="What no value may be: with one the check fails at once before the switch."
    )
    empty_is: Literal["inconclusive", "success", "failure"] = Field(
        default="inconclusive", description="What a query without any value, or with NaN alone, counts as."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.success is None and self.failure is None:
            raise ValueError("must have `success`, `failure` or both")
        return self


def probe_of(model: HttpModel | JobModel | QueryModel) -> Probe:
    """What the model says."""
    match model:
        case HttpModel():
            return _http(model)
        case JobModel():
            return JobProbe(model.template)
    success, failure = model.success, model.failure
    bounds = (success.values if success else None, failure.values if failure else None)
    return PrometheusProbe(model.address or "", model.query, *bounds, Empty(model.empty_is))


def _http(model: HttpModel) -> HttpProbe:
    return HttpProbe(
        url=model.url or "",
        path=model.path,
        port=model.port,
        headers=tuple((each.name, each.value) for each in model.headers if each.value is not None),
        target=Target(model.target),
        via_api_server=model.via_api_server,
        method=model.method,
        body=model.body,
        secret_headers=tuple((each.name, each.value_file) for each in model.headers if each.value_file is not None),
        ca_file=model.ca_file or "",
        requests=model.requests,
        min_success_percent=model.min_success_percent,
        latency=Latency(model.latency.percentile, model.latency.below) if model.latency else None,
        success=model.success.values(SUCCESS.statuses) if model.success else SUCCESS,
        failure=model.failure.values() if model.failure else None,
    )

"""`prePromotionAnalysis`, `postPromotionAnalysis` and `prometheus`: what is checked before and after a switch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from reconciler.app.settings_checks import Problem
from reconciler.app.settings_fields import Model, Name, Seconds, at_least, duration, rule
from reconciler.app.settings_probes import FilePath, HttpModel, JobModel, QueryModel, probe_of
from reconciler.core.check import Check, Inconclusive, PostPromotion, PrePromotion
from reconciler.core.probe import PrometheusServer
from reconciler.core.strictyaml import Key
from reconciler.core.target import may_ask, url_fault

CHECK_LIMIT = 32
"""Checks of one analysis."""
_DAY = 24 * 3600.0
_JOB_TIMEOUT = 600.0
_TIMEOUT = 10.0


def _at_most(most: float, shown: str) -> AfterValidator:
    def check(value: float) -> float:
        if value > most:
            raise ValueError(f"must be at most {shown}")
        return value

    return AfterValidator(check)


class _Check(Model):
    """One check: exactly one of http, job and prometheus, and how often it is measured."""

    name: Name = Field(description="Unique among the checks of this analysis.")
    timeout: Annotated[Seconds, at_least(0.1), _at_most(3600.0, "1h")] | None = Field(
        default=None,
        description="How long one measurement may take. 10s, or 10m for a Job, if not given.",
        json_schema_extra={"examples": ["10s"]},
    )
    interval: Annotated[Seconds, at_least(0.5), _at_most(3600.0, "1h")] = duration(
        "5s", "From the beginning of one measurement to that of the next."
    )
    http: HttpModel | None = Field(default=None, description="Requests, and what the answers must be.")
    job: JobModel | None = Field(default=None, description="A Job that has to complete.")
    prometheus: QueryModel | None = Field(default=None, description="A query, and what its value must be.")

    @model_validator(mode="after")
    def _one_probe(self) -> Self:
        given = [name for name in ("http", "job", "prometheus") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"must have one of http, job, prometheus, but has {' and '.join(given) or 'none'}")
        return self


class _PreCheck(_Check):
    """A check before the switch."""

    attempts: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=3, description="How many measurements there may be before it has failed."
    )
    successes: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="How many in a row must succeed before it has passed."
    )

    @model_validator(mode="after")
    def _can_pass(self) -> Self:
        if self.successes > self.attempts:
            raise ValueError(f"asks for {self.successes} successes in {self.attempts} attempts")
        return self


class _PostCheck(_Check):
    """A check after the switch, measured for the whole window."""

    failure_limit: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=0, description="How many measurements may fail; with one more it has failed."
    )


class PreAnalysisModel(Model):
    """What a revision has to pass before traffic moves to it."""

    soak: Annotated[Seconds, at_least(0.0), _at_most(_DAY, "24h")] = duration(
        "0", "For how long every pod must have been ready; the checks are made meanwhile."
    )
    sequential: bool = Field(default=False, description="One check after the other, in this order; else all at once.")
    rerun: bool = Field(default=False, description="Also for a revision that was active before.")
    checks: list[_PreCheck] = Field(default_factory=list, max_length=CHECK_LIMIT, description="The checks.")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _require_unique(self.checks)
        return self


class PostAnalysisModel(Model):
    """What a revision has to show after the switch to it, or traffic goes back."""

    window: Annotated[Seconds, at_least(1.0), _at_most(_DAY, "24h")] = duration(
        "5m", "For how long it is watched, from when the switch is confirmed."
    )
    min_ready_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        default=50, description="So many of its wanted pods must be ready all the time. 0: that is not watched."
    )
    inconclusive: Literal["proceed", "rollback"] = Field(
        default="proceed", description="What happens if nothing failed, and some check could not be evaluated."
    )
    checks: list[_PostCheck] = Field(default_factory=list, max_length=CHECK_LIMIT, description="The checks.")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _require_unique(self.checks)
        return self


def _require_unique(checks: Sequence[_Check]) -> None:
    names = [each.name for each in checks]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"has two checks that are called `{twice}`")


class PrometheusModel(Model):
    """The Prometheus that checks ask unless they name another."""

    url: Annotated[str, rule(url_fault)] = Field(description="Its address, without `/api/v1/query`.")
    bearer_token_file: FilePath | None = Field(default=None, description="The file with a bearer token.")
    ca_file: FilePath | None = Field(
        default=None, description="The file with the certificates to trust instead of the system's."
    )


def prometheus_of(model: PrometheusModel) -> PrometheusServer:
    """What the model says."""
    return PrometheusServer(model.url, model.bearer_token_file or "", model.ca_file or "")


def pre_promotion_of(model: PreAnalysisModel | None) -> PrePromotion:
    """What the model says."""
    if model is None:
        return PrePromotion()
    checks = tuple(replace(_check(each), attempts=each.attempts, successes=each.successes) for each in model.checks)
    return PrePromotion(checks, model.soak, model.sequential, model.rerun)


def post_promotion_of(model: PostAnalysisModel | None) -> PostPromotion | None:
    """As `pre_promotion_of`; None: nothing is watched after a switch."""
    if model is None:
        return None
    checks = tuple(replace(_check(each), failure_limit=each.failure_limit) for each in model.checks)
    return PostPromotion(model.window, checks, model.min_ready_percent, Inconclusive(model.inconclusive))


def _check(model: _Check) -> Check:
    measured = model.http or model.job or model.prometheus
    assert measured, "the model has one"
    timeout = model.timeout or (_JOB_TIMEOUT if model.job else _TIMEOUT)
    return Check(model.name, probe_of(measured), timeout=timeout, interval=model.interval)


_Analyses = tuple[PreAnalysisModel | None, PostAnalysisModel | None]


def not_allowed(analyses: _Analyses, source: str, hosts: Collection[str]) -> Iterator[Problem]:
    """What an app.yaml asks for in its checks that the configuration does not allow to `source`; paths begin at the
    strategy. `hosts` are those that it allows."""
    for path, check in _checks(analyses):
        http, query = check.http, check.prometheus
        for field, url in (("http", http and http.url), ("prometheus", query and query.address)):
            if url and not may_ask(url, hosts):
                what = (
                    f"source {source} does not allow its apps' checks this host (allowed: {', '.join(hosts) or 'none'})"
                )
                yield Problem((*path, field, "url" if field == "http" else "address"), what)
        if http and http.ca_file:
            yield Problem((*path, "http", "caFile"), _NO_FILES)
        for index, header in enumerate(http.headers if http else ()):
            if header.value_file:
                yield Problem((*path, "http", "headers", index, "valueFile"), _NO_FILES)


def without_server(analyses: _Analyses) -> Iterator[Problem]:
    """The queries that name no address, for a configuration without `prometheus`; paths as in `not_allowed`."""
    for path, check in _checks(analyses):
        if check.prometheus and not check.prometheus.address:
            yield Problem((*path, "prometheus"), "has no `address`, and the configuration has no `prometheus`")


def preview_fault(analyses: _Analyses) -> str:
    """Why a strategy with these analyses cannot do without a `previewService`, or ''."""
    asking = (check.name for _, check in _checks(analyses) if check.http and check.http.target == "previewService")
    name = next(asking, "")
    return f"check `{name}` asks the preview Service, but there is no `previewService`" if name else ""


def _checks(analyses: _Analyses) -> Iterator[tuple[tuple[Key, ...], _Check]]:
    for stage, analysis in zip(("prePromotionAnalysis", "postPromotionAnalysis"), analyses, strict=True):
        for index, check in enumerate(analysis.checks if analysis else ()):
            yield ("strategy", stage, "checks", index), check


_NO_FILES = "is a file of the daemon, which an app.yaml cannot have read; only an app of the configuration can"

"""Queries for Prometheus out of an app's checks, and what its answers say. Pure; an answer is never trusted.

The format of answers: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.check import Measurement, Outcome
from reconciler.core.model import Desired, Template
from reconciler.core.probe import Bounds, Empty, PrometheusProbe
from reconciler.core.template import draw
from reconciler.errors import Invalid

NAMES = ("app", "namespace", "version", "revision", "colour")
"""What a query may use, as `{{ version }}`: text, fit to stand within the quotes of a PromQL string."""
QUERY_LIMIT = 10_000
"""Characters of a query."""
SHOWN = 200
"""Characters of a sample's labels, and of what the server says, that are shown."""

_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "`": ""})


def query_fault(query: str) -> str:
    """Why `query` is none, or uses names that there are not; '' if nothing is wrong. PromQL itself is not checked."""
    if not query.strip():
        return "is empty"
    if len(query) > QUERY_LIMIT:
        return f"is longer than {QUERY_LIMIT} characters"
    try:
        _drawn(query, dict.fromkeys(NAMES, "x"))
    except Invalid as error:
        return f"{error.what}; it may use {', '.join(f'`{{{{ {name} }}}}`' for name in NAMES)}"
    return ""


def query_of(probe: PrometheusProbe, desired: Desired) -> str:
    """The query for that revision. Raises `Invalid` as rendering does."""
    known = {
        "app": desired.app.name,
        "namespace": desired.app.namespace,
        "version": desired.version,
        "revision": desired.revision,
        "colour": desired.slot.colour.value,
    }
    return _drawn(probe.query, {name: text.translate(_ESCAPED) for name, text in known.items()})


def _drawn(query: str, names: Mapping[str, str]) -> str:
    return draw(Template("query", query), names).text.strip()


@dataclass(frozen=True, slots=True)
class Sample:
    """One value, and the labels that tell it from others."""

    value: float
    labels: str = ""

    def __str__(self) -> str:
        shown = f"{self.value:.6g}"
        return f"{shown} {self.labels}" if self.labels else shown


class Unusable(Exception):
    """An answer that is no result; the text says why."""


def samples_of(body: bytes, status: int) -> tuple[tuple[Sample, ...], str]:
    """The values in the answer to an instant query, and the server's warnings. Raises `Unusable`."""
    document = _parsed(body, status)
    if document.get("status") != "success":
        kind, what = document.get("errorType"), document.get("error")
        raise Unusable(f"Prometheus refuses the query with {status}: {_cut(f'{kind}: {what}')}")
    data = document.get("data")
    if status != 200 or not isinstance(data, dict):
        raise Unusable(f"Prometheus answers {status}, and without data")
    return _samples(data), _warnings(document)


def _parsed(body: bytes, status: int) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Unusable(f"what answers {status} is no Prometheus: the body is no JSON") from None
    if not isinstance(document, dict):
        raise Unusable(f"what answers {status} is no Prometheus: the body is no JSON object")
    return document


def _samples(data: Mapping[str, Any]) -> tuple[Sample, ...]:
    kind, result = data.get("resultType"), data.get("result")
    try:
        if kind == "scalar":
            return (Sample(_number(result)),)
        if kind == "vector" and isinstance(result, list):
            return tuple(Sample(_number(each["value"]), _labels(each["metric"])) for each in result)
    except (KeyError, TypeError, ValueError, IndexError):
        raise Unusable("Prometheus' result cannot be read") from None
    raise Unusable(f"the query gives a {_cut(str(kind))}: it has to give a scalar, or an instant vector of numbers")


def _number(pair: Any) -> float:
    value = pair[1]
    if not isinstance(value, str):
        raise TypeError("values are texts")
    return float(value)


def _labels(metric: Any) -> str:
    shown = ", ".join(f'{name}="{value}"' for name, value in metric.items() if name != "__name__")
    return _cut(f"{{{shown}}}") if shown else ""


def _warnings(document: Mapping[str, Any]) -> str:
    warnings = document.get("warnings")
    return _cut("; ".join(map(str, warnings))) if isinstance(warnings, list) and warnings else ""


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def judged(probe: PrometheusProbe, samples: Sequence[Sample], warnings: str = "") -> Measurement:
    """What the values come to. An answer with warnings may be incomplete, so it is inconclusive unless it fails."""
    numbers = [each for each in samples if not math.isnan(each.value)]
    measured = _measured(numbers)
    for each in numbers:
        if probe.failure and _meets(probe.failure, each.value):
            return Measurement(Outcome.FAILED, str(each), f"failure condition: it is {_words(probe.failure)}", True)
    if not numbers:
        return _empty(probe, "no value" if not samples else "NaN")
    bad = next((each for each in numbers if probe.success and not _meets(probe.success, each.value)), None)
    if bad and probe.success and not probe.failure:
        return Measurement(Outcome.FAILED, str(bad), f"it has to be {_words(probe.success)}")
    if bad and probe.success:
        return Measurement(Outcome.INCONCLUSIVE, str(bad), f"it is neither {_words(probe.success)} nor a failure")
    if warnings:
        return Measurement(Outcome.INCONCLUSIVE, measured, f"Prometheus warns: {warnings}")
    if len(numbers) < len(samples):
        return Measurement(Outcome.INCONCLUSIVE, measured, f"{len(samples) - len(numbers)} more are NaN")
    return Measurement(Outcome.PASSED, measured)


def _empty(probe: PrometheusProbe, measured: str) -> Measurement:
    outcome = {Empty.SUCCESS: Outcome.PASSED, Empty.FAILURE: Outcome.FAILED}.get(probe.empty, Outcome.INCONCLUSIVE)
    return Measurement(outcome, measured, "the query gives no value")


def _meets(bounds: Bounds, value: float) -> bool:
    return (
        (bounds.below is None or value < bounds.below)
        and (bounds.above is None or value > bounds.above)
        and (bounds.equals is None or value == bounds.equals)
    )


def _words(bounds: Bounds) -> str:
    parts = (("below", bounds.below), ("above", bounds.above), ("equal to", bounds.equals))
    return " and ".join(f"{word} {value:g}" for word, value in parts if value is not None)


def _measured(numbers: Sequence[Sample]) -> str:
    if len(numbers) <= 1:
        return str(numbers[0]) if numbers else ""
    highest = max(numbers, key=lambda each: each.value)
    lowest = min(numbers, key=lambda each: each.value)
    return f"{len(numbers)} values, from {lowest} to {highest}"

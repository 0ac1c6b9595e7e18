"""Queries for Prometheus, and what its answers come to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.check import Outcome
from reconciler.core.probe import Bounds, Empty, PrometheusProbe
from reconciler.core.promql import Sample, Unusable, judged, query_of, samples_of
from reconciler.core.render import render
from tests.fakes.rendering import APP, SLOT, release

DESIRED = render(APP, release(), SLOT)
LOW = PrometheusProbe("", "q", success=Bounds(below=0.05))
HIGH = PrometheusProbe("", "q", failure=Bounds(above=0.1))
BOTH = PrometheusProbe("", "q", success=Bounds(below=0.05), failure=Bounds(above=0.1))
NAN = float("nan")


def vector(*values: str, **more: Any) -> bytes:
    result = [{"metric": {"__name__": "x", "pod": f"p{i}"}, "value": [1.0, each]} for i, each in enumerate(values)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **more}).encode()


def test_a_query_names_what_it_is_about() -> None:
    query = '{{ app }} {{ namespace }} {{ version }} {{ revision }} {{ colour }} sum by (x) (a{b="c"}[5m])'
    said = f'shop web v1 {DESIRED.revision} green sum by (x) (a{{b="c"}}[5m])'
    assert query_of(replace(LOW, query=query), DESIRED) == said


def test_what_is_put_in_stays_within_its_quotes() -> None:
    hostile = replace(DESIRED, version='v"} or up{a="\\\n`')
    query = query_of(replace(LOW, query='up{version="{{ version }}"}'), hostile)
    assert query == 'up{version="v\\"} or up{a=\\"\\\\\\n"}'


@pytest.mark.parametrize(
    ("probe", "values", "outcome", "final"),
    [
        (LOW, [0.01], "passed", False),
        (LOW, [0.01, 0.04], "passed", False),
        (LOW, [0.01, 0.05], "failed", False),
        (LOW, [float("inf")], "failed", False),
        (LOW, [], "inconclusive", False),
        (LOW, [NAN], "inconclusive", False),
        (LOW, [NAN, 0.01], "inconclusive", False),
        (LOW, [NAN, 0.9], "failed", False),
        (HIGH, [0.1], "passed", False),
        (HIGH, [0.0, 0.2], "failed", True),
        (BOTH, [0.01], "passed", False),
        (BOTH, [0.07], "inconclusive", False),
        (BOTH, [0.2], "failed", True),
        (BOTH, [0.07, 0.2], "failed", True),
        (replace(LOW, empty=Empty.SUCCESS), [], "passed", False),
        (replace(LOW, empty=Empty.FAILURE), [NAN], "failed", False),
        (PrometheusProbe("", "q", Bounds(above=1, below=2)), [1.5], "passed", False),
        (PrometheusProbe("", "q", Bounds(above=1, below=2)), [2.0], "failed", False),
        (PrometheusProbe("", "q", Bounds(equals=0)), [0.0], "passed", False),
    ],
)
def test_values(probe: PrometheusProbe, values: list[float], outcome: str, final: bool) -> None:
    found = judged(probe, [Sample(each) for each in values])
    assert (found.outcome, found.final) == (Outcome(outcome), final)


def test_warnings_make_a_good_value_doubtful_and_a_bad_one_no_better() -> None:
    good = judged(LOW, [Sample(0.01)], "one store is away")
    assert (good.outcome, good.reason) == (Outcome.INCONCLUSIVE, "Prometheus warns: one store is away")
    assert judged(LOW, [Sample(0.9)], "one store is away").outcome is Outcome.FAILED


def test_what_is_said_of_values() -> None:
    assert judged(LOW, [Sample(0.0123456789)]).measured == "0.0123457"
    several = judged(LOW, [Sample(0.01, '{pod="a"}'), Sample(0.02, '{pod="b"}')])
    assert several.measured == '2 values, from 0.01 {pod="a"} to 0.02 {pod="b"}'
    bad = judged(LOW, [Sample(0.01, '{pod="a"}'), Sample(0.2, '{pod="b"}')])
    assert (bad.measured, bad.reason) == ('0.2 {pod="b"}', "it has to be below 0.05")
    assert judged(BOTH, [Sample(0.07)]).reason == "it is neither below 0.05 nor a failure"
    assert judged(HIGH, [Sample(0.3)]).reason == "failure condition: it is above 0.1"


def test_answers_are_read() -> None:
    assert samples_of(vector("0.5", "NaN"), 200)[0][0] == Sample(0.5, '{pod="p0"}')
    scalar = {"status": "success", "data": {"resultType": "scalar", "result": [1, "+Inf"]}, "warnings": ["a", "b"]}
    assert samples_of(json.dumps(scalar).encode(), 200) == ((Sample(float("inf")),), "a; b")
    assert samples_of(vector(), 200) == ((), "")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"status":"error","errorType":"bad_data","error":"parse error"}', 400, "with 400: bad_data: parse error"),
        (b'{"status":"error","errorType":"timeout","error":"' + b"x" * 5000 + b'"}', 503, "with 503: timeout: xxx"),
        (b"<html>bad gateway</html>", 502, "what answers 502 is no Prometheus"),
        (b"", 200, "the body is no JSON"),
        (b"[" * 100_000, 200, "the body is no JSON"),
        (b"[]", 200, "no JSON object"),
        (b'{"status":"success"}', 200, "without data"),
        (vector("1"), 500, "answers 500"),
        (b'{"status":"success","data":{"resultType":"matrix","result":[]}}', 200, "gives a matrix"),
        (b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}', 200, "cannot be read"),
        (b'{"status":"success","data":{"resultType":"vector","result":[1]}}', 200, "cannot be read"),
        (b'{"status":"success","data":{"resultType":"scalar","result":[1, 2]}}', 200, "cannot be read"),
        (b'{"status":"success","data":{"resultType":"scalar","result":[1, "x"]}}', 200, "cannot be read"),
        (
            b'{"status":"success","data":{"resultType":"vector","result":[{"metric":[],"value":[1,"1"]}]}}',
            200,
            "cannot",
        ),
    ],
)
def test_what_is_no_answer_says_so(body: bytes, status: int, said: str) -> None:
    with pytest.raises(Unusable) as caught:
        samples_of(body, status)
    assert said in str(caught.value) and len(str(caught.value)) < 500


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["status", "data", "resultType", "result", "metric", "value", "error"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(_JSON, _JSON)
def test_no_answer_breaks_it(data: Any, result: Any) -> None:
    for document in (data, {"status": "success", "data": {"resultType": "vector", "result": [result, data]}}):
        try:
            samples, warnings = samples_of(json.dumps(document).encode(), 200)
        except Unusable:
            continue
        judged(BOTH, samples, warnings)

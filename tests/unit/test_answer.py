"""Whether answers are what a check asks for, and whom it asks; nothing that is in an answer does any harm."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.answer import Answer, Judgement, Silence, combined, judged, met, unmet
from reconciler.core.check import Outcome
from reconciler.core.jsonpath import path_fault as jsonpath_fault
from reconciler.core.jsonpath import values_at
from reconciler.core.model import App, Desired, Strategy
from reconciler.core.pattern import is_found, pattern_fault
from reconciler.core.probe import Conditions, HeaderTest, HttpProbe, JsonTest, Latency, Operator, Target, Test
from reconciler.core.render import render
from reconciler.core.target import Asked, Unmeasurable, asked, host_fault, may_ask, path_fault, url_fault
from tests.fakes.rendering import APP, SLOT, release


def answer(body: Any = b"", status: int = 200, seconds: float = 0.01) -> Answer:
    return Answer(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode(), seconds)


def about(path: str, operator: str, value: Any) -> Conditions:
    return Conditions(json=(JsonTest(path, Test(Operator(operator), value)),))


@pytest.mark.parametrize(
    ("document", "path", "operator", "value", "holds"),
    [
        ({"a": "ok"}, "$.a", "equals", "ok", True),
        ({"a": 1}, "$.a", "equals", 1.0, True),
        ({"a": True}, "$.a", "equals", 1, False),
        ({"a": 1}, "$.a", "equals", True, False),
        ({"a": "1"}, "$.a", "equals", 1, False),
        ({"a": "no"}, "$.a", "notEquals", "ok", True),
        ({}, "$.a", "notEquals", "ok", False),
        ({"a": [1, 2]}, "$.a[*]", "above", 0.0, True),
        ({"a": [1, -2]}, "$.a[*]", "above", 0.0, False),
        ({"a": []}, "$.a[*]", "above", 0.0, False),
        ({"a": "5"}, "$.a", "above", 0.0, False),
        ({"a": True}, "$.a", "above", 0.0, False),
        ({"a": 10**400}, "$.a", "above", 1.0, True),
        ({"a": 1}, "$.a", "below", 1.0, False),
        ({"a": "v2.1"}, "$.a", "matches", r"^v2\.", True),
        ({"a": 5}, "$.a", "matches", "5", False),
        ({"a": ["x", "y"]}, "$.a", "contains", "y", True),
        ({"a": "xy"}, "$.a", "contains", "y", True),
        ({"a": {"y": 1}}, "$.a", "contains", "y", False),
        ({"a": None}, "$.a", "exists", True, True),
        ({}, "$.a", "exists", True, False),
        ({}, "$.a", "exists", False, True),
        ([{"s": "ok"}, {"s": "bad"}], "$[*].s", "equals", "ok", False),
        ({"a b": [1, 2, 3]}, "$['a b'][-1]", "equals", 3, True),
        ("text", "$", "equals", "text", True),
        ('{"a": 1}', "$.a", "exists", True, False),
        (5, "$.a", "exists", True, False),
    ],
)
def test_values_in_json(document: Any, path: str, operator: str, value: Any, holds: bool) -> None:
    conditions = about(path, operator, value)
    assert (unmet(conditions, answer(document)) == "") is holds
    assert (met(conditions, answer(document)) != "") is holds


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff\xfe", b"[" * 1_000_000, b"NaN", b'{"a": Infinity}', b"9" * 100_000, b'{"a": 1', b"\0"],
)
def test_what_is_no_json_meets_nothing_and_says_so(body: bytes) -> None:
    conditions = about("$.a", "exists", True)
    assert "no JSON" in unmet(conditions, answer(body)) or "is not there" in unmet(conditions, answer(body))
    assert met(conditions, answer(body)) == ""
    assert len(unmet(conditions, answer(body))) < 1000


@given(st.binary(max_size=200), st.integers(100, 599))
def test_no_body_breaks_it(body: bytes, status: int) -> None:
    conditions = Conditions(
        ((200, 299),),
        (HeaderTest("x", Test(Operator.MATCHES, "a")),),
        (Test(Operator.MATCHES, "(a+)+$"), Test(Operator.CONTAINS, "é")),
        (JsonTest("$[*].a", Test(Operator.BELOW, 5.0)),),
    )
    assert unmet(conditions, answer(body, status)) != ""
    met(conditions, answer(body, status))


def test_words_say_what_is_and_what_has_to_be() -> None:
    assert unmet(Conditions(((200, 204), (301, 301))), answer(b"boom", 500)) == (
        'the status is 500, not 200-204 or 301; it says "boom"'
    )
    assert (
        unmet(Conditions(((200, 200),)), answer(b"", 302)) == "the status is 302, not 200; redirects are not followed"
    )
    header = Conditions(headers=(HeaderTest("X-Version", Test(Operator.EQUALS, "v2")),))
    assert unmet(header, answer()) == "the header X-Version is not there"
    said = 'the header X-Version is "v1": it has to be one that equals "v2"'
    assert unmet(header, replace(answer(), headers={"x-version": "v1"})) == said
    assert met(about("$.a", "above", 3.0), answer({"a": 5})) == "$.a is 5: it is above 3.0"
    body = Conditions(body=(Test(Operator.CONTAINS, "ok"),))
    assert len(unmet(body, answer(b"x" * 100_000))) < 300


def test_a_body_that_was_cut_off_meets_nothing() -> None:
    conditions = Conditions(body=(Test(Operator.CONTAINS, "a"),))
    cut = replace(answer(b"a"), complete=False)
    assert unmet(conditions, cut) == "the body is larger than 1 MiB"
    assert met(conditions, cut) == ""
    assert unmet(Conditions(((200, 200),)), cut) == "", "nothing was asked of the body"


def test_no_pattern_takes_long() -> None:
    assert not is_found("(a+)+$", "a" * 1_000_000 + "b")
    assert not is_found("(x+x+)+y", "x" * 1_000_000)
    for bad in ("(", "(?=a)", r"(a)\1", "a" * 1001, "(?:a{1000}){1000}", "(" * 1000):
        assert pattern_fault(bad) != ""
        assert not is_found(bad, "a")


def test_a_path_is_no_more_work_than_the_document_is_long() -> None:
    for bad in ("$..a", "$[?@.a]", "$[0,1]", "a.b", "", "$.", "$[", "$.a | $.b", "$" + ".a" * 300, "$.a[?length(@)>1]"):
        assert jsonpath_fault(bad) != "", bad
    for good in ("$", "$.a", "$['a b']", "$[0]", "$[-1]", "$.a[*].b", "$.a[1:3]", "$.é"):
        assert jsonpath_fault(good) == "", good
    nested: Any = 1
    for _ in range(100):
        nested = [nested, nested]
    assert len(values_at("$" + "[*]" * 8, nested)) == 256


@given(st.text(alphabet="$.[]*'\"?@()ab01:,|&~ \\-", max_size=20))
def test_any_text_is_a_path_or_is_told_why_not(text: str) -> None:
    if jsonpath_fault("$" + text) == "":
        values_at("$" + text, {"a": [1, {"b": "x"}]})


ONE = HttpProbe()
MANY = HttpProbe(requests=4, min_success_percent=50, latency=Latency(75.0, 0.3))
HANGS, AWAY = Silence("no whole answer within 10s", True), Silence("no route", False)


def test_one_request() -> None:
    assert judged(ONE, [answer(seconds=0.0123)], 10) == Judgement(Outcome.PASSED, "200 in 12ms")
    bad = judged(ONE, [answer(status=503)], 10)
    assert (bad.outcome, bad.measured, bad.final) == (Outcome.FAILED, "503 in 10ms", False)
    assert judged(ONE, [HANGS], 10) == Judgement(Outcome.FAILED, "no answer", "no whole answer within 10s")
    assert judged(ONE, [AWAY], 10) == Judgement(Outcome.INCONCLUSIVE, "no answer", "no route")
    assert judged(ONE, [], 10).outcome is Outcome.FAILED


def test_shares_and_percentiles_are_over_all_requests_that_were_asked_for() -> None:
    def of(*answers: Answer | Silence) -> tuple[Outcome, str]:
        found = judged(MANY, answers, 10)
        return found.outcome, found.reason

    fast, slow, bad = answer(seconds=0.1), answer(seconds=0.5), answer(status=500)
    assert of(fast, fast, fast, slow) == (Outcome.PASSED, "")
    assert of(fast, fast, slow, slow)[1] == "the 75th percentile must be below 300ms, and is 500ms"
    assert of(fast, fast, bad, bad) == (Outcome.PASSED, "")
    assert of(fast, bad, bad, bad)[1].startswith("1 of 4 requests succeeded; the status is 500")
    assert of(fast, fast)[1] == "the 75th percentile must be below 300ms, and is for ever"
    assert of(fast)[1] == "1 of 4 requests succeeded; only 1 requests fitted into 10s"
    assert of(fast, fast, fast, HANGS) == (Outcome.PASSED, "")
    assert of(AWAY)[0] is Outcome.INCONCLUSIVE
    assert judged(MANY, [fast, bad, bad, HANGS], 10).measured == (
        "1 × 200, 2 × 500, 1 × no answer; 75th percentile 100ms"
    )


def test_one_answer_that_meets_the_failure_condition_is_final() -> None:
    probe = replace(MANY, failure=Conditions(((500, 599),)))
    found = judged(probe, [answer(), answer(status=500), answer(), answer()], 10)
    assert (found.outcome, found.final) == (Outcome.FAILED, True)
    assert found.reason == "failure condition: the status is 500"


def test_of_several_pods_the_worst_counts_and_is_named() -> None:
    good, unknown = Judgement(Outcome.PASSED, "200"), Judgement(Outcome.INCONCLUSIVE, "no answer", "no route")
    bad, final = Judgement(Outcome.FAILED, "500", "bad"), Judgement(Outcome.FAILED, "501", "worse", final=True)
    assert combined({"": good}).measured == "200"
    assert combined({"a": good, "b": unknown}).outcome is Outcome.INCONCLUSIVE
    found = combined({"a": good, "b": bad, "c": unknown})
    assert (found.outcome, found.measured, found.reason) == (
        Outcome.FAILED,
        "b: 500 (1 of 3 pods passed)",
        "b: bad",
    )
    assert combined({"a": bad, "b": final, "c": good}).final


DESIRED: Desired = render(APP, release(), SLOT)
WORKLOAD = DESIRED.components[0].manifest["metadata"]["name"]
_WITH_PREVIEW = replace(APP, strategy=replace(APP.strategy, preview_service="shop-preview"))
PREVIEWED = render(_WITH_PREVIEW, release(), SLOT)
PODS = {f"{WORKLOAD}-x1": "10.0.0.1", f"{WORKLOAD}-x2": "fd00::2"}


def test_every_ready_pod_is_asked_at_the_port_that_its_template_names() -> None:
    assert asked(HttpProbe(path="/ready"), DESIRED, PODS) == (
        Asked(f"{WORKLOAD}-x1", "http://10.0.0.1:8080/ready"),
        Asked(f"{WORKLOAD}-x2", "http://[fd00::2]:8080/ready"),
    )
    assert asked(HttpProbe(port="9"), DESIRED, PODS)[0].url == "http://10.0.0.1:9/"


def test_through_the_api_server() -> None:
    pod = asked(HttpProbe(via_api_server=True), DESIRED, PODS)[0]
    assert pod == Asked(f"{WORKLOAD}-x1", f"/api/v1/namespaces/web/pods/{WORKLOAD}-x1:8080/proxy/", proxied=True)
    preview = HttpProbe(target=Target.PREVIEW, via_api_server=True)
    [service] = asked(preview, PREVIEWED, {})
    assert service == Asked("", "/api/v1/namespaces/web/services/shop-preview:8080/proxy/", proxied=True)


MADE_BY_HAND: dict[str, Any] = {
    "metadata": {"name": "shop-preview"},
    "spec": {
        "ports": [{"name": "web", "port": 80, "targetPort": "http"}, {"name": "probe", "port": 81, "targetPort": 8086}]
    },
}


@pytest.mark.parametrize(
    ("port", "headless", "number"),
    [
        ("web", True, "8080"),  # it leads to the container's port http
        ("80", True, "8080"),
        ("probe", True, "8086"),
        ("9000", True, "9000"),
        ("web", False, "80"),
        ("80", False, "80"),
        ("9000", False, "9000"),
    ],
)
def test_the_preview_service_by_its_name_and_the_ports_of_pods_if_it_is_headless(
    port: str, headless: bool, number: str
) -> None:
    spec = {**MADE_BY_HAND["spec"], **({"clusterIP": "None"} if headless else {})}
    desired = replace(DESIRED, preview={**MADE_BY_HAND, "spec": spec})
    [found] = asked(HttpProbe(target=Target.PREVIEW, port=port), desired, {})
    assert found == Asked("", f"http://shop-preview.web.svc:{number}/")


def test_a_preview_service_of_our_own_making_has_the_ports_of_the_pods() -> None:
    assert asked(HttpProbe(target=Target.PREVIEW), PREVIEWED, {}) == (Asked("", "http://shop-preview.web.svc:8080/"),)
    with pytest.raises(Unmeasurable, match="no port of the Service shop-preview is called `http`"):
        asked(HttpProbe(target=Target.PREVIEW), replace(DESIRED, preview=MADE_BY_HAND), {})


@pytest.mark.parametrize(
    ("probe", "pods", "said"),
    [
        (HttpProbe(), {}, "no pod is ready"),
        (HttpProbe(port="admin"), PODS, "no port of a container is called `admin`"),
        (HttpProbe(), {"other-1": "10.0.0.9"}, "no port of a container is called `http`"),
        (HttpProbe(target=Target.PREVIEW), PODS, "the app has no `strategy.previewService`"),
        (HttpProbe(path="/../../secrets", via_api_server=True), PODS, "the path must not hold"),
        (HttpProbe(url="http://elsewhere.example.com/"), PODS, "the configuration does not allow"),
    ],
)
def test_whoever_cannot_be_asked_is_no_pass(probe: HttpProbe, pods: dict[str, str], said: str) -> None:
    with pytest.raises(Unmeasurable, match=said):
        asked(probe, DESIRED, pods)


def test_an_url_only_of_a_host_that_is_allowed() -> None:
    app = App("shop", "web", "git", Strategy("shop"), check_hosts=("votes.example.com",))
    probe = HttpProbe(url="https://votes.example.com/shop")
    assert asked(probe, replace(DESIRED, app=app), {}) == (Asked("", "https://votes.example.com/shop"),)


@pytest.mark.parametrize(
    ("url", "hosts", "allowed"),
    [
        ("https://a.example.com/x", ("a.example.com",), True),
        ("https://A.Example.COM", ("a.example.com",), True),
        ("https://a.example.com:8443", ("a.example.com",), True),
        ("https://a.example.com:8443", ("a.example.com:443",), False),
        ("https://a.example.com", ("a.example.com:443",), True),
        ("http://a.example.com", ("a.example.com:80",), True),
        ("https://a.example.com", ("*.example.com",), True),
        ("https://example.com", ("*.example.com",), False),
        ("https://aexample.com", ("*.example.com",), False),
        ("https://example.com.evil.net", ("example.com", "*.example.com"), False),
        ("https://evil.net/?a=example.com", ("example.com",), False),
        ("https://example.com@evil.net/", ("example.com",), False),
        ("https://evil.net\\@example.com/", ("example.com",), False),
        ("https://evil.net#@example.com/", ("example.com",), False),
        ("https://example.com\n.evil.net/", ("example.com",), False),
        ("http://[::1]:8080/", ("[::1]",), True),
        ("http://anything", ("*",), True),
        ("http://anything", (), False),
        ("file:///etc/passwd", ("*.x",), False),
    ],
)
def test_hosts(url: str, hosts: tuple[str, ...], allowed: bool) -> None:
    assert may_ask(url, hosts) is allowed


def test_faults_of_hosts_urls_and_paths() -> None:
    assert [host_fault(each) for each in ("a.b", "*.a.b", "a:1", "10.0.0.1:80", "[::1]", "[::1]:80")] == [""] * 6
    assert all(host_fault(each) for each in ("", "*", "a/b", "A.b", "a:0", "a:99999", "a b", "http://a"))
    assert all(url_fault(each) for each in ("", "a", "http://", "http://a b", "http://a:99999", "http://u@a", "//a"))
    assert path_fault("/a/b?c=../d&e=%2e%2e") == ""
    assert all(path_fault(each) for each in ("", "a", "/a b", "/é", "/a\\b", "/./a", "/a/..", "/%2E%2E/", "/" * 3000))

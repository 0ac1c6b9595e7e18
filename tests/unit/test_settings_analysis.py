"""Checks in the configuration and in an app.yaml: what arrives, and what is said of mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.app.discovery import parse_app_file
from reconciler.app.settings import parse_settings
from reconciler.app.settings_source import SourceSettings
from reconciler.core.check import Check, Inconclusive, PostPromotion, PrePromotion
from reconciler.core.gitref import branch
from reconciler.core.model import App
from reconciler.core.probe import (
    Bounds,
    Conditions,
    Empty,
    HeaderTest,
    HttpProbe,
    JobProbe,
    JsonTest,
    Latency,
    Operator,
    PrometheusProbe,
    PrometheusServer,
    Target,
    Test,
)
from reconciler.errors import Invalid

SOURCE = SourceSettings("git", "/x", branch("main"), 30.0, 60.0, check_hosts=("votes.example.com",))


def app(strategy: str, source: SourceSettings = SOURCE) -> App:
    return parse_app_file(f"strategy:\n{strategy}".encode(), "apps/shop/app.yaml", source)


def pre(check: str) -> str:
    return f"  prePromotionAnalysis:\n    checks:\n    - {check}\n"


def refused(strategy: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        app(strategy)
    return [line.removeprefix("apps/shop/app.yaml:") for line in caught.value.what.splitlines()]


def why(check: str) -> str:
    [line] = refused(pre(check))
    return line


def probe(http: str) -> HttpProbe:
    preview = "  previewService: shop-preview\n" if "previewService" in http else ""
    found = app(preview + pre(f"name: a\n      http: {http}")).strategy.pre_promotion.checks[0].probe
    assert isinstance(found, HttpProbe)
    return found


def test_nothing_is_checked_unless_it_is_asked_for() -> None:
    strategy = app("  scaleDownDelay: 1m\n").strategy
    assert (strategy.pre_promotion, strategy.post_promotion) == (PrePromotion(), None)


def test_every_field_of_an_analysis_arrives() -> None:
    strategy = app("""\
  prePromotionAnalysis:
    soak: 30s
    sequential: true
    rerun: true
    checks:
    - {name: one, timeout: 3s, interval: 2s, attempts: 7, successes: 2, http: {}}
    - {name: two, job: {template: checks/smoke.yaml}}
  postPromotionAnalysis:
    window: 2m
    minReadyPercent: 80
    inconclusive: rollback
    checks:
    - name: errors
      failureLimit: 3
      prometheus: {query: up, success: {below: 1.0e0, above: '-1.50'}, emptyIs: success}
""").strategy
    one = Check("one", HttpProbe(), timeout=3.0, interval=2.0, attempts=7, successes=2)
    two = Check("two", JobProbe("checks/smoke.yaml"), timeout=600.0)
    assert strategy.pre_promotion == PrePromotion((one, two), soak=30.0, sequential=True, rerun=True)
    query = PrometheusProbe("", "up", Bounds(1.0, -1.5), None, Empty.SUCCESS)
    errors = Check("errors", query, failure_limit=3)
    assert strategy.post_promotion == PostPromotion(120.0, (errors,), 80, Inconclusive.ROLLBACK)


def test_every_field_of_an_http_check_arrives() -> None:
    found = probe("""
        target: previewService
        viaApiServer: true
        path: /ready?deep=1
        port: 8086
        method: POST
        headers: [{name: X-Token, value: a}]
        body: ping
        requests: 20
        minSuccessPercent: 90
        latency: {percentile: 99, below: 300ms}
        success:
          status: [200, 3xx, 404-405]
          headers: [{name: Content-Type, contains: json}, {name: Via, exists: false}]
          body: [{matches: 'v[0-9]'}, {equals: ok}]
          json: [{path: $.status, equals: ok}, {path: '$.n[*]', above: 3}, {path: $.x, notEquals: true}]
        failure: {status: [5xx]}""")
    success = Conditions(
        ((200, 200), (300, 399), (404, 405)),
        (HeaderTest("Content-Type", Test(Operator.CONTAINS, "json")), HeaderTest("Via", Test(Operator.EXISTS, False))),
        (Test(Operator.MATCHES, "v[0-9]"), Test(Operator.EQUALS, "ok")),
        (
            JsonTest("$.status", Test(Operator.EQUALS, "ok")),
            JsonTest("$.n[*]", Test(Operator.ABOVE, 3.0)),
            JsonTest("$.x", Test(Operator.NOT_EQUALS, True)),
        ),
    )
    assert found == HttpProbe(
        path="/ready?deep=1",
        port="8086",
        headers=(("X-Token", "a"),),
        target=Target.PREVIEW,
        via_api_server=True,
        method="POST",
        body="ping",
        requests=20,
        min_success_percent=90.0,
        latency=Latency(99.0, 0.3),
        success=success,
        failure=Conditions(((500, 599),)),
    )


def test_without_a_status_any_2xx_is_a_success() -> None:
    assert probe("{success: {body: [{contains: ok}]}}").success.statuses == ((200, 299),)
    assert probe("{failure: {body: [{contains: no}]}}").failure == Conditions(body=(Test(Operator.CONTAINS, "no"),))


BASE = "4: strategy.prePromotionAnalysis.checks[0]"


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("{name: a}", ": must have one of http, job, prometheus, but has none"),
        ("{name: a, http: {}, job: {template: x}}", ": must have one of http, job, prometheus, but has http and job"),
        ("{name: A, http: {}}", ".name: may only hold a-z, 0-9 and `-`"),
        ("{name: a, http: {}, attempts: 2, successes: 3}", ": asks for 3 successes in 2 attempts"),
        ("{name: a, http: {}, failureLimit: 2}", ".failureLimit: unknown key"),
        ("{name: a, http: {}, timeout: 2h}", ".timeout: must be at most 1h"),
        ("{name: a, http: {}, timeout: 0}", ".timeout: must be at least 0.1s"),
        ("{name: a, http: {}, interval: 1ms}", ".interval: must be at least 0.5s"),
        ("{name: a, http: {pth: /}}", ".http.pth: unknown key (did you mean `path`?)"),
        ("{name: a, http: {path: x}}", ".http.path: must begin with `/`"),
        ("{name: a, http: {path: /../secrets}}", ".http.path: must not hold `.` or `..`"),
        ("{name: a, http: {path: /%2e%2E/x}}", ".http.path: must not hold `.` or `..`"),
        ("{name: a, http: {path: /%252e%252e/x}}", ".http.path: must not hold `.` or `..`"),
        ("{name: a, http: {path: /..%2fx}}", ".http.path: must not hold `.` or `..`"),
        ("{name: a, http: {port: 70000}}", ".http.port: must be a port from 1 to 65535"),
        ("{name: a, http: {port: A_b}}", ".http.port: may only hold a-z"),
        ("{name: a, http: {url: ftp://x}}", ".http.url: must be an absolute URL"),
        ("{name: a, http: {url: 'https://me:pw@votes.example.com/'}}", ".http.url: holds a user or password"),
        ("{name: a, http: {url: 'http://votes.example.com', path: /}}", ".http: has `url` and `path`"),
        ("{name: a, http: {requests: 0}}", ".http.requests: input should be greater than or equal to 1"),
        ("{name: a, http: {method: DELETE}}", ".http.method: input should be 'GET', 'POST' or 'HEAD'"),
        ("{name: a, http: {body: x}}", ".http: has a `body`, which is for method POST"),
        ("{name: a, http: {method: HEAD, success: {body: [{contains: x}]}}}", ".http: asks for the body"),
        ("{name: a, http: {success: {}}}", ".http.success: must have one of status, headers, body, json"),
        ("{name: a, http: {success: {status: [20]}}}", ".http.success.status[0]: is no status"),
        ("{name: a, http: {success: {status: [300-200]}}}", ".http.success.status[0]: ends before it begins"),
        ("{name: a, http: {success: {body: [{}]}}}", ".http.success.body[0]: must have one of equals"),
        ("{name: a, http: {success: {body: [{equals: a, contains: b}]}}}", ".http.success.body[0]: must have one"),
        ("{name: a, http: {success: {body: [{matches: '('}]}}}", ".http.success.body[0].matches: is no regular"),
        ("{name: a, http: {success: {body: [{matches: '(?=a)'}]}}}", ".http.success.body[0].matches: is no regular"),
        ("{name: a, http: {success: {json: [{path: a, equals: 1}]}}}", ".http.success.json[0].path: must begin with"),
        ("{name: a, http: {success: {json: [{path: $..a, equals: 1}]}}}", ".http.success.json[0].path: may hold names"),
        ("{name: a, http: {success: {json: [{path: $., equals: 1}]}}}", ".http.success.json[0].path: is no JSONPath"),
        ("{name: a, http: {success: {json: [{path: $.a, equals: []}]}}}", ".http.success.json[0].equals: must be a"),
        ("{name: a, http: {success: {json: [{path: $.a, above: x}]}}}", ".http.success.json[0].above: must be a num"),
        ("{name: a, http: {headers: [{name: a}]}}", ".http.headers[0]: give either `value` or `valueFile`"),
        ("{name: a, http: {headers: [{name: a b, value: x}]}}", ".http.headers[0].name: is no name of a header"),
        ('{name: a, http: {headers: [{name: a, value: "x\\r\\ny: z"}]}}', ".http.headers[0]: has a value that is not"),
        ("{name: a, http: {headers: [{name: Host, value: x}], viaApiServer: true}}", ".http: has the header Host, wh"),
        (
            "{name: a, http: {headers: [{name: Impersonate-User, value: x}], viaApiServer: true}}",
            ".http: has the header Impersonate-User, which cannot be sent",
        ),
        ("{name: a, http: {headers: [{name: a, value: x}, {name: A, value: y}]}}", ".http: has the header a twice"),
        ("{name: a, http: {latency: {percentile: 95}}}", ".http.latency.below: is missing"),
        ("{name: a, http: {latency: {percentile: 0, below: 1s}}}", ".http.latency.percentile: input should be gre"),
        ("{name: a, job: {template: ../x}}", ".job.template: must not climb out"),
        ("{name: a, prometheus: {query: up}}", ".prometheus: must have `success`, `failure` or both"),
        ("{name: a, prometheus: {query: up, success: {}}}", ".prometheus.success: must have one of below, above"),
        ("{name: a, prometheus: {query: ' ', success: {below: 1}}}", ".prometheus.query: is empty"),
        (
            "{name: a, prometheus: {query: '{{ vers }}', success: {below: 1}}}",
            ".prometheus.query: `vers` is not defined (did you mean `version`?)",
        ),
        ("{name: a, prometheus: {query: '{{ app', success: {below: 1}}}", ".prometheus.query: "),
        ("{name: a, prometheus: {query: up, success: {below: .nan}}}", ".prometheus.success.below: must be a number"),
        # what only the configuration may say
        ("{name: a, http: {url: 'http://169.254.169.254/x'}}", ".http.url: source git does not allow its apps' checks"),
        ("{name: a, http: {caFile: /ca, url: 'https://votes.example.com'}}", ".http.caFile: is a file of the daemon"),
        ("{name: a, http: {headers: [{name: a, valueFile: /x}]}}", ".http.headers[0].valueFile: is a file of the dae"),
        (
            "{name: a, prometheus: {query: up, address: 'http://x:9090', success: {below: 1}}}",
            ".prometheus.address: source git does not allow its apps' checks this host (allowed: votes.example.com)",
        ),
    ],
)
def test_what_cannot_be_is_told_in_plain_words_with_its_line(check: str, said: str) -> None:
    assert why(check).startswith(BASE + said)


def test_names_are_unique_and_there_are_no_more_than_thirty_two() -> None:
    same = "    - {name: a, http: {}}\n"
    assert refused(f"  prePromotionAnalysis:\n    checks:\n{same}{same}") == [
        "2: strategy.prePromotionAnalysis: has two checks that are called `a`"
    ]
    many = "".join(f"    - {{name: a{each}, http: {{}}}}\n" for each in range(33))
    [line] = refused(f"  postPromotionAnalysis:\n    checks:\n{many}")
    assert line.startswith("3: strategy.postPromotionAnalysis.checks: ") and "32" in line


def test_an_allowed_host_may_be_asked() -> None:
    assert probe("{url: 'https://votes.example.com/shop'}").url == "https://votes.example.com/shop"


CONFIG = """\
sources:
- {name: shop, url: /srv/git/shop, allow: {checkHosts: [votes.example.com, '*.svc', '10.0.0.1:8080']}}
"""


def config(rest: str) -> Any:
    return parse_settings(CONFIG + rest, "c.yaml")


def test_the_configuration_may_ask_anybody_and_read_files() -> None:
    http = "http: {url: 'https://anywhere.example.net', caFile: /ca, headers: [{name: a, valueFile: /s}]}"
    checks = f"strategy: {{prePromotionAnalysis: {{checks: [{{name: a, {http}}}]}}}}"
    settings = config(f"apps:\n- {{name: shop, source: shop, {checks}}}\n")
    [app] = settings.apps
    assert app.check_hosts == ("*",)
    [check] = app.strategy.pre_promotion.checks
    assert (check.probe.secret_headers, check.probe.ca_file) == ((("a", "/s"),), "/ca")
    assert settings.sources[0].check_hosts == ("*.svc", "10.0.0.1:8080", "votes.example.com")


def test_a_query_needs_a_server() -> None:
    query = "{name: a, prometheus: {query: up, success: {below: 1}}}"
    apps = f"apps:\n- name: shop\n  source: shop\n  strategy: {{postPromotionAnalysis: {{checks: [{query}]}}}}\n"
    with pytest.raises(Invalid, match=r"c\.yaml:6: apps\[0\].*prometheus: has no `address`, and the configuration"):
        config(apps)
    settings = config(apps + "prometheus: {url: 'http://prometheus:9090', bearerTokenFile: /t, caFile: /c}\n")
    assert settings.prometheus == PrometheusServer("http://prometheus:9090", "/t", "/c")


def test_what_is_no_host_is_told() -> None:
    for host in ("https://x", "x/y", "X.example.com", "'*'", "a:0", "a:70000", "''", "'*.*.x'"):
        text = f"sources:\n- {{name: a, url: /x, allow: {{checkHosts: [{host}]}}}}\napps: []\n"
        with pytest.raises(Invalid, match=r"c\.yaml:2: sources\[0\].allow.checkHosts\[0\]: must be a host"):
            parse_settings(text, "c.yaml")


def test_who_asks_the_preview_service_needs_one() -> None:
    checks = "{checks: [{name: a, http: {}}, {name: b, http: {target: previewService}}]}"
    assert refused(f"  prePromotionAnalysis: {checks}\n") == [
        "1: strategy: check `b` asks the preview Service, but there is no `previewService`"
    ]
    strategy = app(f"  previewService: shop-preview\n  prePromotionAnalysis: {checks}\n").strategy
    assert strategy.pre_promotion.checks[1].probe == HttpProbe(target=Target.PREVIEW)

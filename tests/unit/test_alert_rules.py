"""Alerts are few, and each says how bad it is, what it means and what to do. Whether they fire: tests/contract."""

from __future__ import annotations

import re

import pytest

from dashboards.panels import DOCS
from reconciler.adapters.metrics.catalog import METRICS
from reconciler.core.event import EVENTS
from reconciler.core.phase import Phase
from tests.expressions import FOREIGN, ROOT, alerts, metrics

_MANUAL = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(name: str) -> None:
    rule = alerts()[name]
    assert name.startswith("Reconciler")
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"{DOCS}/alerts.md#{name.lower()}"
    assert len(rule["annotations"]["summary"]) < 120


def test_every_alert_has_its_advice_and_nothing_else_has() -> None:
    assert re.findall(r"^### (Reconciler\w+)$", _MANUAL, re.MULTILINE) == list(alerts())


def test_the_manual_says_the_severity_of_each() -> None:
    told = dict(re.findall(r"^\| \[(\w+)\]\(#\w+\) \| (\w+) \|", _MANUAL, re.MULTILINE))
    assert told == {name: rule["labels"]["severity"] for name, rule in alerts().items()}


def test_every_metric_phase_and_event_that_is_named_exists() -> None:
    for name, rule in alerts().items():
        assert metrics(rule["expr"]) <= METRICS.keys() | FOREIGN, name
        for phases in re.findall(r'phase=~?"([^"]*)"', rule["expr"]):
            assert set(phases.split("|")) <= set(Phase), name
        assert set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", rule["annotations"]["description"])) <= set(EVENTS), name


def test_metrics_of_an_expression_are_told_from_labels_and_functions() -> None:
    expr = 'max by (some_label) (rate(a_total{code="x_y", a_label=~"z"}[5m])) / on (job) b_seconds_bucket > up'
    assert metrics(expr) == {"a_total", "b_seconds", "up"}

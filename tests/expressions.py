"""What the dashboard and the alerts ask Prometheus: the expressions, read from the files that are shipped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FILES = ROOT / "helm" / "reconciler" / "files"
ALERTS = FILES / "alerts.yaml"
DASHBOARD = FILES / "dashboard.json"

FOREIGN = {
    "http_requests_total",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "container_memory_working_set_bytes",
    "container_spec_memory_limit_bytes",
    "kube_pod_container_resource_limits",
    "up",
}
"""Metrics that are not ours: the app's, prometheus_client's, the kubelet's, Prometheus' own."""

_SECONDS = "60"
_BUILT_IN = {"__rate_interval": f"{_SECONDS}s", "__range": f"{_SECONDS}s"}
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    return dict(json.loads(DASHBOARD.read_text(encoding="utf-8")))


def panels() -> list[dict[str, Any]]:
    """Its panels, without the headings."""
    return [each for each in dashboard()["panels"] if each["type"] != "row"]


def asked() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard: whose it is, and the expression as it stands there."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} ({target['refId']})", target["expr"]
    for each in dashboard()["annotations"]["list"]:
        yield f"annotation {each['name']}", each["expr"]


def filled(expr: str, **variables: str) -> str:
    """`expr` with Grafana's variables put in, as Grafana does. Raises KeyError on one that is not known."""
    values = {**_BUILT_IN, **variables}
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], expr)


def alerts() -> Mapping[str, dict[str, Any]]:
    """The alerts by name."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def metrics(expr: str) -> set[str]:
    """The metrics that an expression names, those of a histogram by the histogram's name."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    bare = re.sub(r"\b(by|on|ignoring|without)\s*\([^)]*\)", "", bare)
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b(?!\s*\()(?!\s*=|\s*!=)", bare)) | set(re.findall(r"\bup\b", bare))
    return {re.sub(r"_(bucket|count|sum)$", "", each) for each in named}

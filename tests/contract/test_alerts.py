"""Prometheus' own tool reads the alerts and the dashboard's queries, and runs the alerts over made-up series.

alerts_test.yaml is a plain test file of promtool's. Here it is also made sure that it says something of every alert,
and what a person reads when one fires.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.packages import program_path
from tests.expressions import ALERTS, ROOT, alerts, asked, filled

TESTS = ROOT / "tests" / "contract" / "alerts_test.yaml"
_PROMTOOL = shutil.which("promtool", path=program_path())
_ALL = {"datasource": "x", "job": ".*", "namespace": ".*", "app": ".*"}

pytestmark = pytest.mark.skipif(not _PROMTOOL, reason="promtool is not installed (Debian's package prometheus)")

VALUES = {
    "ReconcilerStalled": "3",
    "ReconcilerMembersMissing": "2",
    "ReconcilerCrashLooping": "3",
    "ReconcilerMemoryNearLimit": "95%",
    "ReconcilerSourceNotRead": "22m 0s",
    "ReconcilerApiErrors": "20%",
    "ReconcilerWatchesFlap": "15",
}
"""What stands for `$value` in the text of an alert that fires in alerts_test.yaml."""


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    done = _promtool("test", "rules", TESTS)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


@pytest.mark.parametrize("name", alerts())
def test_every_alert_is_tested_both_ways(name: str) -> None:
    about = [each for each in _expectations() if f'"{name}"' in each["expr"]]
    assert [each for each in about if each.get("exp_samples")], "no test in which it fires"
    assert [each for each in about if not each.get("exp_samples")], "no test in which it does not"


@pytest.mark.parametrize("name", alerts())
@pytest.mark.parametrize("change", [{"expr": "vector(1) > 2"}, {"expr": "vector(1)"}, {"for": "0s"}], ids=str)
def test_the_tests_notice_an_alert_that_never_fires_or_fires_too_early(
    name: str, change: dict[str, str], tmp_path: Path
) -> None:
    if "for" in change and "for" not in alerts()[name]:
        return
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    [rule] = [rule for group in rules["groups"] for rule in group["rules"] if rule["alert"] == name]
    rule.update(change)
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))
    tests["tests"] = [each for each in tests["tests"] if f'"{name}"' in str(each)]
    assert _promtool("test", "rules", _written(tmp_path, rules, tests)).returncode != 0


def test_what_a_person_reads_is_rendered(tmp_path: Path) -> None:
    """promtool wants the whole text of an alert: it is made from the labels that are expected, and `VALUES`."""
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))
    for test in tests["tests"]:
        test["alert_rule_test"] = [_read(each) for each in test.pop("promql_expr_test") if each.get("exp_samples")]
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    done = _promtool("test", "rules", _written(tmp_path, rules, tests))
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": filled(expr, **_ALL)} for number, (_, expr) in enumerate(asked())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = _promtool("check", "rules", path)
    assert done.returncode == 0, done.stderr[-3000:]


def _read(expected: dict[str, Any]) -> dict[str, Any]:
    """promql_expr_test → alert_rule_test of the same alert at the same time."""
    [sample] = expected["exp_samples"]
    labels = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
    name = labels.pop("alertname")
    labels.pop("alertstate")
    texts = {key: _rendered(text, labels, name) for key, text in alerts()[name]["annotations"].items()}
    wanted = {"exp_labels": labels, "exp_annotations": texts}
    return {"eval_time": expected["eval_time"], "alertname": name, "exp_alerts": [wanted]}


def _rendered(text: str, labels: dict[str, str], name: str) -> str:
    text = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text)
    return re.sub(r"{{ \$value[^}]*}}", lambda _: VALUES[name], text)


def _expectations() -> list[dict[str, Any]]:
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    return [each for test in tests for each in test["promql_expr_test"]]


def _written(folder: Path, rules: dict[str, Any], tests: dict[str, Any]) -> Path:
    """A test file, and the rules that it is about beside it."""
    (folder / "alerts.yaml").write_text(yaml.safe_dump(rules))
    path = folder / "tests.yaml"
    path.write_text(yaml.safe_dump({**tests, "rule_files": ["alerts.yaml"]}))
    return path


def _promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert _PROMTOOL
    return subprocess.run([_PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)

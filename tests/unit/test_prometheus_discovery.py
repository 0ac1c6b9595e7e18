"""What Prometheus is told of pods, and how it is configured for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rig.discovery import pod_targets
from rig.prometheus import RELABELLING, PrometheusError, configuration, pods_of, program

_DOCUMENT = Path(__file__).parents[2] / "docs" / "analysis-queries.md"


def _pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "my-app-1",
            "namespace": "shop",
            "labels": {"bluegreen.reconciler/revision": "abc", "version": "v1.0.0"},
            "annotations": {"prometheus.io/scrape": "true"},
        },
        "spec": {"containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8080}]}, {"name": "side"}]},
        "status": {"podIP": "10.0.0.7", "phase": "Running", **status},
    }


def test_a_pod_is_told_as_by_the_discovery_of_prometheus_itself() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    port, bare = pod_targets([_pod(**ready)])
    assert (port["targets"], bare["targets"]) == (["10.0.0.7:8080"], ["10.0.0.7"])
    common = {
        "namespace": "shop",
        "pod_name": "my-app-1",
        "pod_ip": "10.0.0.7",
        "pod_phase": "Running",
        "pod_ready": "true",
        "pod_label_bluegreen_reconciler_revision": "abc",
        "pod_label_version": "v1.0.0",
        "pod_annotation_prometheus_io_scrape": "true",
    }
    own = {"pod_container_name": "app", "pod_container_port_name": "http", "pod_container_port_number": "8080"}
    assert port["labels"] == {f"__meta_kubernetes_{name}": value for name, value in (common | own).items()}
    assert bare["labels"]["__meta_kubernetes_pod_container_name"] == "side"


def test_a_pod_without_an_address_is_not_told_and_one_that_is_not_ready_is() -> None:
    assert pod_targets([_pod(podIP=None), _pod(podIP="")]) == []
    unready, _ = pod_targets([_pod()])
    assert unready["labels"]["__meta_kubernetes_pod_ready"] == "false"


def test_the_rules_that_are_tried_are_those_that_users_are_shown() -> None:
    """But for where pods are discovered, which Debian's Prometheus cannot do by itself."""
    shown = re.search(r"```yaml\n(.*?)```", _DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    (job,) = yaml.safe_load(shown[1])["scrape_configs"]
    assert job["relabel_configs"] == list(RELABELLING) == pods_of("http://127.0.0.1/")["relabel_configs"]


def test_scrapes_do_not_overlap() -> None:
    settings = configuration([], 0.25)["global"]
    assert settings == {"scrape_interval": "250ms", "scrape_timeout": "250ms"}


def test_without_prometheus_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(PrometheusError, match="apt-get install -y --no-install-recommends prometheus"):
        program(str(tmp_path))

"""Every query of the dashboard and every alert, on a real Prometheus that scrapes real daemons, pods and the kubelet.

The story has all that they ask about: a first release, a switch, a rollback and a rejection under load; a source that
cannot be read; a daemon without any right, and one that does not reach the API server.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from dashboards.release import SHOWN
from reconciler.core.phase import Phase
from rig.cluster import Manifest
from rig.daemon import Daemon
from rig.discovery import PodDiscovery
from rig.prometheus import Job, Prometheus, Samples, pods_of
from rig.scene import APP, Scene
from tests.e2e.harness.asserts import no_request_failed
from tests.e2e.harness.commands import kubectl
from tests.expressions import alerts, asked, filled

WINDOW = "3m"
"""Longer than the story takes, so that what happened once is an increase to the end."""
HOME = "ops"
"""The namespace that Prometheus takes the daemons to be in."""
_LIMITED = "limited"

FIRING = {"ReconcilerRevisionRejected", "ReconcilerRolledBack", "ReconcilerForbidden", "ReconcilerApiErrors"}
"""What is true at the end of the story."""
SILENT = {"ReconcilerAbsent", "ReconcilerAppDegraded", "ReconcilerSwitchUnconfirmed", "ReconcilerDrifted"}
"""What is certainly not."""


def test_every_query_has_data_during_real_releases(scene: Scene) -> None:
    _configure(scene)
    scene.cluster.create(_limited(scene))
    first = scene.first_release("v1.0.0")
    refused = scene.another_daemon("refused", kubeconfig=_kubeconfig(scene, "refused")).start()
    cut_off = scene.another_daemon("cut-off", kubeconfig=_kubeconfig(scene, "cut-off", "https://127.0.0.1:1")).start()
    jobs = [
        _job("reconciler", scene.daemon),
        _job("refused", refused),
        _job("cut-off", cut_off, scene.namespace, _LIMITED),
        _kubelet(scene),
    ]
    with _prometheus(scene, jobs) as prometheus:
        for daemon in ("reconciler", "refused", "cut-off"):
            prometheus.wait_for(f'up{{job="{daemon}"}} == 1')
        _story(scene, first)
        _dashboard_has_data(scene, prometheus)
        _alerts_have_data(prometheus)
    no_request_failed(scene.load)


def _story(scene: Scene, first: str) -> None:
    """v2, back to v1, and a v3 that never gets ready."""
    scene.settle(scene.release("v2.0.0"))
    back = scene.release("v1.0.0")
    assert back != first
    scene.settle(back)
    scene.daemon.wait_for("rolled_back", commit=back)
    scene.daemon.wait_for("rejected", commit=scene.release("v3.0.0", {"env": {"READY": "false"}}))


def _dashboard_has_data(scene: Scene, prometheus: Prometheus) -> None:
    chosen = {"job": "reconciler", "namespace": scene.namespace, "app": APP}
    queries = {name: filled(expr, **chosen, __rate_interval=WINDOW, __range=WINDOW) for name, expr in asked()}
    for expr in queries.values():
        prometheus.wait_for(expr, _numbers)
    versions = prometheus.query(queries["Request Total by version (A)"])
    assert {each.labels["version"] for each in versions} >= {"v1.0.0", "v2.0.0"}
    prometheus.wait_for(queries["Phase of each app (A)"], _rejected)
    [switched] = prometheus.query(queries["annotation Switches"])
    assert switched.value > 1e12  # milliseconds


def _alerts_have_data(prometheus: Prometheus) -> None:
    """Without its threshold, each finds what it looks for; with it, those fire that should."""
    for rule in alerts().values():
        prometheus.wait_for(_without_threshold(rule["expr"]), _numbers)
    for name in FIRING:
        prometheus.wait_for(alerts()[name]["expr"])
    assert [name for name in SILENT if prometheus.query(alerts()[name]["expr"])] == []


def _rejected(found: Samples) -> bool:
    return [list(SHOWN)[int(each.value) - 1] for each in found] == [Phase.REJECTED]


def _numbers(found: Samples) -> bool:
    return any(not math.isnan(each.value) for each in found)


def _without_threshold(expr: str) -> str:
    """The same query with every comparison let through, and what must not be there, there.

    Only a daemon in a group has `reconciler_members`; one alone stands for a group of one.
    """
    alone = re.sub(r"\breconciler_members\b", "(reconciler_members or reconciler_build_info)", expr)
    there = re.sub(r"\bunless\b", "and", re.sub(r"absent\((.*)\)", r"\1", alone))
    return re.sub(r"<(?!=)", "<=", re.sub(r"(==|>(?!=)) [\d.]+", ">= 0", there))


@contextmanager
def _prometheus(scene: Scene, jobs: list[Job]) -> Iterator[Prometheus]:
    with (
        PodDiscovery(scene.sandbox.kubeconfig, scene.namespace) as discovery,
        Prometheus(
            scene.folder / "prometheus", [pods_of(discovery.url), *jobs], prefix=scene.sandbox.exec_prefix()
        ) as made,
    ):
        yield made


def _configure(scene: Scene) -> None:
    """The scene's app, a source that is not there, and the monitoring port."""
    strategy = {"scaleDownDelay": "120s", "progressDeadline": "20s"}
    gone = scene.source("gone", str(scene.folder / "no-such-repository"), interval="1s")
    scene.configure(apps=[scene.app(strategy=strategy)], sources=[scene.source(), gone])
    held = yaml.safe_load(scene.config.read_text())
    scene.config.write_text(yaml.safe_dump({**held, "monitoring": {"address": "127.0.0.1:0"}}))


def _job(name: str, daemon: Daemon, namespace: str = HOME, pod: str = "") -> Job:
    address = daemon.wait_for("monitoring_opened")["address"]
    labels = {"namespace": namespace, "pod": pod or f"{name}-0"}
    return {"job_name": name, "honor_labels": True, "static_configs": [{"targets": [address], "labels": labels}]}


def _kubelet(scene: Scene) -> Job:
    return {
        "job_name": "kubelet",
        "scheme": "https",
        "metrics_path": "/metrics/cadvisor",
        "scrape_interval": "5s",
        "honor_labels": True,
        "tls_config": {"insecure_skip_verify": True},
        "static_configs": [{"targets": [f"{scene.sandbox.node_address}:10250"]}],
    }


def _limited(scene: Scene) -> Manifest:
    """A container that is called as the chart calls the daemon's, with a limit; one of the daemons passes for it."""
    container = {
        "name": "reconciler",
        "image": scene.sandbox.sample_image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "5m", "memory": "16Mi"}},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": _LIMITED}, "spec": {"containers": [container]}}


def _kubeconfig(scene: Scene, account: str, server: str = "") -> Path:
    """A kubeconfig of an account that may do nothing; `server`: not the API server's own address."""
    assert kubectl(scene, "create", "serviceaccount", account).status == 0
    token = kubectl(scene, "create", "token", account, "--duration=1h").out.strip()
    config = yaml.safe_load(scene.sandbox.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    for each in config["clusters"] if server else ():
        each["cluster"]["server"] = server
    path = scene.folder / f"{account}.kubeconfig"
    path.write_text(json.dumps(config))
    return path

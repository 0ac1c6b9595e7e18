"""The tools of the tests that follow: a real proxy fed from an Ingress, and a probe that sees a mixed state.

Everything is made by hand here. What is shown is that the tools could not but notice what the daemon must not do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rig.cluster import Manifest
from rig.ingress import IngressProxy
from rig.pair import PairLoad, Target, met_one_moment
from rig.scene import Scene
from rig.waiting import until

HOSTS = {"a": "a.example.com", "b": "b.example.com"}
INGRESS = "my-app"
_STORY = ("v1", "v2", "v1", "v2")


@pytest.fixture
def proxy(scene: Scene) -> Iterator[IngressProxy]:
    """A proxy that leads both hosts to v1, with v2 ready beside it."""
    for component in HOSTS:
        for version in ("v1", "v2"):
            for manifest in _component(scene, f"my-app-{component}-{version}", version):
                scene.cluster.create(manifest)
    scene.cluster.create(_ingress(_backends("v1", "v1")))
    with IngressProxy(scene.sandbox, scene.namespace) as made:
        names = [f"my-app-{component}-{version}" for component in HOSTS for version in ("v1", "v2")]
        until(lambda: all(len(scene.cluster.endpoints(each)) == 2 for each in names), "all pods ready", 60, poll=0.1)
        made.wait_for(_leading("v1", "v1"))
        yield made


@pytest.fixture
def probe(scene: Scene, proxy: IngressProxy) -> Iterator[PairLoad]:
    a, b = (Target(proxy.address, proxy.port, host) for host in HOSTS.values())
    with PairLoad(a, b, scene.sandbox.source_addresses) as made:
        made.wait_for("v1")
        yield made


def test_one_write_of_the_ingress_moves_both_hosts_together(scene: Scene, proxy: IngressProxy, probe: PairLoad) -> None:
    """There, back, and there again: nothing fails, and once the proxy has it, no pair is mixed.

    One that met the cut in its middle may be; all such pairs met one and the same moment.
    """
    before = proxy.moves[-1].at
    for version in _STORY[1:]:
        _write(scene, version, version)
        moved = proxy.wait_for(_leading(version, version))
        probe.wait_for(version, since=moved.at)
        probe.wait_for_count(30)
        since = probe.versions(since=moved.at)
        assert set(since) == {version} and not probe.mixed(since=moved.at), f"{since} {probe.mixed(since=moved.at)}"
        assert met_one_moment(probe.mixed(since=before)), probe.mixed(since=before)
        before = moved.at
    probe.stop()
    assert not probe.failures, probe.failures[:3]
    assert [each.leads(_leading(version, version)) for each, version in zip(proxy.moves, _STORY, strict=True)] == 4 * [
        True
    ]


def test_two_writes_with_a_pause_between_are_seen_as_mixed(scene: Scene, proxy: IngressProxy, probe: PairLoad) -> None:
    """And pods that come and go meanwhile, each with a reload of the proxy, cost no request."""
    _write(scene, "v2", "v1")
    half = proxy.wait_for(_leading("v2", "v1"))
    reloads = proxy.reloads
    scene.cluster.patch("Deployment", "my-app-a-v2", {"spec": {"replicas": 3}})
    until(lambda: len(scene.cluster.endpoints("my-app-a-v2")) == 3, "a third pod of a", 60, poll=0.1)
    until(lambda: proxy.reloads > reloads, "a reload for it")
    seen = until(lambda: probe.mixed(since=half.at), "a mixed pair")[0]
    assert (seen.first.version, seen.second.version) == ("v2", "v1")
    scene.cluster.patch("Deployment", "my-app-a-v2", {"spec": {"replicas": 1}})
    until(lambda: len(scene.cluster.endpoints("my-app-a-v2")) == 1, "one pod of a left", 60, poll=0.1)
    _write(scene, "v2", "v2")
    whole = proxy.wait_for(_leading("v2", "v2"))
    probe.wait_for_count(30)
    probe.stop()
    account = probe.account(half.at, "v2")
    assert account.mixed > 0 and account.failed == 0, account
    assert account.last_mixed_after is not None and account.last_mixed_after < whole.at - half.at, account
    assert account.first_new_after is not None and not probe.mixed(since=whole.at), account


def _leading(a: str, b: str) -> dict[str, str]:
    return {HOSTS["a"]: f"my-app-a-{a}", HOSTS["b"]: f"my-app-b-{b}"}


def _write(scene: Scene, a: str, b: str) -> None:
    """One conditional write of the Ingress, as the daemon's: it fails if somebody else wrote first."""
    live = scene.cluster.get("Ingress", INGRESS)
    assert live is not None
    version = {"resourceVersion": live["metadata"]["resourceVersion"]}
    scene.cluster.patch("Ingress", INGRESS, {"metadata": version, "spec": {"rules": _backends(a, b)}})


def _backends(a: str, b: str) -> list[Manifest]:
    return [_rule(host, service) for host, service in _leading(a, b).items()]


def _rule(host: str, service: str) -> Manifest:
    backend = {"service": {"name": service, "port": {"name": "http"}}}
    return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}


def _ingress(rules: list[Manifest]) -> Manifest:
    metadata = {"name": INGRESS}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": {"rules": rules}}


def _component(scene: Scene, name: str, version: str) -> list[dict[str, Any]]:
    """A Deployment of two pods and a Service for it, both by the same name."""
    labels = {"app": name}
    container = {
        "name": "app",
        "image": scene.sandbox.sample_image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "VERSION", "value": version}],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "probe", "containerPort": 8086}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "probe"}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
    }
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 10}}
    deployment = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
    service = {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    metadata = {"name": name}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]

"""Credentials that are renewed in the cluster: no pod of the chart is restarted, and none may read another Secret."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from rig.containers import restarts
from rig.incluster import CONTAINER, InCluster
from rig.scene import Scene
from tests.e2e.harness.asserts import moved
from tests.servers import Authority, HttpsServer, https_server, make_authority, missing

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}"),
]

FIRST, SECOND = "tok-3n-one", "tok-3n-two"
SECRET = "git"
BY_API, BY_MOUNT = "shop", "mounted"
KUBELET = 240.0
"""Seconds until a changed Secret is in a pod. A minute or two: the kubelet's period, and how old its cache may be."""


@pytest.fixture
def authority(scene: Scene) -> Authority:
    return make_authority(scene.folder / "authority", scene.sandbox.node_address)


@pytest.fixture
def server(scene: Scene, authority: Authority) -> Iterator[HttpsServer]:
    with https_server(scene.folder, authority, scene.sandbox.node_address) as made:
        made.allowed = {f"Bearer {FIRST}"}
        yield made


def put(incluster: InCluster, authority: Authority, token: str) -> None:
    """The Secret beside the daemon has that token."""
    data = {"bearerToken": token.encode(), "ca.crt": authority.ca.read_bytes()}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    if incluster.home.get("Secret", SECRET):
        incluster.home.patch("Secret", SECRET, {"data": encoded})
    else:
        incluster.home.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": encoded})


def test_a_renewed_secret_is_read_by_the_pods_that_run(
    scene: Scene, incluster: InCluster, server: HttpsServer, authority: Authority
) -> None:
    """One source asks the API server for the Secret, another has it as a mounted folder. The old token is revoked,
    which both tell; the new one is found by both."""
    incluster.replicas = 1
    put(incluster, authority, FIRST)
    url = server.url(f"{scene.repository.path.name}/.git")
    by_api = scene.source(BY_API, url, interval="1s", secretRef={"name": SECRET, "namespace": incluster.namespace})
    by_mount = scene.source(BY_MOUNT, url, interval="1s", credentials=f"/etc/reconciler-secrets/{SECRET}")
    commit = scene.release("v1.0.0")
    values = incluster.values(credentials=[SECRET])
    incluster.chart.apply({**values, "config": {**values["config"], "sources": [by_api, by_mount]}})
    incluster.settle(commit)
    incluster.logs.wait_for("source_updated", source=BY_MOUNT, commit=commit)
    pods = incluster.pods().keys()
    account = f"system:serviceaccount:{incluster.namespace}:reconciler"
    assert not incluster.home.may(account, "get", "", "secrets"), "it may read Secrets that nothing names"

    revoked = incluster.logs.mark()
    server.allowed = {f"Bearer {SECOND}"}
    for source in (BY_API, BY_MOUNT):
        failed = incluster.logs.wait_for("source_failed", source=source, since=revoked)
        assert "refuses the credentials" in failed["reason"]
    commit = scene.release("v2.0.0")
    put(incluster, authority, SECOND)
    incluster.logs.wait_for("source_recovered", source=BY_API)
    incluster.settle(commit)
    incluster.logs.wait_for("source_recovered", source=BY_MOUNT, timeout=KUBELET)
    assert incluster.pods().keys() == pods and not any(restarts(each, CONTAINER) for each in incluster.pods().values())
    told = json.dumps([dict(each) for each in incluster.logs.events])
    assert FIRST not in told and SECOND not in told
    moved(scene, 1)

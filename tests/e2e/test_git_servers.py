"""A source over HTTPS whose credentials are in a Secret, renewed, refused and suspended while an app is released."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.scene import Scene
from tests.e2e.harness.asserts import no_request_failed
from tests.e2e.harness.commands import run
from tests.servers import Authority, HttpsServer, https_server, make_authority, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")

FIRST, SECOND = "tok-3n-one", "tok-3n-two"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "authority")


@pytest.fixture
def server(scene: Scene, authority: Authority) -> Iterator[HttpsServer]:
    with https_server(scene.repository.path.parent, authority) as made:
        made.allowed = {f"Bearer {FIRST}"}
        yield made


def put_token(scene: Scene, authority: Authority, token: str) -> None:
    data = {"bearerToken": token.encode(), "ca.crt": authority.ca.read_bytes()}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    if scene.cluster.get("Secret", "git"):
        scene.cluster.patch("Secret", "git", {"data": encoded})
    else:
        meta = {"name": "git", "namespace": scene.namespace}
        scene.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded})


def test_a_token_that_is_renewed_and_a_source_that_is_suspended(
    scene: Scene, server: HttpsServer, authority: Authority
) -> None:
    """Releases by a token in a Secret; a refused one is told and changes nothing; the renewed one is found."""
    put_token(scene, authority, FIRST)
    secret = {"name": "git", "namespace": scene.namespace}
    source = scene.source(url=server.url(f"{scene.repository.path.name}/.git"), interval="1s", secretRef=secret)
    scene.configure(sources=[source])
    scene.first_release("v1.0.0")
    server.allowed = {f"Bearer {SECOND}"}
    failed = scene.daemon.wait_for("source_failed")
    assert "refuses the credentials" in failed["reason"]
    commit = scene.release("v2.0.0")
    put_token(scene, authority, SECOND)
    scene.daemon.wait_for("source_recovered")
    scene.settle(commit)
    scene.load.wait_for("v2.0.0")
    scene.configure(sources=[{**source, "suspend": True}])
    suspended = scene.daemon.wait_for("source_suspended")
    assert suspended["commit"] == commit
    later = scene.release("v3.0.0")
    status = run(scene, "status")
    assert status.status != 0 and "suspended" in status.out, status
    scene.configure(sources=[source])
    scene.settle(later)
    assert server.seen, "it was asked"
    told = json.dumps([dict(each) for each in scene.daemon.events])
    assert FIRST not in told and SECOND not in told
    no_request_failed(scene.load)

"""A Git host tells of a push: the release begins at once, however long the interval is."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rig.daemon import Event
from rig.githost import GitHost
from rig.scene import APP, Scene
from tests.e2e.harness.asserts import moved, no_request_failed
from tests.e2e.harness.http import post

SECRET = b"what-only-host-and-daemon-know"


def test_a_push_is_released_as_soon_as_the_host_tells_of_it(scene: Scene) -> None:
    """The interval is ten minutes, longer than anything here is waited for. A forged webhook before it does nothing."""
    with GitHost(scene.folder, scene.sandbox.node_address) as host:
        source = scene.source(url=host.url("repository"), interval="10m")
        scene.configure(sources=[source], webhook=_webhook(scene))
        scene.first_release("v1.0.0")
        address = f"http://{scene.daemon.wait_for('webhook_opened')['address']}/hook/host"
        commit = scene.release("v2.0.0")
        body = json.dumps({"ref": "refs/heads/main", "after": commit}).encode()
        assert post(address, body, _signed(body, b"what-others-believe-it-to-be")) == 401
        refused = scene.daemon.wait_for("webhook_refused", receiver="host")
        assert SECRET.decode() not in json.dumps(refused)
        assert not scene.daemon.find("webhook_received") and not scene.daemon.find("source_updated", commit=commit)
        sent = time.time()
        assert post(address, body, _signed(body, SECRET)) == 202
        received = scene.daemon.wait_for("webhook_received", receiver="host", source="shop")
        updated = scene.daemon.wait_for("source_updated", commit=commit)
        applied = scene.daemon.wait_for("revision_applied", commit=commit, app=APP)
        _print(sent, woken=received, commit_known=updated, objects_applied=applied)
        assert post(address, body, _signed(body, SECRET)) == 200, "a replay is no error, and wakes nobody"
        scene.settle(commit)
        scene.load.wait_for("v2.0.0")
        no_request_failed(scene.load)
        assert len(scene.daemon.find("webhook_received")) == 1
        moved(scene, 1)
        assert scene.daemon.stop() == 0


def _webhook(scene: Scene) -> Mapping[str, Any]:
    secret = scene.folder / "webhook-secret"
    secret.write_bytes(SECRET + b"\n")
    receiver = {"name": "host", "type": "github", "secretFile": str(secret), "sources": ["shop"]}
    return {"address": "127.0.0.1:0", "receivers": [receiver]}


def _signed(body: bytes, secret: bytes) -> Mapping[str, str]:
    digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Event": "push", "Content-Type": "application/json"}


def _print(sent: float, **events: Event) -> None:
    """From the webhook's sending on; shown by `pytest -s`, and held against nothing: this machine is shared."""
    for name, told in events.items():
        at = datetime.fromisoformat(str(told["timestamp"])).timestamp()
        print(f"webhook sent to {name.replace('_', ' ')}: {(at - sent) * 1000:.1f} ms")

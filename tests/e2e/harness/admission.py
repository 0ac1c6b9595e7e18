"""Holds a switch in the API server itself: it was sent, it has arrived, and it has not taken effect yet.

A validating admission webhook that the API server asks about each change of a Service in one namespace. See Kubernetes'
"Dynamic Admission Control": it comes before the write to the store, where the object's version is compared.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from reconciler.core.observed import SWITCH_MANAGER
from rig.scene import Scene
from rig.waiting import until
from tests.servers import Authority, make_authority

_KIND = "ValidatingWebhookConfiguration"
_LONGEST = 30
"""Seconds for which the API server waits at most. It goes on then, as if it had been let go."""
_POD = "authentication.kubernetes.io/pod-name"


class Gate:
    """Lets every change pass but the first switch, which waits for `let_go`."""

    def __init__(self) -> None:
        self.held_from = ""
        """The pod that sent the switch that waits."""
        self._asked = threading.Event()
        self._held = threading.Event()
        self._go = threading.Event()

    def wait(self) -> str:
        """Returns, as soon as a switch waits, the pod that sent it."""
        until(self._held.is_set, "a switch on its way", 60)
        return self.held_from

    @property
    def asked(self) -> bool:
        """Whether the API server has asked at all."""
        return self._asked.is_set()

    def let_go(self) -> None:
        """The switch that waits goes on, and all later ones do not wait."""
        self._go.set()

    def ask(self, request: dict[str, Any]) -> None:
        """What the API server asks; returns when the change may go on."""
        self._asked.set()
        if (request.get("options") or {}).get("fieldManager") == SWITCH_MANAGER and not self._held.is_set():
            self.held_from = request["userInfo"].get("extra", {}).get(_POD, [""])[0]
            self._held.set()
            self._go.wait(_LONGEST)


@contextmanager
def gate(scene: Scene) -> Iterator[Gate]:
    """A gate for the Services of a scene, which the API server has begun to ask."""
    authority = make_authority(scene.folder / "admission")
    made = Gate()
    server = _server(authority, made)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        scene.cluster.create(_configuration(scene, authority.ca, server.server_address[1]))
        try:
            _begun(scene, made)
            yield made
        finally:
            scene.cluster.delete(_KIND, scene.namespace)
    finally:
        made.let_go()
        server.shutdown()
        thread.join()
        server.server_close()


def _begun(scene: Scene, made: Gate) -> None:
    """Returns when the API server, which looks for new webhooks now and then, asks this one."""
    name = "asked-about"
    spec = {"clusterIP": "None", "ports": [{"port": 80}]}
    scene.cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})

    def asked() -> bool:
        scene.cluster.patch("Service", name, {"metadata": {"annotations": {"example.com/asked": "yes"}}})
        return made.asked

    until(asked, "the API server asks the webhook", poll=0.1)
    scene.cluster.delete("Service", name)


def _configuration(scene: Scene, ca: Path, port: int) -> dict[str, Any]:
    rule = {"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"]}
    webhook = {
        "name": "gate.example.com",
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/",
            "caBundle": base64.b64encode(ca.read_bytes()).decode(),
        },
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "timeoutSeconds": _LONGEST,
        "admissionReviewVersions": ["v1"],
    }
    meta = {"name": scene.namespace}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": _KIND, "metadata": meta, "webhooks": [webhook]}


def _server(authority: Authority, made: Gate) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.ask(asked["request"])
            answer = {"uid": asked["request"]["uid"], "allowed": True}
            body = json.dumps({"apiVersion": asked["apiVersion"], "kind": asked["kind"], "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server

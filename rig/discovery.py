"""The pods of a namespace, told to Prometheus as its own Kubernetes service discovery would (role `pod`).

Debian builds its Prometheus without that (its NEWS.Debian, 1.5.0+ds-1), so it asks here, by `http_sd_configs`. It gets
the same addresses with the same `__meta_kubernetes_…` labels, so that rules for the one hold for the other. See the
Prometheus documentation, Configuration: `kubernetes_sd_config`, `http_sd_config`.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from urllib3.exceptions import HTTPError

from rig.cluster import ApiError, Cluster, Manifest, is_ready

_META = "__meta_kubernetes_"
_ANY_POD_PORT = {"containerPort": None}

Targets = list[dict[str, Any]]
"""What `http_sd_configs` expects: `targets` (addresses) and `labels` of each group."""


class PodDiscovery:
    """A context manager: answers at `url`, on the loopback address, with the pods that there are when it is asked."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._cluster = Cluster(kubeconfig, namespace)
        self._server = _server(self._cluster)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> PodDiscovery:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        self._cluster.close()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"


def pod_targets(pods: Iterable[Manifest]) -> Targets:
    """A target for each port of each container of each pod that has an address, whether it is ready or not."""
    return [each for pod in pods if pod.get("status", {}).get("podIP") for each in _of_pod(pod)]


def _of_pod(pod: Manifest) -> Iterator[dict[str, Any]]:
    address, common = pod["status"]["podIP"], _labels(pod)
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or (_ANY_POD_PORT,):
            number = port["containerPort"]
            own = {_META + "pod_container_name": container["name"]}
            if number is not None:
                own[_META + "pod_container_port_name"] = port.get("name", "")
                own[_META + "pod_container_port_number"] = str(number)
            yield {"targets": [address if number is None else f"{address}:{number}"], "labels": {**common, **own}}


def _labels(pod: Manifest) -> dict[str, str]:
    meta, status = pod["metadata"], pod["status"]
    return {
        _META + "namespace": meta["namespace"],
        _META + "pod_name": meta["name"],
        _META + "pod_ip": status["podIP"],
        _META + "pod_phase": status.get("phase", ""),
        _META + "pod_ready": str(is_ready(pod)).lower(),
        **_named("pod_label_", meta.get("labels")),
        **_named("pod_annotation_", meta.get("annotations")),
    }


def _named(kind: str, values: Mapping[str, str] | None) -> dict[str, str]:
    """A label's name has no other characters than these."""
    return {_META + kind + re.sub(r"[^a-zA-Z0-9_]", "_", name): value for name, value in (values or {}).items()}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of a Prometheus that ended while it was being answered."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _server(cluster: Cluster) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                status, body = 200, json.dumps(pod_targets(cluster.find("Pod"))).encode()
            except (ApiError, HTTPError) as error:
                status, body = 503, str(error).encode()  # upon which Prometheus goes on with what it knows
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    return _Server(("127.0.0.1", 0), Handler)

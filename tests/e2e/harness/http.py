"""Single requests beside the load, to pods and NodePorts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from rig.cluster import Manifest
from rig.waiting import until

_OPENER = build_opener(ProxyHandler({}))
_PROBE_PORT = 8086


def get_json(url: str) -> Any:
    """The JSON that a GET is answered with; raises what urllib does."""
    with _OPENER.open(url, timeout=5) as response:
        return json.load(response)


def get(url: str, timeout: float = 5) -> tuple[int, str]:
    """Status and body that a GET is answered with; raises `OSError` if it is not."""
    try:
        with _OPENER.open(url, timeout=timeout) as response:
            return int(response.status), response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status that a POST is answered with."""
    try:
        with _OPENER.open(Request(url, body, dict(headers), method="POST"), timeout=30) as response:
            return int(response.status)
    except HTTPError as error:
        error.close()
        return error.code


def set_ready(pod: Manifest, ready: bool) -> None:
    """Tells one pod of the sample app what to answer to its readiness probe."""
    _tell(pod, f"ready/{'on' if ready else 'off'}")


def set_error_rate(pod: Manifest, share: float) -> None:
    """Tells one pod of the sample app which share of the requests on / to answer with 500, from 0 to 1."""
    _tell(pod, f"errors/{share}")


def set_latency(pod: Manifest, latency: str) -> None:
    """Tells one pod of the sample app how long to take for an answer on /, as a duration (`200ms`)."""
    _tell(pod, f"latency/{latency}")


def _tell(pod: Manifest, what: str) -> None:
    """As soon as it answers: a container runs before its program listens."""
    told = Request(f"http://{pod['status']['podIP']}:{_PROBE_PORT}/{what}", method="POST")

    def answered() -> bool:
        try:
            with _OPENER.open(told, timeout=5):
                return True
        except HTTPError:
            raise
        except OSError:
            return False

    until(answered, f"an answer of {pod['metadata']['name']}", poll=0.1)

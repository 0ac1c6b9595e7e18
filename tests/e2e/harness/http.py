"""Single requests beside the load, to pods and NodePorts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from rig.cluster import Manifest

_OPENER = build_opener(ProxyHandler({}))
_PROBE_PORT = 8086


def get_json(url: str) -> Any:
    """The JSON that a GET is answered with; raises what urllib does."""
    with _OPENER.open(url, timeout=5) as response:
        return json.load(response)


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
    address = f"http://{pod['status']['podIP']}:{_PROBE_PORT}/ready/{'on' if ready else 'off'}"
    with _OPENER.open(Request(address, method="POST"), timeout=5):
        pass

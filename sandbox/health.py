"""Asks a component whether it works. Real sandboxes are asked from inside their network."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from . import isolation

_SECONDS = 2.0

T = TypeVar("T")


class Unhealthy(Exception):
    """Says in a few words what is wrong."""


def inside(network: str | None, ask: Callable[[], T]) -> T:
    """Call ASK from a thread of its own in that network, as the caller's thread has to stay where it is."""
    if network is None or isolation.in_network(network):
        return ask()
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            isolation.enter_network(network)
            results.append(ask())
        except Exception as error:  # noqa: BLE001 -- not handled, but handed over to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def ask_http(address: tuple[str, int], path: str, *, tls: bool = False, token: str = "", ca: Path | None = None) -> Any:
    """GET something; its JSON, or its text if it is none. Raises Unhealthy for anything but a 200."""
    connection = _connect(address, tls=tls, ca=ca)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if response.status != 200:
        raise Unhealthy(f"answers {response.status}")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _connect(address: tuple[str, int], *, tls: bool, ca: Path | None) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(*address, timeout=_SECONDS)
    if ca is None:
        # These serve health checks with a certificate made up at their start; nothing secret is sent there.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        try:
            context = ssl.create_default_context(cafile=str(ca))
        except (OSError, ssl.SSLError) as error:
            raise Unhealthy("has no certificate yet") from error
    return http.client.HTTPSConnection(*address, timeout=_SECONDS, context=context)


def ask_socket(path: Path) -> None:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SECONDS)
        try:
            client.connect(str(path))
        except OSError as error:
            raise Unhealthy(error.strerror or "does not listen") from error

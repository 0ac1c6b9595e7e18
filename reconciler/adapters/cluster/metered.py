"""Requests to the API server, told to a `ports.Meter` in the words of Kubernetes' audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from types import SimpleNamespace

import aiohttp
from yarl import URL

from reconciler.adapters.cluster.kinds import OTHER, counted_as
from reconciler.ports import Meter

_DISCOVERY = "discovery"
_NO_ANSWER = "error"
_APPLY = "application/apply-patch"
_CODES = frozenset(map(int, HTTPStatus))
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def metered(meter: Meter, monotonic: Callable[[], float]) -> aiohttp.TraceConfig:
    """What makes a session of aiohttp tell every request to `meter`."""

    async def started(
        _: aiohttp.ClientSession, context: SimpleNamespace, asked: aiohttp.TraceRequestStartParams
    ) -> None:
        context.began = monotonic()

    async def ended(_: aiohttp.ClientSession, context: SimpleNamespace, got: aiohttp.TraceRequestEndParams) -> None:
        verb, resource = named(got.method, got.url, got.headers.get("Content-Type", ""))
        code = str(got.response.status) if got.response.status in _CODES else OTHER  # a pod's, by the proxy: any
        meter.requested(verb, resource, code, monotonic() - context.began)

    async def failed(
        _: aiohttp.ClientSession, context: SimpleNamespace, got: aiohttp.TraceRequestExceptionParams
    ) -> None:
        if not isinstance(got.exception, asyncio.CancelledError):  # it was us who let go of it
            verb, resource = named(got.method, got.url, got.headers.get("Content-Type", ""))
            meter.requested(verb, resource, _NO_ANSWER, monotonic() - context.began)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    trace.on_request_end.append(ended)
    trace.on_request_exception.append(failed)
    return trace


def named(method: str, url: URL, content_type: str) -> tuple[str, str]:
    """Verb and resource of a request. The resource is of our own tables, or `other`, whatever the path holds: kinds can
    be made without end (Kubernetes API concepts, "Resource URIs")."""
    parts = url.raw_path.strip("/").split("/")
    below = parts[2:] if parts[0] == "api" else parts[3:]
    if len(below) > 2 and below[0] == "namespaces":
        below = below[2:]
    if not below:
        return "get", _DISCOVERY
    resource = counted_as(below[0])
    if len(below) > 2 and resource != OTHER:
        resource += f"/{below[2]}" if below[2] in ("log", "proxy") else ""
    return _verb(method, url, content_type, of_one=len(below) > 1), resource


def _verb(method: str, url: URL, content_type: str, *, of_one: bool) -> str:
    if method != "GET":
        return "apply" if content_type.startswith(_APPLY) else _VERBS.get(method, OTHER)
    if url.query.get("watch") == "true":
        return "watch"
    return "get" if of_one else "list"

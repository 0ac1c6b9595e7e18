"""Stands between a daemon and the API server: sees every request, and may do something about it on the way.

It speaks plain HTTP on loopback and logs in by itself, so a daemon needs nothing but the kubeconfig that it writes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from yarl import URL

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "host", "keep-alive", "content-encoding"})
_BODY_LIMIT = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the API server gets it."""

    method: str
    path: str
    manager: str
    body: bytes
    watch: bool

    @property
    def resource(self) -> str:
        """The kind of object, as its plural in the path."""
        parts = self.path.strip("/").split("/")
        return parts[parts.index("namespaces") + 2] if "namespaces" in parts[:-2] else parts[-1]

    @property
    def write(self) -> bool:
        """Whether it changes something; the Kubernetes Events that tell of changes are no change."""
        return self.method != "GET" and self.resource != "events"


Hook = Callable[[Call, bool], None]
"""Called before a request is passed on, and (True) after its answer came and before it is passed back. Raises `Cut`
to go no further: the connection to the daemon is broken off instead."""


class Cut(Exception):
    """Neither pass this on nor answer."""


class Proxy:
    """A context manager; `kubeconfig` is what a daemon behind it uses, `admin` that of whose token it logs in with.

    `calls` holds every request so far, `answers` those that were answered, with the status.
    """

    def __init__(self, admin: Path, folder: Path, hook: Hook = lambda _, __: None) -> None:
        self.hook = hook
        self.calls: list[Call] = []
        self.answers: list[tuple[Call, int]] = []
        self.kubeconfig = folder / "proxy.kubeconfig"
        self._server, self._token, self._tls = _credentials(admin)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._sockets: list[socket.socket] = []
        self._streams: dict[asyncio.Transport, Call] = {}

    def hang_up(self, resource: str) -> None:
        """Breaks off every watch of that kind that is open."""
        self._loop.call_soon_threadsafe(self._break_off, resource)

    def _break_off(self, resource: str) -> None:
        for transport in [each for each, call in self._streams.items() if call.resource == resource]:
            transport.abort()

    def __enter__(self) -> Proxy:
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.kubeconfig.write_text(json.dumps(_kubeconfig(f"http://127.0.0.1:{port}")))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> int:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls, socket_factory=self._socket)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        if self._session and self._session.connector:
            # Cut off: a farewell by TLS would outlive the event loop, and some later test be blamed for the socket.
            await self._session.connector.close(abort_ssl=True)
            await self._session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._let_go()

    def _socket(self, info: Any) -> socket.socket:
        made = socket.socket(*info[:3])
        self._sockets = [each for each in self._sockets if each.fileno() >= 0] + [made]
        return made

    async def _let_go(self) -> None:
        """Ends what is still open: a watch that was broken off says farewell by TLS, of which the session knows nothing
        any more. The transports close the sockets in the loop's next rounds."""
        for each in self._sockets:
            with suppress(OSError):  # closed meanwhile, by us or by the API server
                each.shutdown(socket.SHUT_RDWR)
        while any(each.fileno() >= 0 for each in self._sockets):  # noqa: ASYNC110 - sockets tell nobody
            await asyncio.sleep(0.01)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        body = await request.read()
        call = Call(request.method, request.path, query.get("fieldManager", ""), body, query.get("watch") == "true")
        self.calls.append(call)
        try:
            return await self._pass_on(request, call)
        except Cut:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=502)

    async def _pass_on(self, request: web.Request, call: Call) -> web.StreamResponse:
        self.hook(call, False)
        async with await self._forward(request, call.body) as answer:
            self.answers.append((call, answer.status))
            if call.watch:
                return await self._stream(request, call, answer)
            body = await answer.read()
            self.hook(call, True)
            return web.Response(status=answer.status, headers=_passed_on(answer.headers), body=body)

    async def _stream(self, request: web.Request, call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        assert request.transport is not None
        transport = request.transport
        self._streams[transport] = call
        try:
            return await _stream(request, answer)
        finally:
            del self._streams[transport]

    async def _forward(self, request: web.Request, body: bytes) -> aiohttp.ClientResponse:
        assert self._session is not None
        headers = {**_passed_on(request.headers), "Authorization": f"Bearer {self._token}"}
        headers["Accept-Encoding"] = "identity"
        url = URL(self._server + request.raw_path, encoded=True)  # as it is, not quoted once more
        limit = aiohttp.ClientTimeout(total=None)
        return await self._session.request(request.method, url, headers=headers, data=body, timeout=limit)


async def _stream(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """A watch: every piece as it comes."""
    response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
    await response.prepare(request)
    with suppress(aiohttp.ClientConnectionResetError):  # the daemon has gone
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    return response


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.lower() not in _HOP_BY_HOP}


def _credentials(admin: Path) -> tuple[str, str, ssl.SSLContext]:
    """Address, token and TLS settings out of the administrator's kubeconfig."""
    held = yaml.safe_load(admin.read_text())
    cluster, user = held["clusters"][0]["cluster"], held["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return cluster["server"], user["token"], ssl.create_default_context(cadata=authority)


def _kubeconfig(server: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
        "current-context": "proxy",
    }

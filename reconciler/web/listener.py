"""A port that is open to strangers: bounded in connections, bytes and time, and saying nothing about itself.

Each connection carries one request. There is no TLS here, that is a proxy's business.
"""

from __future__ import annotations

import asyncio
import errno
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from reconciler.errors import Invalid, Transient

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may take; times are seconds. Headers are bounded by aiohttp: 128 of 8 KiB."""

    connections: int = 50
    body: int = 1024 * 1024
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    lingering_seconds: float = 1.0
    """How long a body that was refused is still taken in, unread: else its sender would not see the answer."""
    closing_seconds: float = 0.2
    oldest_goes: bool = False
    """With too many connections: whether the oldest is cut off, rather than the newest turned away."""


class Refused(Exception):
    """The request is answered with `status`, and for `reason`, which only we are told."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def answer(status: int) -> web.Response:
    """An answer that carries its status and nothing else."""
    response = web.Response(status=status, headers={"Server": "reconciler"})
    response.force_close()
    return response


def require_small(request: web.BaseRequest, limits: Limits) -> None:
    """Raises `Refused` for a body that says itself that it is too large; nothing of it is read."""
    if (request.content_length or 0) > limits.body:
        raise _too_large(limits)


async def body_of(request: web.BaseRequest, limits: Limits) -> bytes:
    """The body as it was sent. Raises `Refused` when it is too large, too slow, or breaks off."""
    try:
        async with asyncio.timeout(limits.body_seconds):
            await _invite(request)
            return await _read(request, limits)
    except TimeoutError:
        raise Refused(408, f"the body took longer than {limits.body_seconds:g} s") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refused(400, "the body broke off") from None


async def _read(request: web.BaseRequest, limits: Limits) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limits.body:
            raise _too_large(limits)
    return bytes(body)


async def _invite(request: web.BaseRequest) -> None:
    """curl sends a body of more than 1 MiB (older ones: 1 KiB) only when asked to (RFC 9110, 10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def _too_large(limits: Limits) -> Refused:
    return Refused(413, f"the body is larger than {limits.body} bytes")


class Listener:
    """An open port. `told` hears what never reaches `handler`: (reason, what a bug of ours looks like or ''). `setting`
    is the field of the configuration that says where it is."""

    def __init__(self, handler: Handler, told: Callable[[str, str], None], limits: Limits, setting: str) -> None:
        self._setting = setting
        self._limits = limits
        self._told = told
        self._server = _Server(handler, told, limits)
        self._socket: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> None:
        """Listens.

        Raises:
            Transient: the port is taken.
            Invalid: this machine has no such address, or may not use the port.
        """
        try:
            self._socket = await asyncio.get_running_loop().create_server(self._accept, host, port, backlog=128)
        except OSError as error:
            raise _cannot_listen(f"{self._setting} {shown(host, port)}", error) from None

    @property
    def address(self) -> str:
        """Where it listens, with the port that was found if any was asked for."""
        assert self._socket is not None
        return shown(*self._socket.sockets[0].getsockname()[:2])

    async def close(self) -> None:
        """Closes the port at once, and its connections after a moment for those that are being answered."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            await self._server.shutdown(self._limits.closing_seconds)

    def _accept(self) -> asyncio.Protocol:
        if len(self._server.admitted) < self._limits.connections or self._made_room():
            return self._server()
        self._told("there are too many connections", "")
        return _TurnedAway()

    def _made_room(self) -> bool:
        """Cuts off the connection that has lasted longest, if that is how it is to be, and if there is one yet: many
        may come in one moment, before any of them is set up."""
        if self._limits.oldest_goes:
            for each in self._server.admitted:
                if each.transport is not None:
                    del self._server.admitted[each]
                    each.transport.abort()
                    return True
        return False


class Door:
    """A port that may be opened, moved and closed while the daemon runs. `make` gives a listener for it, `opened` is
    told where it listens."""

    def __init__(self, make: Callable[[], Listener], opened: Callable[[str], None]) -> None:
        self._make, self._opened = make, opened
        self._at: tuple[str, int] | None = None
        self._listener: Listener | None = None

    @property
    def address(self) -> str:
        """HOST:PORT that is listened on, or ''."""
        return self._listener.address if self._listener else ""

    async def move(self, to: tuple[str, int] | None) -> None:
        """Listens at host and port `to` (None: nowhere) instead of where it did. The new port is opened before the old
        one is closed, unless they are the same one, on other addresses.

        Raises what `Listener.open` raises, with all as it was before.
        """
        at, old = self._at, self._listener
        if to == at and (old or to is None):
            return
        in_its_place = to is not None and at is not None and to[1] == at[1] != 0
        if in_its_place and old:
            await old.close()
        try:
            self._listener = await self._open(to)
        except (Invalid, Transient):
            self._listener = await self._open(at) if in_its_place else old
            raise
        self._at = to
        if old:
            await old.close()

    async def close(self) -> None:
        """Listens no more."""
        await self.move(None)

    async def _open(self, to: tuple[str, int] | None) -> Listener | None:
        if to is None:
            return None
        listener = self._make()
        await listener.open(*to)
        self._opened(listener.address)
        return listener


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _Server(web.Server):
    """aiohttp's, with connections of our own."""

    def __init__(self, handler: Handler, told: Callable[[str, str], None], limits: Limits) -> None:
        super().__init__(handler)
        self._told, self._limits = told, limits
        self.admitted: dict[_Connection, None] = {}
        """Those that count, the oldest first: from when they are accepted, which is before they are set up, until they
        are closed, or told to be."""

    def __call__(self) -> web.RequestHandler:
        made = _Connection(self, self._told, self._limits)
        self.admitted[made] = None
        return made

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """See aiohttp."""
        super().connection_lost(handler, exc)
        if isinstance(handler, _Connection):
            self.admitted.pop(handler, None)


class _Connection(web.RequestHandler):
    """Answers what is no HTTP, or meets a bug of ours, as quietly as all else. aiohttp would quote it, and log each."""

    __slots__ = ("_told_to",)

    def __init__(self, server: web.Server, told: Callable[[str, str], None], limits: Limits) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # "None to disable", says its manual
            auto_decompress=False,  # what is signed is what was sent
            keepalive_timeout=limits.header_seconds,  # counts from the connection's beginning, too
            lingering_time=limits.lingering_seconds,
        )
        self._told_to = told

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """See aiohttp."""
        malformed = exc is None or isinstance(exc, HttpProcessingError)
        self._told_to("it is no HTTP", "" if malformed else "".join(traceback.format_exception(exc))[-4000:])
        return answer(status)


def shown(host: str, port: int) -> str:
    """HOST:PORT as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cannot_listen(where: str, error: OSError) -> Transient | Invalid:
    if error.errno == errno.EADDRINUSE:
        todo = "End the program that uses it, or choose another"
        return Transient("cannot listen there: the address is in use", where=where, todo=todo)
    reason = {errno.EADDRNOTAVAIL: "this machine has no such address", errno.EACCES: "permission denied"}
    what = reason.get(error.errno or 0, "the name cannot be resolved or the address not be used")
    return Invalid(f"cannot listen there: {what}", where=where, todo="Choose another address")

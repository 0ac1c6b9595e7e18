"""List once, then watch: one task per kind and namespace keeps the store true.

The protocol is the API server's (Kubernetes API concepts, "Efficient detection of changes"): list, watch from the
list's resourceVersion, begin again with a list on 410 Gone. The client library's own `Watch` is left aside: it makes a
client and a model object of its own for every watch and event.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from kubernetes.aio import client

from reconciler.adapters.cluster.kinds import Kind, counted_as, place_of
from reconciler.adapters.cluster.requests import open_response, send, translated
from reconciler.core.model import LABEL_APP
from reconciler.errors import Blocked, Conflict, ReconcilerError, Transient
from reconciler.ports import CALL_SECONDS, Pulse

_SERVER_SIDE_LIMIT = 300
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 15.0
_SHORT = 1.0
"""Seconds. A watch that ends sooner and brought nothing has failed, whatever its status was: client-go's rule."""
_PAGE = "500"
_UNTOUCHED = "Nothing was changed"
_LINE_LIMIT = 8 * 2**20
_SLACK = 60.0
"""Seconds beyond its time-outs that a watch may take: a machine without a free CPU is slow."""
_SILENCE = _SERVER_SIDE_LIMIT + 30
"""Seconds after which a watch that brings nothing is given up: the API server has ended it by then."""


class _NoPulse:
    """Nobody listens to it."""

    def due_within(self, seconds: float) -> None:
        """See `ports.Pulse`."""

    def at_rest(self) -> None:
        """See `ports.Pulse`."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """Who is to know how watches are: `pulse(task)` makes the pulse of one, `restarted(resource)` is told of each that
    ended by an error."""

    pulse: Callable[[str], Pulse]
    restarted: Callable[[str], None]


UNMONITORED = Monitor(lambda _: _NoPulse(), lambda _: None)


class Sink(Protocol):
    """What a watch tells: see `store.Store`."""

    def put(self, live: dict[str, Any]) -> None:
        """An object is new or changed."""
        ...

    def drop(self, live: dict[str, Any]) -> None:
        """An object is gone."""
        ...

    def replace(self, kind: str, namespace: str, listed: Sequence[dict[str, Any]], version: str) -> None:
        """All there are as of `version`."""
        ...


class Watch:
    """Keeps what `selector` picks of one kind in one namespace up to date in `store`, for ever, whatever happens to the
    API server.

    `synced` is set while the store is known to be true: cleared with the first failure, set again after a fresh list
    and a watch from there on that brings something or lasts.
    `on_failure(watch, retry_in, error)` and `on_recovery(watch)` are told once per outage and refusal, not per attempt.
    """

    def __init__(
        self,
        api: client.ApiClient,
        kind: Kind,
        namespace: str,
        store: Sink,
        on_failure: Callable[[Watch, float, ReconcilerError], None],
        on_recovery: Callable[[Watch], None],
        selector: str = LABEL_APP,
        monitor: Monitor = UNMONITORED,
    ) -> None:
        self.kind = kind
        self.namespace = namespace
        self._api = api
        self._store = store
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._selector = selector
        self._monitor = monitor
        self.task = f"watch {namespace or 'the cluster'}"
        """What it is called in events."""
        self._pulse = monitor.pulse(self.task)
        self._version = ""
        self._failures = 0
        self._behind = False
        self._proven = False
        self._error: ReconcilerError | None = None
        self._turned = asyncio.Event()
        self.synced = asyncio.Event()
        self.was_synced = False
        """Whether it ever was."""

    async def run(self) -> None:
        """Never returns; cancel the task that runs it."""
        try:
            while True:
                await self._try()
        finally:
            self._distrust()  # a bug ended it: until it is begun anew, the store gets old
            self._pulse.at_rest()

    async def usable(self) -> None:
        """Returns once it is synced. Raises `Blocked` if the API server refuses it, which no waiting mends."""
        while not self.synced.is_set():
            if isinstance(self._error, Blocked):
                raise self._error
            await self._turned.wait()

    def _turn(self, error: ReconcilerError | None) -> None:
        """How it stands has changed: whoever waits looks again."""
        self._error = error
        self._turned.set()
        self._turned = asyncio.Event()

    async def _try(self) -> None:
        try:
            await self._follow()
        except Conflict as error:
            self._monitor.restarted(counted_as(self.kind.plural))
            # 410 Gone: too far behind, so list again. At once, unless that was just done and did not help.
            if self._behind:
                await self._back_off(error)
            self._version, self._behind = "", True
        except ReconcilerError as error:
            self._monitor.restarted(counted_as(self.kind.plural))
            await self._back_off(error)

    def _trust(self) -> None:
        self.synced.set()
        self.was_synced = True

    def _distrust(self) -> None:
        self.synced.clear()
        self._version = ""  # what was missed meanwhile, a list tells for sure

    async def _back_off(self, error: ReconcilerError) -> None:
        self._distrust()
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2**self._failures) * random.uniform(0.8, 1.2)  # noqa: S311
        self._pulse.due_within(delay + CALL_SECONDS + _SLACK)
        self._failures = min(self._failures + 1, 10)
        if self._failures == 1 or self._is_news(error):
            self._on_failure(self, delay, error)
        self._turn(error)
        await asyncio.sleep(delay)

    def _is_news(self, error: ReconcilerError) -> bool:
        """An outage is told once. But that it is refused is another thing to know than that nobody answered before, and
        so is each permission that is missing: of `list` and `watch`, the second shows when the first is there."""
        known = self._error.located if self._error else ""
        return isinstance(error, Blocked) and error.located != known

    async def _follow(self) -> None:
        if not self._version:
            await self._list()
        self._proven = False
        async with aclosing(self._changes()) as changes:  # else a change that raises leaves the stream open
            async for change in changes:
                self._take(change)

    def _opened(self) -> asyncio.TimerHandle:
        """The API server has accepted a watch. After a failure that alone proves nothing: see `_stands`."""
        if not self._failures:
            self._trust()
            self._turn(None)
        return asyncio.get_running_loop().call_later(_SHORT, self._stands)

    def _stands(self) -> None:
        """A watch has brought something, or lasted."""
        self._proven, self._behind = True, False
        self._trust()
        if self._failures:
            self._failures = 0
            self._on_recovery(self)
        if self._error:
            self._turn(None)

    async def _list(self) -> None:
        items: list[dict[str, Any]] = []
        query = {"labelSelector": self._selector, "limit": _PAGE}
        while True:
            self._pulse.due_within(_SLACK + CALL_SECONDS)
            page = await send(self._api, "GET", self.kind.path(self.namespace), query=query)
            items += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                break
            query["continue"] = token
        for each in items:
            each |= {"kind": self.kind.name, "apiVersion": self.kind.api_version}
        version = page["metadata"]["resourceVersion"]
        self._store.replace(self.kind.key, self.namespace, items, version)
        self._version = version

    def _take(self, change: dict[str, Any]) -> None:
        live = change["object"]
        if change["type"] == "ERROR":
            if live.get("code") == 410:
                raise Conflict("the watch is too far behind")
            raise Transient(f"the watch ended: {live.get('message')}")
        self._stands()
        self._version = live["metadata"]["resourceVersion"]
        if change["type"] == "DELETED":
            self._store.drop(live)
        elif change["type"] != "BOOKMARK":
            self._store.put(live)

    async def _changes(self) -> AsyncGenerator[dict[str, Any], None]:
        query = {
            "labelSelector": self._selector,
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(_SERVER_SIDE_LIMIT // 2, _SERVER_SIDE_LIMIT)),  # noqa: S311
        }
        path = self.kind.path(self.namespace)
        limit = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE)
        self._pulse.due_within(_SILENCE + _SLACK)
        try:
            async with await open_response(self._api, "GET", path, query=query, limit=limit) as response:
                if response.status == 410:
                    raise Conflict("the watch is too far behind")
                if response.status >= 400:
                    raise translated(response, await response.text(), place_of(path), _UNTOUCHED)
                lasting = self._opened()
                try:
                    async for line in _lines(response.content):
                        self._pulse.due_within(_SILENCE + _SLACK)
                        yield _parsed(line, path)
                finally:
                    lasting.cancel()
                    _hang_up(response)
                if not self._proven:
                    raise Transient("the watch ended at once, and brought nothing", where=path)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Transient(f"the watch broke off ({type(error).__name__}: {error})", where=path) from error


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Of a watch that is cut off: a farewell by TLS could outlive the event loop, and leave the socket open."""
    if response.connection and response.connection.transport:
        response.connection.transport.abort()


def _parsed(line: bytes, path: str) -> dict[str, Any]:
    try:
        change: dict[str, Any] = json.loads(line)
    except ValueError:
        raise Transient(f"the watch brought something that is no JSON: {line[:100]!r}", where=path) from None
    return change


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The stream cut at line feeds. aiohttp's own line reader refuses lines over its buffer; objects reach 1.5 MiB."""
    rest = bytearray()
    async for chunk in stream.iter_any():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            yield bytes(rest[:end])
            del rest[: end + 1]
        if len(rest) > _LINE_LIMIT:
            raise Transient("the API server sent an event of over 8 MiB")

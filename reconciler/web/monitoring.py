"""How the daemon is, for the kubelet and for Prometheus: `/livez`, `/readyz` and `/metrics`.

The paths and answers of the probes are those of Kubernetes' own components ("Kubernetes API health endpoints"). Whoever
gets here learns no more than which of a fixed list of checks failed; which task it was, the event log says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from reconciler.app.settings_monitoring import MonitoringSettings
from reconciler.core.event import event
from reconciler.ports import Clock, Telemetry
from reconciler.web.listener import Door, Limits, Listener, answer

_TEXT = "text/plain; charset=utf-8"
_FORMATS = "application/openmetrics-text", "text/plain"
_FRESH = 1.0

Checks = Callable[[], Mapping[str, bool]]
"""The names of all checks, in order, and which hold."""
Exposition = Callable[[bool], Awaitable[tuple[bytes, str]]]
"""The metrics, in OpenMetrics' format or in Prometheus' own, and their Content-Type."""


def _limits() -> Limits:
    """A stranger who holds all connections must not keep the kubelet out, which would restart us for it."""
    return Limits(body=0, oldest_goes=True)


@dataclass(slots=True)
class Monitoring:
    """The answers to those who look after the daemon. `fresh`: for how many seconds the same metrics are shown again,
    however many ask."""

    live: Checks
    ready: Checks
    exposition: Exposition
    telemetry: Telemetry
    clock: Clock
    fresh: float = _FRESH
    limits: Limits = field(default_factory=_limits)
    settings: MonitoringSettings | None = None
    _door: Door = field(init=False)
    _shown: dict[bool, tuple[float, bytes, str]] = field(default_factory=dict)
    _showing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._door = Door(self._listener, lambda at: self.telemetry.emit(event("monitoring_opened", address=at)))

    async def apply(self, settings: MonitoringSettings | None) -> bool:
        """Brings the port in line with `settings`. Returns whether there was any difference.

        Raises what `Listener.open` raises, with all as it was before.
        """
        if settings == self.settings:
            return False
        await self._door.move((settings.host, settings.port) if settings else None)
        self.settings = settings
        return True

    async def close(self) -> None:
        """Answers no more."""
        await self._door.close()

    def _listener(self) -> Listener:
        return Listener(self._answer, self._unreadable, self.limits, "monitoring.address")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET" or request.content_length:
            return answer(404)
        match request.path:
            case "/livez":
                return _told(self.live(), "verbose" in request.query)
            case "/readyz":
                return _told(self.ready(), "verbose" in request.query)
            case "/metrics":
                return await self._metrics(request.headers.get("Accept", ""))
        return answer(404)

    async def _metrics(self, accept: str) -> web.Response:
        kind = _prefers_openmetrics(accept)
        async with self._showing:  # one at a time: who asks in vain for more gets what there is
            at, text, content_type = self._shown.get(kind, (0.0, b"", ""))
            if not text or self.clock.monotonic() - at >= self.fresh:
                text, content_type = await self.exposition(kind)
                self._shown[kind] = self.clock.monotonic(), text, content_type
        return _response(200, text, content_type)

    def _unreadable(self, reason: str, bug: str) -> None:
        if bug:
            self.telemetry.emit(event("bug", task="monitoring", retry_in=0, reason=bug))


def _prefers_openmetrics(accept: str) -> bool:
    """By the order of the header Accept, in which Prometheus' own comes, too; its weights are not looked at."""
    listed = [each.partition(";")[0].strip() for each in accept.split(",")]
    return next((each for each in listed if each in _FORMATS), "") == _FORMATS[0]


def _told(checks: Mapping[str, bool], verbose: bool) -> web.Response:
    good = all(checks.values())
    lines = [f"[+]{name} ok" if holds else f"[-]{name} failed" for name, holds in checks.items()]
    last = "ok" if good else "failed"
    text = "".join(f"{line}\n" for line in ([*lines, last] if verbose else [last]))
    return _response(200 if good else 500, text.encode(), _TEXT)


def _response(status: int, text: bytes, content_type: str) -> web.Response:
    headers = {"Server": "reconciler", "Content-Type": content_type, "X-Content-Type-Options": "nosniff"}
    response = web.Response(status=status, body=text, headers=headers)
    response.force_close()
    return response

"""Events out: structlog to standard output, and the important ones to the cluster.

JSON lines when standard output is not a terminal, colours when it is one. Writing to the cluster is queued and
bounded: a slow API server delays or loses a Kubernetes Event, never a switch.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog

from reconciler.core.event import Event
from reconciler.core.event import event as event_of
from reconciler.core.model import Manifest
from reconciler.errors import Blocked, ReconcilerError

_QUEUE_LIMIT = 1000
_FLUSH_SECONDS = 0.3

Post = Callable[[Manifest, Event, float], Awaitable[None]]


def make_logger(stream: TextIO) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines are JSON, or coloured text if `stream` is a terminal."""
    terminal = stream.isatty()
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    ordered: list[structlog.typing.Processor] = [structlog.processors.add_log_level, stamp]
    last: list[structlog.typing.Processor] = (
        [_short_times, structlog.dev.ConsoleRenderer(pad_event_to=18, sort_keys=False)]
        if terminal
        else [_in_order, structlog.processors.JSONRenderer()]
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[*ordered, *last],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        cache_logger_on_first_use=True,
    )
    return logger


def _in_order(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """timestamp, level and event first: what a person's eye, and `cut`, look for."""
    first = {key: line.pop(key) for key in ("timestamp", "level", "event")}
    return {**first, **line}


def _short_times(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """On a terminal: what a person reads first, the time of day, short commits, and nothing that is empty."""
    line["timestamp"] = str(line["timestamp"])[11:23]
    for key in ("commit", "from_commit"):
        if line.get(key):
            line[key] = str(line[key])[:12]
    first = {key: line[key] for key in ("app", "version", "reason") if key in line}
    return {key: value for key, value in {**first, **line}.items() if value not in (None, "")}


class EventLog:
    """The `ports.Telemetry` of a running daemon. `post` writes a Kubernetes Event; None: standard output alone."""

    def __init__(self, now: Callable[[], float], post: Post | None = None, stream: TextIO | None = None) -> None:
        self._now = now
        self._post = post
        self._logger = make_logger(stream or sys.stdout)
        self._refused: set[str] = set()
        self._queue: asyncio.Queue[tuple[Manifest, Event, float]] = asyncio.Queue(_QUEUE_LIMIT)
        self.listeners: list[Callable[[Event], None]] = []
        """Each is given every event, after it was written. It must return at once, and not raise."""

    def emit(self, event: Event, about: Manifest | None = None) -> None:
        """See `ports.Telemetry`."""
        with suppress(OSError, ValueError):  # the reader of our output went away: no reason to stop serving
            self._logger.log(_LEVELS[event.spec.level], event.name, **event.fields)
        if about is not None and event.spec.on_service and self._post:
            with suppress(asyncio.QueueFull):
                self._queue.put_nowait((about, event, self._now()))
        for heard in self.listeners:
            heard(event)

    async def run(self) -> None:
        """Writes queued events to the cluster, for ever; what the cluster refuses is let go, and told once."""
        assert self._post is not None
        while True:
            about, event, at = await self._queue.get()
            try:
                await self._post(about, event, at)
            except Blocked as error:
                self._tell_refused(about["metadata"]["namespace"], error)
            except ReconcilerError:
                pass  # an Event is not worth a second try
            self._queue.task_done()

    def _tell_refused(self, namespace: str, error: Blocked) -> None:
        """Once a namespace: else nobody would know why `kubectl describe` is silent."""
        if namespace not in self._refused:
            self._refused.add(namespace)
            told = {"reason": error.located, "untouched": "Releases go on", "todo": error.todo}
            self.emit(event_of("events_refused", namespace=namespace, **told))

    async def flush(self) -> None:
        """Waits a moment for the queue to empty."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), _FLUSH_SECONDS)


_LEVELS = {"info": 20, "warning": 30, "error": 40}

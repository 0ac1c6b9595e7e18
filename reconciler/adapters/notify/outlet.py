"""One channel at work: a bounded queue, and one task that sends what is in it, one after the other.

A service that hangs, refuses or is gone holds up its own channel and nothing else. What waits is at most `WAITING`
notices, of which the oldest go first. A notice is tried `TRIES` times over: a service may have taken what it did not
say that it took, so that it must not be sent for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from reconciler.adapters.notify.service import Service
from reconciler.adapters.notify.threads import Threads
from reconciler.app.backoff import BackOff
from reconciler.app.settings_notifications import ChannelSettings
from reconciler.core.event import event
from reconciler.core.notice import Notice
from reconciler.core.notice_text import message
from reconciler.core.ration import Ration
from reconciler.errors import ReconcilerError, Transient
from reconciler.ports import Clock, Telemetry

WAITING = 100
TRIES = 10
_FIRST, _LONGEST = 5.0, 300.0
"""Seconds of back-off: ten tries take about twenty minutes."""
_OPENING = 60.0
"""Seconds to find the address and open the service: the first time, all of apprise is loaded."""

ReadAddress = Callable[[ChannelSettings], Awaitable[str]]
OpenService = Callable[[str], Service]


def patient() -> BackOff:
    """The back-off of a channel."""
    return BackOff(_FIRST, _LONGEST)


@dataclass(slots=True)
class Outlet:
    """A channel of the configuration in force. `read` and `open_service` may raise any `ReconcilerError`."""

    settings: ChannelSettings
    telemetry: Telemetry
    clock: Clock
    read: ReadAddress
    open_service: OpenService
    back_off: BackOff = field(default_factory=patient)
    waiting: deque[Notice] = field(default_factory=deque)
    _ration: Ration = field(init=False)
    _threads: Threads = field(init=False)
    _current: Notice | None = None
    _tries: int = 0
    _address: str = ""
    _service: Service | None = None
    _lost: int = 0
    _refused: bool = False
    _failing_since: float | None = None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._ration = Ration(self.settings.channel)
        self._threads = Threads(f"channel {self.settings.name}")

    def offer(self, notice: Notice) -> None:
        """Queues it, if the channel wants it and may have it now. Returns at once."""
        if not self.settings.channel.wants(notice):
            return
        if self.waiting and notice.replaces(self.waiting[-1]):
            earlier = self.waiting.pop()
            notice = Notice(notice.event, notice.fields, notice.source, notice.at, earlier.times, earlier.more)
        else:
            admitted = self._ration.admit(notice)
            if admitted is None:
                return
            notice = admitted
        self._queue(notice)

    def inherit(self, former: Outlet) -> None:
        """What the channel of that name, by an older configuration, did not get rid of."""
        for each in ([former._current] if former._current else []) + list(former.waiting):
            self._queue(each)

    async def run(self) -> None:
        """Sends, for ever. Opens the service first, so that a wrong address shows before it is needed."""
        while True:
            try:
                if self._service is None:
                    await self._opened()
                notice = await self._next()
                await self._send(await self._opened(), notice)
            except ReconcilerError as error:
                await asyncio.sleep(self._failed(error))

    async def settled(self) -> None:
        """Returns once nothing waits, or the last try failed."""
        if self.waiting or self._current:
            await self._settled.wait()

    def let_go(self) -> None:
        """Closes the service, if it is open. Returns at once."""
        if self._service is not None:
            self._threads.leave(self._service.close)
            self._service = None

    def _queue(self, notice: Notice) -> None:
        if len(self.waiting) >= WAITING:
            self._lose(self.waiting.popleft())
        self.waiting.append(notice)
        self._woken.set()
        if self._failing_since is None:
            self._settled.clear()

    def _lose(self, notice: Notice) -> None:
        self._ration.lost(notice)
        self._lost += 1

    async def _next(self) -> Notice:
        """The notice to be sent now; it stays so until it is sent or lost."""
        while self._current is None:
            if self.waiting:
                self._current, self._tries = self.waiting.popleft(), 0
                break
            if not self._refused:  # that the address is good again proves nothing of the service
                self._recovered()
            self._settled.set()
            self._woken.clear()
            await self._woken.wait()
        return self._current

    async def _opened(self) -> Service:
        try:
            async with asyncio.timeout(_OPENING):
                address = await self.read(self.settings)
        except TimeoutError:
            raise Transient("its address cannot be read: that took too long") from None
        if address != self._address:
            self.let_go()
        if self._service is None:
            self._service = await self._threads.run(partial(self.open_service, address), _OPENING)
            self._address = address
        return self._service

    async def _send(self, service: Service, notice: Notice) -> None:
        self._tries += 1
        channel = self.settings.channel
        try:
            await self._threads.run(lambda: service.send(message(notice, channel)), self.settings.timeout)
        except ReconcilerError:
            self._refused = True
            raise
        self._current, self._refused = None, False
        self._recovered()

    def _failed(self, error: ReconcilerError) -> float:
        """Tells an outage once, not once per try. Returns how long to wait for the next."""
        self.let_go()  # a thread that hangs has it still
        delay = self.clock.jitter(self.back_off.failed(error))
        if self._failing_since is None:
            self._failing_since = self.clock.now()
            fields = {"channel": self.settings.name, "retry_in": round(delay, 3), "reason": error.located}
            fields["untouched"] = f"Releases go on. What is to be told waits, {WAITING} messages at most"
            self.telemetry.emit(event("notification_failed", **fields, **({"todo": error.todo} if error.todo else {})))
        if self._current and self._tries >= TRIES:
            self._lose(self._current)
            self._current = None
        self._settled.set()
        return delay

    def _recovered(self) -> None:
        self.back_off.succeeded()
        if self.waiting:
            self._settled.clear()
        if self._failing_since is not None:
            took = round(self.clock.now() - self._failing_since, 3)
            self.telemetry.emit(
                event("notification_recovered", channel=self.settings.name, duration=took, count=self._lost)
            )
            self._failing_since, self._lost = None, 0

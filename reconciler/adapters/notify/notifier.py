"""All channels of the configuration in force: events in, each to the channels that want it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from reconciler.adapters.notify.outlet import OpenService, Outlet, ReadAddress, patient
from reconciler.app.backoff import BackOff
from reconciler.app.settings_notifications import ChannelSettings
from reconciler.core.event import Event
from reconciler.core.notice import notice_of
from reconciler.ports import Clock, Telemetry

_FLUSH_SECONDS = 1.0

Spawn = Callable[[str, Callable[[], Awaitable[None]]], asyncio.Task[None]]


@dataclass(slots=True)
class Notifier:
    """`spawn` starts a task that goes on for ever; `source_of` gives the source of an app, '' if it has none."""

    telemetry: Telemetry
    clock: Clock
    spawn: Spawn
    source_of: Callable[[str], str]
    read: ReadAddress
    open_service: OpenService
    back_off: Callable[[], BackOff] = patient
    _outlets: dict[str, tuple[Outlet, asyncio.Task[None]]] = field(default_factory=dict)

    def offer(self, event: Event) -> None:
        """Gives the event to every channel that wants it. Never blocks; nothing waits for what comes of it."""
        if not self._outlets:
            return
        app = event.fields.get("app")
        notice = notice_of(event, self.source_of(str(app)) if app else "", self.clock.now())
        if notice:
            for outlet, _ in self._outlets.values():
                outlet.offer(notice)

    async def apply(self, settings: Sequence[ChannelSettings]) -> bool:
        """Brings the channels in line with `settings`; those that did not change go on undisturbed, and what waits in
        one that did is sent by the new one. Returns whether there was any difference."""
        wanted = {each.name: each for each in settings}
        changed = {name for name, (outlet, _) in self._outlets.items() if wanted.get(name) != outlet.settings}
        former = await self._end(changed)
        new = [each for name, each in wanted.items() if name not in self._outlets]
        for each in new:
            outlet = Outlet(each, self.telemetry, self.clock, self.read, self.open_service, self.back_off())
            if each.name in former:
                outlet.inherit(former[each.name])
            self._outlets[each.name] = outlet, self.spawn(f"channel {each.name}", outlet.run)
        return bool(changed or new)

    async def close(self, seconds: float = _FLUSH_SECONDS) -> None:
        """Ends it. What waits has that long to be sent, unless its channel is out of order anyway."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(outlet.settled() for outlet, _ in self._outlets.values()))
        await self._end(set(self._outlets))

    async def _end(self, names: set[str]) -> dict[str, Outlet]:
        ended = {name: self._outlets.pop(name) for name in names}
        for _, task in ended.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in ended.values()), return_exceptions=True)
        for outlet, _ in ended.values():
            outlet.let_go()
        return {name: outlet for name, (outlet, _) in ended.items()}

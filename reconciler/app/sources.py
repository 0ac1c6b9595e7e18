"""Follows one branch of one repository: a task per source, so that a hanging one holds up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from reconciler.app.backoff import BackOff
from reconciler.app.cycle import Tip
from reconciler.app.settings_source import SourceSettings
from reconciler.core.address import masked
from reconciler.core.event import event
from reconciler.errors import ReconcilerError
from reconciler.ports import Clock, Repository, Telemetry


@dataclass(slots=True)
class Source:
    """A followed branch. `tip` is the last commit read (None: none yet).

    `on_update` is called with the source's name after the tip moved, and after a look that was asked for. `discover` is
    called with a new commit before it becomes the tip: if that fails, the source did.
    """

    settings: SourceSettings
    repository: Repository
    telemetry: Telemetry
    clock: Clock
    on_update: Callable[[str], None]
    discover: Callable[[str], Awaitable[None]] | None = None
    tip: Tip | None = None
    error: ReconcilerError | None = None
    _asked: bool = False
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _back_off: BackOff = field(default_factory=BackOff)
    _failing_since: float | None = None

    def wake(self) -> None:
        """Looks at the repository now instead of at the next interval."""
        self._woken.set()

    def ask(self) -> None:
        """Looks now, and calls `on_update` afterwards even if nothing moved."""
        self._asked = True
        self.wake()

    async def run(self) -> None:
        """Looks at the repository every interval, and whenever it is woken; never returns."""
        while True:
            self._woken.clear()
            delay = await self.look()
            try:
                async with asyncio.timeout(delay):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def look(self) -> float:
        """One look. Returns the seconds until the next one is due."""
        began = self.clock.now()
        try:
            commit = await self.repository.tip()
            if self.discover and (self.tip is None or self.tip.commit != commit):
                await self.discover(commit)
        except ReconcilerError as error:
            return self._failed(error, began)
        self._recovered(commit, began)
        before, asked = self.tip, self._asked
        moved = before is None or before.commit != commit
        self.tip = Tip(commit, began if before is None or moved else before.noticed_at, began)
        if moved:
            took = round(self.clock.now() - began, 3)
            self._emit("source_updated", commit=commit, from_commit=before.commit if before else None, duration=took)
        if moved or asked:
            self._asked = False
            self.on_update(self.settings.name)
        return self.clock.jitter(self.settings.interval)

    def _failed(self, error: ReconcilerError, began: float) -> float:
        delay = self.clock.jitter(self._back_off.failed(error))
        if self.error is None or self.error.args != error.args:
            detail = {"reason": error.located, "untouched": error.untouched, "todo": error.todo}
            self._emit("source_failed", retry_in=round(delay, 3), **{k: v for k, v in detail.items() if v})
        self.error = error
        self._failing_since = self._failing_since or began
        return delay

    def _recovered(self, commit: str, began: float) -> None:
        if self._failing_since is not None:
            self._emit("source_recovered", commit=commit, duration=round(began - self._failing_since, 3))
        self.error, self._failing_since = None, None
        self._back_off.succeeded()

    def _emit(self, name: str, **fields: object) -> None:
        source = self.settings
        known = {"source": source.name, "url": masked(source.url), "branch": source.branch}
        self.telemetry.emit(event(name, **known, **fields))

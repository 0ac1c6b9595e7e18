"""Follows one ref of one repository: a task per source, so that a hanging one holds up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from reconciler.app.backoff import BackOff
from reconciler.app.cycle import Tip
from reconciler.app.lineage import TODO, UNTOUCHED, Lineage, told
from reconciler.app.settings_source import ForcePush, SourceSettings
from reconciler.app.stopwatch import Unmetered
from reconciler.core.address import masked
from reconciler.core.event import event
from reconciler.core.gitref import RefKind
from reconciler.core.state import SourceState
from reconciler.errors import ReconcilerError, Unverified
from reconciler.ports import Clock, Meter, Repository, Telemetry


@dataclass(slots=True)
class Source:
    """A followed ref. `tip` is the last commit read (None: none yet).

    `on_update` is called with the source's name after the tip moved, and after a look that was asked for. `discover` is
    called with a commit before it becomes the tip: if that fails, the source did.
    """

    settings: SourceSettings
    repository: Repository
    telemetry: Telemetry
    clock: Clock
    on_update: Callable[[str], None]
    discover: Callable[[str], Awaitable[None]] | None = None
    tip: Tip | None = None
    error: ReconcilerError | None = None
    meter: Meter = field(default_factory=Unmetered)
    _asked: bool = False
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _back_off: BackOff = field(default_factory=BackOff)
    _failing_since: float | None = None
    _refused: str = ""
    _described: str = ""
    _lineage: Lineage = field(init=False)
    _read_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._read_at = self.clock.monotonic()
        self._lineage = Lineage(self.settings, self.repository)

    def inherit(self, former: Source) -> None:
        """Takes over what a former source read, if it read the same by the same rules."""
        mine, its = self.settings, former.settings
        if replace(its, suspend=mine.suspend, interval=mine.interval, timeout=mine.timeout) == mine:
            self.tip, self._read_at = former.tip, former._read_at

    @property
    def state(self) -> SourceState:
        """What gauges show of it."""
        return SourceState(self.settings.name, self.clock.monotonic() - self._read_at)

    @property
    def unreliable(self) -> str | None:
        """Why nothing is to be concluded from what is missing at the tip: the last look failed, or ('') there was none
        since the start. None if there is no reason."""
        if self.error is not None:
            return f"source {self.settings.name} cannot be read: {self.error.located}"
        return "" if not self._described_tip else None

    @property
    def _described_tip(self) -> bool:
        return self.tip is not None and (self.discover is None or self._described == self.tip.commit)

    def wake(self) -> None:
        """Looks at the repository now instead of at the next interval."""
        self._woken.set()

    def ask(self) -> None:
        """Looks now, and calls `on_update` afterwards even if nothing moved."""
        self._asked = True
        self.wake()

    async def run(self) -> None:
        """Looks at the repository every interval, and whenever it is woken; never returns. Suspended, it only waits."""
        if self.settings.suspend:
            self._emit("source_suspended", **self._suspended())
            await asyncio.Event().wait()
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
            found = await self.repository.tip()
            commit = await self._permitted(found)
            await self._describe(commit)
        except Unverified as error:
            await self._hold(error.in_force, began)
            return self._failed(error, began)
        except ReconcilerError as error:
            return self._failed(error, began)
        self._recovered(commit, began)
        self._advance(commit, began)
        await self._look_back(found)
        return self.clock.jitter(self.settings.interval)

    def _advance(self, commit: str, began: float) -> None:
        before, asked = self.tip, self._asked
        moved = before is None or before.commit != commit
        self.tip = Tip(commit, began if before is None or moved else before.noticed_at, began)
        if moved:
            fields = {"commit": commit, "from_commit": before.commit if before else None}
            tag = {"tag": self.repository.tag} if self.repository.tag else {}
            self._emit("source_updated", **tag, **fields, duration=round(self.clock.now() - began, 3))
        if moved or asked:
            self._asked = False
            self.on_update(self.settings.name)

    async def _hold(self, accepted: str, began: float) -> None:
        """The repository was looked at, and what is in force still is. After a start it is what was accepted before."""
        try:
            in_force = self.tip.commit if self.tip else accepted and await self._permitted(accepted)
            if in_force:
                await self._describe(in_force)
        except ReconcilerError:
            return  # the next look tries again
        if in_force:
            self._advance(in_force, began)

    async def _describe(self, commit: str) -> None:
        """Has the apps read that `commit` describes, once for each; after a reload also if it was the tip before."""
        if self.discover and self._described != commit:
            await self.discover(commit)
            self._described = commit

    async def _permitted(self, found: str) -> str:
        """`found`, or what was accepted before if the policy does not let it be followed. Raises as the repository."""
        if self.settings.on_force_push is not ForcePush.REFUSE:
            return found
        if found == self._refused and self._lineage.accepted:
            return self._lineage.accepted
        lost = await self._lineage.lost(found)
        if lost is None:
            self._refused = ""
            await self._lineage.accept(found)
            return found
        self._refused = found
        why = {"reason": told(found, lost), "untouched": UNTOUCHED, "todo": TODO}
        self._emit("history_refused", commit=found, from_commit=lost, **why)
        return lost

    async def _look_back(self, found: str) -> None:
        """Tells of a rewritten history that is followed: after the apps were woken, who need not wait for that."""
        if self.settings.on_force_push is not ForcePush.FOLLOW:
            return
        try:
            lost = await self._lineage.lost(found)
            await self._lineage.accept(found)
        except ReconcilerError:
            return  # nothing was accepted, so the next look asks again
        if lost:
            todo = "If nobody of yours did that, find out who did. onForcePush: refuse would not follow it"
            self._emit("history_rewritten", commit=found, from_commit=lost, reason=told(found, lost), todo=todo)

    def _suspended(self) -> dict[str, object]:
        if self.tip:
            untouched = "Its apps go on with the last commit read"
            return {"commit": self.tip.commit, "reason": "the configuration says so", "untouched": untouched}
        reason = "the configuration says so, and no commit was read since the start"
        untouched = "Its apps are left as they are: they serve, but drift is not repaired"
        return {"reason": reason, "untouched": untouched, "todo": "Set suspend: false to go on"}

    def _failed(self, error: ReconcilerError, began: float) -> float:
        self.meter.source_failed(self.settings.name)
        delay = self.clock.jitter(self._back_off.failed(error))
        if self.error is None or self.error.args != error.args:
            detail = {"reason": error.located, "untouched": error.untouched, "todo": error.todo}
            detail["commit"] = error.commit if isinstance(error, Unverified) else ""
            self._emit("source_failed", retry_in=round(delay, 3), **{k: v for k, v in detail.items() if v})
        self.error = error
        self._failing_since = self._failing_since or began
        return delay

    def _recovered(self, commit: str, began: float) -> None:
        if self._failing_since is not None:
            self._emit("source_recovered", commit=commit, duration=round(began - self._failing_since, 3))
        self.error, self._failing_since = None, None
        self._read_at = self.clock.monotonic()
        self._back_off.succeeded()

    def _emit(self, name: str, **fields: object) -> None:
        source = self.settings
        known = {"source": source.name, "url": masked(source.url), "ref": str(source.ref)}
        known |= {"branch": source.ref.text} if source.ref.kind is RefKind.BRANCH else {}
        self.telemetry.emit(event(name, **known, **fields))

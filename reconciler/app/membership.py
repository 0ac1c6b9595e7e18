"""This daemon as a member of a group that shares the apps: keeps its Lease, and knows which apps are its own.

The rules, and why they suffice, are in `core.membership`. Two tasks: one renews the Lease, whatever else goes on; the
other looks who else is there, hands apps over, and publishes what it goes by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from reconciler.app.loop import set_within
from reconciler.core.event import event
from reconciler.core.membership import KEEPS_LIMIT, Lease, Roll, Statement, claims, may_act, owner_of
from reconciler.errors import Blocked, Conflict, ReconcilerError, Transient
from reconciler.ports import Leases, Telemetry

_TRUSTED = 0.9
"""Share of a Lease's duration for which its holder goes by it: less than others wait, as no two clocks run alike."""
_RENEWALS = 5
"""Renewals within one duration: four may be refused, and one may get no answer (`ANSWER`)."""
ANSWER = 1 / 3
"""Share of a duration for which an answer about Leases is waited for: a connection that died costs no Lease."""
_RETRIES = 20
"""Tries within one duration, while they fail."""
_OUTAGE = 0.5
"""Share of a duration. Who could not renew for so long has reason to think that nobody could."""
_RELEASES = 3
"""Tries to let go: what was under way when this was asked for may have arrived."""
_UNTOUCHED = "It changes nothing until it has its Lease again; traffic goes on as it was"
_BLIND = "It goes on with its apps; that another daemon comes or goes is noticed late, or not at all"
_LEFT = "Its apps are looked after by the others all the same"


@dataclass(slots=True)
class Hooks:
    """What a member asks of the daemon. `surrender(mine)` ends the work on every app that is not `mine(key)` and
    returns the keys of those that it goes on with, since a promotion is under way; `settled()` begins the work on what
    is this member's by now, and ends it on what is not; `nudged(source)`: another member heard of news there."""

    surrender: Callable[[Callable[[str], bool]], Awaitable[frozenset[str]]]
    settled: Callable[[], Awaitable[None]]
    nudged: Callable[[str], None]


@dataclass(slots=True)
class Membership:
    """A member. `name` is its Lease's, `holder` this process' own; `elapsed()` are the seconds of a clock that does not
    stand still; `duration` (seconds) is the Lease's."""

    name: str
    holder: str
    leases: Leases
    telemetry: Telemetry
    elapsed: Callable[[], float]
    duration: float
    hooks: Hooks
    _roll: Roll = field(init=False)
    _lease: Lease = field(init=False)
    _valid_until: float = 0.0
    _renewed_at: float = 0.0
    _acting_by: tuple[Statement, ...] = ()
    """What the apps are shared out by. Two, while one replaces the other: then only what both give is its own."""
    _said: Statement = field(default_factory=Statement)
    """What is to be in the Lease; it may not be there yet."""
    _sent: list[Statement] = field(default_factory=list)
    """What was sent to the API server, and may stand in the Lease without being known to."""
    _acquired: dict[str, int] = field(default_factory=dict)
    """By app, in which of all terms of this member: another one each time that it gets the app."""
    _terms: int = 0
    _lapses: int = 0
    _lost_since: float | None = None
    _told: frozenset[str] = frozenset()
    _trouble: str = ""
    _blind: str = ""
    _left: set[str] = field(default_factory=set)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _renew: asyncio.Event = field(default_factory=asyncio.Event)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._roll = Roll(self.name)
        self._lease = Lease(self.name, self.holder, self.duration)

    # What the daemon asks.

    @property
    def members(self) -> frozenset[str]:
        """The members that are alive, as far as is known; itself among them while its own Lease holds."""
        own = {self.name} if self.elapsed() < self._valid_until else set()
        return frozenset(self._roll.living) | own

    @property
    def joined(self) -> bool:
        """Whether it has a share of the apps."""
        return bool(self._acting_by)

    def owns(self, key: str) -> bool:
        """Whether the app is its own to begin with: nobody else may be acting for it."""
        if not self._acting_by or not all(claims(self.name, each, key) for each in self._acting_by):
            return False
        if key not in self._acquired and may_act(key, self.name, self._acting_by[-1], self._roll.living):
            self._terms += 1
            self._acquired[key] = self._terms
        return key in self._acquired

    @property
    def shared(self) -> bool:
        """There may be others."""
        return True

    def term(self, key: str) -> str:
        """What stands on an app that is its own, until it is not any more; '' of any other."""
        return f"{self.holder}.{self._acquired[key]}" if key in self._acquired else ""

    def permit(self, key: str, term: str | None = None) -> float:
        """For how many seconds it may still write for the app; asked before each write, since a process may have been
        paused since it last looked. Raises `Conflict` if it may not, or not any more in the `term` that is given."""
        left = self._valid_until - self.elapsed()
        if left <= 0:
            raise Conflict("this daemon's Lease has run out", where=f"Lease {self.name}", untouched=_UNTOUCHED)
        if key not in self._acquired:
            raise Conflict("another daemon looks after it", where=f"app {key}", untouched=_UNTOUCHED)
        if term is not None and term != self.term(key):
            what = "another daemon may have looked after it meanwhile"
            raise Conflict(what, where=f"app {key}", untouched="It is looked at afresh")
        return left

    def speaks_for(self, key: str) -> bool:
        """Whether it is the one of all that sees something that tells of it; right but for moments of change."""
        return owner_of(key, self._roll.living.keys() | {self.name}) == self.name

    def nudge(self, source: str) -> None:
        """There may be something new in a source: the others are to look, too."""
        nudges = {**self._said.nudges, source: self._said.nudges.get(source, 0) + 1}
        self._said = replace(self._said, nudges=nudges)
        self._renew.set()

    def wake(self, key: str) -> None:
        """No promotion of the app is under way: if it was kept for one, it may be handed over."""
        if key in self._said.keeps:
            self._woken.set()

    # The Lease.

    async def renew(self) -> None:
        """Renews the Lease for ever."""
        while True:
            self._renew.clear()
            pause = self.duration / _RENEWALS
            try:
                await self._write()
            except ReconcilerError as error:
                self.failed(error)
                pause = self.duration / _RETRIES
                await asyncio.sleep(pause)
                continue
            await set_within(self._renew, pause)

    async def _write(self) -> None:
        """Puts what is to be said into the Lease, and renews it by that."""
        async with self._writing:
            began = self.elapsed()
            if self._said not in self._sent:
                self._sent.append(self._said)
            try:
                stored = await self.leases.put(replace(self._lease, said=self._said))
            except Conflict:
                await self._adopt()
                raise
            if self._valid_until <= self.elapsed():
                self._lapse("it was not renewed in time")
            self._lease, self._sent = stored, []
            self._valid_until = began + self.duration * _TRUSTED
            silence, self._renewed_at = began - self._renewed_at, began
        if self._trouble:
            self._trouble = ""
            if silence >= self.duration * _OUTAGE:
                self._roll.refresh(self.elapsed())
        if not self._acting_by:
            self._woken.set()

    async def _adopt(self) -> None:
        """The Lease is not as it was left: it was deleted or edited by hand, is that of this member's former life, or
        another process goes by this name."""
        found = await self.leases.find(self.name)
        if self._lease.version:
            self._require_own(found)
        written = Lease(self.name, self.holder, self.duration)
        self._lease = replace(written, version=found.version, said=found.said) if found else written
        self._sent = []

    def _is_own(self, lease: Lease) -> bool:
        """Whether it is as this member has written it. Others go by its holder, its duration, and what it says."""
        said = lease.said in (self._lease.said, *self._sent)
        return lease.holder == self.holder and round(lease.duration) == round(self.duration) and said

    def _require_own(self, found: Lease | None) -> None:
        """Others may count this member as gone, or miss its claims, if its Lease is not there, or not its own."""
        if found is None:
            self._lapse("it was deleted")
        elif found.holder != self.holder:
            self._lapse(f"{found.holder} has taken it" if found.holder else "its holder was taken off")
        elif not self._is_own(found):
            self._lapse("it was edited")

    def failed(self, error: ReconcilerError) -> None:
        """The API server did not do what was asked of it, and what it takes to be a member."""
        self._troubled(error)
        if not self._acting_by and not isinstance(error, Conflict):
            self._tell_lost(error.located, error.todo)

    def _troubled(self, error: ReconcilerError) -> None:
        self._trouble = error.located
        if self._acting_by and self.elapsed() >= self._valid_until:
            self._lapse(error.located)

    def _lapse(self, why: str) -> None:
        """From here on nothing is this member's, until it has said anew what it goes by, and looked."""
        self._lapses += 1
        if self._acting_by:
            self._acting_by, self._valid_until = (), 0.0
            self._acquired.clear()
            self._said = replace(self._said, keeps=frozenset())
            self._tell_lost(why)

    def _tell_lost(self, why: str, todo: str = "") -> None:
        if self._lost_since is None:
            self._lost_since = self.elapsed()
            told = {"todo": todo} if todo else {}
            self.telemetry.emit(event("lease_lost", member=self.name, reason=why, untouched=_UNTOUCHED, **told))

    async def release(self) -> None:
        """Lets go, so that the others need not wait; to be called when nothing is worked on any more. What cannot be
        written now runs out by itself."""
        self._acting_by, self._valid_until = (), 0.0
        self._acquired.clear()
        async with self._writing:
            with suppress(ReconcilerError):
                for _ in range(_RELEASES):
                    if await self._let_go():
                        return

    async def _let_go(self) -> bool:
        """Whether there is nothing to let go any more."""
        try:
            stored = await self.leases.put(replace(self._lease, holder="", said=Statement()))
        except Conflict:
            found = await self.leases.find(self.name)
            if found is None or found.holder != self.holder:
                return True
            self._lease = found
            return False
        await self.leases.delete(stored)
        return True

    # The others.

    async def follow(self) -> None:
        """Watches the Leases for ever."""
        await self.leases.follow(self.seen, self.gone)

    def gone(self, lease: Lease) -> None:
        """A Lease was deleted, or taken out of the group. That says nothing of another member: who lets go says so
        before, and who did not runs out. But nobody who joins by now knows of us, if it is ours."""
        if lease.name == self.name and self._is_news(lease):
            self._lapse("it was deleted, or its label taken off")
            self._renew.set()

    def _is_news(self, own: Lease) -> bool:
        return bool(self._lease.version) and int(own.version) > int(self._lease.version)

    def seen(self, lease: Lease) -> None:
        """A Lease is new or changed."""
        if lease.name == self.name and self._is_news(lease) and not self._is_own(lease):
            self._require_own(lease)
            self._renew.set()
        before = self._roll.living.get(lease.name)
        if self._roll.put(lease, self.elapsed()):
            self._woken.set()
        said = self._roll.living.get(lease.name)
        if before and said:
            for source in (each for each, count in said.nudges.items() if count != before.nudges.get(each)):
                self.hooks.nudged(source)

    async def share(self) -> None:
        """Sees to it, for ever, that what this member goes by is what the living members are."""
        while True:
            self._woken.clear()
            try:
                await self._look()
                await self._share()
            except ReconcilerError as error:
                if self._acting_by:
                    self._tell_blind(error)
                self.failed(error)
                await asyncio.sleep(self.duration / _RETRIES)
                continue
            self._blind = ""
            end = self._roll.next_end()
            await set_within(self._woken, self.duration if end is None else max(0.001, end - self.elapsed()))

    def unwatched(self, error: ReconcilerError) -> None:
        """The Leases cannot be watched: they are listed as they run out. That costs nobody its Lease, nor a share."""
        self._troubled(error)
        self._tell_blind(error)

    def _tell_blind(self, error: ReconcilerError) -> None:
        """If it is refused to see who else is there: that must be known before somebody goes."""
        if isinstance(error, Blocked) and error.located != self._blind:
            self._blind = error.located
            told = {"reason": error.located, "untouched": _BLIND, "todo": error.todo}
            self.telemetry.emit(event("members_unseen", member=self.name, **told))

    async def _look(self) -> None:
        """Finds out who is gone. Nobody is while we are cut off ourselves: then nothing can be listed."""
        if overdue := self._roll.overdue(self.elapsed()):
            listed, now = await self._list(), self.elapsed()
            if self._trouble and now - self._renewed_at >= self.duration * _OUTAGE:
                self._roll.refresh(now)  # this list may come before anybody's first renewal since
            else:
                self._roll.bury(overdue, listed, now)
        for each in self._roll.gone.values():
            await self._clear_away(each)

    async def _clear_away(self, lease: Lease) -> None:
        """What is left of one that is gone. That it cannot be deleted holds nobody up."""
        try:
            await self.leases.delete(lease)
        except Conflict:
            return  # it is back, as the watch will tell
        except ReconcilerError as error:
            if lease.name not in self._left:
                self._left.add(lease.name)
                told = {"reason": error.located, "untouched": _LEFT, "todo": error.todo}
                self.telemetry.emit(event("lease_left", member=lease.name, **told))
            return
        self._left.discard(lease.name)
        self._roll.forget(lease.name)

    async def _list(self) -> dict[str, Lease]:
        """All Leases. One that is not there was not let go: its holder may be alive, and it runs out like others."""
        listed = {each.name: each for each in await self.leases.list()}
        for each in listed.values():
            self.seen(each)
        return listed

    async def _share(self) -> None:
        if not self._lease.version:
            return  # not there yet: the first renewal wakes this
        standing, view = self._acting_by, frozenset(self._roll.living) | {self.name}
        wanted = Statement(view)
        if not standing:
            await self._publish(wanted, ())
            self._tell_joined()
        elif len(standing) > 1 or view != standing[0].view or standing[0].keeps:
            wanted = replace(wanted, keeps=await self._surrender(wanted))
            if standing == (wanted,):
                self._acting_by = standing
            else:
                await self._publish(wanted, standing)
                if wanted.keeps:
                    self._woken.set()  # one may have ended before it was kept: look once more
        self._tell_members(view)
        await self.hooks.settled()

    async def _surrender(self, wanted: Statement) -> frozenset[str]:
        """Ends the work on what will not be this member's any more; returns what it goes on with all the same."""
        lapses, self._acting_by = self._lapses, _and(self._acting_by, wanted)
        kept = await self.hooks.surrender(lambda key: claims(self.name, wanted, key))
        self._require_none_since(lapses)
        keeps = frozenset(sorted(kept & self._acquired.keys())[:KEEPS_LIMIT])
        self._acquired = {
            key: term for key, term in self._acquired.items() if key in keeps or claims(self.name, wanted, key)
        }
        return keeps

    async def _publish(self, wanted: Statement, standing: tuple[Statement, ...]) -> None:
        """Says what this member will go by, then looks whether anybody else says the same; goes by it from then on.

        If the answer is lost, it may have been said or not: until it was said for sure, only what every statement since
        the last sure one gives is this member's.
        """
        self._said = replace(wanted, nudges=self._said.nudges)
        self._acting_by = _and(standing, wanted) if standing else ()
        lapses = self._lapses
        await self._write()
        if standing:
            self._require_none_since(lapses)
        lapses = self._lapses
        await self._list()
        self._require_none_since(lapses)
        if self._valid_until <= self.elapsed():
            raise Transient("the list of Leases came too late", where=f"Lease {self.name}")
        self._acting_by = (wanted,)

    def _require_none_since(self, lapses: int) -> None:
        if self._lapses != lapses:
            raise Transient("it has run out in the meantime", where=f"Lease {self.name}")

    def _tell_joined(self) -> None:
        if self._lost_since is not None:
            took = round(self.elapsed() - self._lost_since, 3)
            self.telemetry.emit(event("lease_recovered", member=self.name, duration=took))
            self._lost_since = None

    def _tell_members(self, members: frozenset[str]) -> None:
        if members != self._told:
            came, went = sorted(members - self._told), sorted(self._told - members)
            parts = [f"{', '.join(who)} {what}" for who, what in ((came, "joined"), (went, "left")) if who]
            self._told = members
            told = {"member": self.name, "members": sorted(members), "reason": "; ".join(parts)}
            self.telemetry.emit(event("membership_changed", **told))


def _and(standing: tuple[Statement, ...], wanted: Statement) -> tuple[Statement, ...]:
    """However often it is tried, each statement is there once."""
    return standing if wanted in standing else (*standing, wanted)

"""Leases in memory, with a network to them that is slow, breaks off, or loses answers as told."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from reconciler.core.membership import Lease
from reconciler.errors import Conflict, ReconcilerError, Transient

T = TypeVar("T")


@dataclass
class LeaseStore:
    """What the API server holds: every write has a place in one order."""

    leases: dict[str, Lease] = field(default_factory=dict)
    log: list[Lease] = field(default_factory=list)
    deleted: int = 0
    outside: set[str] = field(default_factory=set)
    """Leases whose label somebody took off."""
    _versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def listed(self) -> dict[str, Lease]:
        return {name: each for name, each in self.leases.items() if name not in self.outside}

    def next_version(self) -> str:
        return str(next(self._versions))

    def put(self, lease: Lease) -> Lease:
        there = self.leases.get(lease.name)
        if (there.version if there else "") != lease.version:
            raise Conflict("it is another by now")
        stored = replace(lease, version=self.next_version())
        self.outside.discard(lease.name)
        self.leases[lease.name] = stored
        self.log.append(stored)
        return stored

    def delete(self, lease: Lease) -> None:
        there = self.leases.get(lease.name)
        if there and there.version != lease.version:
            raise Conflict("it is another by now")
        if there:
            del self.leases[lease.name]
            self.deleted += 1


@dataclass
class FakeLeases:
    """The `ports.Leases` of one member. Requests take up to `slow` seconds each way. While `cut`, none gets through and
    answers are lost; while `frozen`, the process stands still, though what it has sent arrives."""

    store: LeaseStore
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    slow: float = 0.0
    cut: bool = False
    frozen: asyncio.Event | None = None
    deaf: bool = False
    """The watch has stopped, and nobody has noticed yet."""
    delayed: float = 0.0
    """Seconds for which the next write is under way."""
    undeletable: ReconcilerError | None = None
    asked: list[str] = field(default_factory=list)

    async def list(self) -> Sequence[Lease]:
        self.asked.append("list")
        return await self._ask(lambda: tuple(self.store.listed.values()))

    async def put(self, lease: Lease) -> Lease:
        self.asked.append("put")
        delay, self.delayed = self.delayed, 0.0
        await asyncio.sleep(delay)
        return await self._ask(lambda: self.store.put(lease))

    async def delete(self, lease: Lease) -> None:
        self.asked.append("delete")
        if self.undeletable:
            raise self.undeletable
        await self._ask(lambda: self.store.delete(lease))

    async def find(self, name: str) -> Lease | None:
        self.asked.append("find")
        return await self._ask(lambda: self.store.leases.get(name))

    async def follow(self, seen: Callable[[Lease], None], gone: Callable[[Lease], None]) -> None:
        there = self.store.listed  # as a watch, which begins with a list: what was deleted before is not told
        for each in there.values():
            seen(each)
        known = len(self.store.log)
        while True:
            await asyncio.sleep(0.05 + self._delay())
            if self.cut or self.deaf:
                continue
            await self._thawed()
            for each in self.store.log[known:]:
                seen(each)
            known = len(self.store.log)
            for name in there.keys() - self.store.listed.keys():
                gone(replace(there[name], version=self.store.next_version()))
            there = self.store.listed

    async def _ask(self, what: Callable[[], T]) -> T:
        await self._thawed()
        await asyncio.sleep(self._delay())
        if self.cut:
            await asyncio.sleep(1.0)
            raise Transient("no answer")
        answer, refused = None, None
        try:
            answer = what()
        except Conflict as error:
            refused = error
        await asyncio.sleep(self._delay())
        await self._thawed()
        if self.cut:
            raise Transient("the answer was lost")
        if refused:
            raise refused
        return answer  # type: ignore[return-value]

    def _delay(self) -> float:
        return self.chance.uniform(0, self.slow)

    async def _thawed(self) -> None:
        if self.frozen:
            await self.frozen.wait()

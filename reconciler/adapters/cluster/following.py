"""Watches of further kinds and of Secrets: one for each kind and namespace in which an app has or had objects of it,
and no more.

So nobody needs a permission for a kind that nobody uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set

from reconciler.adapters.cluster.discovery import Discovery, missing
from reconciler.adapters.cluster.kinds import Kind
from reconciler.adapters.cluster.watch import Watch
from reconciler.errors import Blocked

_NOT_FOUND = 404


class Following:
    """`start(kind, namespace)` begins a watch, `ended(watch)` is called after one was ended."""

    def __init__(
        self,
        discovery: Discovery,
        start: Callable[[Kind, str], tuple[Watch, asyncio.Task[None]]],
        ended: Callable[[Watch], None],
    ) -> None:
        self._discovery = discovery
        self._start = start
        self._ended = ended
        self._named: dict[tuple[str, str], frozenset[str]] = {}
        self._running: dict[tuple[str, str], tuple[Watch, asyncio.Task[None]]] = {}

    async def follow(self, namespace: str, app: str, wanted: Set[str], known: Set[str]) -> None:
        """See `ports.Cluster`."""
        named = frozenset(wanted | known)
        if self._named.get((namespace, app), frozenset()) != named:
            self._named[namespace, app] = named
            self._end_unnamed()
        for resource in sorted(named):
            kind = await self._discovery.find(resource)
            found = kind is not None and await self._is_seen(kind, namespace)
            if not found and resource in wanted:
                raise missing(resource)

    async def _is_seen(self, kind: Kind, namespace: str) -> bool:
        """Whether the store holds all of that kind. False: the API server has no such kind any more."""
        key = kind.key, kind.space(namespace)
        if key not in self._running:
            self._running[key] = self._start(kind, kind.space(namespace))
        try:
            await self._running[key][0].usable()
        except Blocked as error:
            if error.status != _NOT_FOUND or await self._discovery.find(kind.key, afresh=True):
                raise
            self._end(key)
            return False
        return True

    def _end_unnamed(self) -> None:
        used = {
            (resource, space)
            for (namespace, _), named in self._named.items()
            for resource in named
            for space in (namespace, "")
        }
        for key in [each for each in self._running if each not in used]:
            self._end(key)

    def _end(self, key: tuple[str, str]) -> None:
        watch, task = self._running.pop(key)
        task.cancel()
        self._ended(watch)

"""Jobs in memory, whose ends are scripted: what `adapters.cluster.jobs` is to a check that runs one."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.model import Manifest
from reconciler.errors import Conflict, ReconcilerError

COMPLETE = {"type": "Complete", "status": "True"}
FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "it has reached the limit"}


@dataclass
class FakeJobs:
    """Every Job ends as `end` says (a condition; None: it runs on) when it is looked at. `errors` are raised, one by
    one, by the next requests; `lost` by the next creations after their effect; `hold` lets creations wait."""

    end: dict[str, Any] | None = None
    printed: str = ""
    there: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    errors: list[ReconcilerError] = field(default_factory=list)
    lost: list[ReconcilerError] = field(default_factory=list)
    hold: asyncio.Event | None = None
    creating: asyncio.Event = field(default_factory=asyncio.Event)
    started: bool = True
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def get(self, namespace: str, name: str) -> Manifest | None:
        self._fail()
        found = self.there.get(name)
        if found and self.end:
            found["status"] = {"conditions": [self.end]}
        return copy.deepcopy(found)

    async def create(self, job: Manifest) -> Manifest:
        self._fail()
        self.creating.set()
        if self.hold:
            await self.hold.wait()
        name = job["metadata"]["name"]
        if name in self.there:
            raise Conflict("exists already")
        self.made.append(name)
        meta = {**job["metadata"], "uid": f"uid-{next(self._numbers)}"}
        self.there[name] = {**copy.deepcopy(dict(job)), "metadata": meta}
        if self.lost:
            raise self.lost.pop(0)
        return copy.deepcopy(self.there[name])

    async def delete(self, job: Manifest) -> None:
        self._fail()
        meta = job["metadata"]
        if (self.there.get(meta["name"]) or {"metadata": {"uid": ""}})["metadata"]["uid"] == meta["uid"]:
            del self.there[meta["name"]]

    async def pods(self, job: Manifest) -> Sequence[Manifest]:
        self._fail()
        if not self.started:
            return []
        state = {"name": "smoke", "state": {"running": {}}}
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "smoke"}]}}
        return [{**pod, "status": {"phase": "Running", "containerStatuses": [state]}}]

    async def log(self, namespace: str, pod: str, container: str) -> str:
        self._fail()
        return self.printed

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

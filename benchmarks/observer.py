"""Notes when each change of pods, Services and Deployments arrives: in a process of its own, so that nothing delays it.

`Observer` is for the benchmark; `python -m benchmarks.observer NAMESPACE` is that process. Both sides of the comparison
are watched by one each, in the same way.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TextIO

from benchmarks.bare import open_session
from rig.cluster import is_ready
from rig.waiting import until
from sandbox import Sandbox

_PATHS = {"Pod": "/api/v1", "Service": "/api/v1", "Deployment": "/apis/apps/v1"}


class Seen(NamedTuple):
    """One change. `at`: when it arrived, in epoch seconds; `selected`: the version that a Service's selector names."""

    at: float
    kind: str
    type: str
    name: str
    version: str
    ready: bool
    selected: str


class Observer:
    """The process, and what it has seen so far. A context manager; what happens after entering it is seen."""

    def __init__(self, sandbox: Sandbox, namespace: str, folder: Path) -> None:
        self._command = [*sandbox.exec_prefix(), sys.executable, "-m", "benchmarks.observer", namespace]
        self._output = folder / "observed.jsonl"
        self._seen: list[Seen] = []
        self._rest = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: TextIO | None = None

    def __enter__(self) -> Observer:
        with self._output.open("wb") as out:
            self._process = subprocess.Popen(self._command, stdout=out)
        self._reader = self._output.open()
        # What a watch without a version begins with: everything that is there, so the Service, too.
        self.wait_for(lambda each: each.kind == "Service", "the observer's first sight")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.kill()
        self._process.wait()
        self._reader.close()

    @property
    def seen(self) -> list[Seen]:
        """All changes so far."""
        assert self._reader is not None
        lines = (self._rest + self._reader.read()).split("\n")
        self._rest = lines.pop()
        self._seen += [Seen(*json.loads(line)) for line in lines]
        return self._seen

    def wait_for(self, holds: Callable[[Seen], bool], what: str) -> Seen:
        """The first change from now on (or from the beginning, on the first call) of which something holds."""
        begin = len(self._seen)
        return until(lambda: next(filter(holds, self.seen[begin:]), None), what, 60)


async def _watch(namespace: str, kind: str) -> None:
    async with open_session() as session:
        path = f"{_PATHS[kind]}/namespaces/{namespace}/{kind.lower()}s"
        async with session.get(path, params={"watch": "true", "timeoutSeconds": "3600"}) as changes:
            rest = b""
            async for chunk in changes.content.iter_any():
                at = time.time()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    _note(at, kind, json.loads(line))


def _note(at: float, kind: str, change: Mapping[str, Any]) -> None:
    live = change["object"]
    meta = live["metadata"]
    version = (meta.get("labels") or {}).get("version", "")
    selected = (live["spec"].get("selector") or {}).get("version", "") if kind == "Service" else ""
    seen = Seen(at, kind, change["type"], meta["name"], version, kind == "Pod" and is_ready(live), selected)
    print(json.dumps(seen), flush=True)


async def main() -> None:
    """Watches until it is killed."""
    with suppress(OSError):
        os.nice(-10)
    await asyncio.gather(*(_watch(sys.argv[1], kind) for kind in _PATHS))


if __name__ == "__main__":
    asyncio.run(main())

"""The baseline: the least that could be called a release script. Watches a branch and pods, and patches.

It checks nothing, remembers nothing, cleans nothing up, and would not survive a restart: whatever the daemon takes
longer than this is the price of doing those. It has a transport of its own, so as not to share the daemon's faults.

Arguments: one JSON object with `repository`, `namespace`, `app`, `replicas`, and `deployment`, a Deployment's manifest
for each new version, with PLACEHOLDER wherever the version goes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from watchdog.events import FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

PLACEHOLDER = "version-of-it"


@dataclass(slots=True)
class Bare:
    """Everything it knows."""

    arguments: dict[str, Any]
    session: aiohttp.ClientSession
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: str = ""
    selected: str = ""
    ready: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    async def follow_git(self) -> None:
        """A moved branch: make the Deployment if its version is new, and switch if its pods are ready."""
        while True:
            await self.moved.wait()
            self.moved.clear()
            command = ["git", "-C", self.arguments["repository"], "show", "main:version"]
            shown = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
            version, _ = await shown.communicate()
            self.wanted = version.decode().strip()
            if self.wanted and not self.ready[self.wanted]:
                made = json.dumps(self.arguments["deployment"]).replace(PLACEHOLDER, self.wanted)
                async with self.session.post(self._path("apis/apps/v1", "deployments"), data=made):
                    pass
            await self.switch()

    async def follow_pods(self) -> None:
        """A pod turned ready: switch if it was the last."""
        async with self.session.get(self._path("api/v1", "pods")) as listed:
            version = (await listed.json())["metadata"]["resourceVersion"]
        query = {"watch": "true", "resourceVersion": version}
        async with self.session.get(self._path("api/v1", "pods"), params=query) as changes:
            rest = b""
            async for chunk in changes.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self.note(json.loads(line))
                await self.switch()

    def note(self, change: dict[str, Any]) -> None:
        """Keeps the names of the ready pods of each version."""
        pod = change["object"]
        ready = self.ready[pod["metadata"]["labels"]["version"]]
        ready.discard(pod["metadata"]["name"])
        conditions = pod.get("status", {}).get("conditions") or []
        if change["type"] != "DELETED" and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            ready.add(pod["metadata"]["name"])

    async def switch(self) -> None:
        """The one patch."""
        if self.wanted == self.selected or len(self.ready[self.wanted]) < self.arguments["replicas"]:
            return
        self.selected = self.wanted
        patch = json.dumps({"spec": {"selector": {"version": self.wanted}}})
        path = f"{self._path('api/v1', 'services')}/{self.arguments['app']}"
        headers = {"Content-Type": "application/merge-patch+json"}
        async with self.session.patch(path, data=patch, headers=headers):
            pass

    def _path(self, group: str, kind: str) -> str:
        return f"/{group}/namespaces/{self.arguments['namespace']}/{kind}"


class _Moves(FileSystemEventHandler):
    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._loop = asyncio.get_running_loop()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, FileMovedEvent) and os.fsdecode(event.dest_path).endswith("/main"):
            self._loop.call_soon_threadsafe(self._bare.moved.set)


def open_session() -> aiohttp.ClientSession:
    """The administrator's session with the API server that $KUBECONFIG names."""
    held = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    cluster, user = held["clusters"][0]["cluster"], held["users"][0]["user"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": "application/json"}
    connector, limit = aiohttp.TCPConnector(ssl=tls), aiohttp.ClientTimeout(total=None)
    return aiohttp.ClientSession(cluster["server"], connector=connector, headers=headers, timeout=limit)


async def main() -> None:
    """Runs until it is killed."""
    arguments = json.loads(sys.argv[1])
    async with open_session() as session:
        bare = Bare(arguments, session)
        observer = Observer()
        observer.schedule(_Moves(bare), f"{arguments['repository']}/.git/refs/heads", event_filter=[FileMovedEvent])
        observer.start()
        bare.moved.set()
        await asyncio.gather(bare.follow_git(), bare.follow_pods())


if __name__ == "__main__":
    asyncio.run(main())

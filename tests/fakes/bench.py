"""A daemon on fakes, whose apps are described in one repository."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from reconciler.app.daemon import Daemon
from reconciler.app.settings import Settings
from reconciler.app.settings_source import SourceSettings
from reconciler.core.model import App
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.controllers import Controllers
from tests.fakes.discovery import SOURCE
from tests.fakes.git import FakeRepository
from tests.fakes.world import NAMESPACE, Recorder

IMAGE = "values: {image: example/x, replicas: 1}\n"
"""An app file that says the least."""


class Bench:
    """A daemon on fakes, one repository, and Kubernetes' controllers in the namespace of its apps."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock.now)
        self.told = Recorder()
        self.repository = FakeRepository()
        self.controllers = Controllers(self.cluster, NAMESPACE, self.clock.now)
        self.files: dict[str, bytes] = {}
        self.watched: tuple[str, ...] = ("web", "db", "new", "front")
        self.daemon = self.another()

    def another(self) -> Daemon:
        """A daemon that knows nothing yet."""
        return Daemon(self.cluster, self.told, self.clock, lambda _: self.repository)

    def commit(self, apps: Mapping[str, str] | None = None, **versions: str) -> str:
        """Commits app files, folder → text, and versions. None of an app's text: its file is removed."""
        for name, text in (apps or {}).items():
            self.files[f"apps/{name}/app.yaml"] = text.encode()
        for name, version in versions.items():
            self.files[f"apps/{name}/version"] = version.encode()
        commit = self.repository.commit(self.files)
        self.daemon.wake_source(SOURCE.name)
        return commit

    def remove(self, name: str) -> str:
        """Commits that an app's folder is gone."""
        self.files = {path: text for path, text in self.files.items() if not path.startswith(f"apps/{name}/")}
        return self.commit()

    async def start(self, *apps: App, source: SourceSettings = SOURCE) -> None:
        await self.daemon.apply(Settings((source,), apps))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.clock.time += 0.5
                self.controllers.everything()
                for name in self.watched:
                    self.daemon.wake_app(name)
                await asyncio.sleep(0.001)

    async def released(self, app: str, version: str) -> None:
        await self.until(lambda: self.events("switch_confirmed", app=app, version=version))

    def events(self, name: str, **fields: str) -> list[Mapping[str, object]]:
        told = [each.fields for each in self.told.events if each.name == name]
        return [each for each in told if fields.items() <= each.items()]

    def objects(self, app: str) -> set[str]:
        """The app's own objects, as kinds."""
        found = self.cluster.view(NAMESPACE, app)
        return {each["kind"] for each in found} & {"Service", "Deployment", "ConfigMap", "Secret"}

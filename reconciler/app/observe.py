"""What is wanted and what is there, gathered for one app: the two inputs of the planner."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace

from reconciler.app.builtin import builtin_templates
from reconciler.core.memory import Active
from reconciler.core.model import App, Desired, Release, Slot, Template
from reconciler.core.observed import Observed, observe
from reconciler.core.render import identify, render
from reconciler.core.slot import choose_slot
from reconciler.core.template import templates_in
from reconciler.core.versionfile import merge_values, parse_version_file
from reconciler.errors import Invalid, ReconcilerError
from reconciler.ports import Cluster, Repository


async def read_release(app: App, repository: Repository, commit: str) -> Release:
    """What Git says of `app` at `commit`. Raises `Invalid` (unusable) or `Transient` (unreachable)."""
    path = _join(app.path, app.version_file)
    wanted = parse_version_file(await repository.read(commit, path), path)
    templates = await _read_templates(app, repository, commit)
    written = tuple(each for each in (wanted.written, app.written) if each)
    return Release(commit, wanted.version, merge_values(app.values, wanted.values), templates, written)


async def _read_templates(app: App, repository: Repository, commit: str) -> tuple[Template, ...]:
    if app.templates is None:
        return builtin_templates()
    folder = _join(app.path, app.templates)
    return templates_in(folder, await repository.read_folder(commit, folder))


def _join(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


@dataclass(slots=True)
class Eyes:
    """Reads one app's world. Keeps the last release and rendering: both are functions of what they were made from."""

    app: App
    repository: Repository
    cluster: Cluster
    _release: tuple[Release, str] | None = None
    _invalid: tuple[str, Invalid] | None = None
    _desired: Desired | None = None
    _standing: tuple[tuple[str, str], Desired | None] | None = None

    async def see(self, commit: str) -> tuple[Desired, Observed]:
        """The app as Git wants it at `commit`, and as the cluster has it. Raises what either side raises."""
        release, revision = await self._read(commit)
        observed = await self.see_cluster()
        slot = choose_slot(revision, commit, observed)
        desired = self._desired
        if desired is None or (desired.commit, desired.revision, desired.slot) != (commit, revision, slot):
            self._desired = desired = render(self.app, release, slot)
        return desired, observed

    async def see_standing(self, desired: Desired, observed: Observed) -> Desired | None:
        """The active revision as its own commit rendered it, if Git wants another one now. None as well if that commit
        can no longer be read, or renders another revision by now (the configuration changed)."""
        active = observed.service.memory.active if observed.service else None
        if active is None or active.revision == desired.revision:
            return None
        known = active.commit, active.revision
        if self._standing is None or self._standing[0] != known:
            slot = choose_slot(active.revision, active.commit, observed)
            self._standing = known, await self._rendered(active, slot)
        return self._standing[1]

    async def _rendered(self, active: Active, slot: Slot) -> Desired | None:
        try:
            release = await read_release(self.app, self.repository, active.commit)
            return render(self.app, release, slot) if identify(self.app, release) == active.revision else None
        except ReconcilerError:
            return None

    async def see_cluster(self) -> Observed:
        """The app as the cluster has it."""
        await self.cluster.synced(self.app.namespace)
        namespace = self.app.namespace
        found = observe(self.cluster.view(namespace, self.app.name), self.app.strategy.active_service)
        return replace(found, recovered_at=self.cluster.recovered_at(namespace))

    async def _read(self, commit: str) -> tuple[Release, str]:
        if self._invalid and self._invalid[0] == commit:
            raise self._invalid[1]
        if self._release is None or self._release[0].commit != commit:
            try:
                release = await read_release(self.app, self.repository, commit)
                self._release = release, identify(self.app, release)
            except Invalid as error:
                self._invalid = commit, error
                raise
        return self._release


def with_equivalent(observed: Observed, equivalent: frozenset[str]) -> Observed:
    """The same observation, knowing what the API server was seen to hold for equal."""
    return replace(observed, equivalent=equivalent) if equivalent else observed

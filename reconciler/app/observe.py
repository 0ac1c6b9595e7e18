"""What is wanted and what is there, gathered for one app: the two inputs of the planner."""

from __future__ import annotations

import functools
import posixpath
from dataclasses import dataclass, replace

from reconciler.app.builtin import builtin_templates
from reconciler.core.budget import SIZE_LIMIT
from reconciler.core.further import resources
from reconciler.core.job import job_paths
from reconciler.core.memory import Active
from reconciler.core.model import App, Desired, Release, Slot, Template
from reconciler.core.observed import Observed, observe
from reconciler.core.plan.extras import further_kinds
from reconciler.core.render import identify, render
from reconciler.core.slot import choose_slot
from reconciler.core.template import templates_in
from reconciler.core.text import decode
from reconciler.core.versionfile import merge_values, parse_values_file, parse_version_file
from reconciler.errors import Invalid, ReconcilerError
from reconciler.ports import Cluster, Repository

VALUES_FILE = "values.yaml"
"""Read if it is there, beside the version file."""


async def read_release(app: App, repository: Repository, commit: str, *, jobs: bool = True) -> Release:
    """What Git says of `app` at `commit`; without what only its checks need, unless `jobs`. Raises `Invalid` (unusable)
    or `Transient` (unreachable).

    Values go over each other in this order: the configuration's, `values.yaml`, the `valuesFiles` as they are
    listed, the version file's.
    """
    path = _join(app.path, app.version_file)
    wanted = parse_version_file(await repository.read(commit, path), path)
    files = await _values_files(app, repository, commit)
    between = [parse_values_file(await repository.read(commit, each), each) for each in files]
    layers = [(app.values, app.written), *between, (wanted.values, wanted.written)]
    values = functools.reduce(merge_values, (layer for layer, _ in layers))
    written = tuple(where for _, where in reversed(layers) if where)
    templates = await _read_templates(app, repository, commit)
    found = {each: await _read_job(app, repository, commit, each) for each in job_paths(app)} if jobs else {}
    return Release(commit, wanted.version, values, templates, written, found)


async def _values_files(app: App, repository: Repository, commit: str) -> list[str]:
    beside, named = _beside(app), [_join(app.path, each) for each in app.values_files]
    if beside in (_join(app.path, app.version_file), *named) or await repository.identities(commit, [beside]) == ("",):
        return named
    return [beside, *named]


def _beside(app: App) -> str:
    return _join(app.path, posixpath.join(posixpath.dirname(app.version_file), VALUES_FILE))


def _paths(app: App) -> list[str]:
    """All that `read_release` may read."""
    relative = (app.version_file, *([app.templates] if app.templates is not None else []), *app.values_files)
    return [_beside(app), *(_join(app.path, each) for each in (*relative, *job_paths(app)))]


async def _read_templates(app: App, repository: Repository, commit: str) -> tuple[Template, ...]:
    if app.templates is None:
        return builtin_templates()
    folder = _join(app.path, app.templates)
    return templates_in(folder, await repository.read_folder(commit, folder))


async def _read_job(app: App, repository: Repository, commit: str, relative: str) -> Template:
    path = _join(app.path, relative)
    return Template(path, decode(await repository.read(commit, path), path, SIZE_LIMIT))


def _join(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


@dataclass(slots=True)
class Eyes:
    """Reads one app's world. Keeps the last release and rendering: both are functions of what they were made from.

    So a commit that changes nothing of what the app reads costs look-ups of folders, and gives the same `Desired` but
    for its commit.
    """

    app: App
    repository: Repository
    cluster: Cluster
    _release: tuple[Release, str] | None = None
    _identities: tuple[str, ...] = ()
    _invalid: tuple[str, Invalid] | None = None
    _desired: Desired | None = None
    _standing: tuple[tuple[str, str], Desired | None] | None = None

    async def see(self, commit: str) -> tuple[Desired, Observed]:
        """The app as Git wants it at `commit`, and as the cluster has it. Raises what either side raises."""
        release, revision = await self._read(commit)
        observed = await self.see_cluster()
        slot = choose_slot(revision, commit, observed)
        if self._desired is None or (self._desired.revision, self._desired.slot) != (revision, slot):
            self._desired = render(self.app, release, slot)
        elif self._desired.commit != commit:
            self._desired = replace(self._desired, commit=commit)
        return self._desired, await self._see_further(self._desired, observed)

    async def _see_further(self, desired: Desired, observed: Observed) -> Observed:
        """The same with the objects of further kinds, of which some may not have been watched so far."""
        wanted, known = resources(desired.extras), further_kinds(self.app, observed)
        await self.cluster.follow(self.app.namespace, self.app.name, wanted, known)
        return await self.see_cluster() if wanted | known else observed

    async def see_standing(self, desired: Desired, observed: Observed) -> Desired | None:
        """The active revision as its own commit rendered it, if Git wants another one now. None as well if that commit
        can no longer be read, or renders another revision by now (the configuration changed)."""
        active = observed.front.memory.active if observed.front else None
        if active is None or active.revision == desired.revision:
            return None
        known = active.commit, active.revision
        if self._standing is None or self._standing[0] != known:
            slot = choose_slot(active.revision, active.commit, observed)
            self._standing = known, await self._rendered(active, slot)
        return self._standing[1]

    async def _rendered(self, active: Active, slot: Slot) -> Desired | None:
        try:
            # What its checks were is past. The file of one that was added since need not be there.
            release = await read_release(self.app, self.repository, active.commit, jobs=False)
            return render(self.app, release, slot) if identify(self.app, release) == active.revision else None
        except ReconcilerError:
            return None

    async def see_cluster(self) -> Observed:
        """The app as the cluster has it."""
        await self.cluster.synced(self.app.namespace)
        namespace = self.app.namespace
        found = observe(self.cluster.view(namespace, self.app.name), self.app.strategy, namespace)
        return replace(found, recovered_at=self.cluster.recovered_at(namespace))

    async def _read(self, commit: str) -> tuple[Release, str]:
        if self._invalid and self._invalid[0] == commit:
            raise self._invalid[1]
        if self._release is None or self._release[0].commit != commit:
            try:
                self._release = await self._read_if_changed(commit)
            except Invalid as error:
                self._invalid = commit, error
                raise
        return self._release

    async def _read_if_changed(self, commit: str) -> tuple[Release, str]:
        identities = await self.repository.identities(commit, _paths(self.app))
        if self._release is not None and identities == self._identities:
            release, revision = self._release
            return replace(release, commit=commit), revision
        release = await read_release(self.app, self.repository, commit)
        revision = identify(self.app, release)
        self._identities, self._desired = identities, None
        return release, revision


def with_equivalent(observed: Observed, equivalent: frozenset[str]) -> Observed:
    """The same observation, knowing what the API server was seen to hold for equal."""
    return replace(observed, equivalent=equivalent) if equivalent else observed

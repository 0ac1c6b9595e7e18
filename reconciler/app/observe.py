"""What is wanted and what is there, gathered for one app: the two inputs of the planner."""

from __future__ import annotations

import functools
import posixpath
from dataclasses import dataclass, field, replace

from reconciler.app.builtin import builtin_templates
from reconciler.core.approval import parse_approvals
from reconciler.core.budget import SIZE_LIMIT
from reconciler.core.further import followed
from reconciler.core.job import job_paths
from reconciler.core.memory import Active, Cause, Memory
from reconciler.core.model import App, Desired, Release, Slot, Template
from reconciler.core.observed import Observed, observe
from reconciler.core.plan.extras import known_kinds
from reconciler.core.plan.trial import ways_back
from reconciler.core.render import identify, render
from reconciler.core.slot import choose_slot
from reconciler.core.template import templates_in
from reconciler.core.text import decode
from reconciler.core.versionfile import merge_values, parse_values_file, parse_version_file
from reconciler.errors import Invalid, ReconcilerError, Transient
from reconciler.ports import Cluster, Repository

VALUES_FILE = "values.yaml"
"""Read if it is there, beside the version file."""


async def read_release(
    app: App, repository: Repository, commit: str, version_file: bytes | None = None, *, jobs: bool = True
) -> Release:
    """What Git says of `app` at `commit`, or would say with another content of its version file; without what only its
    checks need, unless `jobs`. Raises `Invalid` (unusable) or `Transient` (unreachable).

    Values go over each other in this order: the configuration's, `values.yaml`, the `valuesFiles` as they are
    listed, the version file's.
    """
    path = version_path(app)
    wanted = parse_version_file(version_file or await repository.read(commit, path), path)
    files = await _values_files(app, repository, commit)
    between = [parse_values_file(await repository.read(commit, each), each) for each in files]
    layers = [(app.values, app.written), *between, (wanted.values, wanted.written)]
    values = functools.reduce(merge_values, (layer for layer, _ in layers))
    written = tuple(where for _, where in reversed(layers) if where)
    templates = await _read_templates(app, repository, commit)
    approved = await _read_approvals(app, repository, commit)
    found = {each: await _read_job(app, repository, commit, each) for each in job_paths(app)} if jobs else {}
    return Release(commit, wanted.version, values, templates, written, approved, found)


def version_path(app: App) -> str:
    """The version file, from the repository's root."""
    return _join(app.path, app.version_file)


async def _values_files(app: App, repository: Repository, commit: str) -> list[str]:
    beside, named = _beside(app), [_join(app.path, each) for each in app.values_files]
    if beside in (version_path(app), *named) or await repository.identities(commit, [beside]) == ("",):
        return named
    return [beside, *named]


def _beside(app: App) -> str:
    return _join(app.path, posixpath.join(posixpath.dirname(app.version_file), VALUES_FILE))


def _paths(app: App) -> list[str]:
    """All that `read_release` may read."""
    relative = (app.version_file, *([app.templates] if app.templates is not None else []), *app.values_files)
    own = (_join(app.path, each) for each in (*relative, *job_paths(app)))
    return [_beside(app), *own, *_approval_file(app)]


def _approval_file(app: App) -> list[str]:
    return [_join(app.path, app.strategy.approval_file)] if app.strategy.approval_file else []


async def _read_approvals(app: App, repository: Repository, commit: str) -> frozenset[str]:
    """As long as the file is not there, nothing is approved."""
    paths = _approval_file(app)
    if not paths or await repository.identities(commit, paths) == ("",):
        return frozenset()
    return parse_approvals(await repository.read(commit, paths[0]), paths[0])


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
    _committed: tuple[str, float | None] | None = None
    _rendered: dict[tuple[str, str], Desired | None] = field(default_factory=dict)
    _like: tuple[tuple[str, str], bool] | None = None
    _unnoted: frozenset[str] = frozenset()

    async def see(self, commit: str) -> tuple[Desired, Observed]:
        """The app as Git wants it at `commit`, and as the cluster has it. Raises what either side raises."""
        release, revision = await self._read(commit)
        observed = await self.see_cluster()
        slot = choose_slot(revision, commit, observed)
        if self._desired is None or (self._desired.revision, self._desired.slot) != (revision, slot):
            self._desired = render(self.app, release, slot)
        elif self._desired.commit != commit:
            self._desired = replace(self._desired, commit=commit)
        self._desired = await self._dated(self._desired, observed)
        return self._desired, await self._see_on_demand(self._desired, observed)

    async def _dated(self, desired: Desired, observed: Observed) -> Desired:
        """The same, knowing when the commit was made that first asked for it; only a switch to it needs that."""
        active = observed.front.memory.active if observed.front else None
        if active and active.revision == desired.revision:
            return desired
        committed = await self._committed_at(desired.slot.commit)
        return desired if desired.committed == committed else replace(desired, committed=committed)

    async def _committed_at(self, commit: str) -> float | None:
        """None if the commit is not at hand any more, or cannot be read: it is for figures, and holds up nothing."""
        if self._committed is None or self._committed[0] != commit:
            try:
                self._committed = commit, await self.repository.committed_at(commit)
            except ReconcilerError:
                self._committed = commit, None
        return self._committed[1]

    async def _see_on_demand(self, desired: Desired, observed: Observed) -> Observed:
        """The same with the objects of kinds on demand, of which some may not have been watched so far."""
        standing = await self.see_standing(desired, observed)
        wanted, known = followed(desired), known_kinds(self.app, observed) | (followed(standing) if standing else set())
        # Before there is a Service, nothing says of which kinds an overtaken revision already has objects.
        self._unnoted = frozenset() if observed.front else self._unnoted | wanted
        known |= self._unnoted
        await self.cluster.follow(self.app.namespace, self.app.name, wanted, known)
        return await self.see_cluster() if wanted | known else observed

    async def see_standing(self, desired: Desired, observed: Observed) -> Desired | None:
        """The active revision as its own commit rendered it, if Git wants another one now. None as well if that commit
        can no longer be read, or renders another revision by now (the configuration changed)."""
        active = observed.front.memory.active if observed.front else None
        if active is None or active.revision == desired.revision:
            return None
        return await self._as_committed(active, observed)

    async def see_on_trial(self, observed: Observed) -> Desired | None:
        """The active revision as its own commit rendered it, if the analysis after its switch is not over."""
        active = observed.front.memory.active if observed.front else None
        return await self._as_committed(active, observed) if active and active.on_trial else None

    async def see_previous(self, observed: Observed) -> Desired | None:
        """The revision that traffic goes back to if the analysis of the active one fails, as its own commit rendered
        it. None if there is none, or no analysis, or it cannot be rendered any more."""
        memory = observed.front.memory if observed.front else Memory()
        if memory.active is None or not memory.active.on_trial:
            return None
        former = next(iter(ways_back(memory, observed)), None)
        return await self._as_committed(former, observed) if former else None

    async def see_likeness(self, desired: Desired, observed: Observed) -> Desired:
        """`desired`, with whether the commit that it was rejected for, while it had traffic, says just the same. If
        that cannot be read any more, it is taken to: its revision is the same, and users saw it fail."""
        noted = observed.front.memory.rejection if observed.front else None
        if noted is None or noted.cause is not Cause.ANALYSIS or noted.revision != desired.revision:
            return desired
        known = noted.commit, desired.commit
        if self._like is None or self._like[0] != known:
            try:
                self._like = known, await self._says_the_same(*known)
            except Transient:  # to be asked again
                return replace(desired, same_as=noted.commit)
        return replace(desired, same_as=noted.commit) if self._like[1] else desired

    async def _says_the_same(self, one: str, other: str) -> bool:
        # Its description, too: who mends a check there wants the version to be tried again.
        paths = [*_paths(self.app), *([self.app.file] if self.app.file else [])]
        try:
            return await self.repository.identities(one, paths) == await self.repository.identities(other, paths)
        except Transient:
            raise
        except ReconcilerError:
            return True

    async def _as_committed(self, active: Active, observed: Observed) -> Desired | None:
        """Of the last two that were asked for it is remembered: Git may be out of reach when traffic has to go back."""
        known = active.commit, active.revision
        if known not in self._rendered:
            slot = choose_slot(active.revision, active.commit, observed)
            try:
                found = await self._render_former(active, slot)
            except Transient:  # to be asked again
                return None
            self._rendered = {**dict([*self._rendered.items()][-1:]), known: found}
        return self._rendered[known]

    async def _render_former(self, active: Active, slot: Slot) -> Desired | None:
        """With the Jobs of its checks, which may be under way still. The file of one that was added since need not be
        there: then without them. Raises `Transient`."""
        for jobs in (True, False):
            try:
                release = await read_release(self.app, self.repository, active.commit, jobs=jobs)
                return render(self.app, release, slot) if identify(self.app, release) == active.revision else None
            except Transient:
                raise
            except ReconcilerError:
                continue
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

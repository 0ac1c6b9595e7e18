"""Which apps there are: those of the configuration and those that were discovered, put together. Pure.

Two apps cannot have one name, or one Service, nor wait for each other. Who was there first stays as it is: the
configuration's before all others, then those known from the last time, then the order of sources and paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.app.discovery import Found
from reconciler.core.dependencies import Waits, shown
from reconciler.core.model import App
from reconciler.errors import Invalid


@dataclass(frozen=True, slots=True)
class Head:
    """One app to look after. A discovered one is read at `commit`, the last at which its file was good; one of the
    configuration at the tip of its source's branch ('')."""

    app: App
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was discovered in one source at `commit`."""

    commit: str
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """A discovered app that cannot be as its file says."""

    name: str
    source: str
    file: str
    commit: str
    error: Invalid


@dataclass(frozen=True, slots=True)
class Roster:
    """The apps by name, and what is wrong with others."""

    heads: Mapping[str, Head] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def roster(configured: Iterable[App], seen: Mapping[str, Seen | None], before: Mapping[str, Head]) -> Roster:
    """Puts the apps together. `seen`: every source that discovers apps, None if it was not read yet. `before`: the
    heads that were, for what has to stay as it was."""
    former = {(each.app.source, each.app.file): each for each in before.values() if each.app.file}
    configured = tuple(configured)
    found = (each.app for of in seen.values() if of for each in of.found if each.app)
    names = (app.name for apps in (configured, (each.app for each in former.values()), found) for app in apps)
    return _Making(former, Waits(names)).of(configured, seen)


@dataclass(slots=True)
class _Making:
    former: Mapping[tuple[str, str], Head]
    waits: Waits
    heads: dict[str, Head] = field(default_factory=dict)
    services: dict[tuple[str, str, str], str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def of(self, configured: Iterable[App], seen: Mapping[str, Seen | None]) -> Roster:
        for app in configured:
            self._put(Head(app))
        for (source, _), head in self.former.items():
            if source in seen and seen[source] is None:
                self._place(head)  # not read yet: as it was
        entries = [(source, each, of.commit) for source, of in seen.items() if of for each in of.found]
        for source, found, commit in sorted(entries, key=lambda entry: self._is_new(*entry[:2])):
            self._enter(source, found, commit)
        return Roster(self.heads, tuple(self.faults))

    def _is_new(self, source: str, found: Found) -> bool:
        former = self.former.get((source, found.file))
        return former is None or (found.app is not None and found.app.name != former.app.name)

    def _enter(self, source: str, found: Found, commit: str) -> None:
        error = found.fault or self._place(Head(found.app, commit) if found.app else None)
        if error is None:
            return
        self.faults.append(Fault(found.name, source, found.file, commit, error))
        self._place(self.former.get((source, found.file)))  # fail static

    def _place(self, head: Head | None) -> Invalid | None:
        """Puts it among the others, or says why that is impossible."""
        if head is None:
            return None
        what, todo = self._clash(head.app)
        if what:
            return Invalid(what, where=head.app.file, untouched="The other one goes on undisturbed", todo=todo)
        self._put(head)
        return None

    def _put(self, head: Head) -> None:
        self.heads[head.app.name] = head
        self.waits.add(head.app.name, head.app.depends_on)
        self.services |= dict.fromkeys(_services(head.app).values(), head.app.name)

    def _clash(self, app: App) -> tuple[str, str]:
        if app.name in self.heads:
            other = _described(self.heads[app.name].app)
            return f"another app is called {app.name}: that of {other}", "Give one of them another `name`"
        for key, wanted in _services(app).items():
            if holder := self.services.get(wanted):
                namespace, kind, name = wanted
                return (
                    f"the {kind} {namespace}/{name} is that of app {holder}",
                    f"Give one of them another `strategy.{key}`",
                )
        if circle := self.waits.circle(app.name, app.depends_on):
            return f"each would wait for the other: {shown(circle)}", "Take one out of `dependsOn`"
        return "", ""


def _services(app: App) -> dict[str, tuple[str, str, str]]:
    """What the strategy names and no other app may: by the strategy's field, namespace, kind and name."""
    kind, front = app.strategy.front
    found = {f"active{kind}": (app.namespace, kind, front)}
    preview = app.strategy.preview_service
    return found | ({"previewService": (app.namespace, "Service", preview)} if preview else {})


def _described(app: App) -> str:
    return f"{app.file} in source {app.source}" if app.file else "the configuration"


def removed(before: Mapping[str, Head], after: Mapping[str, Head]) -> Iterator[App]:
    """The discovered apps that there are no more."""
    return (head.app for name, head in before.items() if head.app.file and name not in after)

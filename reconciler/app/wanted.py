"""Which apps a daemon looks after at the moment, and the telling of what changed about that."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from reconciler.app.departed import Fate, Known, judge
from reconciler.app.roster import Fault, Head, Roster, Seen, removed, roster
from reconciler.app.settings import Settings
from reconciler.app.settings_source import SourceSettings
from reconciler.core.event import event
from reconciler.core.model import App
from reconciler.ports import Telemetry


@dataclass(slots=True)
class Wanted:
    """The apps by the configuration in force and by what was last read of each source. `dependents`: who waits for an
    app, by its name."""

    telemetry: Telemetry
    _settings: Settings = field(default_factory=lambda: Settings((), ()))
    _seen: dict[str, Seen | None] = field(default_factory=dict)
    _roster: Roster = field(default_factory=Roster)
    _suspended: set[str] = field(default_factory=set)
    _elsewhere: set[str] = field(default_factory=set)
    _left: dict[tuple[str, str], App] = field(default_factory=dict)
    dependents: dict[str, list[str]] = field(default_factory=dict)

    @property
    def running(self) -> Mapping[str, App]:
        """The apps to be looked after: all but the suspended."""
        return {name: head.app for name, head in self._roster.heads.items() if not head.app.suspend}

    def is_running(self, name: str) -> bool:
        """Whether it is among those to be looked after; asked at every change in the cluster."""
        head = self._roster.heads.get(name)
        return head is not None and not head.app.suspend

    @property
    def suspended(self) -> Set[str]:
        """Names of the apps for which nothing is changed."""
        return self._suspended

    def known(self, tips: Mapping[str, str], troubles: Mapping[str, str]) -> Known:
        """What is known at this moment; `tips` and `troubles` of the sources: see `departed.Known`."""
        return Known(self._settings, self._roster, self._seen, self._left, tips, troubles)

    @property
    def left(self) -> Set[tuple[str, str]]:
        """Namespaces and names of apps that were looked after, and are not any more."""
        return self._left.keys()

    def forget(self, namespace: str, name: str) -> None:
        """Nothing is left to be done for an app that left."""
        self._left.pop((namespace, name), None)

    def commit_of(self, name: str) -> str:
        """The commit that a discovered app is to be read at; '' for one that follows its branch."""
        head = self._roster.heads.get(name)
        return head.commit if head else ""

    def configured(self, settings: Settings, unread: Set[str]) -> None:
        """Another configuration is in force. Of the sources in `unread` nothing has been read since."""
        former = {each.name: _origin(each) for each in self._settings.sources}
        self._elsewhere |= {
            each.name for each in settings.sources if former.get(each.name) not in (None, _origin(each))
        }
        self._settings = settings
        discovering = (each.name for each in settings.sources if each.apps)
        self._seen = {name: None if name in unread else self._seen.get(name) for name in discovering}
        self._muster()

    def discovered(self, source: str, seen: Seen) -> None:
        """A source was read at another commit."""
        self._seen[source] = seen
        self._muster()
        self._elsewhere.discard(source)

    def _muster(self) -> None:
        before = self._roster
        sources = {each.name: each for each in self._settings.sources}
        # What the configuration no longer allows is not gone on with either.
        heads = before.heads.items()
        allowed = {
            name: replace(each, app=_restricted(each.app, sources.get(each.app.source)))
            for name, each in heads
            if _is_allowed(each.app, sources) and self._may_hold(each.app)
        }
        self._roster = roster(self._settings.apps, self._seen, allowed)
        self.dependents = {}
        for name, head in self._roster.heads.items():
            for other in head.app.depends_on:
                self.dependents.setdefault(other, []).append(name)
        self._note_who_left(before.heads)
        self._tell_faults(before.faults)
        self._tell_changes(before.heads)
        self._tell_suspensions()

    def _note_who_left(self, before: Mapping[str, Head]) -> None:
        there = self._roster.heads
        gone = {(each.app.namespace, name): each.app for name, each in before.items() if name not in there}
        self._left = {who: app for who, app in (self._left | gone).items() if who[1] not in there}

    def _may_hold(self, app: App) -> bool:
        """Whether the last good commit still counts. Of another repository or ref, or accepted by other keys, it does
        not, once it is known what there is now."""
        return not app.file or app.source not in self._elsewhere or self._seen.get(app.source) is None

    def _tell_faults(self, before: tuple[Fault, ...]) -> None:
        """Once for as long as the same is wrong."""
        known = {(each.source, each.file, each.error.args) for each in before}
        for each in self._roster.faults:
            if (each.source, each.file, each.error.args) not in known:
                why = {"reason": each.error.located, "untouched": each.error.untouched, "todo": each.error.todo}
                told = {key: value for key, value in why.items() if value}
                self.telemetry.emit(event("app_invalid", app=each.name, commit=each.commit, **told))

    def _tell_changes(self, before: Mapping[str, Head]) -> None:
        for name, head in self._roster.heads.items():
            if head.app.file and name not in before:
                self._emit("app_discovered", head.app, head.commit)
        for app in removed(before, self._roster.heads):
            if judge(self.known({}, {}), app.namespace, app.name, ()).fate in (Fate.HOLD, Fate.DELETE):
                continue  # told by the sweep that deletes it
            seen = self._seen.get(app.source)
            self._emit("app_orphaned", app, seen.commit if seen else before[app.name].commit, **_LEFT)

    def _emit(self, name: str, app: App, commit: str, **fields: str) -> None:
        who = {"app": app.name, "namespace": app.namespace, "source": app.source}
        self.telemetry.emit(event(name, **who, commit=commit, path=app.file, **fields))

    def _tell_suspensions(self) -> None:
        heads = self._roster.heads
        suspended = {name for name, head in heads.items() if head.app.suspend}
        for name in sorted(suspended - self._suspended):
            who = {"app": name, "namespace": heads[name].app.namespace}
            self.telemetry.emit(event("suspended", **who, reason="`suspend` is set: nothing is changed for it"))
        for name in sorted(self._suspended - suspended):
            if name in heads:
                self.telemetry.emit(event("resumed", app=name, namespace=heads[name].app.namespace))
        self._suspended = suspended


def _origin(source: SourceSettings) -> object:
    """What says which commits there are to act upon."""
    return source.url, source.ref, source.verify


def _is_allowed(app: App, sources: Mapping[str, SourceSettings]) -> bool:
    source = sources.get(app.source)
    return not app.file or (source is not None and bool(source.apps) and app.namespace in source.namespaces)


def _restricted(app: App, source: SourceSettings | None) -> App:
    """An app that is held, with what the configuration allows now in place of what it did."""
    if source is None:
        return app
    app = replace(app, kinds=source.kinds)
    if not app.file:
        return app
    allowed = app.service_account in (source.service_account, *source.service_accounts)
    account = app.service_account if allowed and app.service_account else source.service_account
    return replace(app, service_account=account, powers=source.powers, check_hosts=source.check_hosts)


_LEFT = {
    "untouched": "Its objects stay, and go on serving",
    "todo": "Put its file back, or delete the objects by hand when nobody needs them",
}

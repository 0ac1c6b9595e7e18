"""Which events people are told of, on which channel, and what counts as the same thing told again. Pure.

An event becomes a *notice* if it is in `KINDS`; a *channel* says which notices it wants. How often it wants them is in
`core.ration`, in which words in `core.notice_text`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.core.event import Event
from reconciler.core.glob import part_matches

Key = tuple[str, str, str]
"""Stands for what is told: the event's name, whom it is about, and a digest of what tells it from others like it."""


class Group(StrEnum):
    """What a channel can ask for."""

    STARTED = "started"
    APPROVAL = "approval"
    SWITCHED = "switched"
    ROLLED_BACK = "rolledBack"
    REJECTED = "rejected"
    DRIFT = "drift"
    SOURCE = "source"
    PROBLEM = "problem"


class Tone(StrEnum):
    """How bad it is; services show it by colour or sign. The names are apprise's."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. `headline` is filled in from the event's fields. Two events of one name about the same app
    or source are the same thing if the fields `same` are. It undoes the event `ends`: that is news again afterwards."""

    group: Group
    tone: Tone
    headline: str
    same: tuple[str, ...] = ("revision", "commit")
    ends: str = ""


_TROUBLE = ("commit", "reason")

KINDS: Mapping[str, Kind] = {
    "revision_applied": Kind(Group.STARTED, Tone.INFO, "{app}: the release of {version} begins"),
    "approval_awaited": Kind(Group.APPROVAL, Tone.WARNING, "{app}: {version} waits for approval"),
    "switched": Kind(Group.SWITCHED, Tone.SUCCESS, "{app}: traffic moved to {version}"),
    "rolled_back": Kind(Group.ROLLED_BACK, Tone.WARNING, "{app}: rolled back to {version}"),
    "reverted_in_git": Kind(
        Group.ROLLED_BACK, Tone.WARNING, "{app}: {version} was reverted in Git", ("to_commit", "reason")
    ),
    "rejected": Kind(Group.REJECTED, Tone.FAILURE, "{app}: {version} is rejected"),
    "drift_repaired": Kind(
        Group.DRIFT, Tone.WARNING, "{app}: a change by hand was put back", ("object", "differences")
    ),
    "drift_refused": Kind(Group.DRIFT, Tone.WARNING, "{app}: a change by hand is left as it is", _TROUBLE),
    "source_failed": Kind(
        Group.SOURCE, Tone.FAILURE, "source {source}: cannot be followed", _TROUBLE, "source_recovered"
    ),
    "source_recovered": Kind(Group.SOURCE, Tone.SUCCESS, "source {source}: is followed again", (), "source_failed"),
    "history_refused": Kind(
        Group.SOURCE, Tone.FAILURE, "source {source}: its history was rewritten, which is refused", ("commit",)
    ),
    "history_rewritten": Kind(Group.SOURCE, Tone.WARNING, "source {source}: its history was rewritten", ("commit",)),
    "app_invalid": Kind(Group.PROBLEM, Tone.FAILURE, "{app}: what Git says of it cannot be used", _TROUBLE),
    "app_blocked": Kind(Group.PROBLEM, Tone.FAILURE, "{app}: something in the cluster is in the way", _TROUBLE),
    "analysis_failed": Kind(
        Group.PROBLEM, Tone.FAILURE, "{app}: {version} fails its analysis, and there is nothing to go back to"
    ),
    "analysis_inconclusive": Kind(
        Group.PROBLEM, Tone.WARNING, "{app}: the analysis of {version} could not be evaluated"
    ),
    "switch_taken_back": Kind(Group.PROBLEM, Tone.FAILURE, "{app}: the switch to {version} was taken back", _TROUBLE),
    "degraded": Kind(
        Group.PROBLEM, Tone.FAILURE, "{app}: not one pod of {version} is ready", ("revision",), "recovered"
    ),
    "recovered": Kind(
        Group.PROBLEM, Tone.SUCCESS, "{app}: a pod of {version} is ready again", ("revision",), "degraded"
    ),
}
"""The events that people can be told of. All others are for logs."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One event that somebody may want to be told of, at `at` (epoch seconds).

    `source` is that of the app, or the source that it is about; '' if that is not known. `times`: how often the same
    thing happened since it was last told, this time included. `more`: how many other notices the channel left out.
    """

    event: str
    fields: Mapping[str, Any]
    source: str
    at: float
    times: int = 1
    more: int = 0

    @property
    def kind(self) -> Kind:
        """The row of the table."""
        return KINDS[self.event]

    @property
    def about(self) -> str:
        """The app or source."""
        return str(self.fields.get("app") or self.source)

    @property
    def key(self) -> Key:
        """See `Key`."""
        same = repr([self.fields.get(name) for name in self.kind.same])
        return (self.event, self.about, hashlib.sha256(same.encode()).hexdigest()[:16])

    def replaces(self, earlier: Notice) -> bool:
        """Whether it says all that `earlier` does: a rollback is told by `switched` first, and by its own name then."""
        same = self.about == earlier.about and self.fields.get("revision") == earlier.fields.get("revision")
        return same and (earlier.event, self.event) == ("switched", "rolled_back")


@dataclass(frozen=True, slots=True)
class Channel:
    """Who is told of what, as the configuration says. At most `burst` notices at once and in `per` seconds; the same
    thing again after `repeat_after` seconds. `title` and `template` are Jinja2; '' is the text of our own."""

    name: str
    groups: frozenset[Group]
    apps: tuple[str, ...] = ("*",)
    sources: tuple[str, ...] = ("*",)
    burst: int = 20
    per: float = 60.0
    repeat_after: float = 3600.0
    title: str = ""
    template: str = ""

    def wants(self, notice: Notice) -> bool:
        """Whether it is to be told on this channel. What is about a source concerns `sources` alone."""
        app = notice.fields.get("app")
        return (
            notice.kind.group in self.groups
            and (app is None or _matches(self.apps, str(app)))
            and _matches(self.sources, notice.source)
        )


def notice_of(event: Event, source: str, at: float) -> Notice | None:
    """The notice that an event is; None if it is for logs only. `source`: that of its app, '' if not known."""
    if event.name not in KINDS:
        return None
    return Notice(event.name, event.fields, str(event.fields.get("source") or source), at)


def name_fault(pattern: str) -> str:
    """What is wrong with a pattern of names, or ''."""
    if not pattern or not all(sign.isascii() and (sign.isalnum() or sign in "-*") for sign in pattern):
        return "must be a name, or a pattern of names like `shop-*`"
    return "may hold one `*`" if pattern.count("*") > 1 else ""


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(part_matches(pattern, name) for pattern in patterns)

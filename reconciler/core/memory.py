"""What must outlive the process, as annotations on the objects that it is about. There is no database.

The active Service carries the `Memory`, written in the same request as the selector, so that the two can
never disagree. A Deployment carries its `Claim`: for which commit, and since when, it is being promoted.
Unreadable annotations (edited by hand) read as absent; the next write puts them right. What is absent is written
as an empty text: server-side apply would leave an annotation that another manager owns too (after a restore from a
backup), if it was merely not sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from reconciler.core.delivered import Delivered, deployed, is_time, read_record, restored, write_record
from reconciler.core.model import PREFIX, Colour
from reconciler.core.policy import read_resources, write_resources

HISTORY_LIMIT = 50
INVENTORY = PREFIX + "inventory"
REASON_LIMIT = 1000
_YES = "true"


class Cause(StrEnum):
    """What a revision was rejected for."""

    PROGRESS = "progress"
    CHECKS = "checks"
    ANALYSIS = "analysis"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Active:
    """A revision that the selector points to (or pointed to): `since` and `until` in epoch seconds.

    `committed` is when (epoch seconds, the committer's date) the commit was made that asked for it; None if unknown.
    `on_trial`: with how many pods it was switched to, while the analysis after that is not over, or never was, since it
    was left before; 0 otherwise. `failed`: that analysis failed. `rollback`: that switch went back to a former
    revision.
    """

    revision: str
    version: str
    colour: Colour
    commit: str
    since: float
    until: float | None = None
    committed: float | None = None
    on_trial: int = 0
    failed: bool = False
    rollback: bool = False


@dataclass(frozen=True, slots=True)
class Rejection:
    """A revision that failed, and the commit for which it is not tried again. One that failed while it had traffic is
    not tried again for a commit that says the same of the app either: users saw it fail."""

    revision: str
    version: str
    commit: str
    reason: str
    at: float
    cause: Cause = Cause.PROGRESS


@dataclass(frozen=True, slots=True)
class Claim:
    """The promotion that a Deployment was last brought up for: `since` in epoch seconds.

    `progressDeadline` counts from it, and a daemon that knows less of Git sees by it that another one is at work.
    """

    commit: str
    since: float


@dataclass(frozen=True, slots=True)
class Doom:
    """A Deployment that is about to be deleted or scaled to zero, at the resourceVersion that this is bound to.

    Noted on the Service first. So a switch to that revision which was decided before fails, as the Service is another
    now; and one decided afterwards writes the Deployment first, which makes the deletion fail.
    """

    revision: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What the active Service remembers. `history` holds the formerly active revisions, newest first; `doomed` those
    Deployments that are about to go, if the last write was a note of that; `inventory` the kinds on demand (as
    resources) that objects of the app may be of; `deployments` what `core.delivery` counts, newest first."""

    active: Active | None = None
    confirmed_at: float | None = None
    rejection: Rejection | None = None
    history: tuple[Active, ...] = ()
    doomed: frozenset[Doom] = frozenset()
    inventory: frozenset[str] = frozenset()
    deployments: tuple[Delivered, ...] = ()

    def former(self, revision: str) -> Active | None:
        """The latest time that `revision` was active before, if it ever was."""
        return next((each for each in self.history if each.revision == revision), None)

    def switched(self, to: Active, source: Active | None = None) -> Memory:
        """The memory after the selector moved to `to`: what was active joins the history, and `to` leaves it.

        `source` is what the selector pointed to in fact, if that was not `active`: it had been moved by hand. It is
        what was left last, so it stands first.
        """
        to = self._as_noted(to)
        history = tuple(each for each in self.history if each.revision != to.revision)
        for each in (self.active, source):
            if each and each.revision != to.revision:
                left = replace(each, until=to.since)
                history = (left, *(older for older in history if older.revision != left.revision))
        history, deployments = history[:HISTORY_LIMIT], self._delivered(to)
        return Memory(active=to, history=history, inventory=self.inventory, deployments=deployments)

    def _as_noted(self, to: Active) -> Active:
        """`to`, knowing whether this goes back to a former revision. One that is merely put back where it was remains
        what it was."""
        if self.active and self.active.revision == to.revision:
            left = self.active
            return replace(to, committed=left.committed, failed=left.failed, rollback=left.rollback)
        former = self.former(to.revision)
        return replace(to, rollback=former is not None and not former.failed)

    def _delivered(self, to: Active) -> tuple[Delivered, ...]:
        """The record after the switch to `to`: what a rollback leaves has failed, and a rollback is no deployment."""
        left, record = self.active, self.deployments
        if left and left.revision == to.revision:
            return record
        if left and (to.rollback or left.failed):
            record = restored(record, to.since)
        return record if to.rollback else deployed(record, to.since, to.committed)


def write_memory(memory: Memory) -> dict[str, str]:
    """All annotations of the Service's memory; '' for what is absent in `memory`."""
    active = memory.active
    history = [_said(asdict(each)) for each in memory.history]
    doomed = sorted(f"{each.revision}@{each.resource_version}" for each in memory.doomed)
    return {
        PREFIX + "active-revision": active.revision if active else "",
        PREFIX + "active-version": active.version if active else "",
        PREFIX + "active-colour": active.colour.value if active else "",
        PREFIX + "active-commit": active.commit if active else "",
        PREFIX + "active-since": format_time(active.since) if active else "",
        PREFIX + "on-trial": str(active.on_trial) if active and active.on_trial else "",
        PREFIX + "active-committed": format_time(active.committed) if active and active.committed is not None else "",
        PREFIX + "active-failed": _YES if active and active.failed else "",
        PREFIX + "active-rollback": _YES if active and active.rollback else "",
        PREFIX + "confirmed-at": "" if memory.confirmed_at is None else format_time(memory.confirmed_at),
        PREFIX + "history": json.dumps(history, separators=(",", ":")) if history else "",
        PREFIX + "deployments": write_record(memory.deployments),
        PREFIX + "doomed": " ".join(doomed),
        INVENTORY: write_resources(memory.inventory),
        **(write_rejection(memory.rejection) if memory.rejection else {PREFIX + "rejected": ""}),
    }


def read_memory(annotations: Mapping[str, str]) -> Memory:
    """The inverse of `write_memory`, deaf to anything that it could not have written."""
    confirmed = annotations.get(PREFIX + "confirmed-at")
    return Memory(
        active=_read_active(annotations),
        confirmed_at=_parse_time(confirmed),
        rejection=read_rejection(annotations),
        history=_read_history(annotations.get(PREFIX + "history", "")),
        doomed=frozenset(map(_read_doom, annotations.get(PREFIX + "doomed", "").split())),
        inventory=read_resources(annotations.get(INVENTORY, "")),
        deployments=read_record(annotations.get(PREFIX + "deployments", "")),
    )


def write_rejection(rejection: Rejection) -> dict[str, str]:
    """A rejection as one annotation (JSON), its reason bounded."""
    entry = asdict(replace(rejection, reason=rejection.reason[:REASON_LIMIT]))
    return {PREFIX + "rejected": json.dumps(entry, separators=(",", ":"))}


def read_rejection(annotations: Mapping[str, str]) -> Rejection | None:
    """The inverse of `write_rejection`; None when absent or unreadable."""
    try:
        entry = json.loads(annotations.get(PREFIX + "rejected", "null"))
        known = {"at": float(entry["at"]), "cause": Cause(entry.get("cause", Cause.PROGRESS))} if entry else {}
        return Rejection(**{**entry, **known}) if entry else None
    except (ValueError, TypeError, KeyError):
        return None


def write_claim(claim: Claim) -> dict[str, str]:
    """A claim as annotations of its Deployment."""
    return {PREFIX + "promoted-for": claim.commit, PREFIX + "promoted-since": format_time(claim.since)}


def read_claim(annotations: Mapping[str, str]) -> Claim | None:
    """The inverse of `write_claim`; None when absent or unreadable."""
    since = _parse_time(annotations.get(PREFIX + "promoted-since"))
    commit = annotations.get(PREFIX + "promoted-for")
    return Claim(commit, since) if commit and since is not None else None


def format_time(seconds: float) -> str:
    """Epoch seconds as ISO 8601 in UTC with milliseconds, for people and for `_parse_time`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _parse_time(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _read_active(annotations: Mapping[str, str]) -> Active | None:
    revision = annotations.get(PREFIX + "active-revision")
    since = _parse_time(annotations.get(PREFIX + "active-since"))
    if not revision or since is None:
        return None
    return Active(
        revision=revision,
        version=annotations.get(PREFIX + "active-version", ""),
        colour=_colour(annotations.get(PREFIX + "active-colour")),
        commit=annotations.get(PREFIX + "active-commit", ""),
        since=since,
        on_trial=_count(annotations.get(PREFIX + "on-trial", "")),
        committed=_parse_time(annotations.get(PREFIX + "active-committed")),
        failed=annotations.get(PREFIX + "active-failed") == _YES,
        rollback=annotations.get(PREFIX + "active-rollback") == _YES,
    )


def _read_history(text: str) -> tuple[Active, ...]:
    """All entries that can be read: an unreadable one must not take the others along, which are still to be kept."""
    try:
        entries = json.loads(text or "[]")
    except ValueError:
        return ()
    found = map(_former, entries) if isinstance(entries, list) else ()
    return tuple(each for each in found if each)[:HISTORY_LIMIT]


def _former(entry: Any) -> Active | None:
    try:
        return Active(
            revision=str(entry["revision"]),
            version=str(entry["version"]),
            colour=_colour(entry["colour"]),
            commit=str(entry["commit"]),
            since=float(entry["since"]),
            until=float(entry["until"]),
            committed=_moment(entry.get("committed")),
            on_trial=_count(str(entry.get("on_trial", ""))),
            failed=entry.get("failed") is True,
            rollback=entry.get("rollback") is True,
        )
    except (ValueError, TypeError, KeyError):
        return None


def _moment(value: Any) -> float | None:
    return float(value) if is_time(value) else None


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _read_doom(text: str) -> Doom:
    revision, _, resource_version = text.partition("@")
    return Doom(revision, resource_version)


def _colour(text: str | None) -> Colour:
    return Colour.GREEN if text == Colour.GREEN else Colour.BLUE


def _said(entry: dict[str, Any]) -> dict[str, Any]:
    """Without what is absent or does not hold."""
    return {
        key: value
        for key, value in entry.items()
        if value is not None and value is not False and (key, value) != ("on_trial", 0)
    }

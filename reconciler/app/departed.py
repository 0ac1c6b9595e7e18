"""What becomes of an app that is not looked after any more: a pure judgement of what Git and the configuration say.

An app is deleted only if it is known for sure that it is gone: Git was read, all of it, at a commit that may be acted
upon, and its file is not there. Whatever is not known for sure holds the deletion, or leaves the app alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from reconciler.app.roster import Roster, Seen
from reconciler.app.settings import Settings
from reconciler.app.settings_source import SourceSettings
from reconciler.core.glob import path_matches
from reconciler.core.model import App, DeletionPolicy, Manifest
from reconciler.core.removal import Mark, mark_of, read_mark


class Fate(Enum):
    """KEEP: it is not ours to say, or it is there. ORPHAN: it was let go, and stays. HOLD: it is to be deleted, but not
    now. DELETE: now."""

    KEEP = auto()
    ORPHAN = auto()
    HOLD = auto()
    DELETE = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """An app's fate, why it is held ('': nothing that anybody should be told), and the mark of its deletion."""

    fate: Fate
    reason: str = ""
    mark: Mark | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known at a moment. `left`: apps that this process looked after before, by namespace and name. `troubles`:
    why what was last read of a source is not to be relied upon, by its name; '' if that is only a matter of time."""

    settings: Settings
    roster: Roster
    seen: Mapping[str, Seen | None]
    left: Mapping[tuple[str, str], App]
    tips: Mapping[str, str] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)


KEEP = Verdict(Fate.KEEP)


def judge(known: Known, namespace: str, name: str, objects: Sequence[Manifest]) -> Verdict:
    """What becomes of the app `name`, of which there are these live `objects`."""
    if name in known.roster.heads:
        return KEEP
    left, said = known.left.get((namespace, name)), read_mark(objects)
    # What an accepted commit said of it last counts more than what was written down of that.
    mark = mark_of(left) if left else said
    if mark is None or mark.policy is not DeletionPolicy.DELETE:
        return Verdict(Fate.ORPHAN) if left else KEEP
    source = _source_of(known.settings, namespace, mark)
    if not mark.file:
        # Nobody but who has read that entry knows that it was of this configuration, and not of another daemon's.
        return _judged(known, name, mark, source) if left or mark.commit is not None else KEEP
    seen = known.seen.get(source.name) if source else None
    if source is None or (seen and any(each.file == mark.file for each in seen.found)):
        return KEEP
    if seen is None:
        return Verdict(Fate.HOLD)
    return _judged(known, name, mark, source)


def _source_of(settings: Settings, namespace: str, mark: Mark) -> SourceSettings | None:
    """The source that can tell whether the app is gone: of the same repository and ref, and looking at that file."""
    for each in settings.sources:
        looked_at = each.apps and path_matches(each.apps, mark.file) and namespace in each.namespaces
        if each.origin == mark.origin and (looked_at or not mark.file):
            return each
    return None


def _judged(known: Known, name: str, mark: Mark, source: SourceSettings | None) -> Verdict:
    of = source.name if source else ""
    why = _why_not(known, name, source)
    if why is not None:
        return Verdict(Fate.HOLD, why, mark, of)
    commit = known.tips.get(of, mark.commit or "")
    return Verdict(Fate.DELETE, "", replace(mark, commit=commit), of)


def _why_not(known: Known, name: str, source: SourceSettings | None) -> str | None:
    """Why the app is not to be deleted now; None if it is."""
    if source and source.suspend:
        return f"source {source.name} is suspended"
    if source and source.name in known.troubles:
        return known.troubles[source.name]
    for each in known.roster.faults:
        if (source and each.source == source.name) or each.name == name:
            return f"{each.file} cannot be read as an app, and may be this one"
    unread = [each.name for each in known.settings.sources if each.apps and known.seen.get(each.name) is None]
    return "" if unread else None

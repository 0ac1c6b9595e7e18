"""Who of several daemons looks after which app: one owner for each app at a time, without a leader. Pure.

Every daemon of a group is a *member* with a Lease of its own, in which it says which members it shares the apps with
(its *view*). An app belongs to the member of a view that rendezvous hashing gives it (Thaler and Ravishankar, "Using
name-based mappings to increase hit rates", 1998): a member that comes or goes moves only the apps that it takes or
leaves.

Views differ for a moment whenever somebody comes or goes. What keeps two members from one app then is that each
*claims* in public before it looks whether anybody else does (Dekker's algorithm, with the API server's one order of
writes as the shared memory):

1. a member acts for an app only while its own Lease holds and the view that it has published gives it the app;
2. after it has published a view it lists all Leases, and acts for an app only if no other living member claims it;
3. before it publishes a view that does not give it an app any more, it has stopped acting for that app.

Of two that claim the same app, whoever published later finds the other's claim in its list, and waits. A member whose
Lease ran out does not act, and publishes and lists again before it does; the others count it as gone only after its
Lease was seen unchanged for the whole of its duration, and was still so in a list made after that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

KEEPS_LIMIT = 1000
_NAMES_LIMIT = 1000
LONGEST = 300.0
"""Seconds that a Lease may last at most: whoever forges one must not take apps out of work for longer."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a member publishes. `view`: names of the members that it shares the apps with; empty: it acts for none.
    `keeps`: apps that it acts for though the view gives them to another, until their promotion is over. `nudges`: how
    often it has heard that there is something new in a source. `unreadable`: it says something that is not understood
    here, so that it might be acting for any app."""

    view: frozenset[str] = frozenset()
    keeps: frozenset[str] = frozenset()
    nudges: Mapping[str, int] = field(default_factory=dict)
    unreadable: bool = False


def owner_of(key: str, members: Iterable[str]) -> str:
    """To whom of `members` the app `key` belongs: the same for every member that asks. '' if there are none."""
    return max(members, key=lambda name: (_weight(name, key), name), default="")


def _weight(name: str, key: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=8).digest()


def claims(name: str, said: Statement, key: str) -> bool:
    """Whether the member `name`, which has published `said`, may be acting for the app `key`."""
    return said.unreadable or key in said.keeps or owner_of(key, said.view) == name


def may_act(key: str, name: str, mine: Statement, others: Mapping[str, Statement]) -> bool:
    """Whether `name`, which has published `mine`, may act for `key`. `others`: what the other living members have
    published, as listed after `mine` was."""
    return claims(name, mine, key) and not any(claims(other, said, key) for other, said in others.items())


def write_statement(said: Statement) -> str:
    """As text for an annotation of the Lease."""
    entry = {"view": sorted(said.view), "keeps": sorted(said.keeps), "nudges": dict(sorted(said.nudges.items()))}
    return json.dumps(entry, separators=(",", ":"))


def read_statement(text: str) -> Statement:
    """The inverse of `write_statement`. What it could not have written counts as a claim to everything: it may be a
    later version's, and that must not find two daemons at one app. What nobody renews runs out."""
    try:
        entry: Any = json.loads(text or "{}")
        view, keeps, nudges = entry.get("view", []), entry.get("keeps", []), entry.get("nudges", {})
        unknown = entry.keys() - {"view", "keeps", "nudges"}
        if unknown or len(view) > _NAMES_LIMIT or not (_are_names(view) and _are_names(keeps)):
            return Statement(unreadable=True)
        counted = {source: int(count) for source, count in nudges.items()}
        return Statement(frozenset(view), frozenset(keeps), counted)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return Statement(unreadable=True)


def _are_names(found: Any) -> bool:
    """Raises `UnicodeEncodeError`, a ValueError, for half of a surrogate pair: JSON can say one, and nothing can
    hash it."""
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        return False
    "".join(found).encode()
    return True


@dataclass(frozen=True, slots=True)
class Lease:
    """A member's Lease as the API server has it (coordination.k8s.io/v1). `holder` tells one life of the member from
    the next; '' if it has let go. `duration` in seconds. `version` is the object's resourceVersion."""

    name: str
    holder: str
    duration: float
    version: str = ""
    said: Statement = field(default_factory=Statement)


@dataclass(frozen=True, slots=True)
class _Sighting:
    lease: Lease
    since: float
    """When it was first seen at this version, by the seer's own clock: clocks are never compared."""


@dataclass(slots=True)
class Roll:
    """The Leases of a group as one member sees them; `me` is its own, and never among them."""

    me: str
    _seen: dict[str, _Sighting] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)
    _let_go: dict[str, int] = field(default_factory=dict)
    """The versions at which Leases were let go, or last seen before they were deleted: a list that was under way
    meanwhile, or a watch that is late, may have an earlier one."""

    def put(self, lease: Lease, now: float) -> bool:
        """Takes in a Lease. Returns whether anything but its renewal is new. `now` in seconds of a clock that never
        stands still."""
        if lease.name == self.me:
            return False
        known = self._seen.get(lease.name)
        latest = int(known.lease.version) if known else self._let_go.get(lease.name, 0)
        if latest >= int(lease.version):
            return False
        was_alive = known is not None and lease.name not in self._gone
        self._gone.discard(lease.name)
        if not lease.holder:
            self._note_release(lease)
            return self._seen.pop(lease.name, None) is not None
        self._seen[lease.name] = _Sighting(lease, now)
        return not was_alive or known is None or known.lease.said != lease.said

    def _note_release(self, lease: Lease) -> None:
        self._let_go.pop(lease.name, None)
        self._let_go[lease.name] = int(lease.version)
        if len(self._let_go) > _NAMES_LIMIT:
            del self._let_go[next(iter(self._let_go))]

    def overdue(self, now: float) -> Mapping[str, Lease]:
        """The Leases that were not renewed for all of their duration, as far as is known: to be looked at afresh."""
        alive = {name: each for name, each in self._seen.items() if name not in self._gone}
        return {name: each.lease for name, each in alive.items() if now >= _end(each)}

    def bury(self, overdue: Mapping[str, Lease], listed: Mapping[str, Lease], now: float) -> None:
        """Counts those as gone that are in `listed`, made after `overdue` was found, as they were, or not at all. Of
        which the watch has told since, while the list was under way, is not. One at an earlier version is a new one:
        the API server's store was put back to what it was."""
        for name, known in overdue.items():
            last, found = self._seen.get(name), listed.get(name)
            if last is None or last.lease.version != known.version:
                continue
            if found is None:
                self._note_release(last.lease)
                del self._seen[name]
            elif found.version == known.version:
                self._gone.add(name)
            elif found.holder:
                self._seen[name] = _Sighting(found, now)
                self._let_go.clear()
            else:
                del self._seen[name]

    def refresh(self, now: float) -> None:
        """After an outage, in which nobody could renew: nobody is gone before the whole duration has passed anew."""
        for name, each in self._seen.items():
            if name not in self._gone:
                self._seen[name] = _Sighting(each.lease, now)

    def next_end(self) -> float | None:
        """When the next Lease would be overdue; None if there is none."""
        return min((_end(each) for name, each in self._seen.items() if name not in self._gone), default=None)

    @property
    def living(self) -> Mapping[str, Statement]:
        """What the other members that count as alive have published."""
        return {name: each.lease.said for name, each in self._seen.items() if name not in self._gone}

    @property
    def gone(self) -> Mapping[str, Lease]:
        """The Leases that ran out and are still there, as far as is known."""
        return {name: self._seen[name].lease for name in self._gone}

    def forget(self, name: str) -> None:
        """The Lease of one that is gone was deleted."""
        if name in self._gone:
            self._gone.discard(name)
            self._note_release(self._seen.pop(name).lease)


def _end(seen: _Sighting) -> float:
    return seen.since + seen.lease.duration

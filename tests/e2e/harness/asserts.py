"""Assertions that every test makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from reconciler.core.observed import SWITCH_MANAGER
from rig.daemon import Event
from rig.load import Errors, Load, Request
from rig.scene import APP, Scene

ENOUGH = 300
"""Fewer requests than this prove nothing."""

_AROUND = 15.0
"""Seconds before the first and after the last failure in which events are told."""


def no_request_failed(load: Load, *, at_least: int = ENOUGH) -> None:
    """Lets the load go on for a moment, and until it proves something; ends it; and holds us to our word."""
    _end(load, at_least)
    failed, answered = load.failures, sum(load.versions().values())
    assert not failed, _account(load, failed)
    assert answered >= at_least, f"only {answered} requests were answered: that was no load"


def only_errors_of(version: str, load: Load, *, at_least: int = ENOUGH) -> Errors:
    """The same where a bad version was let in front of users: every request was answered, and nothing but that version
    answered with an error. Returns these errors: how many users saw, and for how long."""
    _end(load, at_least)
    errors, answered = load.errors(version), sum(load.versions().values())
    known = set(errors.requests)
    other = [each for each in load.failures if each not in known]
    assert not other, _account(load, other)
    assert answered >= at_least, f"only {answered} requests were answered: that was no load"
    return errors


def _end(load: Load, at_least: int) -> None:
    load.wait_for_count(max(100, at_least - len(load.requests)))
    load.stop()


def moved(scene: Scene, times: int) -> None:
    """The selector was moved that often, and by nobody but the switch's field manager."""
    moves = scene.audit.moves(APP)
    assert len(moves) == times, f"selector moves: {moves}"
    assert set(scene.audit.movers(APP)) <= {SWITCH_MANAGER}, f"moved by {scene.audit.movers(APP)}"


def _account(load: Load, failed: Sequence[Request]) -> str:
    """Which requests failed, when by the daemons' own events, and what was answered before and after."""
    first, last = min(each.start for each in failed), max(each.end for each in failed)
    told = Counter(each.error or f"status {each.status}" for each in failed)
    return "\n".join(
        [
            f"{len(failed)} of {len(load.requests)} requests failed: {dict(told)}",
            f"from {datetime.fromtimestamp(first, UTC)} on, for {last - first:.3f} s; the first: {failed[:3]}",
            f"answered before: {_answers(each for each in load.requests if each.end <= first)}",
            f"answered after: {_answers(each for each in load.requests if each.start >= last)}",
            *(line for daemon in load.daemons for line in _timeline(daemon.events, first, last)),
            *(daemon.story() for daemon in load.daemons),
        ]
    )


def _answers(requests: Iterable[Request]) -> dict[str, int]:
    return dict(Counter(each.version for each in requests if each.ok))


def _timeline(events: Iterable[Event], first: float, last: float) -> list[str]:
    """The events around the failures, in seconds from the first of these."""
    timed = ((datetime.fromisoformat(each["timestamp"]).timestamp(), each) for each in events)
    return [
        f"{at - first:+9.3f} s  {each['event']} {each.get('version', '')} {each.get('phase', '')}".rstrip()
        for at, each in timed
        if first - _AROUND <= at <= last + _AROUND
    ]


def none_twice(names: Sequence[str], most: int) -> None:
    """Nothing was made, or deleted, a second time. There may be fewer: what the API server does for a sender that is
    killed meanwhile stands in the audit log as broken off (504)."""
    assert len(names) == len(set(names)) <= most, names

"""Release windows: when switches may happen. Pure but for the tables of time zones, which `zoneinfo` reads once.

A window opens at a wall-clock time of its zone, as cron writes it, and stays open for a real length of time. Where the
clocks change: an opening that falls into the hour that is left out comes at the moment after it; one in the hour
that comes twice comes in the first of the two, and only there.

So a schedule is walked through on a clock without any zone, and each of its times is then placed (`_instant`). The
library's own treatment of zones is not used: it tells `0 * * * *` from `0 1,2,3 * * *`, as Debian's cron does.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from reconciler.core.text import shown

LOOK_AHEAD = 5 * 366 * 24 * 3600.0
"""Seconds: what opens later than this counts as never."""

LONGEST_SCHEDULE = 256
"""Characters."""

_HOUR = 3600
_MOST_JOINED = 100
_FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, or L for the last day"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of week", "0 to 7, or SUN to SAT; 0 and 7 are Sunday"),
)
_SOME_YEAR = datetime(2000, 1, 1)
"""Within 28 years from here every date falls on every day of the week. `CronSim` looks for 50."""


@dataclass(frozen=True, slots=True)
class Window:
    """Open for `duration` seconds from each time of `schedule`, by the clocks of `time_zone` (an IANA name).

    `schedule` is one that `wrong_schedule` has nothing against: with any other it never opens.
    """

    schedule: str
    duration: float
    time_zone: str


def open_at(windows: Sequence[Window], now: float) -> bool:
    """Whether one of `windows` is open at `now` (epoch seconds). It is at its first moment, and is not at its last."""
    return any(now < _end(each, now) for each in windows)


def opens_next(windows: Sequence[Window], now: float) -> float | None:
    """The first moment not before `now` at which one is open, in epoch seconds; None: none within `LOOK_AHEAD`."""
    if open_at(windows, now):
        return now
    starts = (start for each in windows for start in _starts_around(each, now) if now < start <= now + LOOK_AHEAD)
    return min(starts, default=None)


def closes_at(windows: Sequence[Window], now: float) -> float | None:
    """Until when one or another stays open without a pause, in epoch seconds; None: all are closed.

    At most 100 openings are joined. If it goes on after them, this is a moment until which it surely is open.
    """
    end = max((_end(each, now) for each in windows), default=now)
    if end <= now:
        return None
    for _ in range(_MOST_JOINED):
        further = max(_end(each, end) for each in windows)
        if further <= end:
            break
        end = further
    return end


def wrong_schedule(text: str) -> str:
    """What is wrong with a schedule of five fields, fit to be shown, or ''. One that never comes is wrong, too."""
    if len(text) > LONGEST_SCHEDULE:
        return f"is longer than {LONGEST_SCHEDULE} characters"
    parts = text.split()
    if len(parts) != len(_FIELDS):
        return "must have five fields: minute, hour, day of month, month, day of week, like `0 9 * * MON-FRI`"
    for index, (part, (name, range_)) in enumerate(zip(parts, _FIELDS, strict=True)):
        if not _comes([*("*" * index), part, *("*" * (4 - index))]):
            return f"{shown(part)} is no {name}: write {range_}; lists (`1,2`), ranges (`1-3`), steps (`*/2`)"
    return "" if _comes(parts) else "never comes: no year has such a day"


def _comes(parts: Sequence[str]) -> bool:
    try:
        return next(CronSim(" ".join(parts), _SOME_YEAR), None) is not None
    except CronSimError:
        return False


def _end(window: Window, now: float) -> float:
    """When the latest opening not after `now` ends, or has ended. The openings before it ended earlier."""
    starts = (start for start in _starts_around(window, now) if start <= now)
    return max(starts, default=-math.inf) + window.duration


def _starts_around(window: Window, now: float) -> tuple[int, ...]:
    return _starts(window.schedule, window.time_zone, math.floor(now / _HOUR))


@lru_cache(maxsize=1024)
def _starts(schedule: str, time_zone: str, hour: int) -> tuple[int, ...]:
    """All that can be asked about in one hour since the epoch: the openings in it, the latest before, the first after.

    So a schedule is walked through once an hour, however often it is looked at.
    """
    begin = hour * _HOUR
    zone = ZoneInfo(time_zone)
    try:
        latest = next((each for each in _backwards(schedule, zone, begin) if each <= begin), None)
        following = tuple(_until(_forwards(schedule, zone, begin), begin + _HOUR))
    except CronSimError:  # not only a broken one: 30 February is refused as well
        return ()
    return (*([latest] if latest is not None else []), *following)


def _until(starts: Iterator[int], end: int) -> Iterator[int]:
    """Up to and including the first that is not before `end`."""
    for each in starts:
        yield each
        if each >= end:
            return


def _backwards(schedule: str, zone: ZoneInfo, moment: int) -> Iterator[int]:
    """The openings from about `moment` on, the latest first. Those a little later than `moment` may be among them:
    in the second of two equal hours, all of the first has been."""
    local = datetime.fromtimestamp(moment, zone)
    repeated = _offset(local.replace(fold=0)) - _offset(local)
    wall = local.replace(tzinfo=None, fold=0) + repeated
    # The walk never begins with the time that it is given.
    return (_instant(each, zone) for each in CronSim(schedule, wall + timedelta(seconds=1), reverse=True))


def _forwards(schedule: str, zone: ZoneInfo, moment: int) -> Iterator[int]:
    """The openings after `moment`, the earliest first. In the second of two equal hours, some of the first come before
    them."""
    wall = datetime.fromtimestamp(moment, zone).replace(tzinfo=None, fold=0)
    return (_instant(each, zone) for each in CronSim(schedule, wall))


def _instant(wall: datetime, zone: ZoneInfo) -> int:
    """When the clocks of `zone` first show `wall`, in epoch seconds; if they never do, when they skip it.

    PEP 495: with `fold=0` the offset before a change of the clocks is used, with `fold=1` the one after it.
    """
    first, second = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if _offset(first) >= _offset(second):
        return int(first.timestamp())
    moments = range(int(second.timestamp()), int(first.timestamp()))

    def changed(moment: int) -> bool:
        return _offset(datetime.fromtimestamp(moment, zone)) == _offset(second)

    return moments.start + bisect_left(moments, True, key=changed)


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta()

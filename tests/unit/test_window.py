"""Release windows: every odd thing that clocks do, by hand and against a walk minute by minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.window import LOOK_AHEAD, Window, closes_at, open_at, opens_next, wrong_schedule

BERLIN, NEW_YORK, LORD_HOWE, KOLKATA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def utc(text: str) -> float:
    """`2026-03-29 01:00` in UTC, in epoch seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def shown(moment: float | None) -> str:
    """The inverse, for readable failures."""
    return "never" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("schedule", "duration", "zone", "before", "opens", "closes"),
    [
        # An ordinary day, in winter and in summer.
        ("0 9 * * *", 8 * HOUR, BERLIN, "2026-01-15 00:00", "2026-01-15 08:00", "2026-01-15 16:00"),
        ("0 9 * * *", 8 * HOUR, BERLIN, "2026-07-15 00:00", "2026-07-15 07:00", "2026-07-15 15:00"),
        ("0 9 * * *", 8 * HOUR, KOLKATA, "2026-07-15 00:00", "2026-07-15 03:30", "2026-07-15 11:30"),
        # The clocks go from 02:00 to 03:00, at 01:00 UTC: what begins in between begins then.
        ("30 2 * * *", HOUR, BERLIN, "2026-03-29 00:00", "2026-03-29 01:00", "2026-03-29 02:00"),
        ("0 2 * * *", HOUR, BERLIN, "2026-03-29 00:00", "2026-03-29 01:00", "2026-03-29 02:00"),
        ("59 2 * * *", HOUR, BERLIN, "2026-03-29 00:00", "2026-03-29 01:00", "2026-03-29 02:00"),
        ("59 1 * * *", MINUTE, BERLIN, "2026-03-29 00:00", "2026-03-29 00:59", "2026-03-29 01:00"),
        ("0 3 * * *", HOUR, BERLIN, "2026-03-29 00:00", "2026-03-29 01:00", "2026-03-29 02:00"),
        ("0 1 * * *", 3 * HOUR, BERLIN, "2026-03-28 23:00", "2026-03-29 00:00", "2026-03-29 03:00"),
        ("30 2 * * *", HOUR, NEW_YORK, "2026-03-08 06:00", "2026-03-08 07:00", "2026-03-08 08:00"),
        ("0 22 * * *", 8 * HOUR, NEW_YORK, "2026-03-08 00:00", "2026-03-08 03:00", "2026-03-08 11:00"),
        # They go from 03:00 back to 02:00, at 01:00 UTC: the first 02:30 counts, an hour is an hour.
        ("30 2 * * *", HOUR, BERLIN, "2026-10-25 00:00", "2026-10-25 00:30", "2026-10-25 01:30"),
        ("0 2 * * *", 3 * HOUR, BERLIN, "2026-10-24 23:00", "2026-10-25 00:00", "2026-10-25 03:00"),
        ("30 2 * * *", HOUR, BERLIN, "2026-10-25 01:31", "2026-10-26 01:30", "2026-10-26 02:30"),
        ("0 3 * * *", HOUR, BERLIN, "2026-10-25 00:30", "2026-10-25 02:00", "2026-10-25 03:00"),
        ("30 1 * * *", HOUR, NEW_YORK, "2026-11-01 05:00", "2026-11-01 05:30", "2026-11-01 06:30"),
        ("30 1 * * *", MINUTE, NEW_YORK, "2026-11-01 05:31", "2026-11-02 06:30", "2026-11-02 06:31"),
        # Half an hour: from 02:00 to 02:30 at 15:30 UTC, and back from 02:00 to 01:30 at 15:00 UTC.
        ("15 2 * * *", HOUR, LORD_HOWE, "2026-10-03 15:00", "2026-10-03 15:30", "2026-10-03 16:30"),
        ("45 2 * * *", HOUR, LORD_HOWE, "2026-10-03 15:00", "2026-10-03 15:45", "2026-10-03 16:45"),
        ("45 1 * * *", HOUR, LORD_HOWE, "2026-04-04 14:00", "2026-04-04 14:45", "2026-04-04 15:45"),
        ("45 1 * * *", MINUTE, LORD_HOWE, "2026-04-04 14:46", "2026-04-05 15:15", "2026-04-05 15:16"),
        ("0 2 * * *", HOUR, LORD_HOWE, "2026-04-04 14:46", "2026-04-04 15:30", "2026-04-04 16:30"),
        # A whole day that Samoa left out, 30 December 2011.
        ("0 12 30 12 *", HOUR, "Pacific/Apia", "2011-12-30 00:00", "2011-12-30 10:00", "2011-12-30 11:00"),
        # Over midnight, month and year; the last day; leap days.
        ("0 22 31 12 *", 6 * HOUR, BERLIN, "2026-06-01 00:00", "2026-12-31 21:00", "2027-01-01 03:00"),
        ("0 22 L * *", 6 * HOUR, "UTC", "2026-02-01 04:00", "2026-02-28 22:00", "2026-03-01 04:00"),
        ("0 0 29 2 *", DAY, "UTC", "2026-01-01 00:00", "2028-02-29 00:00", "2028-03-01 00:00"),
        # Lists, ranges, steps, names; day of month or day of week, as cron has it.
        ("30 9-17/4,20 * JAN,jul mon-FRI", MINUTE, "UTC", "2026-01-03 00:00", "2026-01-05 09:30", "2026-01-05 09:31"),
        ("30 9-17/4,20 * 1 MON-FRI", MINUTE, "UTC", "2026-01-05 18:00", "2026-01-05 20:30", "2026-01-05 20:31"),
        ("0 0 13 * FRI", MINUTE, "UTC", "2026-01-10 00:00", "2026-01-13 00:00", "2026-01-13 00:01"),
        ("0 0 13 * FRI", MINUTE, "UTC", "2026-01-14 00:00", "2026-01-16 00:00", "2026-01-16 00:01"),
        ("0 0 * * 7", MINUTE, "UTC", "2026-01-10 00:00", "2026-01-11 00:00", "2026-01-11 00:01"),
        # Longer than its period: it never closes; the first hundred openings are followed.
        ("0 * * * *", 2 * HOUR, "UTC", "2026-01-01 00:30", "2026-01-01 00:30", "2026-01-09 10:00"),
        # Several in one hour.
        ("*/20 * * * *", 5 * MINUTE, "UTC", "2026-01-01 00:05", "2026-01-01 00:20", "2026-01-01 00:25"),
    ],
)
def test_when_it_opens_and_closes(
    schedule: str, duration: float, zone: str, before: str, opens: str, closes: str
) -> None:
    windows = (Window(schedule, duration, zone),)
    assert wrong_schedule(schedule) == ""
    start = opens_next(windows, utc(before))
    assert start is not None and shown(start) == opens
    assert open_at(windows, start) and (start == utc(before) or not open_at(windows, start - 1))
    assert shown(closes_at(windows, start)) == closes
    assert shown(closes_at(windows, start + 30)) == closes


def test_it_is_open_at_its_first_moment_and_closed_at_its_last() -> None:
    windows = (Window("0 9 * * *", HOUR, "UTC"),)
    nine = utc("2026-01-01 09:00")
    assert [open_at(windows, nine + each) for each in (-0.001, 0.0, HOUR - 0.001, HOUR)] == [False, True, True, False]
    assert opens_next(windows, nine - 0.5) == nine
    assert opens_next(windows, nine + 0.5) == nine + 0.5
    assert closes_at(windows, nine - 0.001) is None and closes_at(windows, nine + HOUR) is None


def test_the_second_of_two_equal_hours_opens_nothing() -> None:
    """Even what opens every minute; by its length it may reach into it."""
    always = (Window("* * * * *", MINUTE, BERLIN),)
    change = utc("2026-10-25 01:00")
    assert closes_at(always, change - MINUTE) == change
    assert opens_next(always, change) == change + HOUR
    assert not open_at(always, change + 30 * MINUTE)
    assert open_at((Window("* * * * *", HOUR, BERLIN),), change + 30 * MINUTE)


def test_windows_stand_in_for_each_other() -> None:
    morning, noon = Window("0 9 * * *", 3 * HOUR, BERLIN), Window("0 11 * * *", 2 * HOUR, BERLIN)
    evening, saturday = Window("0 12 * * *", HOUR, "UTC"), Window("0 9 * * SAT", 2 * HOUR, NEW_YORK)
    windows = (saturday, evening, noon, morning)
    # Thursday: 08:00 to 11:00, 10:00 to 12:00 and 12:00 to 13:00 UTC meet.
    assert shown(opens_next(windows, utc("2026-01-15 00:00"))) == "2026-01-15 08:00"
    assert shown(closes_at(windows, utc("2026-01-15 08:30"))) == "2026-01-15 13:00"
    assert shown(opens_next(windows, utc("2026-01-17 13:00"))) == "2026-01-17 14:00"


def test_without_windows_nothing_is_open() -> None:
    assert not open_at((), 0.0) and opens_next((), 0.0) is None and closes_at((), 0.0) is None


@pytest.mark.parametrize("schedule", ["0 0 30 2 *", "0 0 31 4,6 *", "0 0 */31 * MON#5", "61 0 * * *", "nonsense", ""])
def test_what_never_comes_is_never_open(schedule: str) -> None:
    windows = (Window(schedule, HOUR, BERLIN),)
    assert not open_at(windows, utc("2026-01-01 00:00"))
    assert opens_next(windows, utc("2026-01-01 00:00")) is None


def test_what_comes_in_more_than_five_years_counts_as_never() -> None:
    monday_29_february = (Window("0 0 * 2 MON#5", HOUR, "UTC"),)  # 2044
    assert opens_next(monday_29_february, utc("2026-01-01 00:00")) is None
    start = utc("2044-02-29 00:00")
    assert opens_next(monday_29_february, start - LOOK_AHEAD) == start
    assert opens_next(monday_29_february, start - LOOK_AHEAD - 1) is None
    assert open_at(monday_29_february, start + MINUTE)


@pytest.mark.parametrize(
    ("schedule", "wrong"),
    [
        ("", "must have five fields: minute, hour, day of month, month, day of week"),
        ("0 9 * *", "must have five fields"),
        ("0 0 9 * * *", "must have five fields"),
        ("@daily", "must have five fields"),
        ("60 9 * * *", "`60` is no minute: write 0 to 59;"),
        ("0 24 * * *", "`24` is no hour: write 0 to 23;"),
        ("0 9 0 * *", "`0` is no day of month: write 1 to 31"),
        ("0 9 1 13 *", "`13` is no month: write 1 to 12, or JAN to DEC"),
        ("0 9 * JANUARY *", "`JANUARY` is no month"),
        ("0 9 * * 8", "`8` is no day of week: write 0 to 7, or SUN to SAT"),
        ("0 9 * * FRI-MON", "`FRI-MON` is no day of week"),
        ("*/0 9 * * *", "`*/0` is no minute"),
        ("0 9,,10 * * *", "`9,,10` is no hour"),
        ("0 -9 * * *", "`-9` is no hour"),
        ("0 ٩ * * *", "`٩` is no hour"),
        ("0 ? * * *", "`?` is no hour"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 */31 * MON#5", "never comes"),
        ("0 " + "1," * 128 + "1 * * *", "is longer than 256 characters"),
    ],
)
def test_a_wrong_schedule_is_told_by_its_field(schedule: str, wrong: str) -> None:
    assert wrong_schedule(schedule).startswith(wrong)


@given(st.text(st.sampled_from("0159*,-/# LWMONsun²\x00"), max_size=30) | st.text(max_size=300))
def test_no_schedule_is_a_crash(schedule: str) -> None:
    window = (Window(schedule, HOUR, "UTC"),)
    assert not (wrong_schedule(schedule) and opens_next(window, 0.0) is not None)


# --- against a walk minute by minute -----------------------------------------------------------------------------

SPAN = timedelta(days=4)
CHANGES = {
    BERLIN: ("2026-03-29 01:00", "2026-10-25 01:00"),
    NEW_YORK: ("2026-03-08 07:00", "2026-11-01 06:00"),
    LORD_HOWE: ("2026-10-03 15:30", "2026-04-04 15:00"),
    KOLKATA: ("2026-02-28 18:30", "2027-12-31 18:30"),
    "Africa/Cairo": ("2026-04-23 22:00", "2026-10-29 21:00"),  # at midnight
    "Pacific/Chatham": ("2026-04-04 14:00", "2026-09-26 14:00"),
}
ANY = frozenset[int]()


@dataclass(frozen=True)
class Times:
    """A schedule as sets; an empty one is a star."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    weekdays: frozenset[int]

    def __str__(self) -> str:
        parts = (",".join(map(str, sorted(each))) or "*" for each in (self.minutes, self.hours, self.days))
        return f"{' '.join(parts)} * {','.join(map(str, sorted(self.weekdays))) or '*'}"

    def matches(self, wall: datetime) -> bool:
        """As crontab(5) says it: if both kinds of day are restricted, one of them suffices."""
        if (self.minutes and wall.minute not in self.minutes) or (self.hours and wall.hour not in self.hours):
            return False
        of_month, of_week = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        if self.days and self.weekdays:
            return of_month or of_week
        return (not self.days or of_month) and (not self.weekdays or of_week)


def some(least: int, most: int) -> st.SearchStrategy[frozenset[int]]:
    return st.just(ANY) | st.frozensets(st.integers(least, most), min_size=1, max_size=3)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[tuple[tuple[Times, float, str], ...], float]:
    """Some windows, and a minute that is near to a change of the clocks of one of them."""
    night = st.frozensets(st.integers(0, 4), min_size=1, max_size=2)
    times = st.builds(Times, some(0, 59), some(0, 23) | night, some(1, 31), some(0, 6))
    durations = st.sampled_from([1, 7, 30, 60, 61, 90, 600, 1440, 2000]).map(lambda each: each * MINUTE)
    windows = draw(st.lists(st.tuples(times, durations, st.sampled_from(sorted(CHANGES))), min_size=1, max_size=3))
    change = utc(draw(st.sampled_from(CHANGES[windows[0][2]])))
    return tuple(windows), change + draw(st.integers(-300, 300)) * MINUTE


def starts(times: Times, zone: ZoneInfo, begin: datetime) -> Iterator[float]:
    """Every minute of `SPAN` from `begin` on which a clock on the wall makes it begin: when it shows a time that
    matches and was not shown before, or has jumped over one."""
    last = begin.astimezone(zone).replace(tzinfo=None, fold=0) - timedelta(minutes=1)
    for minute in range(int(SPAN / timedelta(minutes=1))):
        now = begin + timedelta(minutes=minute)
        wall = now.astimezone(zone).replace(tzinfo=None, fold=0)
        new = (last + timedelta(minutes=1 + each) for each in range(int((wall - last) / timedelta(minutes=1))))
        if any(times.matches(each) for each in new):
            yield now.timestamp()
        last = max(last, wall)


@given(scenes())
def test_it_agrees_with_a_walk_minute_by_minute(scene: tuple[tuple[tuple[Times, float, str], ...], float]) -> None:
    described, now = scene
    begin = datetime.fromtimestamp(now, UTC) - SPAN / 2
    end = (begin + SPAN).timestamp()
    spans = [
        (start, start + duration)
        for times, duration, zone in described
        for start in starts(times, ZoneInfo(zone), begin)
    ]
    windows = tuple(Window(str(times), duration, zone) for times, duration, zone in described)

    def is_open(moment: float) -> bool:
        return any(start <= moment < stop for start, stop in spans)

    for offset in (-90.0, -60.0, -1.0, 0.0, 0.5, 29.0, 60.0, 1800.0, 3600.0, 5400.0):
        assert open_at(windows, now + offset) == is_open(now + offset), offset
    opens = now if is_open(now) else min((start for start, _ in spans if start > now), default=None)
    found = opens_next(windows, now)
    assert found == opens if opens is not None else found is None or found >= end
    closes = closes_at(windows, now)
    assert (closes is None) == (not is_open(now))
    if closes is not None and closes < end:
        edges = [now, *(edge for span in spans for edge in span if now <= edge < closes)]
        assert all(is_open(each) for each in edges), "it closed in between"
        joined = sum(now <= start < closes for start, _ in spans)
        assert not is_open(closes) or joined >= 100


@given(scenes(), st.integers(0, 400))
def test_what_opens_next_is_the_first_open_moment(
    scene: tuple[tuple[tuple[Times, float, str], ...], float], days: int
) -> None:
    """Far from any change of the clocks, too, and further ahead than a walk would get."""
    described, now = scene
    windows = tuple(Window(str(times), duration, zone) for times, duration, zone in described)
    now += days * DAY
    found = opens_next(windows, now)
    if found is None:
        assert not open_at(windows, now)
        return
    assert found >= now and open_at(windows, found)
    if found > now:
        between = (now + (found - now) * part for part in (0.0, 0.1, 0.5, 0.9, 0.9999))
        assert not any(open_at(windows, each) for each in between)
        assert opens_next(windows, (now + found) / 2) == found

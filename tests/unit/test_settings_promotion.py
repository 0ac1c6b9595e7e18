"""What may hold up a promotion, as the configuration and an app.yaml say it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler.app.settings import parse_settings
from reconciler.core.model import Strategy
from reconciler.core.window import Window
from reconciler.errors import Invalid


def strategy(fields: str) -> Strategy:
    """The strategy of an app whose `strategy` holds `fields`."""
    text = f"sources: [{{name: shop, url: .}}]\napps:\n- name: web\n  source: shop\n  strategy:\n    {fields}\n"
    return parse_settings(text, "c.yaml").apps[0].strategy


def windows(*fields: str) -> str:
    return "releaseWindows:\n" + "".join(f"    - {{{each}}}\n" for each in fields)


def test_windows_arrive_in_their_order() -> None:
    found = strategy(
        windows(
            'schedule: "0 9 * * MON-FRI", duration: 8h30m, timeZone: Europe/Berlin',
            "schedule: 0 0 1 * *, duration: 48h",
        )
    )
    expected = Window("0 9 * * MON-FRI", 30600.0, "Europe/Berlin"), Window("0 0 1 * *", 172800.0, "UTC")
    assert found.release_windows == expected


def test_there_are_none_unless_they_are_given() -> None:
    assert strategy("releaseWindows:").release_windows == strategy("releaseWindows: []").release_windows == ()


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        ("duration: 8h", ".schedule: is missing"),
        ("schedule: 0 9 * * *", ".duration: is missing"),
        ("schedule: 9, duration: 8h", ".schedule: must be text"),
        ("schedule: 0 9 * *, duration: 8h", ".schedule: must have five fields: minute, hour,"),
        ("schedule: 0 25 * * *, duration: 8h", ".schedule: `25` is no hour: write 0 to 23"),
        ("schedule: 0 9 * * MO-FR, duration: 8h", ".schedule: `MO-FR` is no day of week: write 0 to 7, or SUN to SAT"),
        ("schedule: 0 0 30 FEB *, duration: 8h", ".schedule: never comes"),
        ("schedule: 0 9 * * *, duration: 0", ".duration: must be at least 60s"),
        ("schedule: 0 9 * * *, duration: 8", ".duration: has no unit: write `8s`"),
        ("schedule: 0 9 * * *, duration: 59s", ".duration: must be at least 60s"),
        ("schedule: 0 9 * * *, duration: -1h", ".duration: is no duration"),
        ("schedule: 0 9 * * *, duration: 90000h", ".duration: is longer than ten years"),
        (
            "schedule: 0 9 * * *, duration: 8h, timeZone: Europe/Berln",
            ".timeZone: there is no time zone `Europe/Berln` (did you mean `Europe/Berlin`?)",
        ),
        (
            "schedule: 0 9 * * *, duration: 8h, timeZone: europe/berlin",
            ".timeZone: there is no time zone `europe/berlin` (did you mean `Europe/Berlin`?)",
        ),
        (
            "schedule: 0 9 * * *, duration: 8h, timeZone: XYZZY",
            ".timeZone: there is no time zone `XYZZY`: write it like",
        ),
        ("schedule: 0 9 * * *, duration: 8h, timeZone: ../../etc/localtime", ".timeZone: there is no time zone"),
        ("schedule: 0 9 * * *, duration: 8h, timeZone: localtime", ".timeZone: there is no time zone"),
        ("schedule: 0 9 * * *, duration: 8h, timezone: UTC", ".timezone: unknown key (did you mean `timeZone`?)"),
    ],
)
def test_what_a_window_may_not_say(window: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        strategy(windows("schedule: 0 9 * * *, duration: 1h", window))
    assert caught.value.what.startswith(f"c.yaml:8: apps[0].strategy.releaseWindows[1]{problem}")


def test_there_may_be_sixteen_windows() -> None:
    one = "schedule: 0 9 * * *, duration: 1h"
    assert len(strategy(windows(*[one] * 16)).release_windows) == 16
    with pytest.raises(Invalid, match=r"apps\[0\].strategy.releaseWindows: list should have at most 16 items"):
        strategy(windows(*[one] * 17))


def test_the_windows_in_their_manual_are_valid() -> None:
    text = (Path(__file__).parents[2] / "docs" / "windows.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```yaml\nstrategy:\n  (.*?)```", text, re.DOTALL)
    assert len(strategy(block).release_windows) == 2
    rows = re.findall(r"^\| `([^`]+)` \| `(\d+[hm])` \|", text, re.MULTILINE)
    assert len(rows) == 6
    assert strategy(windows(*(f'schedule: "{schedule}", duration: {duration}' for schedule, duration in rows)))


def test_an_approval_file_is_a_path_in_the_apps_folder() -> None:
    assert strategy("approvalFile:").approval_file == ""
    assert strategy("approvalFile: ./release//approved").approval_file == "release/approved"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/etc/passwd", "must be relative"),
        ("../approved", "must not climb out"),
        ("./", "must be a file, not the app's folder itself"),
        ("''", "must be a path"),
        ("[approved]", "must be text"),
    ],
)
def test_what_is_no_approval_file(path: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        strategy(f"approvalFile: {path}")
    assert caught.value.what.startswith(f"c.yaml:6: apps[0].strategy.approvalFile: {problem}")

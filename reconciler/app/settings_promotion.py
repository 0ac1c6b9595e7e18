"""What may hold up a promotion, in `strategy` of the configuration and of an `app.yaml`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Annotated

from pydantic import Field

from reconciler.app.settings_fields import FolderPath, Model, Seconds, at_least, rule
from reconciler.core.duration import PATTERN
from reconciler.core.text import did_you_mean, shown
from reconciler.core.window import LONGEST_SCHEDULE, Window, wrong_schedule

MOST_WINDOWS = 16
"""Per app: each costs a look at every cycle."""


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    """The names that IANA knows. Of the package, not of the machine, so that they are the same everywhere."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def _wrong_time_zone(name: str) -> str:
    if name in _time_zones():
        return ""
    hint = did_you_mean(name, sorted(_time_zones())) or ": write it like `Europe/Berlin`"
    return f"there is no time zone {shown(name)}{hint}"


def _no_folder(path: str) -> str:
    return "must be a file, not the app's folder itself" if path == "." else ""


ApprovalFile = Annotated[FolderPath, rule(_no_folder)]


class ReleaseWindow(Model):
    """A time in which switches may happen."""

    schedule: Annotated[str, rule(wrong_schedule)] = Field(
        description="When it opens: minute, hour, day of month, month and day of week, as cron writes them, like "
        "`0 9 * * MON-FRI`.",
        json_schema_extra={"maxLength": LONGEST_SCHEDULE},
    )
    duration: Annotated[Seconds, at_least(60.0)] = Field(
        description="How long it stays open.", json_schema_extra={"pattern": PATTERN, "examples": ["30m", "8h"]}
    )
    time_zone: Annotated[str, rule(_wrong_time_zone)] = Field(
        default="UTC", description="By whose clocks, as IANA names them, like `Europe/Berlin`."
    )


def windows_of(models: Iterable[ReleaseWindow]) -> tuple[Window, ...]:
    """The windows that `models` describe."""
    return tuple(Window(each.schedule, each.duration, each.time_zone) for each in models)

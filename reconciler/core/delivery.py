"""How well an app is delivered: the four figures of DORA, counted from what the active Service remembers. Pure.

DORA ("DORA's software delivery metrics: the four keys", dora.dev/guides/dora-metrics-four-keys) defines *change lead
time* as the time from a change being committed to its being deployed, *deployment frequency* as how often changes are
deployed, *change fail rate* as the share of deployments that need an immediate intervention, likely a rollback or a
hotfix, and *failed deployment recovery time* as the time that it takes to recover from such a one. Here that means:

- A *deployment* is a switch to a revision that is no rollback.
- It *failed* if it was left by a rollback, by whomever, or its analysis after the switch failed.
- It was *restored* by the switch that left it; the time counts from its own switch.
- Its *lead time* is from the committer's date of the commit that first asked for its revision to its switch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from reconciler.core.delivered import RECORD_LIMIT, Delivered
from reconciler.core.duration import parse_duration
from reconciler.core.memory import Active, Memory

DAY, WEEK = 86_400.0, 604_800.0
_SHORTEST = 60.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """The figures of the time from `since` to `until` (epoch seconds); durations in seconds, None if there is none."""

    since: float
    until: float
    deployments: int
    failures: int
    lead_median: float | None
    lead_p90: float | None
    restore_median: float | None

    @property
    def failure_rate(self) -> float | None:
        """The share of deployments that failed, 0 to 1; None without a deployment."""
        return self.failures / self.deployments if self.deployments else None

    @property
    def per_day(self) -> float:
        """Deployments a day."""
        return self.deployments * DAY / (self.until - self.since)

    @property
    def per_week(self) -> float:
        """Deployments a week."""
        return self.deployments * WEEK / (self.until - self.since)


def delivery(memory: Memory, now: float, window: float) -> Delivery:
    """What was delivered in the last `window` seconds (more than 0) before `now`.

    `since` is later where the record, which holds `RECORD_LIMIT` deployments, does not reach back that far.
    """
    since = _reach(memory.deployments, now, window)
    counted = [each for each in memory.deployments if each.at >= since]
    failed = [each for each in counted if each.restored is not None]
    leads = [each.lead for each in counted if each.lead is not None]
    return Delivery(
        since=since,
        until=now,
        deployments=len(counted),
        failures=len(failed) + _is_failing(memory, counted),
        lead_median=percentile(leads, 50),
        lead_p90=percentile(leads, 90),
        restore_median=percentile((each.restored for each in failed if each.restored is not None), 50),
    )


def lead_of(memory: Memory, to: Active) -> float | None:
    """The lead time of the deployment that the switch to `to` was, by the memory written with it; None if it was none,
    or its commit's date is unknown."""
    latest = next(iter(memory.deployments), None)
    return latest.lead if latest and latest.at == round(to.since, 3) else None


def percentile(values: Iterable[float], share: float) -> float | None:
    """The least of `values` that at least `share` per cent of them do not exceed (nearest rank); None of none."""
    ranked = sorted(values)
    return ranked[max(ceil(share * len(ranked) / 100), 1) - 1] if ranked else None


def _reach(record: Sequence[Delivered], now: float, window: float) -> float:
    """From when on everything is known. A full record has lost what was before its first entry."""
    begin = now - window
    if len(record) < RECORD_LIMIT or record[-1].at <= begin:
        return begin
    return min(record[-1].at, now - 1.0)


def _is_failing(memory: Memory, counted: Sequence[Delivered]) -> bool:
    """Whether the latest deployment is still active though its analysis failed."""
    active, latest = memory.active, memory.deployments[:1]
    failing = active is not None and active.failed
    return failing and any(each in counted and each.restored is None for each in latest)


def parse_window(text: str) -> float:
    """`30d`, `2w` or what `core.duration` knows, in seconds.

    Raises:
        ValueError: anything else, or less than a minute; the message is fit to be shown.
    """
    if found := re.fullmatch(r"([0-9]{1,4})([dw])", text):
        seconds = int(found[1]) * (DAY if found[2] == "d" else WEEK)
    else:
        seconds = parse_duration(text)
    if seconds < _SHORTEST:
        raise ValueError("is less than a minute, of which no figure can be made")
    return seconds

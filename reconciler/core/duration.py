"""Durations as Go writes them, which is what Kubernetes, Flux and Argo Rollouts use."""

from __future__ import annotations

import re

PATTERN = r"^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$"
"""What `parse_duration` accepts, as a regular expression that JSON Schema knows too."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_LONGEST = 10 * 365 * 24 * 3600.0


def parse_duration(text: str) -> float:
    """`30s`, `10m`, `1h30m`, `500ms` or `0` in seconds.

    Raises:
        ValueError: anything else, or more than ten years; the message is fit to be shown.
    """
    if re.fullmatch(r"[0-9.]+", text) and text != "0":
        raise ValueError(f"has no unit: write `{text}s` if seconds are meant")
    if not re.fullmatch(PATTERN, text):
        raise ValueError("is no duration: write it like `30s`, `10m`, `1h30m` or `500ms`")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST:
        raise ValueError("is longer than ten years")
    return seconds

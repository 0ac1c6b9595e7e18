"""The one way to wait here: until something holds, by a deadline, with words for when it never does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL = 0.01


class Overdue(AssertionError):
    """What was waited for did not come in time."""


def until(found: Callable[[], T | None], what: str, timeout: float = 60.0, *, poll: float = POLL) -> T:
    """The first result of `found` that is true.

    Args:
        found: looked at again and again; cheap, and without effect.
        what: what is waited for, in words.
        timeout: seconds, generous: it is there to end a test that hangs, not to measure.
        poll: seconds between two looks.

    Raises:
        Overdue: it did not come.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Overdue(f"after {timeout:g} s still not: {what}")
        time.sleep(poll)

"""Tests that disturb the whole sandbox (a restart of the API server) run alone; all others beside each other."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rig.waiting import until

PATIENCE = 1200.0
"""Seconds to wait for one's turn. No test's own time-out counts them: it is not the test that is slow."""


@contextmanager
def sharing(folder: Path, *, alone: bool) -> Iterator[None]:
    """Holds the sandbox for one test, among others or alone, over all of pytest's processes.

    The gate keeps one that waits to be alone from waiting for ever: behind it nobody new comes in.
    """
    mode = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with (folder / "e2e.lock").open("w") as lock:
        with (folder / "e2e-gate.lock").open("w") as gate:
            _take(gate, mode)
            _take(lock, mode)
        yield


def _take(file: IO[str], mode: int) -> None:
    what = f"the sandbox {'for itself' if mode == fcntl.LOCK_EX else 'to share'}: another test holds {file.name}"
    until(lambda: _taken(file, mode), what, PATIENCE, poll=0.05)


def _taken(file: IO[str], mode: int) -> bool:
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

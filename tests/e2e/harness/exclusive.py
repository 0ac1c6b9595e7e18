"""Tests that disturb the whole sandbox (a restart of the API server) run alone; all others beside each other."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def sharing(folder: Path, *, alone: bool) -> Iterator[None]:
    """Holds the sandbox for one test, among others or alone, over all of pytest's processes.

    The gate keeps one that waits to be alone from waiting for ever: behind it nobody new comes in.
    """
    mode = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with (folder / "e2e.lock").open("w") as lock:
        with (folder / "e2e-gate.lock").open("w") as gate:
            fcntl.flock(gate, mode)
            fcntl.flock(lock, mode)
        yield

"""Processes told apart by id *and* start time, so that a reused id never makes us signal a stranger."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process, for as long as it lives."""

    pid: int
    started: int  # in clock ticks since boot, from /proc/PID/stat

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """The live process that has this id now."""
        fields = _stat(pid)
        return None if fields is None or fields[0] in "ZX" else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """Whether it still runs (a zombie doesn't)."""
        return Process.find(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, and to no later owner of its id."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; says whether it has."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive:
                return True
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(seconds * 1000))
        finally:
            os.close(handle)

    def end(self, grace: float) -> bool:
        """Ask it to end, make it end after GRACE seconds; says whether it has ended."""
        self.signal(signal.SIGTERM)
        if self.wait(grace):
            return True
        self.signal(signal.SIGKILL)
        return self.wait(10)


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on; the second, a name in brackets, may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def children(parent: int) -> dict[int, int]:
    """The live children of a process: their ids in their own PID namespace, and their ids here."""
    found: dict[int, int] = {}
    for pid in all_pids():
        fields = _stat(pid)
        if fields is not None and int(fields[1]) == parent and fields[0] not in "ZX":
            found[_innermost_id(pid)] = pid
    return found


def _innermost_id(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return pid


def all_pids() -> list[int]:
    """Every process that can be seen from here."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Call CONDITION again and again until it is true or the time is over; says which."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True

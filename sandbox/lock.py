"""One command at a time changes a sandbox. The kernel drops the lock when its owner ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import SandboxError
from .progress import Progress


@contextmanager
def exclusive(path: Path, progress: Progress, *, guarded: Path) -> Iterator[None]:
    """Wait for the lock and hold it. The lock's file goes together with the folder that it guards."""
    handle = _acquire(path, progress)
    try:
        yield
    finally:
        if not guarded.exists():
            path.unlink(missing_ok=True)
            with suppress(OSError):  # another sandbox may be in it
                path.parent.rmdir()
        os.close(handle)


def _acquire(path: Path, progress: Progress) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # a `down` removed the folder in between
        except OSError as error:
            raise SandboxError(f"the state folder {path.parent} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"waiting for another command that works on this sandbox (lock: {path})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_current(handle, path):
            return handle
        os.close(handle)  # removed by a `down` while we waited: a lock on it would keep nobody out


def _is_current(handle: int, path: Path) -> bool:
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False

"""The commands' side of the supervisor: start it, give it orders, end it and with it all that it started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import packages, procs
from .errors import SandboxError
from .paths import SOURCES, StatePaths, cache_dir
from .procs import Process

_SECONDS = 5.0


@dataclass(frozen=True)
class Running:
    """What the supervisor says of one component."""

    pid: int  # as the caller sees it; 0 when it has ended
    argv: list[str]
    since: float
    status: int | None


class Supervision:
    """Speaks to the supervisor of one sandbox."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths

    def processes(self) -> list[Process]:
        """Keeper and supervisor, those of them that live, the outer one first."""
        try:
            record = json.loads(self._paths.keeper.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return []
        known = [Process(*record[role]) for role in ("keeper", "supervisor") if role in record]
        return [process for process in known if process.alive]

    @property
    def supervisor(self) -> Process | None:
        """The first process of the sandbox, if the sandbox lives."""
        try:
            record = json.loads(self._paths.keeper.read_text())
            process = Process(*record["supervisor"])
        except (FileNotFoundError, NotADirectoryError, KeyError):
            return None
        return process if process.alive else None

    def start(self, *, isolated: bool) -> None:
        """Start keeper and supervisor, detached from this terminal, and wait until they take orders."""
        command = [sys.executable, "-m", f"{__package__}.supervisor", str(self._paths.root)]
        if isolated:
            command += ["--isolated", "--visible", str(cache_dir())]
        self._paths.socket.unlink(missing_ok=True)
        self._paths.keeper.unlink(missing_ok=True)
        log = self._paths.log("supervisor")
        with log.open("a") as output:
            done = subprocess.run(
                command,
                env=_clean_environment() | {"PYTHONPATH": os.pathsep.join([str(SOURCES.parent), *sys.path])},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if done.returncode != 0 or not procs.wait_until(self._paths.socket.exists, 15, pause=0.01):
            raise SandboxError("the supervisor did not start", log=last_lines(log))

    def components(self) -> dict[str, Running]:
        """All components that were ever started."""
        return self._read(self._order({"do": "list"}))

    def start_component(self, name: str, argv: list[str], log: Path) -> None:
        """Start a process; nothing happens if it runs."""
        self._order({"do": "start", "name": name, "argv": argv, "env": _clean_environment(), "log": str(log)})

    def stop_component(self, name: str, grace: float = 3.0) -> None:
        """Stop a process and wait until it has gone, and its ports with it.

        The grace is short: the API server waits for its watches, which last, so that a kill ends it anyway.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            answer = self._order({"do": "signal", "name": name, "number": int(number)})
            end = time.monotonic() + grace
            while name in answer and answer[name]["status"] is None and time.monotonic() < end:
                time.sleep(0.02)
                answer = self._order({"do": "list"})
            if name not in answer or answer[name]["status"] is not None:
                return
        raise SandboxError(f"{name} cannot be stopped")

    def end(self) -> None:
        """End everything that runs in the sandbox."""
        for process in self.processes():
            process.end(grace=5)

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(_SECONDS)
                client.connect(str(self._paths.socket))
                client.sendall(json.dumps(order).encode() + b"\n")
                with client.makefile("rb") as stream:
                    answer: dict[str, Any] = json.loads(stream.readline())
                    return answer
        except (OSError, ValueError) as error:
            raise SandboxError(
                f"the supervisor of sandbox {self._paths.name} does not answer ({error})",
                log=last_lines(self._paths.log("supervisor")),
            ) from error

    def _read(self, answer: dict[str, Any]) -> dict[str, Running]:
        supervisor = self.supervisor
        ids = procs.children(supervisor.pid) if supervisor else {}
        return {
            name: Running(ids.get(child["pid"], 0), child["argv"], child["since"], child["status"])
            for name, child in answer.items()
        }


def _clean_environment() -> dict[str, str]:
    """Nothing of the caller's: a proxy or a Go setting there must not change the cluster."""
    return {"PATH": packages.program_path(), "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for a message about a failure."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(lines[-count:])

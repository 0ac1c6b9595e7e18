"""The daemon as its own process, and what it says: one JSON object a line in a file for each of its lives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rig.told import Event as Event
from rig.told import Told
from rig.waiting import Overdue, until

_TAIL = 4000


class Died(AssertionError):
    """The daemon ended although nobody told it to."""


@dataclass(slots=True)
class Daemon(Told):
    """`reconciler run` on a configuration file. Its events are kept over restarts, in order.

    `prefix` goes before its command line (to enter the sandbox's network), `environment` over ours.
    """

    config: Path
    folder: Path
    prefix: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    lives: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _events: list[Event] = field(default_factory=list)
    _reader: TextIO | None = None
    _rest: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> Daemon:
        """Starts it. Returns at once: wait for `started` if it matters."""
        assert self._process is None, "it runs already"
        self._read()
        self._let_go()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lives += 1
        self._process = self._spawn()
        self._reader, self._rest = self.output.open(), ""
        return self

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [*self.prefix, *reconciler("run", self.config, self.folder)]
        with self.output.open("wb") as out, self.stderr.open("wb") as err:
            return subprocess.Popen(command, stdout=out, stderr=err, env=os.environ | dict(self.environment))

    @property
    def output(self) -> Path:
        """Where its present life writes its events."""
        return self.folder / f"events-{self.lives}.jsonl"

    @property
    def stderr(self) -> Path:
        """Where its present life writes what is no event."""
        return self.folder / f"stderr-{self.lives}.txt"

    @property
    def pid(self) -> int:
        """The process id of its present life."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its present life goes on."""
        return self._process is not None and self._process.poll() is None

    def revive(self) -> None:
        """Starts it again if it has ended."""
        if not self.running:
            self._process = None
            self.start()

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self._end(signal.SIGKILL, 10)

    def stop(self, timeout: float = 60.0) -> int:
        """SIGTERM. Returns its exit status; raises `subprocess.TimeoutExpired` if it takes longer than `timeout`."""
        return self._end(signal.SIGTERM, timeout)

    def close(self) -> None:
        """Ends it, however it is, if it runs."""
        if self._process is not None:
            self.kill()
        self._let_go()

    def _let_go(self) -> None:
        if self._reader:
            self._reader.close()
            self._reader = None

    def _end(self, number: signal.Signals, timeout: float) -> int:
        assert self._process is not None, "it does not run"
        process = self._process
        process.send_signal(number)
        status = process.wait(timeout)
        self._process = None
        self._read()
        return status

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        os.kill(self.pid, number)

    @property
    def events(self) -> Sequence[Event]:
        """All events so far, of all its lives."""
        self._read()
        return self._events

    def wait_for(self, name: str, *, since: int = 0, timeout: float = 120.0, **fields: Any) -> Event:
        """The first such event from the number `since` on, as soon as it is there.

        Raises `Died` when the daemon ends before, `Overdue` when it does not come.
        """

        def found() -> list[Event]:
            running = self.running
            events = self.find(name, since=since, **fields)
            if not events and not running:
                raise Died(f"the daemon ended while {name} {fields or ''} was awaited\n{self.story(since)}")
            return events

        try:
            return until(found, f"event {name} {fields or ''}", timeout, poll=0.003)[0]
        except Overdue as error:
            raise Overdue(f"{error}\n{self.story(since)}") from None

    def story(self, since: int = 0) -> str:
        """What it said, for a failure's message."""
        lines = [json.dumps(each) for each in self.events[since:]]
        wrong = self.stderr.read_text(errors="replace") if self.lives else ""
        return "\n".join([*lines, wrong])[-_TAIL:]

    def _read(self) -> None:
        """Takes in what was written since; a last line without its end stays for later."""
        with self._lock:
            if self._reader is None:
                return
            lines = (self._rest + self._reader.read()).split("\n")
            self._rest = lines.pop()
            self._events += [json.loads(line) for line in lines if line]


def reconciler(command: str, config: Path, folder: Path, *arguments: str) -> list[str]:
    """The command line of one of the reconciler's commands; mirrors are kept in `folder`."""
    mirrors = ["--data-dir", str(folder / "mirrors")]
    return [sys.executable, "-m", "reconciler", command, *arguments, "--config", str(config), *mirrors]

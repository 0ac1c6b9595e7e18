"""What the containers of a namespace's pods print, read from the node's files as kubelet keeps them.

Not by the API server: a test that takes that away wants to know what the daemon says meanwhile. And a file that was
opened once is read to its end, also after kubelet removed it with its pod.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from rig.told import Event, Told
from rig.waiting import Overdue, until
from sandbox import Sandbox

_PERIOD = 0.05
"""Seconds between two looks for new files: shorter than any container lives."""
_TAIL = 6000


class Line(NamedTuple):
    """One line of a container: of which pod, in its which life (0 is the first), and what it says."""

    pod: str
    life: int
    text: str


class PodLogs(Told):
    """A context manager: follows one container of every pod of a namespace, those included that are to come.

    Its events are the lines that are JSON objects, with the fields `pod` and `life` added to each.
    """

    def __init__(self, sandbox: Sandbox, namespace: str, container: str) -> None:
        self._folder = sandbox.pod_logs
        self._pattern = f"{namespace}_*/{container}/*.log"
        self._files: dict[Path, _File] = {}
        self._lines: list[Line] = []
        self._events: list[Event] = []
        self._lock = threading.Lock()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> PodLogs:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join(10)
        for each in self._files.values():
            each.close()

    @property
    def lines(self) -> Sequence[Line]:
        """All so far."""
        self._read()
        return self._lines

    @property
    def events(self) -> Sequence[Event]:
        """All events so far, of all pods and of all lives of their containers, in the order in which they came here."""
        self._read()
        return self._events

    def wait_for(self, name: str, *, since: int = 0, timeout: float = 120.0, **fields: Any) -> Event:
        """The first such event from the number `since` on, as soon as it is there; raises `Overdue` if it never is."""
        return self.wait(lambda: self.find(name, since=since, **fields), f"event {name} {fields or ''}", timeout)[0]

    def wait(self, found: Callable[[], list[Event]], what: str, timeout: float = 120.0) -> list[Event]:
        """The first result of `found` with something in it; if there is none, the message ends with the logs' ends."""
        try:
            return until(found, what, timeout, poll=0.005)
        except Overdue as error:
            raise Overdue(f"{error}\n{self.story()}") from None

    def story(self, since: int = 0) -> str:
        """What all of them said last, whatever `since` is: much of it is no event. For a failure's message."""
        return "\n".join(f"{each.pod} {each.life}: {each.text}" for each in self.lines)[-_TAIL:]

    def _follow(self) -> None:
        while not self._left.wait(_PERIOD):
            self._read()

    def _read(self) -> None:
        with self._lock:
            if self._left.is_set():
                return
            for path in map(
                Path, glob(str(self._folder / self._pattern))
            ):  # Path.glob fails if a folder goes meanwhile
                if path not in self._files:
                    with suppress(FileNotFoundError):  # gone with its pod since it was listed
                        self._files[path] = _File(path)
            for each in self._files.values():
                for line in each.read():
                    self._lines.append(line)
                    self._events += _event(line)


class _File:
    """One life of a container: /var/log/pods/NAMESPACE_POD_UID/CONTAINER/LIFE.log."""

    def __init__(self, path: Path) -> None:
        self._pod = path.parent.parent.name.split("_")[1]
        self._life = int(path.stem)
        self._file: TextIO = path.open(errors="replace")
        self._printed = Printed()

    def read(self) -> Iterator[Line]:
        for text in self._printed.take(self._file.read()):
            yield Line(self._pod, self._life, text)

    def close(self) -> None:
        self._file.close()


class Printed:
    """The lines that a container printed, from the CRI's log format: `TIME STREAM TAGS TEXT`, where the tag P says that
    the text goes on in the next line. See the Kubernetes design "CRI: Log management for container stdout/stderr".
    """

    def __init__(self) -> None:
        self._rest = ""
        self._begun = ""

    def take(self, more: str) -> Iterator[str]:
        """What is complete with `more` of the log."""
        *complete, self._rest = (self._rest + more).split("\n")
        for line in complete:
            _, _, tags, text = line.split(" ", 3)
            self._begun += text
            if "P" not in tags.split(":"):
                yield self._begun
                self._begun = ""


def _event(line: Line) -> list[Event]:
    try:
        told = json.loads(line.text)
    except ValueError:
        return []  # a traceback, or git's own words
    return [{**told, "pod": line.pod, "life": line.life}] if isinstance(told, dict) else []

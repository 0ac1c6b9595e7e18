"""Closed-loop load on one address by the sandbox's client, and what became of each request.

Until the address answers for the first time it is only knocked at: gently, and from a source address that the load
does not use. Knocks do not count. A NodePort refuses connections until its Service is there, the kernel remembers a
refused one for ten seconds, and a later one from the same address and port is refused for that alone: load from the
same addresses would meet its own past for a while, whoever made the Service.
"""

from __future__ import annotations

import subprocess
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TextIO

from rig.told import Told
from rig.waiting import until
from sandbox import Sandbox

_DURATION = "20m"
_KNOCKS_PER_SECOND = 30
_DISORDER = 0.5
"""Seconds by which a line may come later than one of a request that ended after it."""


class Request(NamedTuple):
    """One request. Times are epoch seconds; `version` and `error` are '' where there is none."""

    start: float
    end: float
    status: int
    version: str
    host: str
    error: str

    @property
    def ok(self) -> bool:
        """Answered, and by 200."""
        return self.status == 200 and not self.error

    @property
    def answered(self) -> bool:
        """Answered, by whatever status: the connection was made, and served to its end."""
        return self.status > 0 and not self.error

    @property
    def server_error(self) -> bool:
        """Answered by a status of 500 or above."""
        return self.answered and self.status >= 500


@dataclass(frozen=True, slots=True)
class Errors:
    """Requests that a server answered with an error of its own (5xx): what users saw of a bad version."""

    requests: tuple[Request, ...]

    @property
    def first(self) -> float:
        """When the first of them was answered, in epoch seconds; 0 without any."""
        return min((each.end for each in self.requests), default=0.0)

    @property
    def last(self) -> float:
        """When the last of them was answered, in epoch seconds; 0 without any."""
        return max((each.end for each in self.requests), default=0.0)

    @property
    def seconds(self) -> float:
        """For how long users saw them: from the first to the last."""
        return self.last - self.first

    @property
    def versions(self) -> Counter[str]:
        """How many of them each version answered; '' for a server that names none, as a proxy without a backend."""
        return Counter(each.version for each in self.requests)

    def __len__(self) -> int:
        return len(self.requests)

    def __str__(self) -> str:
        return f"users saw {len(self)} errors for {self.seconds:.3f} s: {dict(self.versions)}"


class Client:
    """One process of the load client, and the requests that it has reported."""

    def __init__(self, sandbox: Sandbox, url: str, output: Path, rate: float, workers: int, sources: Sequence[str]):
        command = [*sandbox.exec_prefix(), str(sandbox.load_binary), "-url", url, "-duration", _DURATION]
        command += ["-workers", str(workers), "-rate", str(rate)]
        command += ["-sources", ",".join(sources)] if sources else []
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out)
        self._reader: TextIO | None = output.open()
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._rest = ""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def requests(self) -> list[Request]:
        """All finished so far, in the order in which they finished."""
        self._read()
        return self._requests

    def _read(self) -> None:
        with self._lock:
            if self._reader is not None:
                lines = (self._rest + self._reader.read()).split("\n")
                self._rest = lines.pop()
                self._requests += [_request(line) for line in lines]

    def stop(self) -> None:
        """Ends it after the requests under way; one that does not end is killed. It may have ended before."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._read()
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None


@dataclass(slots=True)
class Load:
    """Load from the moment at which the address first answers, until `stop`."""

    url: str
    output: Path
    sandbox: Sandbox
    rate: float = 200
    workers: int = 8
    daemons: Sequence[Told] = ()
    """Those that work on what answers it: their story is told when a request fails."""
    _knocker: Client | None = None
    _client: Client | None = None
    _opener: threading.Thread | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> Load:
        """Begins to knock, and goes over to the load by itself."""
        own = self.sandbox.source_addresses[:1]
        path = self.output.with_suffix(".knocks")
        self._knocker = Client(self.sandbox, self.url, path, _KNOCKS_PER_SECOND, 1, own)
        self._opener = threading.Thread(target=self._open, args=(self._knocker,), daemon=True)
        self._opener.start()
        return self

    def _open(self, knocker: Client) -> None:
        seen = 0
        while not any(each.ok for each in knocker.requests[seen:]):
            seen = max(0, len(knocker.requests) - 1)
            if self._over.wait(0.01):
                return
        sources = self.sandbox.source_addresses[1:]
        self._client = Client(self.sandbox, self.url, self.output, self.rate, self.workers, sources)
        knocker.stop()

    def stop(self) -> None:
        """Ends the load, and takes in what it reported last. May be called twice."""
        self._over.set()
        if self._opener:
            self._opener.join(15)
        for each in (self._knocker, self._client):
            if each:
                each.stop()

    close = stop

    @property
    def pid(self) -> int:
        """The process id of the client."""
        assert self._client is not None, "it does not run"
        return self._client.pid

    @property
    def knocks(self) -> int:
        """How many requests were made before the address answered."""
        return sum(not each.ok for each in self._knocker.requests) if self._knocker else 0

    @property
    def requests(self) -> Sequence[Request]:
        """All of the load that finished so far, in the order in which they finished."""
        return self._client.requests if self._client else ()

    @property
    def failures(self) -> list[Request]:
        """Those that failed, in whatever way."""
        return [each for each in self.requests if not each.ok]

    @property
    def unanswered(self) -> list[Request]:
        """Those that failed at the connection: refused, reset, cut off, or too late. No server said anything."""
        return [each for each in self.requests if not each.answered]

    def errors(self, version: str | None = None, since: float = 0.0, before: float = float("inf")) -> Errors:
        """Those that were answered by an error of the server's; a version's only, if one is given.

        `since`, `before`: when the answer came, in epoch seconds.
        """
        found = (each for each in self.requests if each.server_error and since <= each.end < before)
        return Errors(tuple(each for each in found if version is None or each.version == version))

    def error_ratio(self, version: str, since: float = 0.0, before: float = float("inf")) -> float:
        """The share of errors among all answers of a version, from 0 to 1: what a measurement should come to.

        Raises ZeroDivisionError without an answer.
        """
        asked = sum(each.answered and each.version == version and since <= each.end < before for each in self.requests)
        return len(self.errors(version, since, before)) / asked

    def versions(self, since: float = 0.0) -> Counter[str]:
        """How many requests that began at `since` or later each version answered."""
        return Counter(each.version for each in self.requests if each.ok and each.start >= since)

    def first(self, version: str, since: float = 0.0) -> Request | None:
        """The first answer of `version` that came after `since`."""
        requests = self.requests
        begin = bisect_left(requests, since - _DISORDER, key=lambda each: each.end)
        later = (requests[index] for index in range(begin, len(requests)))
        return next((each for each in later if each.ok and each.version == version and each.end > since), None)

    def wait_for(self, version: str, *, since: float = 0.0, timeout: float = 60.0) -> Request:
        """The same, as soon as it is there."""
        return until(lambda: self.first(version, since), f"an answer of {version}", timeout)

    def wait_for_errors(self, version: str, *, since: float = 0.0, timeout: float = 60.0) -> Errors:
        """The errors of a version that came after `since`, as soon as there is one."""
        return until(lambda: self.errors(version, since), f"an error of {version}", timeout)

    def wait_for_count(self, count: int, *, timeout: float = 120.0) -> None:
        """Returns when `count` more requests have finished."""
        wanted = len(self.requests) + count
        until(lambda: len(self.requests) >= wanted, f"{count} more requests", timeout)

    def longest_stall(self, begin: float = 0.0, end: float = float("inf")) -> float:
        """Seconds between two answers, at most, in a stretch of time: what a client would have noticed."""
        ends = sorted(each.end for each in self.requests if begin <= each.end <= end)
        return max((after - before for before, after in pairwise(ends)), default=0.0)


def _request(line: str) -> Request:
    start, end, status, *words = line.split(" ")
    version, host, error = ("" if word == "-" else word for word in words)
    return Request(int(start) / 1e9, int(end) / 1e9, int(status), version, host, error)

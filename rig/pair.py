"""Asks two addresses in one go, again and again, and says whether both answered with the same version.

Of a pair both requests are under way before either is answered. So a pair may well meet a switch in its middle, however
that is done; what tells is when it began. One that began after a switch was complete has no excuse for being mixed.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple

from rig.waiting import until

_TIMEOUT = 10.0
_NO_LINGER = struct.pack("ii", 1, 0)
_KNOCKS_PER_SECOND = 20


class Target(NamedTuple):
    """Where one half of each pair goes. `host` is sent as the Host, if it is another than the address."""

    address: str
    port: int
    host: str = ""


class Answer(NamedTuple):
    """One half of a pair: the version that answered, or why none did."""

    version: str
    error: str = ""


class Pair(NamedTuple):
    """Two requests made together. Times are epoch seconds: before the first was sent, after the last was answered."""

    start: float
    end: float
    first: Answer
    second: Answer

    @property
    def ok(self) -> bool:
        """Whether both were answered, and by 200."""
        return not self.first.error and not self.second.error

    @property
    def mixed(self) -> bool:
        """Whether two versions answered."""
        return self.ok and self.first.version != self.second.version


class Account(NamedTuple):
    """What pairs tell about a switch. Seconds are from its moment to the beginning of a pair; None: there is none."""

    pairs: int
    failed: int
    mixed: int
    last_mixed_after: float | None
    first_new_after: float | None


class PairLoad:
    """Pairs from a few workers, from the moment at which both addresses have answered, until `stop`.

    Until then it knocks, from an address of its own and without counting, for the reason that `rig.load` gives.
    """

    def __init__(
        self, first: Target, second: Target, sources: Sequence[str] = (), *, workers: int = 4, rate: float = 60
    ) -> None:
        self._targets = (first, second)
        self._own, self._sources = (sources[0], sources[1:]) if len(sources) > 1 else ("", sources)
        self._pause = workers / rate
        self._pairs: list[Pair] = []
        self._open, self._over = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(each,), daemon=True) for each in range(workers)]
        self._threads.append(threading.Thread(target=self._knock, daemon=True))

    def __enter__(self) -> PairLoad:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it after the pairs under way. May be called twice."""
        self._over.set()
        self._open.set()
        for each in self._threads:
            each.join(2 * _TIMEOUT)

    @property
    def pairs(self) -> Sequence[Pair]:
        """All finished so far."""
        return tuple(self._pairs)

    @property
    def failures(self) -> list[Pair]:
        """Those of which a half failed."""
        return [each for each in self.pairs if not each.ok]

    def mixed(self, since: float = 0.0) -> list[Pair]:
        """Those that began at `since` or later and were answered by two versions."""
        return [each for each in self.pairs if each.mixed and each.start >= since]

    def versions(self, since: float = 0.0) -> Counter[str]:
        """How many pairs that began at `since` or later each version answered, both halves."""
        return Counter(each.first.version for each in self.pairs if each.ok and not each.mixed and each.start >= since)

    def account(self, moment: float, version: str) -> Account:
        """What became of a switch to `version` made at `moment` (epoch seconds); what ended before is left out."""
        pairs = [each for each in self.pairs if each.end >= moment]
        mixed = [each.start - moment for each in pairs if each.mixed]
        new = [each.start - moment for each in pairs if _of(each, version)]
        failed = sum(not each.ok for each in pairs)
        return Account(len(pairs), failed, len(mixed), max(mixed, default=None), min(new, default=None))

    def wait_for(self, version: str, *, since: float = 0.0, timeout: float = 60.0) -> Pair:
        """The first pair, of those that began at `since` or later, that `version` alone answered."""

        def found() -> Pair | None:
            return next((each for each in self.pairs if each.start >= since and _of(each, version)), None)

        return until(found, f"a pair answered by {version} alone", timeout)

    def wait_for_count(self, count: int, *, timeout: float = 120.0) -> None:
        """Returns when `count` more pairs have been begun and finished."""
        begin = time.time()
        until(lambda: sum(each.start >= begin for each in self.pairs) >= count, f"{count} more pairs", timeout)

    def wait_until_settled(self, version: str, *, count: int = 40, timeout: float = 60.0) -> None:
        """Returns when the last `count` pairs were answered by `version` alone."""

        def settled() -> bool:
            last = self._pairs[-count:]
            return len(last) == count and all(_of(each, version) for each in last)

        until(settled, f"{count} pairs on end that {version} alone answered", timeout)

    def _knock(self) -> None:
        while not self._over.is_set():
            if _ask(self._targets, self._own).ok:
                self._open.set()
                return
            self._over.wait(1 / _KNOCKS_PER_SECOND)

    def _work(self, number: int) -> None:
        source = self._sources[number % len(self._sources)] if self._sources else ""
        self._open.wait()
        while not self._over.is_set():
            pair = _ask(self._targets, source)
            self._pairs.append(pair)
            self._over.wait(max(0.0, self._pause - (pair.end - pair.start)))


def met_one_moment(pairs: Sequence[Pair]) -> bool:
    """Whether some moment falls into all of these pairs: whether one cut can have mixed them all."""
    return not pairs or max(each.start for each in pairs) <= min(each.end for each in pairs)


def _of(pair: Pair, version: str) -> bool:
    return pair.ok and pair.first.version == pair.second.version == version


def _ask(targets: tuple[Target, Target], source: str) -> Pair:
    start = time.time()
    sent = [_Half(each, source) for each in targets]
    first, second = [each.answer() for each in sent]
    return Pair(start, time.time(), first, second)


class _Half:
    """One request, under way from the beginning on."""

    def __init__(self, target: Target, source: str) -> None:
        self._error = ""
        self._connection = HTTPConnection(
            target.address, target.port, timeout=_TIMEOUT, source_address=(source, 0) if source else None
        )
        headers = {"Connection": "close"} | ({"Host": target.host} if target.host else {})
        try:
            self._connection.connect()
            # A reset at the end leaves no half-closed connection: see docs/sandbox.md, the load client.
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self._connection.request("GET", "/", headers=headers)
        except OSError as error:
            self._error = _named(error)

    def answer(self) -> Answer:
        """Waits for it, and closes."""
        try:
            return Answer("", self._error) if self._error else self._read()
        except (OSError, HTTPException, ValueError, KeyError) as error:
            return Answer("", _named(error))
        finally:
            self._connection.close()

    def _read(self) -> Answer:
        with self._connection.getresponse() as response:
            body = response.read()
            return Answer(json.loads(body)["version"]) if response.status == 200 else Answer("", str(response.status))


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

"""An outside system whose word counts: HTTP checks ask it, and the test decides what it says, and when."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rig.waiting import until

_LONGEST = 60.0
"""Seconds for which a request is held at most."""


@dataclass
class Votes:
    """`answers` are the statuses by name, 200 for a name without one; `held` the names whose requests wait."""

    port: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    _asked: Counter[str] = field(default_factory=Counter)
    _held: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def url(self, name: str) -> str:
        """Where a check asks for this vote."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def asked(self, name: str) -> int:
        """How many requests for it have come."""
        with self._changed:
            return self._asked[name]

    def wait_for(self, name: str, count: int, timeout: float = 120.0) -> None:
        """Returns when so many have come."""
        until(lambda: self.asked(name) >= count, f"request {count} for the vote {name}", timeout)

    def hold(self, *names: str) -> None:
        """Requests for these wait from now on for `release`."""
        with self._changed:
            self._held |= set(names)

    def release(self, *names: str) -> None:
        """Ends that; without a name for all."""
        with self._changed:
            self._held -= set(names) or set(self._held)
            self._changed.notify_all()

    def answer(self, name: str) -> int:
        """Called for every request, in its own thread."""
        with self._changed:
            self._asked[name] += 1
            self._changed.wait_for(lambda: name not in self._held, _LONGEST)
            return self.answers.get(name, 200)


@contextmanager
def voting() -> Iterator[Votes]:
    """Runs one, for as long as the `with` lasts."""
    votes = Votes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = votes.answer(self.path.strip("/"))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = _Server(("127.0.0.1", 0), Handler)
    votes.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield votes
    finally:
        votes.release()
        server.shutdown()
        thread.join(_LONGEST)
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that the end waits for them

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed are what these tests are about."""

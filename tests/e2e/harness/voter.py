"""A real HTTP server that a check asks: it answers what a test says, and counts how often it was asked.

It listens in the test's own process, on the loopback address of the sandbox's network, where the daemon is, too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rig.waiting import until

_END = 30.0


@dataclass
class Voter:
    """`answers` are statuses, one for each request in order; the last one for all that follow."""

    port: int = 0
    answers: list[int] = field(default_factory=lambda: [200])
    asked: int = 0
    hold: threading.Event = field(default_factory=threading.Event)
    """Set: requests are answered. Cleared: they are taken, and nothing is ever said."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}/vote"

    def say(self, *answers: int) -> None:
        """From the next request on."""
        with self.lock:
            self.answers = list(answers)

    def count(self) -> int:
        """How many requests came since this was last asked."""
        with self.lock:
            asked, self.asked = self.asked, 0
        return asked

    def wait_for(self, count: int) -> None:
        """Returns when so many requests have come since they were last counted."""
        until(lambda: self.asked >= count, f"{count} requests to the voter")

    def next(self) -> int:
        """The status to answer with."""
        with self.lock:
            self.asked += 1
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def voter() -> Iterator[Voter]:
    """Runs one, for as long as the `with` lasts. It says 200 until it is told otherwise."""
    state = Voter()
    state.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = state.next()
            state.hold.wait(_END)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = _Server(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        thread.join(_END)
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up waiting are what these tests are about."""

"""The pair probe against two small servers: it has to see what it is there for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rig.pair import Answer, Pair, PairLoad, Target, met_one_moment
from rig.waiting import until


@dataclass
class Answering:
    """What a server says at present: a version and a status."""

    version: str = "v1"
    status: int = 200
    port: int = 0
    asked: int = 0


@contextmanager
def server() -> Iterator[Answering]:
    said = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.asked += 1
            body = f'{{"host": "{self.headers["Host"]}", "version": "{said.version}"}}\n'.encode()
            self.send_response(said.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        said.port = made.server_address[1]
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        yield said
        made.shutdown()


@pytest.fixture
def pair() -> Iterator[tuple[Answering, Answering]]:
    with ExitStack() as held:
        yield held.enter_context(server()), held.enter_context(server())


def _probe(pair: tuple[Answering, Answering]) -> PairLoad:
    a, b = (Target("127.0.0.1", each.port) for each in pair)
    return PairLoad(a, b, rate=200)


def test_two_that_move_one_after_the_other_are_seen_mixed(pair: tuple[Answering, Answering]) -> None:
    a, b = pair
    with _probe(pair) as probe:
        # Of the pairs on their way now, some may be answered late: all are counted.
        moment = probe.wait_for("v1").start - 10.0
        assert not probe.mixed()
        a.version = "v2"
        seen = until(probe.mixed, "a mixed pair")[0]
        assert (seen.first.version, seen.second.version) == ("v2", "v1")
        b.version = "v2"
        settled = probe.wait_for("v2", since=seen.end).end
        probe.wait_for_count(20)
        assert not probe.mixed(since=settled)
        assert set(probe.versions(since=settled)) == {"v2"}
        account = probe.account(moment, "v2")
    assert account.failed == 0 and account.mixed >= 1 and account.pairs >= 20
    # No more of the new ones' times: a pair that began before the first mixed one may be answered after all is done.
    assert account.last_mixed_after is not None and account.last_mixed_after >= seen.start - moment
    assert account.first_new_after is not None and account.first_new_after > 0


def test_a_pair_of_which_one_half_fails_has_failed_and_is_not_mixed(pair: tuple[Answering, Answering]) -> None:
    a, b = pair
    with _probe(pair) as probe:
        probe.wait_for("v1")
        b.status = 503
        failed = until(lambda: probe.failures, "a failed pair")[0]
        a.version = "v2"
        probe.wait_for_count(20)
    assert (failed.first.error, failed.second.error) == ("", "503")
    assert not failed.ok and not probe.mixed()


def test_nothing_counts_before_both_have_answered(pair: tuple[Answering, Answering]) -> None:
    _, b = pair
    b.status = 503
    with _probe(pair) as probe:
        until(lambda: b.asked >= 3, "it knocks")
        assert not probe.pairs
        b.status = 200
        probe.wait_for("v1")
    assert not probe.failures


def test_pairs_that_no_single_cut_can_have_mixed_are_told() -> None:
    one, other = Answer("v1"), Answer("v2")
    early, late, across = Pair(1, 2, one, other), Pair(3, 4, other, one), Pair(1.5, 3.5, one, other)
    assert met_one_moment([]) and met_one_moment([early, across]) and met_one_moment([across, late])
    assert not met_one_moment([early, across, late])

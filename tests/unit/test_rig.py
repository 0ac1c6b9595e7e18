"""What the end-to-end tests go by, where only a failing one would use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rig.audit import Audit
from rig.daemon import Daemon
from rig.load import Load, Request
from sandbox import Sandbox
from tests.e2e.harness.asserts import no_request_failed, only_errors_of


def test_a_failed_request_is_told_with_the_events_around_it(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "config", tmp_path / "daemon", lives=1)
    daemon.folder.mkdir()
    daemon.stderr.touch()
    daemon._events += [
        {"timestamp": "2026-01-05T09:30:00Z", "event": "switched", "version": "v2"},
        {"timestamp": "2026-01-05T09:00:00Z", "event": "started"},
    ]
    began = 1767605401.5  # a second and a half after the switch
    load = _Done(
        [
            Request(began - 3, began - 2.9, 200, "v1", "pod", ""),
            Request(began, began + 0.1, 0, "", "", "refused"),
            Request(began + 3, began + 3.1, 200, "v2", "pod", ""),
        ],
        daemon,
        tmp_path,
    )
    with pytest.raises(AssertionError) as caught:
        no_request_failed(load, at_least=0)
    told = str(caught.value)
    assert "1 of 3 requests failed: {'refused': 1}" in told
    assert "before: {'v1': 1}" in told and "after: {'v2': 1}" in told
    assert "-1.500 s  switched v2" in told and "s  started" not in told


_STORY = [
    Request(9.0, 9.1, 200, "v1", "pod-1", ""),
    Request(10.0, 10.1, 500, "v2", "pod-2", ""),
    Request(10.2, 10.3, 200, "v2", "pod-2", ""),
    Request(10.4, 10.5, 0, "", "", "connection refused"),
    Request(9.0, 12.6, 503, "", "", ""),
    Request(12.0, 12.1, 404, "v2", "pod-2", ""),
    Request(12.3, 12.4, 500, "v2", "pod-3", ""),
    Request(12.8, 13.9, 500, "v2", "pod-3", "unexpected EOF"),
]


def test_errors_that_users_saw_are_told_apart_from_connections_that_failed(tmp_path: Path) -> None:
    load = _Done(_STORY, Daemon(tmp_path / "config", tmp_path / "daemon"), tmp_path)
    errors = load.errors()
    assert [each.status for each in errors.requests] == [500, 503, 500]
    assert errors.versions == {"v2": 2, "": 1}
    assert (errors.first, errors.last) == (10.1, 12.6) and str(errors).startswith("users saw 3 errors for 2.500 s")
    assert [each.error for each in load.unanswered] == ["connection refused", "unexpected EOF"]
    assert len(load.failures) == 6  # and one that was answered, but neither by 200 nor by an error of the server's


def test_errors_are_counted_by_version_and_by_time(tmp_path: Path) -> None:
    load = _Done(_STORY, Daemon(tmp_path / "config", tmp_path / "daemon"), tmp_path)
    assert len(load.errors("v2")) == 2 and load.errors("v2").seconds == pytest.approx(2.3)
    assert len(load.errors("v2", since=11.0)) == len(load.errors("v2", before=11.0)) == 1
    none = load.errors("v1")
    assert (len(none), none.first, none.last, none.seconds) == (0, 0.0, 0.0, 0.0)
    assert load.error_ratio("v2") == 0.5 and load.error_ratio("v2", since=12.2) == 1.0 and load.error_ratio("v1") == 0.0


def test_errors_of_one_version_do_not_excuse_what_else_failed(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "config", tmp_path / "daemon")
    only_errors_of("v2", _Done([each for each in _STORY if each.version and not each.error and each.status != 404],
                               daemon, tmp_path), at_least=0)  # fmt: skip
    for wrong, told in ((_STORY[3], "connection refused"), (_STORY[4], "status 503"), (_STORY[5], "status 404")):
        with pytest.raises(AssertionError, match=told):
            only_errors_of("v2", _Done([_STORY[0], _STORY[1], wrong], daemon, tmp_path), at_least=0)
    with pytest.raises(AssertionError, match="status 500"):
        only_errors_of("v1", _Done([_STORY[0], _STORY[1]], daemon, tmp_path), at_least=0)


class _Done(Load):
    """Load that is over."""

    def __init__(self, requests: list[Request], daemon: Daemon, folder: Path) -> None:
        super().__init__("", folder / "load.txt", Sandbox(quiet=True), daemons=[daemon])
        self._all = requests

    @property
    def requests(self) -> list[Request]:
        return self._all

    def wait_for_count(self, count: int, *, timeout: float = 60.0) -> None:
        """Nothing more comes."""


def test_who_moved_a_selector(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    audit = Audit(log, "shop")
    written = [("reconciler-switch", "a"), ("reconciler", "a"), ("kubectl-edit", "b"), ("reconciler-switch", "a")]
    log.write_text("".join(_patched(manager, revision) for manager, revision in written))
    assert audit.moves("my-app") == [("a", "b"), ("b", "a")]
    assert audit.movers("my-app") == ["kubectl-edit", "reconciler-switch"]
    assert [each.user for each in audit.writes()] == ["admin", "web", "admin", "admin"]


def test_a_move_is_its_who_was_killed_while_it_was_made(tmp_path: Path) -> None:
    """What was broken off without effect, or was about something else, is nobody's move."""
    log = tmp_path / "audit.log"
    log.touch()
    audit = Audit(log, "shop")
    killed = _patched("reconciler-switch", "b", broken_off=True)
    taken_over = _patched("reconciler-owner", "", broken_off=True)
    handed_over = _patched("reconciler-switch", "b", request=[{"op": "add", "path": "/metadata/annotations"}])
    log.write_text(
        _patched("reconciler", "a")
        + taken_over
        + killed
        + _patched("reconciler-owner", "b")
        + handed_over
        + killed
        + _patched("kubectl-edit", "a")
    )
    assert audit.moves("my-app") == [("a", "b"), ("b", "a")]
    assert audit.movers("my-app") == ["reconciler-switch", "kubectl-edit"]


def _patched(manager: str, revision: str, *, broken_off: bool = False, request: object = None) -> str:
    service = {"spec": {"selector": {"bluegreen.reconciler/revision": revision}}}
    entry = {
        "verb": "patch",
        "user": {"username": "admin"},
        "objectRef": {"resource": "services", "namespace": "shop", "name": "my-app"},
        "requestObject": request or service,
        "responseObject": {"kind": "Status"} if broken_off else service,
        "responseStatus": {"code": 504 if broken_off else 200},
        "stageTimestamp": "2026-01-05T09:30:00Z",
        "requestURI": f"/api/v1/namespaces/shop/services/my-app?fieldManager={manager}",
    }
    if manager == "reconciler":
        entry["impersonatedUser"] = {"username": "web"}
    return json.dumps(entry, separators=(",", ":")) + "\n"

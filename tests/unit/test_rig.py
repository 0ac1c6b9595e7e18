"""What the end-to-end tests go by, where only a failing one would use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rig.audit import Audit
from rig.daemon import Daemon
from rig.load import Load, Request
from sandbox import Sandbox
from tests.e2e.harness.asserts import no_request_failed


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


def _patched(manager: str, revision: str) -> str:
    entry = {
        "verb": "patch",
        "user": {"username": "admin"},
        "objectRef": {"resource": "services", "namespace": "shop", "name": "my-app"},
        "responseObject": {"spec": {"selector": {"bluegreen.reconciler/revision": revision}}},
        "responseStatus": {"code": 200},
        "stageTimestamp": "2026-01-05T09:30:00Z",
        "requestURI": f"/api/v1/namespaces/shop/services/my-app?fieldManager={manager}",
    }
    if manager == "reconciler":
        entry["impersonatedUser"] = {"username": "web"}
    return json.dumps(entry, separators=(",", ":")) + "\n"

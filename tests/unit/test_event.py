"""The table of events is what may be emitted, and nothing else."""

from __future__ import annotations

import asyncio
import io
import json
import re

import pytest

from reconciler.adapters.telemetry import EventLog
from reconciler.core.event import EVENTS, FIELDS, Event, event
from reconciler.core.model import Manifest
from reconciler.errors import Blocked


def test_every_field_of_the_table_is_documented() -> None:
    assert {field for spec in EVENTS.values() for field in spec.fields} <= FIELDS.keys()


def test_an_unlisted_event_or_field_is_a_bug() -> None:
    with pytest.raises(KeyError):
        event("invented")
    with pytest.raises(ValueError, match="password"):
        event("started", password="x")


def test_off_a_terminal_an_event_is_one_json_object_a_line() -> None:
    out = io.StringIO()
    log = EventLog(lambda: 0.0, stream=out)
    log.emit(event("overtaken", app="a", reason='a "quoted"\nline'))
    log.emit(event("config_rejected", reason="x"))
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert (first["event"], first["level"], first["app"]) == ("overtaken", "info", "a")
    assert second["level"] == "error"


def test_a_closed_output_does_not_stop_the_daemon() -> None:
    out = io.StringIO()
    log = EventLog(lambda: 0.0, stream=out)
    out.close()
    log.emit(event("started"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_app_version_and_reason_come_first() -> None:
    out = Terminal()
    log = EventLog(lambda: 0.0, stream=out)
    log.emit(event("switched", app="web", namespace="shop", commit="c" * 40, version="v2", reason="because"))
    line = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert re.findall(r"(\w+)=", line) == ["app", "version", "reason", "namespace", "commit"]


async def test_a_refused_kubernetes_event_is_told_once_a_namespace() -> None:
    async def refuse(_about: Manifest, _event: Event, _at: float) -> None:
        raise Blocked("events is forbidden", todo="Allow it")

    out = io.StringIO()
    log = EventLog(lambda: 0.0, refuse, stream=out)
    for namespace in ("shop", "shop", "bank"):
        log.emit(event("retired", app="a"), {"metadata": {"namespace": namespace}})
    writer = asyncio.create_task(log.run())
    await log.flush()
    writer.cancel()
    told = [line for line in map(json.loads, out.getvalue().splitlines()) if line["event"] == "events_refused"]
    assert [each["namespace"] for each in told] == ["shop", "bank"]
    assert told[0]["reason"] == "events is forbidden"

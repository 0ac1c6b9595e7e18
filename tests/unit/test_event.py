"""The table of events is what may be emitted, and nothing else."""

from __future__ import annotations

import io
import json

import pytest

from reconciler.adapters.telemetry import EventLog
from reconciler.core.event import EVENTS, FIELDS, event


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

"""What the tests of the chart's pods go by: logs of containers, who wrote what while who was the owner, the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rig.audit import Audit
from rig.faults import Fault, table
from rig.podlogs import Printed


def test_a_line_of_a_container_may_come_in_parts() -> None:
    """Split by the runtime (tag P) and by when it was read: told once, as it was printed."""
    printed = Printed()
    stamp = "2026-01-05T09:30:00.123456789Z"
    assert list(printed.take(f"{stamp} stdout F whole\n{stamp} stdout P be")) == ["whole"]
    assert list(printed.take(f"gun, \n{stamp} stdout P:x and ")) == []
    assert list(printed.take(f"\n{stamp} stderr F  ended\n")) == ["begun, and  ended"]


def _entry(pod: str, name: str = "my-app", code: int = 200, owner: str = "", resource: str = "services") -> str:
    user: dict[str, Any] = {"username": "system:serviceaccount:release:reconciler"}
    user["extra"] = {"authentication.kubernetes.io/pod-name": [pod]} if pod else {}
    notes = {"bluegreen.reconciler/owner": f"{owner}_0123abcd"} if owner else {}
    answer = {"metadata": {"name": name, "annotations": notes}} if resource == "services" else None
    entry = {
        "verb": "patch",
        "requestURI": f"/api/v1/namespaces/shop/{resource}/{name}",
        "user": user,
        "objectRef": {"resource": resource, "namespace": "shop", "name": name},
        "responseStatus": {"code": code},
        "responseObject": answer,
        "stageTimestamp": "2026-01-05T09:30:00.000000Z",
    }
    return json.dumps(entry, separators=(",", ":")) + "\n"


def _audit(folder: Path, *entries: str) -> Audit:
    path = folder / "audit.log"
    path.touch()
    audit = Audit(path, "shop")
    path.write_text("".join(entries))
    return audit


def test_writes_of_who_was_not_the_owner_are_told(tmp_path: Path) -> None:
    """Only if they took effect; what a person wrote, or what is another app's, is no stray."""
    audit = _audit(
        tmp_path,
        _entry("a", "my-app-v1-0123", 201, resource="deployments"),
        _entry("a", owner="a"),
        _entry("b", "other", owner="b"),
        _entry("a", "my-app-v2-4567", resource="deployments"),
        _entry("b", owner="b"),  # takes over
        _entry("", owner="b"),  # a person
        _entry("a", code=409),  # too late, and refused
        _entry("a", "my-app-v2-4567", resource="deployments"),
        _entry("a", owner="b"),
        _entry("b", owner="b"),
    )
    assert [(each.pod, each.resource) for each in audit.strays("my-app")] == [("a", "deployments"), ("a", "services")]
    assert not audit.strays("other")
    assert [each.code for each in audit.late("a", 0) if each.resource == "services"] == [200, 409, 200]


def test_the_table_has_a_row_for_each_kind_of_fault() -> None:
    faults = [Fault("killed", 2.04, 5.0, 100, 0), Fault("halted", None, 7.0, 10, 1), Fault("killed", 3.0, 4.0, 50, 0)]
    assert table(map(Fault.read, map(str, faults)))[2:] == [
        "| halted | 1 | – | 7.0 | 10 | 1 |",
        "| killed | 2 | 2.0–3.0 | 4.0–5.0 | 150 | 0 |",
    ]

"""What a revision has shown on its way to traffic, as an annotation of its first workload.

Not on the Service: kube-proxy watches those, and nothing that it watches may be touched in the second before a switch
(docs/adr/0011). It has a field manager of its own, so that an apply of the workload leaves it alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reconciler.core.delivered import is_time
from reconciler.core.model import PREFIX

EVIDENCE = PREFIX + "evidence"
EVIDENCE_MANAGER = "reconciler-evidence"
"""Field manager of the evidence, and of nothing else."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What counts for one promotion, the one that was claimed at `since`; all times in epoch seconds.

    `ready_at`: when it was first seen fit for traffic. `passed`: the keys of the checks that it passed. `awaiting`:
    since when it waits for an approval alone. `served`: when its switch was confirmed; that counts whatever the claim,
    and tells where the memory was lost which revisions had traffic.
    """

    since: float
    ready_at: float | None = None
    passed: frozenset[str] = frozenset()
    awaiting: float | None = None
    served: float | None = None


def write_evidence(evidence: Evidence) -> dict[str, str]:
    """The annotation."""
    entry = {**asdict(evidence), "passed": sorted(evidence.passed)}
    return {EVIDENCE: json.dumps(entry, separators=(",", ":"))}


def read_evidence(annotations: Mapping[str, str]) -> Evidence | None:
    """The inverse of `write_evidence`; None when absent or unreadable."""
    try:
        entry: Any = json.loads(annotations.get(EVIDENCE, "null"))
        if not entry:
            return None
        passed = frozenset(map(str, entry["passed"]))
        times = (entry.get(key) for key in ("ready_at", "awaiting", "served"))
        ready, awaiting, served = (None if each is None else _time(each) for each in times)
        return Evidence(_time(entry["since"]), ready, passed, awaiting, served)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _time(value: Any) -> float:
    if not is_time(value):
        raise ValueError("no time")
    return float(value)

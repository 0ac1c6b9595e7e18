"""A person's approval of a revision, as an annotation of its first workload. Pure.

It is bound to the revision and to the commit that asked for it, so that nobody can have approved what they have not
seen. It does not stand on the Service, since kube-proxy takes notice of everything that is written there, just when
traffic is about to move. Its own field manager: what applies the workload neither writes nor removes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from reconciler.core.live import Workload
from reconciler.core.memory import format_time
from reconciler.core.model import PREFIX, Component, Desired, Manifest

ANNOTATION_APPROVED = PREFIX + "approved"
APPROVAL_MANAGER = "reconciler-approval"
"""Field manager of the approval, and of nothing else."""
NAME_LIMIT = 200
"""Characters of the name of who approved."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Who (`by`) approved which revision for which commit, and when (`at`, epoch seconds)."""

    revision: str
    commit: str
    by: str
    at: float

    def __str__(self) -> str:
        return f"by {self.by} at {format_time(self.at)}"


def write_approval(approval: Approval | None) -> dict[str, str]:
    """An approval as an annotation; '' for none, since what is merely not sent may stay (see `core.memory`)."""
    text = json.dumps(asdict(approval), separators=(",", ":")) if approval else ""
    return {ANNOTATION_APPROVED: text}


def read_approval(annotations: Mapping[str, str]) -> Approval | None:
    """The inverse of `write_approval`; None when absent, or when it holds what that could not have written."""
    try:
        entry = json.loads(annotations.get(ANNOTATION_APPROVED) or "null")
        found = Approval(**{**entry, "at": float(entry["at"])}) if isinstance(entry, dict) else None
        if found:
            format_time(found.at)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if found is None or not all(isinstance(each, str) for each in (found.revision, found.commit, found.by)):
        return None
    return None if wrong_name(found.by) else found


def is_approved(desired: Desired, workload: Workload) -> Approval | None:
    """The approval on the revision's first workload, if it is one of this very revision for this very commit."""
    return approval_of(desired, workload.live["metadata"].get("annotations") or {})


def approval_of(desired: Desired, annotations: Mapping[str, str]) -> Approval | None:
    """The same, from the workload's annotations."""
    found = read_approval(annotations)
    bound = found is not None and (found.revision, found.commit) == (desired.revision, desired.commit)
    return found if bound else None


def holder(desired: Desired) -> Component:
    """The workload that holds the approval: the first by name, as `core.live.LiveRevision` has them."""
    return min(desired.components, key=lambda each: (each.manifest["metadata"]["name"], each.manifest["kind"]))


def approval_manifest(live: Manifest, approval: Approval | None) -> Manifest:
    """What is applied to a live workload: the approval alone."""
    meta = {key: live["metadata"][key] for key in ("name", "namespace")}
    identity = {"apiVersion": live["apiVersion"], "kind": live["kind"]}
    return {**identity, "metadata": {**meta, "annotations": write_approval(approval)}}


def wrong_name(by: str) -> str:
    """Why `by` cannot be the name of who approved; '' if it can."""
    if not by.strip():
        return "is empty"
    if len(by) > NAME_LIMIT:
        return f"has {len(by)} characters, more than {NAME_LIMIT}"
    return "" if by.isprintable() else "holds characters that cannot be printed"

"""Who wrote which Service and Deployment, by the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rig.members import owner_on

_REVISION = "bluegreen.reconciler/revision"
_POD = "authentication.kubernetes.io/pod-name"
"""See Kubernetes' "Managing Service Accounts": additional metadata in pod bound tokens."""


@dataclass(frozen=True, slots=True)
class Write:
    """One request that changed (or was refused to change) a Service or Deployment.

    `revision` and `version` are what the Service's selector pointed to afterwards; '' where the log does not tell (only
    patches do). `at`: when the API server had answered, in epoch seconds. `user`: as whom, be it by impersonation.
    `pod`: whose ServiceAccount token it came with, by the token's own claim; '' for any other login. `owner`: the pod
    that the Service says looks after the app, where the log tells.
    """

    verb: str
    resource: str
    name: str
    code: int
    at: float
    manager: str
    revision: str
    version: str
    user: str
    pod: str = ""
    owner: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it took effect."""
        return 200 <= self.code < 300


@dataclass(slots=True)
class Audit:
    """The writes in one namespace from the moment this object was made."""

    path: Path
    namespace: str
    _offset: int = 0

    def __post_init__(self) -> None:
        self._offset = self.path.stat().st_size

    def writes(self, resource: str | None = None) -> list[Write]:
        """All writes, refused ones too, in order; of one resource (`services`, `deployments`) or of both."""
        return [each for each in self._read() if resource in (None, each.resource)]

    def moves(self, service: str) -> list[tuple[str, str]]:
        """Every move of the Service's selector, as (from, to), whoever made it."""
        return [(before.revision, after.revision) for before, after in self._moves(service)]

    def movers(self, service: str) -> list[str]:
        """The field managers that made those moves, one for each."""
        return [after.manager for _, after in self._moves(service)]

    def _moves(self, service: str) -> list[tuple[Write, Write]]:
        """The writes before and after each move."""
        written = [each for each in self.writes("services") if each.name == service and each.succeeded]
        seen = [each for each in written if each.revision]
        return [(before, after) for before, after in pairwise(seen) if before.revision != after.revision]

    def writers(self, service: str) -> list[str]:
        """The pods that made those moves, one for each; '' for who is no pod."""
        return [after.pod for _, after in self._moves(service)]

    def strays(self, app: str) -> list[Write]:
        """What took effect on an app's Service and Deployments, and came from a pod that did not look after it then.

        Who does is in the Service: whoever takes the app over writes that first. Until somebody has, nobody is a stray.
        """
        found, owner = [], ""
        for each in self._read():
            about = each.name == app if each.resource == "services" else each.name.startswith(f"{app}-")
            if about and each.succeeded and each.pod:
                owner = each.owner or owner
                found += [each] if owner and each.pod != owner else []
        return found

    def late(self, pod: str, since: float) -> list[Write]:
        """What a pod asked to write that was answered after `since` (epoch seconds), whatever the answer was."""
        return [each for each in self._read() if each.pod == pod and each.at > since]

    def created(self, resource: str) -> list[str]:
        """Names of what was created, by POST or by an apply; one that was created twice is in it twice."""
        return [each.name for each in self.writes(resource) if each.code == 201]

    def deleted(self, resource: str) -> list[str]:
        """Names of what was deleted."""
        return [each.name for each in self.writes(resource) if each.verb == "delete" and each.succeeded]

    def _read(self) -> Iterator[Write]:
        with self.path.open() as file:
            file.seek(self._offset)
            for line in file:
                # Cheap first: the log is the whole cluster's.
                if line.endswith("\n") and f'"namespace":"{self.namespace}"' in line and "dryRun=" not in line:
                    yield _write(json.loads(line))


def _write(entry: dict[str, Any]) -> Write:
    target = entry["objectRef"]
    answer = entry.get("responseObject") or {}
    selector = (answer.get("spec") or {}).get("selector") or {} if target["resource"] == "services" else {}
    meta = answer.get("metadata") or {}
    return Write(
        verb=entry["verb"],
        resource=target["resource"],
        name=target.get("name") or meta.get("name", ""),
        code=entry["responseStatus"]["code"],
        at=datetime.fromisoformat(entry["stageTimestamp"]).timestamp(),
        manager=parse_qs(urlsplit(entry["requestURI"]).query).get("fieldManager", [""])[0],
        revision=selector.get(_REVISION, ""),
        version=selector.get("version", ""),
        user=(entry.get("impersonatedUser") or entry["user"])["username"],
        owner=owner_on(answer) if meta else "",
        pod=entry["user"].get("extra", {}).get(_POD, [""])[0],
    )

"""Who wrote which Service and Deployment, by the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from rig.members import owner_on

_REVISION = "bluegreen.reconciler/revision"
_POD = "authentication.kubernetes.io/pod-name"
"""See Kubernetes' "Managing Service Accounts": additional metadata in pod bound tokens."""
_BROKEN_OFF = 504


@dataclass(frozen=True, slots=True)
class Write:
    """One request that changed (or was refused to change) a Service or Deployment.

    `revision` and `version` are what the Service's selector pointed to afterwards; '' where the log does not tell (only
    patches do). `at`: when the API server had answered, in epoch seconds. `user`: as whom, be it by impersonation.
    `asked`: the revision that the selector was to point to by the request; '' if it says none.
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
    asked: str = ""
    pod: str = ""
    owner: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it took effect."""
        return 200 <= self.code < 300


class Move(NamedTuple):
    """Of a selector, from one revision to another, and the write that made it."""

    before: str
    after: str
    made_by: Write


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
        return [(each.before, each.after) for each in self._moves(service)]

    def movers(self, service: str) -> list[str]:
        """The field managers that made those moves, one for each."""
        return [each.made_by.manager for each in self._moves(service)]

    def _moves(self, service: str) -> list[Move]:
        """Every move of the Service's selector.

        A write whose sender was killed meanwhile stands in the log as broken off, and may have taken effect all the
        same: if what comes after it shows what it asked for, the move was its.
        """
        moves, broken_off = list[Move](), list[Write]()
        before = ""
        for each in (write for write in self.writes("services") if write.name == service):
            if each.code == _BROKEN_OFF:
                broken_off.append(each)
            elif each.succeeded and each.revision:
                if before and before != each.revision:
                    made_by = next((it for it in broken_off if it.asked == each.revision), each)
                    moves.append(Move(before, each.revision, made_by))
                before, broken_off = each.revision, []
        return moves

    def writers(self, service: str) -> list[str]:
        """The pods that made those moves, one for each; '' for who is no pod."""
        return [each.made_by.pod for each in self._moves(service)]

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
    selector = _selector(answer, target["resource"])
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
        asked=_selector(entry.get("requestObject") or {}, target["resource"]).get(_REVISION, ""),
        pod=entry["user"].get("extra", {}).get(_POD, [""])[0],
    )


def _selector(body: dict[str, Any] | list[Any], resource: str) -> dict[str, str]:
    """A Service's selector in a request or an answer; {} for another resource. A JSON patch, which is a list, asks for
    none: by it the daemon hands fields over."""
    if resource != "services" or isinstance(body, list):
        return {}
    return (body.get("spec") or {}).get("selector") or {}

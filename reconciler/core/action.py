"""What a plan can ask for: frozen values, executed one after the other by `app.execute`.

Each is conditional on what the plan was made from: a uid, a resourceVersion, or absence. Each says in plain words
what it does, which is what `reconciler plan` prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.diff import Difference
from reconciler.core.memory import Active, Rejection
from reconciler.core.model import Colour, Manifest


class Purpose(StrEnum):
    """Why an object is applied."""

    RELEASE = "release"
    REUSE = "reuse"
    SCALE = "scale"
    UPDATE = "update"
    REPAIR = "repair"
    NOTE = "note"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Ref:
    """One live object, pinned: a write that names it fails if it is not that very object any more."""

    kind: str
    name: str
    uid: str
    resource_version: str

    def __str__(self) -> str:
        return f"{self.kind.rpartition('/')[2]} {self.name}"


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of `manifest`. `live` None: it must not exist yet. `over`: what is written over first, whoever
    owns it."""

    manifest: Manifest
    purpose: Purpose
    live: Ref | None = None
    differences: tuple[Difference, ...] = ()
    rejection: Rejection | None = None
    reason: str = ""
    over: Manifest | None = None

    def __str__(self) -> str:
        name = f"{self.manifest['kind']} {self.manifest['metadata']['name']}"
        changes = f": {'; '.join(map(str, self.differences))}" if self.differences else ""
        return f"apply {name} ({self.purpose}){changes}"


@dataclass(frozen=True, slots=True)
class RequireFree:
    """Makes sure, before the first pod is started, that `manifest`'s name is not taken by somebody else's object."""

    manifest: Manifest

    def __str__(self) -> str:
        return f"make sure that no other {self.manifest['kind']} is called {self.manifest['metadata']['name']}"


@dataclass(frozen=True, slots=True)
class RequireRoom:
    """Makes sure, before the first pod is started, that the namespace's quotas have room for all of `workload`'s."""

    workload: Manifest

    def __str__(self) -> str:
        return f"make sure that the quotas have room for {self.workload['spec']['replicas']} more pods"


@dataclass(frozen=True, slots=True)
class Adopt:
    """Takes over the Service that was made by hand, if there is one, and the Deployment that it leads to."""

    service: Manifest

    def __str__(self) -> str:
        return f"take over Service {self.service['metadata']['name']}, if somebody made one by hand"


@dataclass(frozen=True, slots=True)
class CreateService:
    """Creates the active Service, already pointing to `to`. Fails if a Service of that name exists."""

    manifest: Manifest
    to: Active
    began: float

    def __str__(self) -> str:
        return f"create Service {self.manifest['metadata']['name']} pointing to {self.to.revision}"


@dataclass(frozen=True, slots=True)
class Switch:
    """Moves the selector and writes the memory, in one request on the condition `service.resource_version`.

    `manifest` holds the selector, the memory, and the ports if (and only if) they change with the switch; it is
    applied, or (`over`) written over what is there. `began` (epoch seconds) is when the revision was claimed.
    """

    service: Ref
    manifest: Manifest
    to: Active
    source: Active | None
    began: float
    rollback: bool
    reason: str
    over: bool = False

    def __str__(self) -> str:
        left = self.source.revision if self.source else "nothing"
        verb = "roll back" if self.rollback else "switch"
        return f"{verb} Service {self.service.name} from {left} to {self.to.revision} ({self.to.version})"


@dataclass(frozen=True, slots=True)
class Remember:
    """Writes the memory with the selector as it is, on the same condition as a switch. `event` says why; '' for a note
    of something that tells of itself."""

    service: Ref
    manifest: Manifest
    event: str
    reason: str = ""
    began: float | None = None

    def __str__(self) -> str:
        what = ": ".join(part for part in (self.event, self.reason) if part)
        return f"write down on Service {self.service.name}: {what}"


@dataclass(frozen=True, slots=True)
class Handover:
    """Gives the Service's fields to the rendering's field manager; the switch's keeps selector and memory alone.

    Needed after a creation or a switch that carried ports: else a port that leaves the templates would stay.
    """

    service: Ref
    rendered: Manifest
    kept: Manifest

    def __str__(self) -> str:
        return f"hand the fields of Service {self.service.name} over to their field manager"


@dataclass(frozen=True, slots=True)
class Retire:
    """Deletes objects of one revision. `event` is `retired` or `overtaken` for its Deployment, '' for what goes with
    it, `leftovers_deleted` for what was left of it."""

    revision: str
    version: str
    colour: Colour
    objects: tuple[Ref, ...]
    event: str
    reason: str

    def __str__(self) -> str:
        why = ": ".join(part for part in (self.event, self.reason) if part)
        return f"delete {', '.join(map(str, self.objects))} ({why})"


@dataclass(frozen=True, slots=True)
class Prune:
    """Deletes an object of a further kind that is not wanted any more; its revision, if it has one, stays. `event` is
    `pruned` or `autoscaler_withdrawn`."""

    object: Ref
    event: str
    reason: str

    @property
    def objects(self) -> tuple[Ref, ...]:
        """What is deleted."""
        return (self.object,)

    def __str__(self) -> str:
        return f"delete {self.object} ({self.event}: {self.reason})"


Action = Adopt | RequireFree | RequireRoom | Apply | CreateService | Switch | Remember | Handover | Retire | Prune

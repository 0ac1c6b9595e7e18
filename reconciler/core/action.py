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
    """Makes sure, before the first pod is started, that the namespace's quotas have room for all of `workloads`'."""

    workloads: tuple[Manifest, ...]

    def __str__(self) -> str:
        pods = sum(each["spec"]["replicas"] for each in self.workloads)
        return f"make sure that the quotas have room for {pods} more pods"


@dataclass(frozen=True, slots=True)
class Adopt:
    """Takes over the Service that was made by hand, if there is one, and the Deployment that it leads to."""

    service: Manifest

    def __str__(self) -> str:
        return f"take over Service {self.service['metadata']['name']}, if somebody made one by hand"


@dataclass(frozen=True, slots=True)
class Move:
    """One write that leads a Service or Ingress elsewhere: `live` None creates it, leading there already. `over`: it is
    written over what is there instead of applied. `back` is the write that undoes it."""

    manifest: Manifest
    live: Ref | None = None
    over: bool = False
    back: Manifest | None = None

    @property
    def named(self) -> str:
        """For a reader: `Service my-app`."""
        return f"{self.manifest['kind']} {self.manifest['metadata']['name']}"

    @property
    def object(self) -> str:
        """For an event: `Service/my-app`."""
        return self.named.replace(" ", "/")


@dataclass(frozen=True, slots=True)
class CreateFront:
    """Creates the active Service or Ingress, leading to `to`; before it the further ones of `along`. Fails if one of
    that name exists."""

    manifest: Manifest
    to: Active
    began: float
    along: tuple[Move, ...] = ()

    def __str__(self) -> str:
        first = "".join(f"{each.named} and " for each in self.along)
        return (
            f"create {first}{self.manifest['kind']} {self.manifest['metadata']['name']} leading to {self.to.revision}"
        )


@dataclass(frozen=True, slots=True)
class Switch:
    """Moves the route and writes the memory, in one request on the condition `front.resource_version`.

    `manifest` holds the route, the memory, and the ports if (and only if) they change with the switch; it is
    applied, or (`over`) written over what is there. The Services of `along` move right before it: so the memory never
    says of a revision that is only half switched to that it is active. If one of these writes is refused for good,
    those done are taken back, and the first of `refused` that can be is written. `began` (epoch seconds) is when the
    revision was claimed. `rejection`: what is led back from was rejected, which the memory says too.
    """

    front: Ref
    manifest: Manifest
    to: Active
    source: Active | None
    began: float
    rollback: bool
    reason: str
    over: bool = False
    along: tuple[Move, ...] = ()
    refused: tuple[Remember | Apply, ...] = ()
    rejection: Rejection | None = None

    def __str__(self) -> str:
        left = self.source.revision if self.source else "nothing"
        verb = "roll back" if self.rollback else "switch"
        names = " and ".join((*(each.named for each in self.along), f"{self.front.kind} {self.front.name}"))
        return f"{verb} {names} from {left} to {self.to.revision} ({self.to.version})"


@dataclass(frozen=True, slots=True)
class Follow:
    """Leads Services to where the active one leads already: they were moved by hand, or are new in the templates."""

    moves: tuple[Move, ...]
    to: Active
    reason: str

    def __str__(self) -> str:
        return f"lead {' and '.join(each.named for each in self.moves)} to {self.to.revision} too ({self.reason})"


@dataclass(frozen=True, slots=True)
class Preview:
    """Leads the preview Service to `revision`, on the condition `service.resource_version`. `manifest` holds its
    selector and the note of that. `version` and `colour` are None for a revision that is not there any more. `source`
    is the revision that it led to; '' for none."""

    service: Ref
    manifest: Manifest
    revision: str
    version: str | None
    colour: Colour | None
    source: str
    reason: str

    def __str__(self) -> str:
        to = f"{self.revision} ({self.version})" if self.version else self.revision
        return f"lead preview {self.service} from {self.source or 'nothing'} to {to} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Remember:
    """Writes the memory with the route as it is, on the same condition as a switch. `event` says why; '' for a note
    of something that tells of itself. `of`: the revision that the event is about, if that is not the desired one."""

    front: Ref
    manifest: Manifest
    event: str
    reason: str = ""
    began: float | None = None
    of: Active | None = None

    def __str__(self) -> str:
        what = ": ".join(part for part in (self.event, self.reason) if part)
        return f"write down on {self.front.kind} {self.front.name}: {what}"


@dataclass(frozen=True, slots=True)
class NoteEvidence:
    """Writes down on a workload what its revision has shown. `event` says what; '' for what tells of itself."""

    workload: Ref
    manifest: Manifest
    event: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return f"write down on {self.workload} what the revision has shown so far"


@dataclass(frozen=True, slots=True)
class RevertInGit:
    """Commits the version of `good`, which has the traffic again, and pushes that: Git shall not go on asking for what
    was rejected. `released_by`: the commit by which that had been switched to."""

    rejection: Rejection
    good: Active
    released_by: str

    def __str__(self) -> str:
        return f"commit and push a revert to {self.good.version}: {self.rejection.version} was rejected"


@dataclass(frozen=True, slots=True)
class Handover:
    """Gives the fields of a Service or Ingress to the rendering's field manager; the switch's keeps route and memory
    alone.

    Needed after a creation or a switch that carried ports: else a port that leaves the templates would stay.
    """

    front: Ref
    rendered: Manifest
    kept: Manifest

    def __str__(self) -> str:
        return f"hand the fields of {self.front.kind} {self.front.name} over to their field manager"


@dataclass(frozen=True, slots=True)
class Retire:
    """Deletes objects of one revision. `event` is `retired` or `overtaken` for its workloads, '' for what goes with
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
class ScaleDown:
    """Takes the pods of a workload of a former revision that is kept. `manifest` holds nothing but its `replicas`."""

    revision: str
    version: str
    colour: Colour
    manifest: Manifest
    live: Ref
    reason: str

    def __str__(self) -> str:
        return f"scale {self.live} to zero ({self.reason})"


@dataclass(frozen=True, slots=True)
class Prune:
    """Deletes an object of a further kind that is not wanted any more; its revision, if it has one, stays. `event` is
    `pruned` or `autoscaler_withdrawn`. So goes a Service that is no front (any more)."""

    object: Ref
    event: str
    reason: str

    @property
    def objects(self) -> tuple[Ref, ...]:
        """What is deleted."""
        return (self.object,)

    def __str__(self) -> str:
        return f"delete {self.object} ({self.event}: {self.reason})"


Action = (
    Adopt
    | RequireFree
    | RequireRoom
    | Apply
    | CreateFront
    | Switch
    | Follow
    | Preview
    | Remember
    | NoteEvidence
    | RevertInGit
    | Handover
    | Retire
    | ScaleDown
    | Prune
)

"""The end of an app that Git no longer has, if its `deletionPolicy` asks for it. Pure: live objects in, next step out.

What is to become of an app must be known when nothing describes it any more, so its Services carry the policy and where
the app came from. A deletion begins with a mark on every object. Then go, each only when the one before is gone: what
traffic comes in by, the workloads (once nothing routes to them), and what is left. So a daemon that is killed in
between leaves a state from which the next one goes on; and while the marks are there, an app that comes back takes them
off. It goes by the live objects alone, of whatever kinds and however many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.action import Ref
from reconciler.core.front import ROUTE_FIELDS
from reconciler.core.further import followed_of, noted_on
from reconciler.core.memory import INVENTORY
from reconciler.core.model import ANNOTATION_NAMESPACE, PREFIX, WORKLOADS, App, DeletionPolicy, Manifest
from reconciler.core.observed import is_ours
from reconciler.core.plan.retire import DRAIN_MARGIN, NODES_BEHIND
from reconciler.core.policy import is_followed, read_resources, resource_of

REMOVAL_MANAGER = "reconciler-removal"
"""Field manager of the marks, so that no apply of a rendered object touches them, nor the other way round."""
POLICY = PREFIX + "deletion-policy"
"""Annotation of the active Service or Ingress: `orphan` or `delete`."""
ORIGIN = PREFIX + "origin"
"""Annotation of a Service: `ORIGIN@FILE`, see `App.origin` and `App.file`."""
REMOVAL = PREFIX + "removal"
"""Annotation of every object of an app that is being deleted: `COMMIT ORIGIN@FILE`, the commit that lacks the app."""

_OTHERS = ("Pod", "EndpointSlice", "Event")
_ENTRANCES = (("Ingress",), ("Service",))


@dataclass(frozen=True, slots=True)
class Mark:
    """What is to become of an app that nothing describes any more, and where it was described. `commit` is the one that
    its deletion was begun for; None while it was not."""

    policy: DeletionPolicy
    origin: str
    file: str
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Writes annotations of one object."""

    manifest: Manifest
    live: Ref


@dataclass(frozen=True, slots=True)
class Drop:
    """Deletes one object."""

    live: Ref


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next. `unrouted_since` and `wake_at` are epoch seconds. `waits`: what of somebody else's is in the
    way; `gone`: there is nothing left."""

    actions: tuple[Note | Drop, ...] = ()
    unrouted_since: float | None = None
    wake_at: float | None = None
    waits: str = ""
    gone: bool = False


def mark_of(app: App) -> Mark:
    """What the app's description says of its end."""
    return Mark(app.deletion_policy, app.origin, app.file)


def policy_notes(app: App) -> dict[str, str]:
    """The annotations of the app's Services that outlive its description."""
    return {POLICY: app.deletion_policy.value, ORIGIN: f"{app.origin}@{app.file}"}


def read_mark(objects: Iterable[Manifest]) -> Mark | None:
    """What the live objects say; None if nothing.

    A deletion that was begun counts before all. One Service that says `orphan` counts before others, which may have
    been left behind by a change of `activeService`.
    """
    own = _own(objects)
    if begun := sorted(filter(None, (_notes(each).get(REMOVAL, "") for each in own))):
        commit, _, origin = begun[0].partition(" ")
        return _mark(DeletionPolicy.DELETE, origin, commit)
    services = [notes for each in own if each["kind"] in ROUTE_FIELDS and POLICY in (notes := _notes(each))]
    if not services:
        return None
    latest = max(services, key=lambda notes: notes.get(PREFIX + "active-since", ""))
    every = all(notes[POLICY] == DeletionPolicy.DELETE for notes in services)
    return _mark(DeletionPolicy.DELETE if every else DeletionPolicy.ORPHAN, latest.get(ORIGIN, ""))


def _mark(policy: DeletionPolicy, origin: str, commit: str | None = None) -> Mark:
    known, _, file = origin.partition("@")
    return Mark(policy, known, file, commit)


def next_step(
    objects: Sequence[Manifest], mark: Mark, now: float, unrouted_since: float | None, recovered_at: float | None
) -> Step:
    """The next step of deleting an app. `unrouted_since` is what the step before said, None at the first;
    `recovered_at` when the API server was last back after an outage (epoch seconds)."""
    own = _own(objects)
    if unmarked := [each for each in own if not _notes(each).get(REMOVAL) and not _is_going(each)]:
        text = f"{mark.commit or ''} {mark.origin}@{mark.file}"
        return Step(tuple(_note(each, {REMOVAL: text}) for each in unmarked))
    for kinds in _ENTRANCES:
        if there := [each for each in own if each["kind"] in kinds]:
            return Step(tuple(_drops(there)))
    if routed := _routed(objects):
        return Step(waits=_in_the_way(objects, routed))
    since = now if unrouted_since is None else unrouted_since
    due = max(since, 0.0 if recovered_at is None else recovered_at + NODES_BEHIND) + DRAIN_MARGIN
    # What is watched on demand before the workloads, on which it is noted what kinds there are.
    on_demand = [each for each in own if is_followed(resource_of(each))]
    workloads = [each for each in own if each["kind"] in WORKLOADS]
    if (on_demand or workloads) and now < due:
        return Step(unrouted_since=since, wake_at=due)
    return Step(tuple(_drops(on_demand or workloads or own)), since, gone=not own)


def followed_kinds_of(objects: Iterable[Manifest]) -> frozenset[str]:
    """The kinds on demand, as resources, that objects of the app may be of: what is noted, and what is seen."""
    own = _own(objects)
    noted = {kind for each in own for kind in read_resources(_notes(each).get(INVENTORY, ""))}
    return followed_of(own) | noted | {kind for each in own if each["kind"] in WORKLOADS for kind in noted_on(each)}


def release(objects: Iterable[Manifest]) -> tuple[Note, ...]:
    """Takes the marks of a deletion off the objects of an app that came back."""
    return tuple(_note(each, {REMOVAL: ""}) for each in _own(objects) if _notes(each).get(REMOVAL))


def disown(objects: Iterable[Manifest]) -> tuple[Note, ...]:
    """Writes down that an app which was let go is to stay, where the objects do not say so yet."""
    found = []
    for each in _own(objects):
        stays = {POLICY: DeletionPolicy.ORPHAN.value} if _notes(each).get(POLICY) == DeletionPolicy.DELETE else {}
        if stays or _notes(each).get(REMOVAL):
            found.append(_note(each, {REMOVAL: "", **stays}))
    return tuple(found)


def keep_known(app: App, objects: Iterable[Manifest]) -> tuple[Note, ...]:
    """Writes the app's policy on those Services that say another; an apply of the rendered Service does the same."""
    wanted = policy_notes(app)
    services = (each for each in _own(objects) if each["kind"] in ROUTE_FIELDS and POLICY in _notes(each))
    return tuple(_note(each, wanted) for each in services if not wanted.items() <= _notes(each).items())


def has_any(objects: Iterable[Manifest]) -> bool:
    """Whether any of the objects is one of ours: pods and EndpointSlices are others'."""
    return bool(_own(objects))


def _own(objects: Iterable[Manifest]) -> list[Manifest]:
    return sorted((each for each in objects if each["kind"] not in _OTHERS and is_ours(each)), key=_name)


def _name(live: Manifest) -> tuple[str, str]:
    return live["kind"], live["metadata"]["name"]


def _notes(live: Manifest) -> Mapping[str, str]:
    return live["metadata"].get("annotations") or {}


def _namespace(live: Manifest) -> str:
    """The app's: a cluster-scoped object has none of its own."""
    return str(live["metadata"].get("namespace") or _notes(live).get(ANNOTATION_NAMESPACE, ""))


def _is_going(live: Manifest) -> bool:
    return bool(live["metadata"].get("deletionTimestamp"))


def _routed(objects: Iterable[Manifest]) -> list[str]:
    """Services that may still lead to pods of the app, ready or not: a node may be a moment behind."""
    slices = (each for each in objects if each["kind"] == "EndpointSlice" and each.get("endpoints"))
    return [str(each["metadata"]["labels"].get("kubernetes.io/service-name", "")) for each in slices]


def _in_the_way(objects: Iterable[Manifest], routed: Sequence[str]) -> str:
    there = sorted(name for each in objects if each["kind"] == "Service" and (name := _name(each)[1]) in routed)
    return f"Service {', '.join(there)}, which is not ours, leads to its pods" if there else ""


def _drops(objects: Iterable[Manifest]) -> Iterator[Drop]:
    return (Drop(_ref(each)) for each in objects if not _is_going(each))


def _note(live: Manifest, notes: Mapping[str, str]) -> Note:
    meta = live["metadata"]
    named = {"name": meta["name"], "namespace": _namespace(live), "annotations": dict(notes)}
    return Note({"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": named}, _ref(live))


def _ref(live: Manifest) -> Ref:
    meta = live["metadata"]
    return Ref(resource_of(live), meta["name"], meta["uid"], meta["resourceVersion"])

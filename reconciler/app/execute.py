"""Carries out actions, and tells what became of each. The only place in the app layer that writes.

An action either takes effect whole, or raises and takes none; the event follows the effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.app.move import Refused, move
from reconciler.core.action import (
    Action,
    Adopt,
    Apply,
    CreateFront,
    Follow,
    Handover,
    Move,
    Preview,
    Prune,
    Purpose,
    Ref,
    Remember,
    RequireFree,
    RequireRoom,
    Retire,
    Switch,
)
from reconciler.core.adoption import adopted, is_taken
from reconciler.core.event import EVENTS, event
from reconciler.core.memory import Active, read_claim
from reconciler.core.model import WORKLOADS, Desired, Manifest
from reconciler.core.observed import APPLY_MANAGER, PREVIEW_MANAGER, SWITCH_MANAGER, other_managers
from reconciler.core.plan.manifests import with_reason
from reconciler.core.policy import is_further
from reconciler.core.quota import shortages
from reconciler.errors import Blocked, Conflict, Invalid
from reconciler.ports import Clock, Cluster, Telemetry


@dataclass(frozen=True, slots=True)
class Executor:
    """Executes one app's actions against `cluster`."""

    cluster: Cluster
    telemetry: Telemetry
    clock: Clock

    async def execute(
        self, action: Action, desired: Desired, about: Manifest | None, noticed_at: float
    ) -> frozenset[str]:
        """Carries out `action`, and tells of it; events name `desired` and go to the live Service `about` too.

        `noticed_at` (epoch seconds) is when the commit was noticed. Returns the differences that the API server
        turned out not to see (`Observed.equivalent`). Raises what `ports.Cluster` raises.
        """
        match action:
            case Adopt() | RequireFree() | RequireRoom():
                await self._prepare(action, desired, about)
                return frozenset()
            case Apply():
                stored = await self._apply(action)
                if action.live and stored["metadata"]["resourceVersion"] == action.live.resource_version:
                    _refuse_additions(action, stored)
                    name = f"{action.manifest['kind']}/{action.live.name}"
                    return frozenset(f"{name} {each.identity}" for each in action.differences)
            case CreateFront() | Switch() | Follow():
                moved = await self._move(action, desired, about)
                if moved is None:
                    return frozenset()
                about = moved
            case Remember():
                about = await self.cluster.apply(action.manifest, SWITCH_MANAGER, action.front)
            case Handover() | Preview():
                await self._own(action)
            case Retire() | Prune():
                deleted = [await self.cluster.delete(desired.app.namespace, each) for each in action.objects]
                if not any(deleted):
                    return frozenset()  # somebody else did, and told of it
        self.tell(action, desired, about, noticed_at)
        return frozenset()

    async def _move(
        self, action: CreateFront | Switch | Follow, desired: Desired, about: Manifest | None
    ) -> Manifest | None:
        """The Service that holds the memory, after traffic moved; None if that was refused, taken back and told."""
        try:
            return await move(self.cluster, action) or about
        except Refused as refused:
            if refused.taken_back:
                self._emit("switch_taken_back", desired, about, objects=list(refused.taken_back), reason=refused.what)
            if not isinstance(action, Switch) or not action.refused:
                raise refused.error from None
            why = f"{refused.error.where}: {refused.what}"
            await self._note_refusal([with_reason(each, why, desired) for each in action.refused], desired, about)
            return None

    async def _note_refusal(self, ways: Sequence[Remember | Apply], desired: Desired, about: Manifest | None) -> None:
        noted, *others = ways
        try:
            if isinstance(noted, Apply):
                await self._apply(noted)
            else:
                about = await self.cluster.apply(noted.manifest, SWITCH_MANAGER, noted.front)
        except (Blocked, Invalid):
            if not others:
                raise
            await self._note_refusal(others, desired, about)
            return
        self.tell(noted, desired, about, 0.0)

    async def _prepare(
        self, action: Adopt | RequireFree | RequireRoom, desired: Desired, about: Manifest | None
    ) -> None:
        match action:
            case Adopt():
                await self._adopt(action, desired, about)
            case RequireFree():
                await self.cluster.require_free(action.manifest)
            case RequireRoom():
                await self._require_room(action, desired)

    async def _require_room(self, action: RequireRoom, desired: Desired) -> None:
        namespace = desired.app.namespace
        try:
            quotas = await self.cluster.find("ResourceQuota", namespace)
        except Blocked:
            return  # not allowed to look: the API server itself will tell
        if short := shortages(action.workloads, quotas):
            raise Blocked(
                f"{desired.version} does not fit into the namespace's quotas: {'; '.join(short)}",
                where=f"namespace {namespace}",
                untouched="Nothing was applied, and traffic stays where it is",
                todo="Raise the quota, ask for fewer replicas, or set strategy.previewReplicaCount",
            )

    async def _adopt(self, action: Adopt, desired: Desired, about: Manifest | None) -> None:
        namespace, name = desired.app.namespace, action.service["metadata"]["name"]
        found = await self.cluster.find("Service", namespace, name)
        if not found or is_taken(found[0]):
            return
        deployments = await self.cluster.find("Deployment", namespace)
        for marked, live in adopted(desired.app, found[0], deployments):
            meta = live["metadata"]
            ref = Ref(live["kind"], meta["name"], meta["uid"], meta["resourceVersion"])
            await self.cluster.apply(marked, APPLY_MANAGER, ref)
            self._emit("adopted", desired, about, object=f"{live['kind']}/{meta['name']}")
        raise Conflict("what was adopted is looked at first", where=f"Service {namespace}/{name}")

    async def _apply(self, action: Apply) -> Manifest:
        if action.over is None or action.live is None:
            return await self.cluster.apply(action.manifest, APPLY_MANAGER, action.live)
        stored = await self.cluster.overwrite(action.over, APPLY_MANAGER, action.live)
        now = replace(action.live, resource_version=stored["metadata"]["resourceVersion"])
        stored = await self.cluster.apply(action.manifest, APPLY_MANAGER, now)
        # Owned by apply from here on, so that a port which leaves the templates goes.
        return await self.cluster.drop_update_ownership(stored, APPLY_MANAGER)

    def tell(self, action: Action, desired: Desired, about: Manifest | None, noticed_at: float) -> None:
        """Tells that `action` took effect."""
        match action:
            case Apply():
                self._applied(action, desired, about, noticed_at)
            case CreateFront():
                kind = action.manifest["kind"]
                why = f"there was no {kind}, and commit {desired.commit[:12]} wants {desired.version}"
                self._switched(desired, about, action.to, None, action.began, why, _moved(action))
            case Follow():
                began = self.clock.now()
                self._switched(desired, about, action.to, None, began, action.reason, _moved(action))
            case Switch():
                self._switched(desired, about, action.to, action.source, action.began, action.reason, _moved(action))
                if action.rollback:
                    self._rolled_back(desired, about, action)
            case Preview():
                self._previewed(action, desired, about)
            case Remember() if action.event:
                self._remembered(action, desired, about)
            case Prune():
                name = str(action.object).replace(" ", "/")
                self._emit(action.event, desired, about, object=name, reason=action.reason)
            case Retire() if action.event:
                gone = {"version": action.version, "revision": action.revision, "colour": action.colour.value}
                known = {**who(desired), **gone, "reason": action.reason}
                fields = {key: known[key] for key in EVENTS[action.event].fields}
                self.telemetry.emit(event(action.event, **fields), about)

    def _emit(self, name: str, desired: Desired, about: Manifest | None, **fields: object) -> None:
        self.telemetry.emit(event(name, **who(desired), **fields), about)

    def _applied(self, action: Apply, desired: Desired, about: Manifest | None, noticed_at: float) -> None:
        manifest, purpose = action.manifest, action.purpose
        replicas = manifest["spec"].get("replicas") if "spec" in manifest else None
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if purpose in (Purpose.REPAIR, Purpose.UPDATE):
            shown = [each.shown for each in action.differences]
            told = "drift_repaired" if purpose is Purpose.REPAIR else "object_updated"
            self._emit(told, desired, about, object=name, differences=shown)
        elif purpose is Purpose.RELEASE and manifest["kind"] in WORKLOADS:
            took = round(self.clock.now() - noticed_at, 3)
            self._emit("revision_applied", desired, about, object=name, replicas=replicas, duration=took)
        elif purpose is Purpose.RELEASE and is_further(manifest):
            self._emit("object_created", desired, about, object=name)
        elif purpose is Purpose.REUSE:
            self._emit("revision_reused", desired, about, object=name)
        elif purpose is Purpose.SCALE:
            self._emit("revision_scaled", desired, about, object=name, replicas=replicas, reason=action.reason)
        elif purpose is Purpose.REJECT and action.rejection:
            claim = read_claim(manifest["metadata"]["annotations"])
            since = {"duration": round(action.rejection.at - claim.since, 3)} if claim else {}
            self._emit("rejected", desired, about, **since, reason=action.rejection.reason, **_REJECTED)

    def _switched(
        self,
        desired: Desired,
        about: Manifest | None,
        to: Active,
        source: Active | None,
        began: float,
        reason: str,
        objects: list[str],
    ) -> None:
        took = round(max(to.since - began, 0.0), 3)
        fields = {**who(desired), **came_from(source), "objects": objects, "duration": took, "reason": reason}
        fields |= {"version": to.version, "revision": to.revision, "colour": to.colour.value}
        self.telemetry.emit(event("switched", **fields), about)

    def _rolled_back(self, desired: Desired, about: Manifest | None, action: Switch) -> None:
        took = round(action.to.since - action.began, 3)
        fields = came_from(action.source)
        self._emit("rolled_back", desired, about, **fields, duration=took, reason=action.reason)

    def _previewed(self, action: Preview, desired: Desired, about: Manifest | None) -> None:
        colour = action.colour.value if action.colour else None
        to = {**who(desired), "revision": action.revision, "version": action.version, "colour": colour}
        known = {key: value for key, value in to.items() if value is not None}
        name, source = str(action.service).replace(" ", "/"), action.source or None
        fields = {**known, "object": name, "from_revision": source, "reason": action.reason}
        self.telemetry.emit(event("preview_moved", **fields), about)

    def _remembered(self, action: Remember, desired: Desired, about: Manifest | None) -> None:
        fields: dict[str, object] = {"reason": action.reason} if action.reason else {}
        fields |= _REJECTED if action.event == "rejected" else {}
        if action.began is not None:
            fields["duration"] = round(self.clock.now() - action.began, 3)
        self._emit(action.event, desired, about, **fields)

    async def _own(self, action: Handover | Preview) -> None:
        if isinstance(action, Preview):
            await self.cluster.apply(action.manifest, PREVIEW_MANAGER, action.service)
        else:
            await self._hand_over(action)

    async def _hand_over(self, action: Handover) -> None:
        """In this order every field has an owner at every moment, so nothing is reset on the way."""
        stored = await self.cluster.apply(action.rendered, APPLY_MANAGER, action.front)
        at_rendered = replace(action.front, resource_version=stored["metadata"]["resourceVersion"])
        stored = await self.cluster.apply(action.kept, SWITCH_MANAGER, at_rendered)
        await self.cluster.drop_update_ownership(stored, SWITCH_MANAGER)


def _refuse_additions(action: Apply, stored: Manifest) -> None:
    """What a hand added to a pod template (a container, a variable) an apply does not take away. Traffic must not move
    to pods that Git does not know of. What a webhook adds counts as ours, by its field manager."""
    added = [each for each in action.differences if each.wanted is None and each.path.startswith("spec.template")]
    others = other_managers(stored, "spec", "template")
    if added and others:
        kind, name = stored["kind"], stored["metadata"]["name"]
        raise Blocked(
            f"{', '.join(sorted(others))} added to its pod template what Git does not have: {added[0].path}",
            where=f"{kind} {stored['metadata']['namespace']}/{name}",
            untouched="Traffic stays where it is",
            todo=f"Take that back, or delete the {kind}: it is not in service, and is made anew",
        )


def who(desired: Desired) -> dict[str, object]:
    """The fields by which every event of a revision names it."""
    return {
        "app": desired.app.name,
        "namespace": desired.app.namespace,
        "version": desired.version,
        "revision": desired.revision,
        "colour": desired.slot.colour.value,
        "commit": desired.commit,
    }


def came_from(source: Active | None) -> dict[str, object]:
    """The fields of a switch that say what the selector pointed to before."""
    return {
        "from_revision": source.revision if source else None,
        "from_version": source.version if source else None,
    }


def _moved(action: CreateFront | Switch | Follow) -> list[str]:
    """What was moved, as `Service/my-app`, in that order."""
    moves = action.moves if isinstance(action, Follow) else (*action.along, Move(action.manifest))
    return [each.object for each in moves]


_REJECTED = {
    "untouched": "Traffic stays where it is; the failed pods stay for abortScaleDownDelay to be looked at",
    "todo": "Commit a mended version, or `git revert`; any new commit tries again",
}

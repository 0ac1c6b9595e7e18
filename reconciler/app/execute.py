"""Carries out actions, and tells what became of each. The only place in the app layer that writes.

An action either takes effect whole, or raises and takes none; the event follows the effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.app.move import Refused, move
from reconciler.app.tell import Teller
from reconciler.core.action import (
    Action,
    Adopt,
    Apply,
    CreateFront,
    Follow,
    Handover,
    NoteEvidence,
    Preview,
    Prune,
    Ref,
    Remember,
    RequireFree,
    RequireRoom,
    Retire,
    ScaleDown,
    Switch,
)
from reconciler.core.adoption import adopted, is_taken
from reconciler.core.evidence import EVIDENCE_MANAGER
from reconciler.core.model import Desired, Manifest
from reconciler.core.observed import APPLY_MANAGER, PREVIEW_MANAGER, SCALE_MANAGER, SWITCH_MANAGER, other_managers
from reconciler.core.plan.manifests import with_reason
from reconciler.core.quota import shortages
from reconciler.errors import Blocked, Conflict, Invalid
from reconciler.ports import Cluster


@dataclass(frozen=True, slots=True)
class Executor:
    """Executes one app's actions against `cluster`."""

    cluster: Cluster
    teller: Teller

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
            case NoteEvidence() | Preview() | Handover():
                await self._write_down(action)
            case ScaleDown() | Retire() | Prune():
                if not await self._put_away(action, desired.app.namespace):
                    return frozenset()  # somebody else did, and told of it
        self.teller.tell(action, desired, about, noticed_at)
        return frozenset()

    async def _put_away(self, action: ScaleDown | Retire | Prune, namespace: str) -> bool:
        """Whether there was anything left to be done."""
        if isinstance(action, ScaleDown):
            await self.cluster.apply(action.manifest, SCALE_MANAGER, action.live)
            return True
        return any([await self.cluster.delete(namespace, each) for each in action.objects])

    async def _move(
        self, action: CreateFront | Switch | Follow, desired: Desired, about: Manifest | None
    ) -> Manifest | None:
        """The Service that holds the memory, after traffic moved; None if that was refused, taken back and told."""
        try:
            return await move(self.cluster, action) or about
        except Refused as refused:
            if refused.taken_back:
                self.teller.emit(
                    "switch_taken_back", desired, about, objects=list(refused.taken_back), reason=refused.what
                )
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
        self.teller.tell(noted, desired, about, 0.0)

    async def _prepare(
        self, action: Adopt | RequireFree | RequireRoom, desired: Desired, about: Manifest | None
    ) -> None:
        match action:
            case Adopt():
                await self._adopt(action, desired, about)
            case RequireFree():
                await self.cluster.require_free(action.manifest)
            case RequireRoom():
                await self._require_room(action, desired, about)

    async def _require_room(self, action: RequireRoom, desired: Desired, about: Manifest | None) -> None:
        namespace = desired.app.namespace
        try:
            quotas = await self.cluster.find("ResourceQuota", namespace)
        except Blocked as error:
            # Not allowed to look: what does not fit, the API server itself will tell, if late.
            why = {"reason": error.located, "untouched": _APPLIED, "todo": error.todo}
            self.teller.emit("quotas_refused", desired, about, **why)
            return
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
            self.teller.emit("adopted", desired, about, object=f"{live['kind']}/{meta['name']}")
        raise Conflict("what was adopted is looked at first", where=f"Service {namespace}/{name}")

    async def _apply(self, action: Apply) -> Manifest:
        if action.over is None or action.live is None:
            return await self.cluster.apply(action.manifest, APPLY_MANAGER, action.live)
        stored = await self.cluster.overwrite(action.over, APPLY_MANAGER, action.live)
        now = replace(action.live, resource_version=stored["metadata"]["resourceVersion"])
        stored = await self.cluster.apply(action.manifest, APPLY_MANAGER, now)
        # Owned by apply from here on, so that a port which leaves the templates goes.
        return await self.cluster.drop_update_ownership(stored, APPLY_MANAGER)

    async def _write_down(self, action: NoteEvidence | Preview | Handover) -> None:
        match action:
            case NoteEvidence():
                await self.cluster.apply(action.manifest, EVIDENCE_MANAGER, action.workload)
            case Preview():
                await self.cluster.apply(action.manifest, PREVIEW_MANAGER, action.service)
            case Handover():
                await self._hand_over(action)

    async def _hand_over(self, action: Handover) -> None:
        """In this order every field has an owner at every moment, so nothing is reset on the way."""
        stored = await self.cluster.apply(action.rendered, APPLY_MANAGER, action.front)
        at_rendered = replace(action.front, resource_version=stored["metadata"]["resourceVersion"])
        stored = await self.cluster.apply(action.kept, SWITCH_MANAGER, at_rendered)
        await self.cluster.drop_update_ownership(stored, SWITCH_MANAGER)


_APPLIED = "The colour is applied all the same: if it does not fit, its pods are not made, and it is rejected"


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

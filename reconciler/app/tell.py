"""Tells of actions that took effect: which event each is, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.action import (
    Action,
    Apply,
    CreateFront,
    Follow,
    Move,
    NoteEvidence,
    Preview,
    Prune,
    Purpose,
    Remember,
    Retire,
    ScaleDown,
    Switch,
)
from reconciler.core.delivery import lead_of
from reconciler.core.event import EVENTS, event
from reconciler.core.memory import Active, Rejection, read_claim, read_memory
from reconciler.core.model import WORKLOADS, Desired, Manifest
from reconciler.core.policy import is_further
from reconciler.ports import Clock, Telemetry


@dataclass(frozen=True, slots=True)
class Teller:
    """Emits the events of one app's actions."""

    telemetry: Telemetry
    clock: Clock

    def tell(self, action: Action, desired: Desired, about: Manifest | None, noticed_at: float) -> None:
        """Tells that `action` took effect."""
        match action:
            case Apply():
                self._applied(action, desired, about, noticed_at)
            case CreateFront() | Follow() | Switch():
                self._traffic_moved(action, desired, about)
            case Preview():
                self._previewed(action, desired, about)
            case NoteEvidence() if action.event:
                self.emit(action.event, desired, about, reason=action.reason, **_APPROVE)
            case Remember() if action.event:
                self._remembered(action, desired, about)
            case Prune():
                name = str(action.object).replace(" ", "/")
                self.emit(action.event, desired, about, object=name, reason=action.reason)
            case Retire() if action.event:
                known = {**_of_another(action, desired), "reason": action.reason}
                fields = {key: known[key] for key in EVENTS[action.event].fields}
                self.telemetry.emit(event(action.event, **fields), about)
            case ScaleDown():
                told = {"object": str(action.live).replace(" ", "/"), "replicas": 0, "reason": action.reason}
                self.telemetry.emit(event("revision_scaled", **_of_another(action, desired), **told), about)

    def _traffic_moved(self, action: CreateFront | Follow | Switch, desired: Desired, about: Manifest | None) -> None:
        match action:
            case CreateFront():
                kind = action.manifest["kind"]
                why = f"there was no {kind}, and commit {desired.commit[:12]} wants {desired.version}"
                self._switched(desired, about, action, None, self._since(action.began), why)
            case Follow():
                self._switched(desired, about, action, None, None, action.reason)
            case Switch():
                took = self._since(action.began)
                self._switched(desired, about, action, action.source, took, action.reason)
                if action.rollback:
                    self._rolled_back(desired, about, action, took)
                if action.rejection:
                    self._led_back(action.rejection, action.source, desired, about)

    def _since(self, began: float) -> float:
        """Seconds until now, when the write has been answered."""
        return round(max(self.clock.now() - began, 0.0), 3)

    def emit(self, name: str, desired: Desired, about: Manifest | None, **fields: object) -> None:
        """An event about the desired revision."""
        self.telemetry.emit(event(name, **who(desired), **fields), about)

    def _led_back(self, rejection: Rejection, source: Active | None, desired: Desired, about: Manifest | None) -> None:
        """About what was led back from, which need not be what Git wants by now."""
        its = {"version": rejection.version, "revision": rejection.revision, "commit": rejection.commit}
        its |= {"colour": source.colour.value} if source else {}
        fields = {**who(desired), **its, "reason": rejection.reason, **_LED_BACK}
        self.telemetry.emit(event("rejected", **fields), about)

    def _applied(self, action: Apply, desired: Desired, about: Manifest | None, noticed_at: float) -> None:
        manifest, purpose = action.manifest, action.purpose
        replicas = manifest["spec"].get("replicas") if "spec" in manifest else None
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if purpose in (Purpose.REPAIR, Purpose.UPDATE):
            shown = [each.shown for each in action.differences]
            told = "drift_repaired" if purpose is Purpose.REPAIR else "object_updated"
            self.emit(told, desired, about, object=name, differences=shown)
        elif purpose is Purpose.RELEASE and manifest["kind"] in WORKLOADS:
            took = round(self.clock.now() - noticed_at, 3)
            self.emit("revision_applied", desired, about, object=name, replicas=replicas, duration=took)
        elif purpose is Purpose.RELEASE and is_further(manifest):
            self.emit("object_created", desired, about, object=name)
        elif purpose is Purpose.REUSE:
            self.emit("revision_reused", desired, about, object=name)
        elif purpose is Purpose.SCALE:
            self.emit("revision_scaled", desired, about, object=name, replicas=replicas, reason=action.reason)
        elif purpose is Purpose.REJECT and action.rejection:
            claim = read_claim(manifest["metadata"]["annotations"])
            since = {"duration": round(action.rejection.at - claim.since, 3)} if claim else {}
            self.emit("rejected", desired, about, **since, reason=action.rejection.reason, **_REJECTED)

    def _switched(
        self,
        desired: Desired,
        about: Manifest | None,
        action: CreateFront | Switch | Follow,
        source: Active | None,
        took: float | None,
        reason: str,
    ) -> None:
        to = action.to
        fields = {**who(desired), **came_from(source), "objects": _moved(action), "reason": reason}
        fields |= {"duration": took} if took is not None else {}
        if (lead := _lead(action)) is not None:
            fields["lead_time"] = lead
        self.telemetry.emit(event("switched", **{**fields, **_named(to)}), about)

    def _rolled_back(self, desired: Desired, about: Manifest | None, action: Switch, took: float) -> None:
        fields = {**who(desired), **_named(action.to), **came_from(action.source)}
        self.telemetry.emit(event("rolled_back", **fields, duration=took, reason=action.reason), about)

    def _previewed(self, action: Preview, desired: Desired, about: Manifest | None) -> None:
        colour = action.colour.value if action.colour else None
        to = {**who(desired), "revision": action.revision, "version": action.version, "colour": colour}
        known = {key: value for key, value in to.items() if value is not None}
        name, source = str(action.service).replace(" ", "/"), action.source or None
        fields = {**known, "object": name, "from_revision": source, "reason": action.reason}
        self.telemetry.emit(event("preview_moved", **fields), about)

    def _remembered(self, action: Remember, desired: Desired, about: Manifest | None) -> None:
        fields: dict[str, object] = {**who(desired), **(_named(action.of) if action.of else {})}
        fields |= {"reason": action.reason} if action.reason else {}
        fields |= _ADVICE.get(action.event, {})
        if action.began is not None:
            fields["duration"] = round(self.clock.now() - action.began, 3)
        self.telemetry.emit(event(action.event, **fields), about)


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


def _of_another(action: Retire | ScaleDown, desired: Desired) -> dict[str, object]:
    """The same for a revision that Git does not want."""
    its = {"version": action.version, "revision": action.revision, "colour": action.colour.value}
    return {**who(desired), **its}


def _lead(action: CreateFront | Switch | Follow) -> float | None:
    """As it was written down with the switch."""
    if isinstance(action, Follow):
        return None
    return lead_of(read_memory(action.manifest["metadata"]["annotations"]), action.to)


def _named(active: Active) -> dict[str, object]:
    """The fields that name a revision which is not the desired one."""
    return {"version": active.version, "revision": active.revision, "colour": active.colour.value}


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
_LED_BACK = {
    "untouched": "Traffic is on the revision before it again; the failed pods stay for abortScaleDownDelay",
    "todo": "Commit a mended version, or `git revert`",
}
_APPROVE = {
    "untouched": "Traffic stays where it is",
    "todo": "Run `reconciler approve APP`, or name the revision in the approval file",
}
_ADVICE: Mapping[str, Mapping[str, str]] = {
    "rejected": _REJECTED,
    "analysis_failed": {"untouched": "Traffic stays where it is", "todo": "Commit a mended version"},
    "analysis_inconclusive": {
        "untouched": "Traffic stays where it is, since `inconclusive` is `proceed`",
        "todo": "Mend what could not be asked, and look at the new version by yourself",
    },
}

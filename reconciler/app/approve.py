"""A person approves the revision that waits, or takes that back: what `reconciler approve` does.

It is written with the rights of whoever calls, not as the app's account: so the cluster's RBAC says who may approve,
and its audit log knows who did.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.app.oneshot import Sight, Workbench
from reconciler.core.action import Ref
from reconciler.core.consent import (
    APPROVAL_MANAGER,
    NAME_LIMIT,
    Approval,
    approval_manifest,
    approval_of,
    holder,
    read_approval,
)
from reconciler.core.live import Workload
from reconciler.core.model import Desired, Manifest
from reconciler.core.observed import Observed, led_to
from reconciler.core.phase import Phase
from reconciler.errors import Blocked, Conflict, printable
from reconciler.ports import Cluster

_TRIES = 20
"""How often it is written anew because the workload changed in between: its status does all the time."""
_SHORTEST = 7
"""Characters of a commit that are enough to name it."""
_UNTOUCHED = "Nothing was approved"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be approved: whatever of `app` waits, but only if it is `revision` and `commit`, where they are given.

    `by`: who approves; '': as the API server knows whoever calls, or if that does not say, `fallback`. `withdraw`: an
    approval is taken back instead.
    """

    app: str
    by: str = ""
    fallback: str = ""
    revision: str = ""
    commit: str = ""
    withdraw: bool = False


@dataclass(frozen=True, slots=True)
class Consent:
    """What became of a wish. `approval` is what stands now, or (`withdrawn`) stood until now. `already`: it was given
    before, and is left as it is. `user` is whom the API server took the caller for; '' if it does not say."""

    sight: Sight
    desired: Desired
    approval: Approval
    user: str = ""
    withdrawn: bool = False
    already: bool = False


async def approve(bench: Workbench, wish: Wish) -> Consent:
    """Approves, or withdraws.

    Raises:
        Blocked: nothing waits for it, or another revision or commit does than was named.
        ReconcilerError: what Git or the cluster raise.
    """
    sight, *_ = await bench.look([wish.app])
    if sight.desired is None or sight.observed is None:
        raise sight.error or Blocked("it is not known what waits", where=f"app {wish.app}", untouched=_UNTOUCHED)
    _require_named(wish, sight.desired)
    workload = _waiting(sight, sight.desired, sight.observed)
    if not wish.withdraw:
        _require_open(sight, sight.desired)
    return await _Pen(bench.cluster, sight, sight.desired, workload, wish).write(bench.clock.now())


def _require_named(wish: Wish, desired: Desired) -> None:
    """What was looked at is what is approved."""
    fits = wish.revision in ("", desired.revision)
    short = len(wish.commit) >= _SHORTEST and desired.commit.startswith(wish.commit.lower())
    if fits and (not wish.commit or short):
        return
    asked = " of commit ".join(filter(None, (wish.revision and f"revision {wish.revision}", wish.commit)))
    raise _blocked(desired, f"what waits is {described(desired)}, not {asked}", "Look at it first, then approve it")


def _waiting(sight: Sight, desired: Desired, observed: Observed) -> Workload:
    """The workload that holds the approval of a revision that traffic has not moved to."""
    active = led_to(observed, observed.front) if observed.front else ()
    if any(each.revision == desired.revision for each in active):
        raise _blocked(desired, f"nothing waits: {described(desired)} is active already")
    if sight.plan and sight.plan.phase is Phase.REJECTED:
        why = f": {sight.plan.reason}" if sight.plan.reason else ""
        what = f"nothing waits: {described(desired)} was rejected{why}"
        raise _blocked(desired, what, "Commit another version, or the same again to have it tried again")
    first, live = holder(desired).manifest, observed.revision(desired.revision)
    found = live.find(first["kind"], first["metadata"]["name"]) if live else None
    if found is None or found.deleting:
        what = f"{first['kind']} {first['metadata']['name']} of {described(desired)} is not there yet"
        raise _blocked(desired, what, "Try again once the daemon has applied it")
    return found


def _require_open(sight: Sight, desired: Desired) -> None:
    strategy = sight.app.strategy
    if strategy.auto_promotion and strategy.auto_promotion_after is None:
        what = "no approval is needed: traffic moves by itself (strategy.autoPromotionEnabled is true)"
        raise _blocked(desired, what, "To have releases wait for an approval, set autoPromotionEnabled: false")


def described(desired: Desired) -> str:
    """Version, revision and commit, for a reader."""
    return f"{desired.version} (revision {desired.revision} of commit {desired.commit[:10]})"


@dataclass(frozen=True, slots=True)
class _Pen:
    """Writes on one workload."""

    cluster: Cluster
    sight: Sight
    desired: Desired
    workload: Workload
    wish: Wish

    async def write(self, now: float) -> Consent:
        """Writes until nothing came in between."""
        user = await self.cluster.user()
        by = printable(self.wish.by or user or self.wish.fallback)[:NAME_LIMIT]
        approval = Approval(self.desired.revision, self.desired.commit, by, round(now, 3))
        for _ in range(_TRIES):
            live = await self._live()
            standing = self._standing(live)
            if self.wish.withdraw and standing is None:
                raise _blocked(self.desired, "there is no approval that could be withdrawn")
            if standing and not self.wish.withdraw:
                return Consent(self.sight, self.desired, standing, user, already=True)
            try:
                await self._apply(live, None if self.wish.withdraw else approval)
            except Conflict:
                continue
            return Consent(self.sight, self.desired, standing or approval, user, self.wish.withdraw)
        raise Conflict(f"it was changed {_TRIES} times while this was written", where=self._where, todo="Try again")

    @property
    def _where(self) -> str:
        return f"{self.workload.kind} {self.sight.app.namespace}/{self.workload.name}"

    async def _live(self) -> Manifest:
        """The workload as it is now: of another uid, it is another one."""
        found = await self.cluster.find(self.workload.kind, self.sight.app.namespace, self.workload.name)
        if not found or found[0]["metadata"]["uid"] != self.workload.uid:
            raise Blocked("it was deleted just now", where=self._where, untouched=_UNTOUCHED, todo="Try again")
        return found[0]

    def _standing(self, live: Manifest) -> Approval | None:
        """What is approved at present: to be withdrawn whatever it is bound to, to be left if it counts."""
        annotations = live["metadata"].get("annotations") or {}
        return read_approval(annotations) if self.wish.withdraw else approval_of(self.desired, annotations)

    async def _apply(self, live: Manifest, approval: Approval | None) -> None:
        meta = live["metadata"]
        ref = Ref(live["kind"], meta["name"], meta["uid"], meta["resourceVersion"])
        await self.cluster.apply(approval_manifest(live, approval), APPROVAL_MANAGER, ref)


def _blocked(desired: Desired, what: str, todo: str = "") -> Blocked:
    return Blocked(what, where=f"app {desired.app.name}", untouched=_UNTOUCHED, todo=todo)

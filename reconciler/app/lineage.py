"""Whether a ref went on from where it was: what `onForcePush` is decided by."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.app.settings_source import ForcePush, SourceSettings
from reconciler.core.gitref import RefKind
from reconciler.errors import Blocked, Invalid
from reconciler.ports import Repository

UNTOUCHED = "The commit that was accepted last stays in force"
TODO = (
    "Restore the branch, or allow it: set onForcePush: follow until the next look. If nobody of yours rewrote it, "
    "find out who did"
)
_WATCHED = (RefKind.BRANCH, RefKind.TAG)
"""A range of versions goes from tag to tag, whatever their histories are, and a commit never moves."""


@dataclass(slots=True)
class Lineage:
    """The commit that was accepted last, which outlives the process as a note in the data directory."""

    settings: SourceSettings
    repository: Repository
    accepted: str | None = None
    _asked: bool = False

    async def lost(self, commit: str) -> str | None:
        """The commit accepted last, if `commit`, the tip, did not come after it. Raises as the repository does."""
        before = await self._before()
        if before is None or before == commit or await self.repository.follows(commit, before):
            return None
        return before

    async def accept(self, commit: str) -> None:
        """From now on `commit` is what the next one has to come after. Raises as the repository does."""
        if self.settings.ref.kind in _WATCHED and commit != self.accepted:
            await self.repository.accept(commit)
            self.accepted = commit

    async def _before(self) -> str | None:
        if not self._asked:
            self.accepted, self._asked = await self.repository.accepted(), True
        return self.accepted


def told(commit: str, lost: str) -> str:
    """The reason, for an event or error."""
    return f"commit {commit[:10]} did not come after {lost[:10]}, which was accepted last: its history was rewritten"


async def tip_allowed(settings: SourceSettings, repository: Repository) -> str:
    """The tip, for a command that looks once.

    Raises:
        Blocked: the source is suspended.
        Invalid: `onForcePush` refuses the tip.
        Others as the repository does.
    """
    if settings.suspend:
        raise Blocked(
            "the source is suspended: its repository is not asked",
            where=f"source {settings.name}",
            untouched="Nothing was changed. A daemon that runs goes on with the last commit that it read",
            todo="Set suspend: false to go on",
        )
    commit = await repository.tip()
    if settings.on_force_push is ForcePush.REFUSE:
        lineage = Lineage(settings, repository)
        if lost := await lineage.lost(commit):
            raise Invalid(told(commit, lost), where=f"source {settings.name}", untouched=UNTOUCHED, todo=TODO)
        await lineage.accept(commit)
    return commit

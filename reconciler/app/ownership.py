"""Which apps are this daemon's, as the rest of the daemon asks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from reconciler.core.phase import Phase
from reconciler.ports import Cluster

UNDER_WAY = frozenset(
    {Phase.APPLYING, Phase.PROGRESSING, Phase.PROVING, Phase.SWITCHING, Phase.CONFIRMING, Phase.WATCHING}
)
"""An app in one of these is handed over afterwards. One that waits for a person or a window can be meanwhile."""


def key_of(namespace: str, name: str) -> str:
    """What an app goes by among the members of a group."""
    return f"{namespace}/{name}"


class Ownership(Protocol):
    """See `app.membership.Membership`."""

    @property
    def shared(self) -> bool:
        """Whether others may look after apps."""
        ...

    def term(self, key: str) -> str:
        """What this process writes onto the app when it takes it over, another text each time; '' if it need not, or
        may not."""
        ...

    def owns(self, key: str) -> bool:
        """Whether it may begin to look after the app."""
        ...

    def permit(self, key: str, term: str | None = None) -> float:
        """For how many seconds it may still write for the app, in that term if one is given; raises `Conflict` if it
        may not."""
        ...

    def wake(self, key: str) -> None:
        """No promotion of the app is under way: it may be handed over."""
        ...


class Alone:
    """The daemon is the only one: everything is its own."""

    shared: bool = False

    def term(self, key: str) -> str:
        """It need not say so."""
        return ""

    def owns(self, key: str) -> bool:
        """It does."""
        return True

    def permit(self, key: str, term: str | None = None) -> float:
        """It may, for ever."""
        return float("inf")

    def wake(self, key: str) -> None:
        """There is nobody to hand anything to."""


@dataclass(slots=True)
class Tenure:
    """The ownership of one app, as what works on it goes by it: in turns, each of which may write in the term that it
    began in alone. Another daemon may have had the app between two terms of one, and what was seen before is old."""

    ownership: Ownership = field(default_factory=Alone)
    key: str = ""
    term: str = ""

    def begin(self) -> None:
        """A turn begins."""
        self.term = self.ownership.term(self.key)

    def permit(self) -> float:
        """For how many seconds the turn may still write; raises `Conflict` if it may not."""
        return self.ownership.permit(self.key, self.term)

    def guarded(self, cluster: Cluster) -> Cluster:
        """`cluster` for the writes of this app."""
        return cluster.guarded(self.permit) if self.ownership.shared else cluster

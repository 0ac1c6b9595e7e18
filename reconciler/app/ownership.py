"""Which apps are this daemon's, as the rest of the daemon asks it."""

from __future__ import annotations

from functools import partial
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
    def holder(self) -> str:
        """What this process writes onto the apps that it takes over; '' if it need not."""
        ...

    def owns(self, key: str) -> bool:
        """Whether it may begin to look after the app."""
        ...

    def permit(self, key: str) -> float:
        """For how many seconds it may still write for the app; raises `Conflict` if it may not."""
        ...

    def wake(self, key: str) -> None:
        """No promotion of the app is under way: it may be handed over."""
        ...


class Alone:
    """The daemon is the only one: everything is its own."""

    holder: str = ""

    def owns(self, key: str) -> bool:
        """It does."""
        return True

    def permit(self, key: str) -> float:
        """It may, for ever."""
        return float("inf")

    def wake(self, key: str) -> None:
        """There is nobody to hand anything to."""


def guarded(cluster: Cluster, ownership: Ownership, key: str) -> Cluster:
    """`cluster` for the writes of one app."""
    return cluster.guarded(partial(ownership.permit, key)) if ownership.holder else cluster

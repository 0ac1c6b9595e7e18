"""Which pods share the apps, and which of them looks after which, by what the API server holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rig.cluster import Cluster, Manifest

_GROUP = "bluegreen.reconciler/group"
_OWNER = "bluegreen.reconciler/owner"


@dataclass(frozen=True)
class Members:
    """The members of one group. `home`: the namespace of their Leases."""

    home: Cluster
    group: str = "reconciler"

    def leases(self) -> Mapping[str, Manifest]:
        """The Leases that somebody holds, by the name of the member."""
        found = self.home.find("Lease", **{_GROUP: self.group})
        return {each["metadata"]["name"]: each for each in found if each["spec"].get("holderIdentity")}

    def story(self) -> str:
        """What all Leases say, for a failure's message."""
        return "\n".join(f"{each['metadata']} {each['spec']}" for each in self.leases().values())

    @property
    def names(self) -> set[str]:
        """Of those who hold a Lease, be it one that has run out."""
        return set(self.leases())


def owner(cluster: Cluster, service: str) -> str:
    """The pod that looks after the app with this active Service, as it last wrote there; '' if none did yet."""
    live = cluster.get("Service", service)
    return owner_on(live) if live else ""


def owner_on(service: Manifest) -> str:
    """The same of a Service at hand. A daemon writes the name of its member, which is its pod's, and of this life."""
    return str((service["metadata"].get("annotations") or {}).get(_OWNER, "")).partition("_")[0]

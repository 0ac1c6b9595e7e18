"""`highAvailability` of the configuration: how several daemons share the apps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from reconciler.app.settings_fields import Model, Name, Seconds, at_least, at_most, duration
from reconciler.core.membership import LONGEST

LEASE_DURATION = "10s"


@dataclass(frozen=True, slots=True)
class AvailabilitySettings:
    """The group that shares the apps, the namespace of its Leases ('': the pod's own), their duration in seconds."""

    group: str
    namespace: str
    lease_duration: float


def _whole(value: float) -> float:
    if not value.is_integer():
        raise ValueError("must be a whole number of seconds, which is all that a Lease can say")
    return value


class AvailabilityModel(Model):
    """How several daemons share the apps: each has a Lease, and every app has one daemon at a time."""

    group: Name = Field(default="reconciler", description="Daemons of one group and namespace share the apps.")
    namespace: Name | None = Field(default=None, description="Where the Leases are. The pod's own, if not given.")
    lease_duration: Annotated[Seconds, at_least(3), at_most(LONGEST), AfterValidator(_whole)] = duration(
        LEASE_DURATION, "For how long a daemon that was not heard of counts as alive. It renews five times as often."
    )


def availability_of(model: AvailabilityModel) -> AvailabilitySettings:
    """What the model says."""
    return AvailabilitySettings(model.group, model.namespace or "", model.lease_duration)

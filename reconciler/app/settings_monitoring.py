"""`monitoring` of the configuration: where the kubelet and Prometheus ask how the daemon is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from reconciler.app.settings_address import host_and_port, wrong_address
from reconciler.app.settings_fields import Model, rule


@dataclass(frozen=True, slots=True)
class MonitoringSettings:
    """Where to listen. Port 0: any that is free."""

    host: str
    port: int


class MonitoringModel(Model):
    """Where `/livez`, `/readyz` and `/metrics` are answered. Not given: no port is opened."""

    address: Annotated[str, rule(wrong_address)] = Field(
        default="127.0.0.1:8081", description="HOST:PORT to listen on, without TLS."
    )


def monitoring_of(model: MonitoringModel) -> MonitoringSettings:
    """What the model says."""
    return MonitoringSettings(*host_and_port(model.address))

"""`webhook` of the configuration: who may say that there is something new, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from reconciler.app.settings_address import host_and_port, wrong_address
from reconciler.app.settings_fields import Model, Name, rule
from reconciler.core.webhook import Kind


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """Whoever knows the secret in `secret_file` wakes these sources."""

    name: str
    kind: Kind
    secret_file: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where to listen, and for whom. Port 0: any that is free."""

    host: str
    port: int
    receivers: tuple[ReceiverSettings, ...]


def _wrong_file(value: str) -> str:
    return "" if value and value.isprintable() else "must be the path of a file"


class _Receiver(Model):
    """Who may wake which sources, at the path `/hook/NAME`."""

    name: Name = Field(description="Unique among receivers; the last part of its path.")
    type: Literal["github", "gitlab", "gitea", "generic"] = Field(
        description="How the sender proves itself. `gitea` is Forgejo, too."
    )
    secret_file: Annotated[str, rule(_wrong_file)] = Field(
        description="The file with the secret that sender and receiver share: 16 characters or more."
    )
    sources: list[str] = Field(min_length=1, description="Names of the sources to look at.")


class WebhookModel(Model):
    """Where Git hosts may say that there is something new. Not given: no port is opened."""

    address: Annotated[str, rule(wrong_address)] = Field(
        default="127.0.0.1:9292", description="HOST:PORT to listen on, without TLS."
    )
    receivers: list[_Receiver] = Field(min_length=1, description="Who is listened to.")


def webhook_of(model: WebhookModel) -> WebhookSettings:
    """What the model says."""
    receivers = (
        ReceiverSettings(each.name, Kind(each.type), each.secret_file, tuple(each.sources)) for each in model.receivers
    )
    return WebhookSettings(*host_and_port(model.address), tuple(receivers))

"""`notifications` of the configuration: whom to tell of what, and where the address of the service is found.

The address (apprise calls it a URL) holds a password or a token for nearly every service. So there is no field for
the address itself: it is in a file, or in a Secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from reconciler.app.settings_fields import Model, Name, Seconds, SubdomainName, at_least, duration, rule
from reconciler.app.settings_source import SecretName
from reconciler.core.notice import Channel, Group, name_fault
from reconciler.core.notice_text import TEMPLATE_LIMIT, template_fault
from reconciler.core.strictyaml import Passage

CHANNELS_LIMIT = 32

GroupName = Literal["started", "approval", "switched", "rolledBack", "rejected", "drift", "source", "problem"]
assert set(get_args(GroupName)) == set(Group)


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """A channel, and the address of its service: in the file `url_file`, or under `key` of `secret`. One try to send
    may take `timeout` seconds. `where` says where the configuration has it; a line that moved is no other channel."""

    channel: Channel
    url_file: str = ""
    secret: SecretName | None = None
    key: str = "url"
    timeout: float = 20.0
    where: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.channel.name


def _wrong_file(value: str) -> str:
    return "" if value and value.isprintable() and value == value.strip() else "must be the path of a file"


def _wrong_key(value: str) -> str:
    fits = 0 < len(value) <= 253 and all(each.isascii() and (each.isalnum() or each in "-_.") for each in value)
    return "" if fits else "must be a key of a Secret: letters, digits, `-`, `_` and `.`"


class _UrlSecret(Model):
    """The key of a Secret that holds the address of the service."""

    name: SubdomainName = Field(description="Its name.")
    namespace: Name = Field(default="default", description="Its namespace.")
    key: Annotated[str, rule(_wrong_key)] = Field(default="url", description="The key that holds the address.")


_Template = Annotated[str, rule(template_fault), Field(max_length=TEMPLATE_LIMIT)]
_Pattern = Annotated[str, rule(name_fault)]


class ChannelModel(Model):
    """Whom to tell of what. Exactly one of `urlFile` and `secretRef` says where the address of the service is."""

    name: Name = Field(description="Unique among channels; events call it by this.")
    url_file: Annotated[str, rule(_wrong_file)] | None = Field(
        default=None, description="A file with the address of the service, as apprise writes it. Read before each use."
    )
    secret_ref: _UrlSecret | None = Field(default=None, description="Instead: a Secret that holds the address.")
    events: list[GroupName] = Field(
        default=["approval", "switched", "rolledBack", "rejected", "drift", "source", "problem"],
        min_length=1,
        description="What to tell. Everything but `started`, if not given.",
    )
    apps: list[_Pattern] = Field(
        default=["*"], min_length=1, description="Names of apps, or patterns of them like `shop-*`. All, if not given."
    )
    sources: list[_Pattern] = Field(
        default=["*"], min_length=1, description="The same of sources: of these, and of the apps that they hold."
    )
    burst: Annotated[int, Field(ge=1, le=1000)] = Field(default=20, description="How many messages there may be …")
    per: Annotated[Seconds, at_least(1.0)] = duration("1m", "… in this time. What goes over it is counted and told.")
    repeat_after: Annotated[Seconds, at_least(0.0)] = duration("1h", "When the same thing is told again.")
    timeout: Annotated[Seconds, at_least(1.0)] = duration("20s", "How long one try to send a message may take.")
    title: _Template | None = Field(default=None, description="A Jinja2 template of the title.")
    template: _Template | None = Field(default=None, description="A Jinja2 template of the text.")

    @model_validator(mode="after")
    def _one_address(self) -> ChannelModel:
        if (self.url_file is None) == (self.secret_ref is None):
            raise ValueError("give either `urlFile` or `secretRef`")
        return self


def channels_of(models: Sequence[ChannelModel], written: Passage) -> tuple[ChannelSettings, ...]:
    """What the models say; they were `written` there."""
    return tuple(_channel_of(each, written, index) for index, each in enumerate(models))


def _channel_of(model: ChannelModel, written: Passage, index: int) -> ChannelSettings:
    channel = Channel(
        name=model.name,
        groups=frozenset(map(Group, model.events)),
        apps=tuple(model.apps),
        sources=tuple(model.sources),
        burst=model.burst,
        per=model.per,
        repeat_after=model.repeat_after,
        title=model.title or "",
        template=model.template or "",
    )
    field_name, ref = ("secretRef", model.secret_ref) if model.secret_ref else ("urlFile", None)
    return ChannelSettings(
        channel,
        url_file=model.url_file or "",
        secret=SecretName(ref.namespace, ref.name) if ref else None,
        key=ref.key if ref else "url",
        timeout=model.timeout,
        where=f"{written.at(index, field_name)}: notifications[{index}].{field_name}",
    )

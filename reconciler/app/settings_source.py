"""`sources` of the configuration: which repository to follow, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from reconciler.app.settings_fields import Model, Name, Seconds, at_least, duration, rule
from reconciler.core.address import SCHEMES, address_fault, branch_fault
from reconciler.core.glob import pattern_fault

_PASSWORD = re.compile(r"https?://[^/]*@|[a-z+]+://[^/]*:[^/]*@", re.IGNORECASE)


ANY_NAMESPACE = ("*",)
"""Where nothing is going to be done, and the configuration is not known: for checking a repository by itself."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A Git repository and branch. `interval` and `timeout` are seconds.

    `apps` is the pattern of the files that describe apps ('': none are looked for), `namespace` that of a discovered
    app that names none, `namespaces` those which such an app may name.
    """

    name: str
    url: str
    branch: str
    interval: float
    timeout: float
    apps: str = ""
    namespace: str = "default"
    namespaces: tuple[str, ...] = ("default",)


def _wrong_url(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        return "holds blank space or control characters at its ends"
    if _PASSWORD.match(value):
        return "holds a password, which the list of processes would show: put it into ~/.netrc instead"
    fault = address_fault(value)
    return f"{fault}; give a path, or a URL of {', '.join(SCHEMES)}" if fault else ""


class _Ref(Model):
    """What to follow in the repository."""

    branch: Annotated[str, rule(branch_fault)] = Field(default="main", description="The branch.")


class _Allow(Model):
    """What discovered apps may do: whoever can push to the repository must not be able to choose more."""

    namespaces: list[Name] | None = Field(
        default=None, description="Namespaces that discovered apps may use. The source's `namespace`, if not given."
    )


class SourceModel(Model):
    """A Git repository and branch; any number of apps can share one."""

    name: Name = Field(description="What apps call it.")
    url: Annotated[str, rule(_wrong_url)] = Field(description="https://, ssh://, git@host:path, file:// or a path.")
    ref: _Ref = Field(default_factory=_Ref, description="What to follow.")
    interval: Annotated[Seconds, at_least(1.0)] = duration("30s", "How often to look for a new commit.")
    timeout: Annotated[Seconds, at_least(1.0)] = duration("60s", "How long one Git operation may take.")
    apps: Annotated[str, rule(pattern_fault)] | None = Field(
        default=None,
        description="Files that describe apps, like `apps/*/app.yaml`: each is an app, and its folder the app's.",
    )
    namespace: Name = Field(default="default", description="Where discovered apps live that do not say it.")
    allow: _Allow = Field(default_factory=_Allow, description="What discovered apps may do.")


def source_of(model: SourceModel) -> SourceSettings:
    """What the model says."""
    allowed = (model.namespace,) if model.allow.namespaces is None else tuple(model.allow.namespaces)
    discovery = (model.apps or "", model.namespace, allowed)
    return SourceSettings(model.name, model.url, model.ref.branch, model.interval, model.timeout, *discovery)

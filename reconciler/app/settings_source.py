"""`sources` of the configuration: which repository to follow, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from reconciler.app.settings_fields import Model, Name, Seconds, at_least, duration, rule
from reconciler.core.address import SCHEMES, address_fault, branch_fault

_PASSWORD = re.compile(r"https?://[^/]*@|[a-z+]+://[^/]*:[^/]*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """Whose signatures count: of the two paths the one that is not ''. `every`: on each commit, not the tip alone."""

    every: bool
    allowed_signers: str = ""
    keyring: str = ""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A Git repository and branch. `interval` and `timeout` are seconds."""

    name: str
    url: str
    branch: str
    interval: float
    timeout: float
    verify: VerifySettings | None = None


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


def _wrong_file(value: str) -> str:
    return "" if value and value.isprintable() and value == value.strip() else "must be the path of a file"


class _Verify(Model):
    """Whose signatures a commit needs before it is acted upon. Exactly one of `allowedSigners` and `keyring`."""

    mode: Literal["HEAD", "all"] = Field(
        default="HEAD", description="What must be signed: the tip, or every commit since the last accepted one."
    )
    allowed_signers: Annotated[str, rule(_wrong_file)] | None = Field(
        default=None, description="SSH keys: a file as ssh-keygen(1) describes it under ALLOWED SIGNERS."
    )
    keyring: Annotated[str, rule(_wrong_file)] | None = Field(
        default=None, description="OpenPGP keys: an armoured file, or a folder of them."
    )

    @model_validator(mode="after")
    def _one_kind_of_keys(self) -> _Verify:
        if (self.allowed_signers is None) == (self.keyring is None):
            raise ValueError("give either `allowedSigners` or `keyring`")
        return self


class SourceModel(Model):
    """A Git repository and branch; any number of apps can share one."""

    name: Name = Field(description="What apps call it.")
    url: Annotated[str, rule(_wrong_url)] = Field(description="https://, ssh://, git@host:path, file:// or a path.")
    ref: _Ref = Field(default_factory=_Ref, description="What to follow.")
    interval: Annotated[Seconds, at_least(1.0)] = duration("30s", "How often to look for a new commit.")
    timeout: Annotated[Seconds, at_least(1.0)] = duration("60s", "How long one Git operation may take.")
    verify: _Verify | None = Field(default=None, description="Whose signatures to ask for. Nobody's, if not given.")


def source_of(model: SourceModel) -> SourceSettings:
    """What the model says."""
    verify = _verify_of(model.verify) if model.verify else None
    return SourceSettings(model.name, model.url, model.ref.branch, model.interval, model.timeout, verify)


def _verify_of(model: _Verify) -> VerifySettings:
    return VerifySettings(model.mode == "all", model.allowed_signers or "", model.keyring or "")

"""`sources` of the configuration: which repository to follow, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from reconciler.app.settings_fields import Model, Name, Seconds, SubdomainName, at_least, duration, rule
from reconciler.core.address import SCHEMES, address_fault, branch_fault
from reconciler.core.credentials import credentials_fault
from reconciler.core.gitref import GitRef, RefKind, branch, commit_fault, range_fault, tag_fault
from reconciler.core.glob import pattern_fault
from reconciler.core.naming import wrong_subdomain
from reconciler.core.policy import wrong_kind_name
from reconciler.core.powers import POWERS, power_fault
from reconciler.core.revision import short_hash
from reconciler.core.target import host_fault

_PASSWORD = re.compile(r"https?://[^/]*@|[a-z+]+://[^/]*:[^/]*@", re.IGNORECASE)


ANY_NAMESPACE = ("*",)
"""Where nothing is going to be done, and the configuration is not known: for checking a repository by itself."""
ANY_ACCOUNT = ("*",)
"""The same of `service_accounts`."""


class ForcePush(StrEnum):
    """What to do when a branch no longer holds the commit that was accepted last."""

    FOLLOW = "follow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class SecretName:
    """A Secret of the cluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """Whose signatures count: of the two paths the one that is not ''. `every`: on each commit, not the tip alone."""

    every: bool
    allowed_signers: str = ""
    keyring: str = ""


@dataclass(frozen=True, slots=True)
class PushSettings:
    """In whose name the daemon commits to the source, and the file of the key that signs; '' is what is not given. An
    `email` that is not given is made of the app's namespace."""

    name: str = "reconciler"
    email: str = ""
    signing_key: str = ""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A Git repository, and what to follow in it. `interval` and `timeout` are seconds. Credentials are in `secret` or
    in the folder `credentials`, or in neither.

    `apps` is the pattern of the files that describe apps ('': none are looked for), `namespace` that of a discovered
    app that names none, `namespaces` those which such an app may name. In the same way `service_account` is that of an
    app of this source that names none ('': the daemon's own), and `service_accounts` those which a discovered app may
    name. `powers` are allowed to every app of this source that the configuration says nothing else of; `kinds`: which
    kinds of object its apps may have beside those that every app may. `check_hosts`: whom the checks of a discovered
    app may ask beside its own pods (`core.target`).
    """

    name: str
    url: str
    ref: GitRef
    interval: float
    timeout: float
    secret: SecretName | None = None
    credentials: Path | None = None
    suspend: bool = False
    on_force_push: ForcePush = ForcePush.FOLLOW
    verify: VerifySettings | None = None
    push: PushSettings = PushSettings()
    apps: str = ""
    namespace: str = "default"
    namespaces: tuple[str, ...] = ("default",)
    service_account: str = ""
    service_accounts: tuple[str, ...] = ()
    powers: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    check_hosts: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Stands for the repository and ref: where it differs, it is another history of commits."""
        return short_hash([self.url, self.ref.kind, self.ref.text])


def _wrong_url(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        return "holds blank space or control characters at its ends"
    if _PASSWORD.match(value):
        return "holds a password, which the list of processes would show: use `secretRef` or `credentials` instead"
    fault = address_fault(value)
    return f"{fault}; give a path, or a URL of {', '.join(SCHEMES)}" if fault else ""


def _wrong_secret(value: str) -> str:
    return wrong_subdomain(value) if value else "is empty"


def _wrong_folder(value: str) -> str:
    return "" if value.strip() and value.isprintable() else "must be the path of a folder"


class RefModel(Model):
    """What to follow in the repository: exactly one of these."""

    branch: Annotated[str, rule(branch_fault)] | None = Field(
        default=None, description="A branch. The default is `main`."
    )
    tag: Annotated[str, rule(tag_fault)] | None = Field(default=None, description="A tag.")
    semver: Annotated[str, rule(range_fault)] | None = Field(
        default=None, description="The tag with the highest version in this range, like `1.x` or `>=1.2.0 <2.0.0`."
    )
    commit: Annotated[str, rule(commit_fault)] | None = Field(default=None, description="The full id of a commit.")

    @model_validator(mode="after")
    def _only_one(self) -> RefModel:
        given = [kind.value for kind in RefKind if getattr(self, kind)]
        if len(given) > 1:
            raise ValueError(f"must be one of {', '.join(RefKind)}, but there are {' and '.join(given)}")
        return self

    @property
    def ref(self) -> GitRef:
        """What the model says."""
        given = next((kind for kind in RefKind if getattr(self, kind)), None)
        return GitRef(given, getattr(self, given)) if given else branch("main")


class SecretRefModel(Model):
    """A Secret with the files of `credentials` as its keys."""

    name: Annotated[str, rule(_wrong_secret)] = Field(description="Its name.")
    namespace: Name = Field(default="default", description="Its namespace.")


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


def _wrong_absolute(value: str) -> str:
    if not value.startswith("/"):
        return "must be the absolute path of a file"
    return _wrong_file(value)


def _wrong_author(value: str) -> str:
    """By git-commit-tree(1): git drops some characters, and refuses what nothing is left of."""
    if not value.isprintable() or value != value.strip() or set(value) & set("<>"):
        return "must be one line without `<` and `>`, and without blanks at its ends"
    if len(value) > 200:
        return "must be 200 characters at most"
    return "" if any(map(str.isalnum, value)) else "must hold a letter or a digit"


class _Author(Model):
    """The author and committer of what the daemon commits."""

    name: Annotated[str, rule(_wrong_author)] = Field(default="reconciler", description="The name.")
    email: Annotated[str, rule(_wrong_author)] | None = Field(
        default=None, description="The address. `reconciler@` and the app's namespace, if not given."
    )


class _Push(Model):
    """How the daemon commits to the repository, for `onRollback: revert`. It pushes with the source's credentials."""

    author: _Author = Field(default_factory=_Author, description="In whose name.")
    signing_key: Annotated[str, rule(_wrong_absolute)] | None = Field(
        default=None,
        description="A file with the private key that signs: of SSH, or of OpenPGP, armoured. Without a passphrase.",
    )


PowerName = Annotated[str, rule(power_fault), Field(json_schema_extra={"enum": list(POWERS)})]


class _Allow(Model):
    """What the source's apps may do: whoever can push to the repository must not be able to choose more."""

    namespaces: list[Name] | None = Field(
        default=None, description="Namespaces that discovered apps may use. The source's `namespace`, if not given."
    )
    service_accounts: list[SubdomainName] = Field(
        default_factory=list,
        description="ServiceAccounts that discovered apps may name, besides the source's `serviceAccountName`.",
    )
    powers: list[PowerName] = Field(
        default_factory=list,
        description="Powers that the templates of this source's apps may ask for, like `hostPath`. None, if not given.",
    )
    kinds: list[Annotated[str, rule(wrong_kind_name)]] = Field(
        default_factory=list,
        max_length=64,
        description="Kinds of object, like `CronJob.batch`, that its apps may have beside those that every app may.",
    )
    check_hosts: list[Annotated[str, rule(host_fault)]] = Field(
        default_factory=list,
        max_length=64,
        description="Hosts that checks of discovered apps may ask, like `votes.example.com`, `*.example.com` or "
        "`10.0.0.1:8080`, besides their own pods.",
    )


class SourceModel(Model):
    """A Git repository, and what to follow in it; any number of apps can share one."""

    name: Name = Field(description="What apps call it.")
    url: Annotated[str, rule(_wrong_url)] = Field(description="https://, ssh://, git@host:path, file:// or a path.")
    ref: RefModel = Field(default_factory=RefModel, description="What to follow.")
    interval: Annotated[Seconds, at_least(1.0)] = duration("30s", "How often to look for a new commit.")
    timeout: Annotated[Seconds, at_least(1.0)] = duration("60s", "How long one Git operation may take.")
    secret_ref: SecretRefModel | None = Field(default=None, description="The Secret that holds the credentials.")
    credentials: Annotated[str, rule(_wrong_folder)] | None = Field(
        default=None,
        description="A folder with the credentials: username and password, or bearerToken; ca.crt; or for ssh "
        "identity and known_hosts.",
    )
    suspend: bool = Field(default=False, description="Do not look at the repository.")
    on_force_push: Literal["follow", "refuse"] = Field(
        default="follow", description="What to do when the branch's history was rewritten."
    )
    verify: _Verify | None = Field(default=None, description="Whose signatures to ask for. Nobody's, if not given.")
    push: _Push = Field(default_factory=_Push, description="How the daemon commits, if an app asks for it.")
    apps: Annotated[str, rule(pattern_fault)] | None = Field(
        default=None,
        description="Files that describe apps, like `apps/*/app.yaml`: each is an app, and its folder the app's.",
    )
    namespace: Name = Field(default="default", description="Where discovered apps live that do not say it.")
    service_account_name: SubdomainName | None = Field(
        default=None,
        description="The ServiceAccount, of the app's own namespace, as which everything is done for apps that name "
        "none. The daemon's own account, if not given.",
    )
    allow: _Allow = Field(default_factory=_Allow, description="What the source's apps may do.")

    @model_validator(mode="after")
    def _fitting_credentials(self) -> SourceModel:
        if self.secret_ref and self.credentials:
            raise ValueError("has secretRef and credentials: it must be one of them")
        fault = credentials_fault(self.url) if self.secret_ref or self.credentials else ""
        if fault:
            raise ValueError(f"has credentials, but {fault}")
        return self


def source_of(model: SourceModel) -> SourceSettings:
    """What the model says."""
    own = model.service_account_name or ""
    return SourceSettings(
        name=model.name,
        url=model.url,
        ref=model.ref.ref,
        interval=model.interval,
        timeout=model.timeout,
        secret=SecretName(model.secret_ref.namespace, model.secret_ref.name) if model.secret_ref else None,
        credentials=Path(model.credentials) if model.credentials else None,
        suspend=model.suspend,
        on_force_push=ForcePush(model.on_force_push),
        verify=_verify_of(model.verify) if model.verify else None,
        push=PushSettings(model.push.author.name, model.push.author.email or "", model.push.signing_key or ""),
        apps=model.apps or "",
        namespace=model.namespace,
        namespaces=(model.namespace,) if model.allow.namespaces is None else tuple(model.allow.namespaces),
        service_account=own,
        service_accounts=tuple({each: None for each in (own, *model.allow.service_accounts) if each}),
        powers=tuple(sorted(set(model.allow.powers))),
        kinds=tuple(sorted(set(model.allow.kinds))),
        check_hosts=tuple(sorted(set(model.allow.check_hosts))),
    )


def _verify_of(model: _Verify) -> VerifySettings:
    return VerifySettings(model.mode == "all", model.allowed_signers or "", model.keyring or "")

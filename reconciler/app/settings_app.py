"""`apps` of the configuration, and the `app.yaml` of a repository: what is released, and how it is promoted."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from reconciler.app.settings_analysis import (
    PostAnalysisModel,
    PreAnalysisModel,
    post_promotion_of,
    pre_promotion_of,
    preview_fault,
)
from reconciler.app.settings_fields import (
    FolderPath,
    Model,
    Name,
    Seconds,
    ServiceName,
    SubdomainName,
    at_least,
    duration,
    rule,
)
from reconciler.app.settings_promotion import MOST_WINDOWS, ApprovalFile, ReleaseWindow, windows_of
from reconciler.app.settings_source import PowerName, SourceSettings
from reconciler.core.ignore import parse_pointer
from reconciler.core.memory import HISTORY_LIMIT
from reconciler.core.model import App, DeletionPolicy, Ignored, Strategy
from reconciler.core.strictyaml import Passage
from reconciler.core.target import ANY_HOST
from reconciler.core.workload import MAX_REPLICAS


def _wrong_pointer(text: str) -> str:
    try:
        parse_pointer(text)
    except ValueError as error:
        return str(error)
    return ""


class _Strategy(Model):
    """How an app is promoted. The names are those of Argo Rollouts' blueGreen strategy."""

    active_service: ServiceName | None = Field(
        default=None, description="The Service that clients talk to. The app's name, if not given."
    )
    active_ingress: SubdomainName | None = Field(
        default=None,
        description="An Ingress whose backends are moved instead of a Service's selector. Each revision has "
        "Services of its own then.",
    )
    auto_promotion_enabled: bool = Field(
        default=True,
        description="Switch as soon as the new revision is ready and has passed its checks. Without it, it waits for "
        "an approval of that revision.",
    )
    auto_promotion_seconds: Annotated[Seconds, at_least(0.0)] | None = Field(
        default=None,
        description="With autoPromotionEnabled: wait that long before the switch. An approval shortens it.",
        json_schema_extra={"examples": ["1h"]},
    )
    preview_service: ServiceName | None = Field(
        default=None,
        description="A Service that leads to a new revision as soon as that is there. Made if the templates lack it, "
        "as a headless one with the active Service's ports.",
    )
    preview_service_when_idle: Literal["stay", "active"] = Field(
        default="stay",
        description="Where it leads while nothing is promoted: it stays where it is, or goes to the active revision.",
    )
    scale_down_delay: Annotated[Seconds, at_least(0.0)] = duration(
        "10m", "How long the former revision stays warm for a quick rollback."
    )
    abort_scale_down_delay: Annotated[Seconds, at_least(0.0)] = duration(
        "30s", "How long a failed revision stays, to be looked at."
    )
    progress_deadline: Annotated[Seconds, at_least(1.0)] = duration(
        "10m", "How long a new revision may take to become ready."
    )
    preview_replica_count: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] | None = Field(
        default=None,
        description="With how many pods a new revision starts. It gets its full size once these are ready, and before "
        "the switch. All at once, if not given.",
    )
    revision_history_limit: Annotated[int, Field(ge=0, le=HISTORY_LIMIT)] = Field(
        default=0,
        description="How many former revisions are kept, with no pods, after scaleDownDelay. A revert to one of them "
        "scales it up and then switches.",
    )
    pre_promotion_analysis: PreAnalysisModel | None = Field(
        default=None, description="What a new revision has to pass before the switch, besides being ready."
    )
    post_promotion_analysis: PostAnalysisModel | None = Field(
        default=None, description="What is watched after the switch. Nothing, if not given."
    )
    release_windows: list[ReleaseWindow] = Field(
        default_factory=list,
        max_length=MOST_WINDOWS,
        description="When new revisions may be switched to. At any time, if none is given. A rollback never waits.",
    )
    approval_file: ApprovalFile | None = Field(
        default=None,
        description="A file of approved revisions, one a line, relative to the app's folder. It need not be there.",
    )
    on_rollback: Literal["hold", "revert"] = Field(
        default="hold",
        description="When the analysis after a switch led traffic back: hold the former revision until somebody "
        "commits, or revert the version in Git, too.",
    )

    @model_validator(mode="after")
    def _preview_is_there(self) -> Self:
        fault = preview_fault((self.pre_promotion_analysis, self.post_promotion_analysis))
        if fault and not self.preview_service:
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _timer_has_an_effect(self) -> Self:
        if self.auto_promotion_seconds is not None and not self.auto_promotion_enabled:
            raise ValueError(
                "has autoPromotionSeconds, which has no effect without autoPromotionEnabled: leave out one"
            )
        return self


class _IgnoreDifferences(Model):
    """Fields that somebody else sets, and that are left as they are."""

    kind: Literal["Deployment", "StatefulSet", "Service", "Ingress", "ConfigMap", "Secret"] = Field(
        description="Of objects of this kind."
    )
    json_pointers: list[Annotated[str, rule(_wrong_pointer)]] = Field(
        description="The fields, as JSON Pointers (RFC 6901), like `/metadata/annotations/example.com~1team`."
    )


class AppFields(Model):
    """What can be said of an app wherever it is described.

    In a repository whoever can push to it says this. So nothing here may reach beyond the app's namespace, which the
    configuration allows: `adopt` takes over only what is there, and `ignoreDifferences` are fields of its own objects.
    `serviceAccountName` is one that the configuration allows.
    """

    version_file: FolderPath = Field(default="version", description="Relative to the app's folder.")
    templates: FolderPath | None = Field(
        default=None, description="A folder relative to the app's. The built-in templates, if not given."
    )
    values: dict[str, Any] = Field(
        default_factory=dict, description="For the templates; the values of files in the repository go over them."
    )
    values_files: list[FolderPath] = Field(
        default_factory=list,
        max_length=16,
        description="Files of values, relative to the app's folder; the later go over the earlier.",
    )
    adopt: bool = Field(
        default=False,
        description="Take over a Service of activeService's name that was made by hand, with the Deployment that it "
        "leads to. They serve until the first version from Git is ready.",
    )
    ignore_differences: list[_IgnoreDifferences] = Field(
        default_factory=list, description="Fields that others set. They are left as they are, and are no drift."
    )
    strategy: _Strategy = Field(default_factory=_Strategy, description="How it is promoted.")
    depends_on: list[Name] = Field(
        default_factory=list,
        max_length=64,
        description="Apps that must have settled before a new revision of this one is begun.",
    )
    suspend: bool = Field(default=False, description="Change nothing for this app.")
    deletion_policy: Literal["orphan", "delete"] = Field(
        default="orphan",
        description="What becomes of its objects when it is removed: they stay and serve, or are deleted.",
    )
    service_account_name: SubdomainName | None = Field(
        default=None,
        description="The ServiceAccount, of the app's own namespace, as which everything is done for it. The source's, "
        "if not given.",
    )


class _AppAllow(Model):
    """What the app may do."""

    powers: list[PowerName] | None = Field(
        default=None,
        description="Powers that its templates may ask for, like `hostPath`. Those of the source, if not given.",
    )


class AppModel(AppFields):
    """One unit that is released together."""

    name: Name = Field(description="Unique among all apps.")
    namespace: Name = Field(default="default", description="Where its objects live.")
    source: Name = Field(description="The name of the source to read it from.")
    path: FolderPath = Field(default=".", description="Its folder in the repository.")
    allow: _AppAllow = Field(default_factory=_AppAllow, description="What it may do.")


class AppFileModel(AppFields):
    """An app that is discovered in a repository; its folder is where this file is."""

    name: Name | None = Field(default=None, description="Unique among all apps. The folder's name, if not given.")
    namespace: Name | None = Field(
        default=None, description="Where its objects live; one that the source allows. The source's, if not given."
    )


def app_of(model: AppModel, source: SourceSettings, written: Passage) -> App:
    """What the model says, and its `source` for it; its values were `written` there."""
    powers = source.powers if model.allow.powers is None else tuple(sorted(set(model.allow.powers)))
    more = {"powers": powers, "check_hosts": ANY_HOST}
    return _app(model, model.name, model.namespace, source, model.path, written, **more)


def discovered_app_of(
    model: AppFileModel, name: str, namespace: str, source: SourceSettings, file: str, written: Passage | None
) -> App:
    """The app that `file` describes, with what it leaves out filled in; its values were `written` there."""
    folder = file.rpartition("/")[0] or "."
    more = {"file": file, "powers": source.powers, "check_hosts": source.check_hosts}
    return _app(model, name, namespace, source, folder, written, **more)


def _app(
    model: AppFields, name: str, namespace: str, source: SourceSettings, path: str, written: Passage | None, **more: Any
) -> App:
    strategy = Strategy(
        active_service=model.strategy.active_service or name,
        active_ingress=model.strategy.active_ingress or "",
        scale_down_delay=model.strategy.scale_down_delay,
        abort_scale_down_delay=model.strategy.abort_scale_down_delay,
        progress_deadline=model.strategy.progress_deadline,
        preview_replica_count=model.strategy.preview_replica_count,
        pre_promotion=pre_promotion_of(model.strategy.pre_promotion_analysis),
        post_promotion=post_promotion_of(model.strategy.post_promotion_analysis),
        auto_promotion=model.strategy.auto_promotion_enabled,
        auto_promotion_after=model.strategy.auto_promotion_seconds,
        revert_in_git=model.strategy.on_rollback == "revert",
        release_windows=windows_of(model.strategy.release_windows),
        approval_file=model.strategy.approval_file or "",
        revision_history_limit=model.strategy.revision_history_limit,
        preview_service=model.strategy.preview_service or "",
        preview_idles_on_active=model.strategy.preview_service_when_idle == "active",
    )
    return App(
        name=name,
        namespace=namespace,
        source=source.name,
        strategy=strategy,
        path=path,
        version_file=model.version_file,
        templates=model.templates,
        values=model.values,
        values_files=tuple(model.values_files),
        adopt=model.adopt,
        ignored=tuple(Ignored(e.kind, tuple(map(parse_pointer, e.json_pointers))) for e in model.ignore_differences),
        depends_on=tuple(model.depends_on),
        suspend=model.suspend,
        deletion_policy=DeletionPolicy(model.deletion_policy),
        origin=source.origin,
        kinds=source.kinds,
        service_account=model.service_account_name or source.service_account,
        written=written,
        **more,
    )

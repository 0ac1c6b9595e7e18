"""The configuration file: what it may hold, and how it becomes values of the core.

The models below are the format, and `config/reconciler.schema.json` is generated from them
(`python -m reconciler.app.settings > config/reconciler.schema.json`). What a model cannot say (names that must be
unique, sources that must exist) is in `settings_checks`.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from reconciler.app.settings_checks import Problem, collect, described, report
from reconciler.core import naming, strictyaml
from reconciler.core.address import SCHEMES, address_fault, branch_fault
from reconciler.core.duration import PATTERN, parse_duration
from reconciler.core.model import App, Strategy
from reconciler.core.strictyaml import Passage
from reconciler.core.text import decode
from reconciler.errors import Invalid

SIZE_LIMIT = 1024 * 1024
_PASSWORD = re.compile(r"https?://[^/]*@|[a-z+]+://[^/]*:[^/]*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A Git repository and branch. `interval` and `timeout` are seconds."""

    name: str
    url: str
    branch: str
    interval: float
    timeout: float


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the configuration file says. Every app's source exists, and names are unique."""

    sources: tuple[SourceSettings, ...]
    apps: tuple[App, ...]


def load_settings(path: Path) -> Settings:
    """Reads the configuration file.

    Raises:
        Invalid: it cannot be read, or holds problems; all of them are told at once, one a line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        todo = "Name the configuration file with --config"
        raise Invalid(f"the configuration cannot be read: {reason}", where=str(path), todo=todo) from None
    return parse_settings(decode(data, str(path), SIZE_LIMIT), str(path))


def parse_settings(text: str, where: str) -> Settings:
    """The settings in `text`; `where` is what to call it in errors.

    Raises:
        Invalid: as `load_settings`.
    """
    if len(text.encode()) > SIZE_LIMIT:
        raise Invalid(f"is larger than {SIZE_LIMIT // 1024} KiB", where=where)
    documents = strictyaml.load(text, where, limit=SIZE_LIMIT)
    if len(documents) != 1:
        raise Invalid(
            f"must hold one document, but holds {len(documents)}", where=where, todo="List `sources` and `apps`"
        )
    document = documents[0]
    problems: list[Problem] = []
    model = None
    try:
        model = _File.model_validate(document.data)
    except ValidationError as error:
        problems = [described(each, _File) for each in error.errors(include_url=False, include_input=False)]
    problems += collect(document.data)
    if problems or model is None:
        raise report(problems, document)
    apps = (_app(each, Passage(document, ("apps", index, "values"))) for index, each in enumerate(model.apps))
    return Settings(tuple(map(_source, model.sources)), tuple(apps))


def schema() -> str:
    """The JSON Schema of the configuration file, for editors and for `config/reconciler.schema.json`."""
    generated = _File.model_json_schema(by_alias=True, mode="validation")
    heading = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "reconciler.yaml"}
    return json.dumps(_untitled(generated) | heading, indent=2) + "\n"


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic makes up, which only repeat the keys."""
    if isinstance(schema, list):
        return [_untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _untitled(value) for key, value in schema.items() if key != "title"}


def _rule(wrong: Any) -> AfterValidator:
    """A validator from a function that says what is wrong with a text, or ''."""

    def check(value: str) -> str:
        if reason := wrong(value):
            raise ValueError(reason)
        return value

    return AfterValidator(check)


def _wrong_label(value: str) -> str:
    return naming.wrong_dns_label(value) if value else "is empty"


def _wrong_service(value: str) -> str:
    return naming.wrong_service_name(value) if value else "is empty"


def _wrong_url(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        return "holds blank space or control characters at its ends"
    if _PASSWORD.match(value):
        return "holds a password, which the list of processes would show: put it into ~/.netrc instead"
    fault = address_fault(value)
    return f"{fault}; give a path, or a URL of {', '.join(SCHEMES)}" if fault else ""


def _wrong_path(value: str) -> str:
    if not value or not value.isprintable() or "\\" in value:
        return "must be a path with `/` between its parts"
    if value.startswith("/"):
        return "must be relative, without a `/` at its beginning"
    if ".." in value.split("/"):
        return "must not climb out with `..`"
    return ""


def _normalised(value: str) -> str:
    return "/".join(part for part in value.split("/") if part not in ("", ".")) or "."


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("must be a duration, like `30s` or `10m`")  # noqa: TRY004 (pydantic's protocol)
    return parse_duration(str(value))


def _at_least(least: float) -> AfterValidator:
    def check(value: float) -> float:
        if value < least:
            raise ValueError(f"must be at least {least:g}s")
        return value

    return AfterValidator(check)


_DURATION_SCHEMA: dict[str, Any] = {"type": "string", "pattern": PATTERN, "examples": ["30s", "10m"]}


def _duration(default: str, description: str) -> Any:
    return Field(
        default=parse_duration(default),
        description=description,
        json_schema_extra={**_DURATION_SCHEMA, "default": default},
    )


_Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=str)]
_Name = Annotated[str, _rule(_wrong_label)]
_ServiceName = Annotated[str, _rule(_wrong_service)]
_Path = Annotated[str, _rule(_wrong_path), AfterValidator(_normalised)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, data: Any) -> Any:
        """As in Kubernetes: a key whose lines below it are all commented out is not there."""
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class _Ref(_Model):
    """What to follow in the repository."""

    branch: Annotated[str, _rule(branch_fault)] = Field(default="main", description="The branch.")


class _Source(_Model):
    """A Git repository and branch; any number of apps can share one."""

    name: _Name = Field(description="What apps call it.")
    url: Annotated[str, _rule(_wrong_url)] = Field(description="https://, ssh://, git@host:path, file:// or a path.")
    ref: _Ref = Field(default_factory=_Ref, description="What to follow.")
    interval: Annotated[_Seconds, _at_least(1.0)] = _duration("30s", "How often to look for a new commit.")
    timeout: Annotated[_Seconds, _at_least(1.0)] = _duration("60s", "How long one Git operation may take.")


class _Strategy(_Model):
    """How an app is promoted. The names are those of Argo Rollouts' blueGreen strategy."""

    active_service: _ServiceName | None = Field(
        default=None, description="The Service that clients talk to. The app's name, if not given."
    )
    auto_promotion_enabled: Literal[True] = Field(
        default=True, description="Switch as soon as the new revision is ready."
    )
    scale_down_delay: Annotated[_Seconds, _at_least(0.0)] = _duration(
        "10m", "How long the former revision stays warm for a quick rollback."
    )
    abort_scale_down_delay: Annotated[_Seconds, _at_least(0.0)] = _duration(
        "30s", "How long a failed revision stays, to be looked at."
    )
    progress_deadline: Annotated[_Seconds, _at_least(1.0)] = _duration(
        "10m", "How long a new revision may take to become ready."
    )


class _App(_Model):
    """One unit that is released together."""

    name: _Name = Field(description="Unique among all apps.")
    namespace: _Name = Field(default="default", description="Where its objects live.")
    source: _Name = Field(description="The name of the source to read it from.")
    path: _Path = Field(default=".", description="Its folder in the repository.")
    version_file: _Path = Field(default="version", description="Relative to `path`.")
    templates: _Path | None = Field(
        default=None, description="A folder relative to `path`. The built-in templates, if not given."
    )
    values: dict[str, Any] = Field(
        default_factory=dict, description="For the templates; the version file's values go over them."
    )
    strategy: _Strategy = Field(default_factory=_Strategy, description="How it is promoted.")


class _File(_Model):
    """The configuration of the reconciler."""

    sources: list[_Source] = Field(description="Where to read from.")
    apps: list[_App] = Field(description="What to release.")


def _source(model: _Source) -> SourceSettings:
    return SourceSettings(model.name, model.url, model.ref.branch, model.interval, model.timeout)


def _app(model: _App, written: Passage) -> App:
    strategy = Strategy(
        active_service=model.strategy.active_service or model.name,
        scale_down_delay=model.strategy.scale_down_delay,
        abort_scale_down_delay=model.strategy.abort_scale_down_delay,
        progress_deadline=model.strategy.progress_deadline,
    )
    return App(
        name=model.name,
        namespace=model.namespace,
        source=model.source,
        strategy=strategy,
        path=model.path,
        version_file=model.version_file,
        templates=model.templates,
        values=model.values,
        written=written,
    )


if __name__ == "__main__":
    sys.stdout.write(schema())

"""The kinds of fields that configuration files are made of, each with its check and its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from reconciler.core import naming
from reconciler.core.duration import PATTERN, parse_duration


def rule(wrong: Any) -> AfterValidator:
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


def _wrong_subdomain(value: str) -> str:
    return naming.wrong_subdomain(value) if value else "is empty"


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


def at_least(least: float) -> AfterValidator:
    """A validator of durations that are not shorter than `least` seconds."""

    def check(value: float) -> float:
        if value < least:
            raise ValueError(f"must be at least {least:g}s")
        return value

    return AfterValidator(check)


def at_most(most: float) -> AfterValidator:
    """A validator of durations that are not longer than `most` seconds."""

    def check(value: float) -> float:
        if value > most:
            raise ValueError(f"must be at most {most:g}s")
        return value

    return AfterValidator(check)


_DURATION_SCHEMA: dict[str, Any] = {"type": "string", "pattern": PATTERN, "examples": ["30s", "10m"]}


def duration(default: str, description: str) -> Any:
    """A field that holds a duration, in seconds, as Go writes them."""
    return Field(
        default=parse_duration(default),
        description=description,
        json_schema_extra={**_DURATION_SCHEMA, "default": default},
    )


Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=str)]
Name = Annotated[str, rule(_wrong_label)]
ServiceName = Annotated[str, rule(_wrong_service)]
SubdomainName = Annotated[str, rule(_wrong_subdomain)]
FolderPath = Annotated[str, rule(_wrong_path), AfterValidator(_normalised)]


class Model(BaseModel):
    """What every part of a configuration file is: strict, and no unknown key."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, data: Any) -> Any:
        """As in Kubernetes: a key whose lines below it are all commented out is not there."""
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data

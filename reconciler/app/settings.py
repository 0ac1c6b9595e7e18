"""The configuration file: what it may hold, and how it becomes values of the core.

The models (`settings_source`, `settings_app`, `settings_webhook`, `settings_monitoring`,
`settings_notifications`) are the format;
`config/reconciler.schema.json` is generated from them (`python -m reconciler.app.settings >
config/reconciler.schema.json`). What a model cannot say (names that must be unique, sources that must exist) is in
`settings_checks`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from reconciler.app.settings_analysis import PrometheusModel, prometheus_of, without_server
from reconciler.app.settings_app import AppFileModel, AppModel, app_of
from reconciler.app.settings_availability import AvailabilityModel, AvailabilitySettings, availability_of
from reconciler.app.settings_checks import Problem, collect, described, report
from reconciler.app.settings_fields import Model
from reconciler.app.settings_monitoring import MonitoringModel, MonitoringSettings, monitoring_of
from reconciler.app.settings_notifications import CHANNELS_LIMIT, ChannelModel, ChannelSettings, channels_of
from reconciler.app.settings_source import SourceModel, SourceSettings, source_of
from reconciler.app.settings_webhook import WebhookModel, WebhookSettings, webhook_of
from reconciler.core import strictyaml
from reconciler.core.model import App
from reconciler.core.probe import PrometheusServer
from reconciler.core.strictyaml import Passage
from reconciler.core.text import decode
from reconciler.errors import Invalid

SIZE_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the configuration file says. Every app's source exists, and names are unique."""

    sources: tuple[SourceSettings, ...]
    apps: tuple[App, ...]
    webhook: WebhookSettings | None = None
    prometheus: PrometheusServer | None = None
    notifications: tuple[ChannelSettings, ...] = ()
    high_availability: AvailabilitySettings | None = None
    monitoring: MonitoringSettings | None = None


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
    problems += _without_server(model) if model else []
    if problems or model is None:
        raise report(problems, document)
    sources = {each.name: source_of(each) for each in model.sources}
    places = (Passage(document, ("apps", index, "values")) for index in range(len(model.apps)))
    apps = (app_of(each, sources[each.source], place) for each, place in zip(model.apps, places, strict=True))
    webhook = webhook_of(model.webhook) if model.webhook else None
    prometheus = prometheus_of(model.prometheus) if model.prometheus else None
    notifications = channels_of(model.notifications, Passage(document, ("notifications",)))
    availability = availability_of(model.high_availability) if model.high_availability else None
    monitoring = monitoring_of(model.monitoring) if model.monitoring else None
    return Settings(tuple(sources.values()), tuple(apps), webhook, prometheus, notifications, availability, monitoring)


def _without_server(model: _File) -> list[Problem]:
    strategies = [] if model.prometheus else [each.strategy for each in model.apps]
    return [
        Problem(("apps", index, *problem.path), problem.what)
        for index, each in enumerate(strategies)
        for problem in without_server((each.pre_promotion_analysis, each.post_promotion_analysis))
    ]


def schema() -> str:
    """The JSON Schema of the configuration file, for editors and for `config/reconciler.schema.json`."""
    return _published(_File, "reconciler.yaml")


def app_schema() -> str:
    """The JSON Schema of an app.yaml, for editors and for `config/app.schema.json`."""
    return _published(AppFileModel, "app.yaml")


def _published(model: type[Model], title: str) -> str:
    generated = model.model_json_schema(by_alias=True, mode="validation")
    heading = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps(_untitled(generated) | heading, indent=2) + "\n"


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic makes up, which only repeat the keys."""
    if isinstance(schema, list):
        return [_untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _untitled(value) for key, value in schema.items() if key != "title"}


class _File(Model):
    """The configuration of the reconciler."""

    sources: list[SourceModel] = Field(description="Where to read from.")
    apps: list[AppModel] = Field(description="What to release.")
    webhook: WebhookModel | None = Field(
        default=None, description="Where Git hosts may say that there is something new."
    )
    monitoring: MonitoringModel | None = Field(
        default=None, description="Where the kubelet and Prometheus may ask how the daemon is."
    )
    prometheus: PrometheusModel | None = Field(
        default=None, description="The Prometheus that checks ask unless they name another."
    )
    high_availability: AvailabilityModel | None = Field(
        default=None, description="How several daemons share the apps. Not given: this one is alone."
    )
    notifications: list[ChannelModel] = Field(
        default_factory=list, max_length=CHANNELS_LIMIT, description="Whom to tell of what. Nobody, if not given."
    )


if __name__ == "__main__":
    sys.stdout.write(schema())

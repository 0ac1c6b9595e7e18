"""What is wrong with a configuration: pydantic's findings in plain words, and the rules between entries."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from reconciler.core.dependencies import cycle, shown
from reconciler.core.naming import wrong_dns_label, wrong_service_name
from reconciler.core.strictyaml import Document, Key
from reconciler.core.text import did_you_mean
from reconciler.errors import Invalid

_TYPES = {
    "bool_type": "must be `true` or `false`",
    "string_type": "must be text",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "list_type": "must be a list",
    "missing": "is missing",
    "too_short": "must not be empty",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: the field at `path`, and what about it."""

    path: tuple[Key, ...]
    what: str


def described(error: Mapping[str, Any], model: type[BaseModel]) -> Problem:
    """A finding of pydantic (an element of `ValidationError.errors()`) in our words, without any input in it."""
    path = tuple(error["loc"])
    kind = error["type"]
    if kind == "extra_forbidden":
        return Problem(path, f"unknown key{did_you_mean(str(path[-1]), _known_keys(model, path[:-1]))}")
    if kind == "value_error":
        return Problem(path, str(error["ctx"]["error"]))
    return Problem(path, _TYPES.get(kind, error["msg"][:1].lower() + error["msg"][1:]))


def collect(data: Any) -> list[Problem]:
    """What breaks a rule between entries, in data that may be wrong in any other way as well."""
    sources, apps = _entries(data, "sources"), _entries(data, "apps")
    return [
        *_repeated(sources, "sources", "name", _name, "another source has this name already"),
        *_repeated(apps, "apps", "name", _name, "another app has this name already"),
        *_repeated(apps, "apps", "strategy", _active_service, "another app has this active Service already"),
        *_repeated(apps, "apps", "strategy", _active_ingress, "another app has this active Ingress already"),
        *_unfit_previews(apps),
        *_unknown_sources(apps, sources),
        *_unfit_names(apps),
        *(Problem(("webhook", *each.path), each.what) for each in _in_webhook(data, sources)),
        *_in_notifications(data, sources, apps),
        *_cycles(apps),
        *_unknown_apps(apps, sources),
    ]


def report(problems: Iterable[Problem], document: Document) -> Invalid:
    """One error for all problems, one line for each, in the order of the file."""
    lines = {f"{document.at(*each.path)}: {_path_text(each.path)}{each.what}": each for each in problems}
    in_order = sorted(lines, key=lambda line: int(line.removeprefix(f"{document.where}:").partition(":")[0]))
    return Invalid("\n".join(in_order))


def _entries(data: Any, key: str) -> list[Mapping[str, Any]]:
    """The list at `key`, with an empty mapping for whatever is no mapping, so that indices stay right."""
    found = data.get(key) if isinstance(data, dict) else None
    return [each if isinstance(each, dict) else {} for each in found] if isinstance(found, list) else []


def _name(entry: Mapping[str, Any]) -> Any:
    return entry.get("name")


def _active_service(app: Mapping[str, Any]) -> Any:
    strategy = app.get("strategy")
    service = strategy.get("activeService") if isinstance(strategy, dict) else None
    service = service or app.get("name")
    namespace = app.get("namespace") or "default"
    return (namespace, service) if isinstance(namespace, str) and isinstance(service, str) else None


def _active_ingress(app: Mapping[str, Any]) -> Any:
    return _strategy_object(app, "activeIngress")


IS_ACTIVE = "is the active Service: no client must be led to what is not proved"


def _unfit_previews(apps: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """A preview Service is no app's active one, and no other app's preview Service."""
    taken = {found: (index, "active") for index, app in enumerate(apps) if (found := _front_service(app))}
    for index, app in enumerate(apps):
        own = _strategy_object(app, "previewService")
        if own is None:
            continue
        other, role = taken.setdefault(own, (index, "preview"))
        what = f"is the {role} Service of another app (apps[{other}])" if other != index else IS_ACTIVE
        if other != index or role == "active":
            yield Problem(("apps", index, "strategy", "previewService"), what)


def _front_service(app: Mapping[str, Any]) -> Any:
    return None if _active_ingress(app) else _active_service(app)


def _strategy_object(app: Mapping[str, Any], key: str) -> tuple[str, str] | None:
    strategy, namespace = app.get("strategy"), app.get("namespace") or "default"
    found = strategy.get(key) if isinstance(strategy, dict) else None
    return (namespace, found) if isinstance(namespace, str) and isinstance(found, str) else None


def _repeated(
    entries: Sequence[Mapping[str, Any]],
    section: str,
    key: str,
    identity: Callable[[Mapping[str, Any]], Any],
    what: str,
) -> Iterator[Problem]:
    seen: dict[Any, int] = {}
    for index, entry in enumerate(entries):
        own = identity(entry)
        if not isinstance(own, (str, tuple)):
            continue
        first = seen.setdefault(own, index)
        if first != index:
            shown = own if isinstance(own, str) else "/".join(own)
            yield Problem((section, index, key), f"{what} ({shown}, {section}[{first}])")


def _unknown_sources(apps: Sequence[Mapping[str, Any]], sources: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    known = [name for source in sources if isinstance(name := source.get("name"), str)]
    for index, app in enumerate(apps):
        wanted = app.get("source")
        if isinstance(wanted, str) and wanted not in known:
            yield Problem(("apps", index, "source"), f"there is no source `{wanted}`{did_you_mean(wanted, known)}")


def _in_webhook(data: Any, sources: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """The same for receivers, which name several sources."""
    receivers = _entries(data.get("webhook") if isinstance(data, dict) else None, "receivers")
    yield from _repeated(receivers, "receivers", "name", _name, "another receiver has this name already")
    for index, receiver in enumerate(receivers):
        wanted = receiver.get("sources")
        named = [{"source": each} for each in wanted] if isinstance(wanted, list) else []
        for problem in _unknown_sources(named, sources):
            yield Problem(("receivers", index, "sources", problem.path[1]), problem.what)


def _in_notifications(
    data: Any, sources: Sequence[Mapping[str, Any]], apps: Sequence[Mapping[str, Any]]
) -> Iterator[Problem]:
    """Names without a `*` must be there: of apps only where none can be discovered."""
    channels = _entries(data, "notifications")
    yield from _repeated(channels, "notifications", "name", _name, "another channel has this name already")
    known = {"sources": sources, "apps": [] if any(each.get("apps") for each in sources) else apps}
    for index, channel in enumerate(channels):
        for key, entries in known.items():
            names = [name for each in entries if isinstance(name := each.get("name"), str)]
            for at, wanted in enumerate(_texts(channel.get(key))):
                if names and "*" not in wanted and wanted not in names:
                    what = f"there is no {key.removesuffix('s')} `{wanted}`{did_you_mean(wanted, names)}"
                    yield Problem(("notifications", index, key, at), what)


def unfit_name(name: str) -> str:
    """Why `name` cannot be that of an app whose Service is called the same, or ''."""
    return wrong_dns_label(name) or wrong_service_name(name)


def _cycles(apps: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    wanted = {each["name"]: _texts(each.get("dependsOn")) for each in apps if isinstance(each.get("name"), str)}
    told: set[frozenset[str]] = set()
    for index, app in enumerate(apps):
        found = cycle(app["name"], wanted) if isinstance(app.get("name"), str) else ()
        if found and frozenset(found) not in told:
            told.add(frozenset(found))
            yield Problem(("apps", index, "dependsOn"), f"each would wait for the other: {shown(found)}")


def _unknown_apps(apps: Sequence[Mapping[str, Any]], sources: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Only where no app can be discovered; otherwise it shows when the repository is read."""
    if any(each.get("apps") for each in sources):
        return
    known = [name for app in apps if isinstance(name := app.get("name"), str)]
    for index, app in enumerate(apps):
        for at, wanted in enumerate(_texts(app.get("dependsOn"))):
            if wanted not in known:
                path = ("apps", index, "dependsOn", at)
                yield Problem(path, f"there is no app `{wanted}`{did_you_mean(wanted, known)}")


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _unfit_names(apps: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """An app's name is its Service's too, unless it names another."""
    for index, app in enumerate(apps):
        found = _active_service(app)
        if not found or found[1] != app.get("name") or wrong_dns_label(found[1]):
            continue
        if wrong := wrong_service_name(found[1]):
            yield Problem(("apps", index, "name"), f"{wrong}; or set `strategy.activeService`")


def _known_keys(model: type[BaseModel], path: Sequence[Key]) -> list[str]:
    """The keys that the model at `path` takes."""
    current: type[BaseModel] = model
    for key in path:
        if isinstance(key, int):
            continue
        by_alias = {field.alias or name: field for name, field in current.model_fields.items()}
        current = _model_in(by_alias[key].annotation)
    return [field.alias or name for name, field in current.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel]:
    for each in (annotation, *typing.get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    raise LookupError(f"no model in {annotation}")


def _path_text(path: Sequence[Key]) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")
    return f"{text}: " if text else ""

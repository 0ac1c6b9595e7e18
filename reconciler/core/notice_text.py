"""The words of a notice: our own, or those of a template that the configuration gives. Pure.

A template is drawn by the same sandbox as those of objects, and within the same limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.core.event import EVENTS, FIELDS
from reconciler.core.model import Template
from reconciler.core.notice import KINDS, Channel, Notice, Tone
from reconciler.core.template import draw
from reconciler.errors import Invalid, printable

TEMPLATE_LIMIT = 8192
"""Characters of a template."""

_TITLE, _BODY = 200, 4000
"""Characters of a message; a service may cut it further."""
_COMMIT = 12
_DIFFERENCES = 5
_LISTS = ("differences", "objects")
_SAMPLES: Mapping[str, Any] = {
    "duration": 12.3,
    "retry_in": 1.5,
    "replicas": 3,
    "objects": ["Service/my-app"],
    "differences": [{"field": "spec.replicas", "wanted": 3, "found": 5, "by": "kubectl"}],
}


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. The title is one line."""

    title: str
    body: str
    tone: Tone


def message(notice: Notice, channel: Channel) -> Message:
    """The message of a notice. A template that fails after all is named in it, and our own words stand in."""
    known = variables(notice)
    title, body = str(known["title"]), str(known["text"])
    try:
        title = _drawn(channel.title, known) or title
        body = _drawn(channel.template, known) or body
    except Invalid as error:
        body = f"{body}\n(The channel's template cannot be used: {_fault(error)})"
    return Message(_cut(" ".join(title.split()), _TITLE), _cut(body.strip(), _BODY), notice.kind.tone)


def variables(notice: Notice) -> dict[str, Any]:
    """What a template can use: every field that any event has, '' (or an empty list) where this one has it not."""
    known: dict[str, Any] = {name: [] if name in _LISTS else "" for name in FIELDS}
    known |= {name: value for name, value in notice.fields.items() if value is not None}
    known |= {"source": notice.source, "event": notice.event, "group": notice.kind.group.value}
    known |= {"level": notice.kind.tone.value, "times": notice.times, "more": notice.more}
    known["at"] = datetime.fromtimestamp(notice.at, UTC).isoformat(timespec="seconds")
    known["title"] = notice.kind.headline.format_map(known)
    known["text"] = "\n".join(_lines(known))
    return known


def template_fault(text: str) -> str:
    """What is wrong with a template, tried on every event that there can be; '' if nothing is."""
    if len(text) > TEMPLATE_LIMIT:
        return f"has more than {TEMPLATE_LIMIT} characters"
    try:
        for name in KINDS:
            _drawn(text, variables(_sample(name)))
    except Invalid as error:
        return _fault(error)
    return ""


def _sample(name: str) -> Notice:
    fields = EVENTS[name].fields if name in EVENTS else ("app", "version")
    return Notice(name, {each: _SAMPLES.get(each, each) for each in fields}, "source", 0.0)


def _drawn(template: str, known: Mapping[str, Any]) -> str:
    return draw(Template("line", template), known).text.strip() if template else ""


def _fault(error: Invalid) -> str:
    """Its line, and what is wrong there; nothing of what was drawn."""
    line = error.where.rpartition(":")[2]
    return f"line {line}: {error.what}" + (f". {error.todo}" if error.todo else "")


def _lines(known: Mapping[str, Any]) -> Iterator[str]:
    for heading, name in (("Why", "reason"), ("Left as it was", "untouched"), ("To do", "todo")):
        if known[name]:
            yield f"{heading}: {known[name]}"
    for each in known["differences"][:_DIFFERENCES]:
        by = f", by {each['by']}" if each.get("by") else ""
        yield f"Changed: {known['object']} {each['field']}{by}"
    if len(known["differences"]) > _DIFFERENCES:
        yield f"And {len(known['differences']) - _DIFFERENCES} more fields of it"
    yield ", ".join(filter(None, _details(known)))
    if known["times"] > 1:
        yield f"This happened {known['times']} times since it was last told"
    if known["more"]:
        yield f"And {known['more']} more that were not told here: see the daemon's events"


def _details(known: Mapping[str, Any]) -> Iterator[str]:
    if known["app"]:
        yield f"App {known['namespace'] or '?'}/{known['app']}"
        yield f"source {known['source']}" if known["source"] else ""
    else:
        yield f"Source {known['source']}: {known['ref'] or 'no ref'} of {known['url'] or '?'}"
    yield f"version {known['version']}" if known["version"] else ""
    yield f"before {known['from_version']}" if known["from_version"] else ""
    colour = f" ({known['colour']})" if known["colour"] else ""
    yield f"revision {known['revision']}{colour}" if known["revision"] else ""
    yield f"commit {known['commit'][:_COMMIT]}" if known["commit"] else ""
    yield f"after {known['duration']} s" if known["duration"] != "" else ""
    yield f"at {known['at']}"


def _cut(text: str, length: int) -> str:
    text = printable(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"

"""YAML that means what it looks like, read within fixed bounds.

Only plain JSON data comes out, and what YAML 1.1 would quietly change stays as it was written:

* `true` and `false` are the only booleans. `yes`, `no`, `on`, `off`, `y` and `n` are text, as in YAML 1.2.
* A number is one only if writing it back gives the same text. So `3`, `-1` and `0.5` are numbers, but
  `1.10`, `1e3`, `+5` and `12:30` are text: a version or an image tag never loses a digit.
  Two exceptions follow what kubectl does: file modes such as `0644` are octal, `0x1f` is hexadecimal.
* Dates stay text, keys are always text, `.inf` and `.nan` (unknown to JSON) are text.

An `Invalid` gives the reason and `file:line:column`, and never shows a value: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from reconciler.core.text import shown
from reconciler.errors import Invalid

DOCUMENT_LIMIT = 512 * 1024
MAX_DOCUMENTS = 64
MAX_ALIASES = 32
MAX_DEPTH = 64

Key: TypeAlias = str | int
"""One step of a field path: a mapping's key or a sequence's index."""

_Position: TypeAlias = tuple[int, int]
_Marks: TypeAlias = dict[int, dict[Key, _Position]]
# libyaml is 10 times faster, but not in every build of PyYAML.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "<<"
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_OCTAL = re.compile(r"0[0-7]{1,4}")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"-?[0-9]{1,17}\.[0-9]{1,17}(?:[eE][-+][0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its `data` (treat it as immutable), and where every field of it was written.

    `lines`, when not empty, maps the text's lines (from 0) to those of the file that a reader knows,
    for text that was rendered from a template.
    """

    data: Any
    where: str
    start: _Position
    lines: Sequence[int] = ()
    _marks: _Marks = field(default_factory=dict, repr=False)
    _texts: dict[tuple[int, Key], str] = field(default_factory=dict, repr=False)

    def at(self, *path: Key) -> str:
        """`file:line` of the field at `path`, or of its closest parent that exists."""
        return f"{self.where}:{_original(self._position(path)[0], self.lines)}"

    def holds(self, *path: Key) -> bool:
        """Whether there is a field at `path`."""
        value = self.data
        for key in path:
            if key not in self._marks.get(id(value), {}):
                return False
            value = value[key]
        return True

    def text(self, *path: Key) -> str | None:
        """What is written at `path` if that is a scalar, before any conversion: `0644`, not 420."""
        value = self.data
        for key in path[:-1]:
            value = value[key]
        return self._texts.get((id(value), path[-1]))

    def _position(self, path: Sequence[Key]) -> _Position:
        value, position = self.data, self.start
        for key in path:
            marks = self._marks.get(id(value), {})
            if key not in marks:
                break
            value, position = value[key], marks[key]
        return position


@dataclass(frozen=True, slots=True)
class Passage:
    """The mapping at `path` of a file, so that an error about what became of it can still say where it was written."""

    document: Document
    path: tuple[Key, ...]

    def holds(self, *keys: Key) -> bool:
        """Whether there is anything at `keys` below it."""
        return self.document.holds(*self.path, *keys)

    def at(self, *keys: Key) -> str:
        """`file:line` of what is at `keys` below it, or of its closest parent that exists."""
        return self.document.at(*self.path, *keys)


def load(
    text: str, where: str, *, limit: int = DOCUMENT_LIMIT, lines: Sequence[int] = (), loader: Any = LOADER
) -> tuple[Document, ...]:
    """The documents in `text`, empty ones left out.

    Args:
        text: the YAML or JSON.
        where: the file's name for errors.
        limit: how many characters one document may have.
        lines: see `Document.lines`.
        loader: the parser; libyaml's, unless this build of PyYAML is without it.

    Raises:
        Invalid: not YAML, not plain data, or over a bound; says where.
    """
    try:
        _refuse_unprintable(text)
        if len(text) > 2 * limit:
            raise _Fault((1, 1), f"is larger than {2 * limit // 1024} KiB")
        return _Composer(text, where, limit, lines, loader).documents()
    except _Fault as fault:
        position, problem = fault.position, fault.problem
    except yaml.MarkedYAMLError as error:
        position, problem = _mark(error.problem_mark or error.context_mark), _explained(error)
    except (yaml.YAMLError, UnicodeEncodeError):
        position, problem = (1, 1), "cannot be read as YAML text"
    line = _original(position[0], lines)
    # A column of rendered text says nothing about the template that it came from.
    raise Invalid(problem, where=f"{where}:{line}" if lines else f"{where}:{line}:{position[1]}")


class _Fault(Exception):
    """A fault on its way to becoming an `Invalid`, which also needs the file's name."""

    def __init__(self, position: _Position, problem: str) -> None:
        super().__init__(problem)
        self.position = position
        self.problem = problem


class _Composer:
    """Builds plain data from parser events, so that every bound is checked before memory is spent."""

    def __init__(self, text: str, where: str, limit: int, lines: Sequence[int], loader: Any) -> None:
        self._next: Any = loader(text).get_event
        self._where, self._limit, self._lines = where, limit, lines
        self._aliases = 0

    def documents(self) -> tuple[Document, ...]:
        found: list[Document] = []
        count = 0
        while not isinstance(event := self._next(), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                count += 1
                if count > MAX_DOCUMENTS:
                    raise _fault(event, f"has more than {MAX_DOCUMENTS} documents")
                document = self._document()
                if document.data is not None:
                    found.append(document)
        return tuple(found)

    def _document(self) -> Document:
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._weight = self._borrowed = 0
        self._marks: _Marks = {}
        self._texts: dict[tuple[int, Key], str] = {}
        first: Any = self._next()
        data = self._value(first, 0)
        end: Any = self._next()
        if end.start_mark.index - first.start_mark.index > self._limit:
            raise _fault(first, f"a document is larger than {self._limit // 1024} KiB")
        return Document(data, self._where, _position(first), self._lines, self._marks, self._texts)

    def _value(self, event: Any, depth: int) -> Any:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        before = self._weight
        self._weight += 1
        if isinstance(event, ScalarEvent):
            self._weight += len(event.value)
            value = _scalar(event)
        else:
            if depth >= MAX_DEPTH:
                raise _fault(event, f"is nested deeper than {MAX_DEPTH} levels")
            _check_tag(event, "map" if isinstance(event, MappingStartEvent) else "seq")
            build = self._mapping if isinstance(event, MappingStartEvent) else self._sequence
            value = build(depth + 1)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._weight - before)
        return value

    def _alias(self, event: AliasEvent) -> Any:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise _fault(event, f"uses more than {MAX_ALIASES} aliases (`*name`)")
        if event.anchor not in self._anchors:
            raise _fault(event, "an alias (`*name`) has no anchor (`&name`) before it. Quote plain text")
        value, weight = self._anchors[event.anchor]
        self._weight += weight
        self._borrowed += weight
        if self._borrowed > self._limit:
            raise _fault(event, f"aliases expand to more than {self._limit // 1024} KiB")
        return value

    def _sequence(self, depth: int) -> list[Any]:
        result: list[Any] = []
        marks = self._marks[id(result)] = {}
        while not isinstance(event := self._next(), SequenceEndEvent):
            marks[len(result)] = _position(event)
            result.append(self._value(event, depth))
        return result

    def _mapping(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        marks = self._marks[id(result)] = {}
        merged: list[Mapping[str, Any]] = []
        while not isinstance(event := self._next(), MappingEndEvent):
            key = _key(event)
            value_event = self._next()
            if key == _MERGE and event.implicit[0]:
                merged.extend(self._merged(value_event, depth))
                continue
            if key in marks:
                raise _fault(event, f"the key {shown(key)} is there twice, first on line {self._line(marks[key])}")
            marks[key] = _position(event)
            result[key] = self._value(value_event, depth)
            if isinstance(value_event, ScalarEvent):
                self._weight += len(key)
                self._texts[id(result), key] = value_event.value
        self._merge(result, merged)
        return result

    def _merged(self, event: Event, depth: int) -> list[Mapping[str, Any]]:
        value = self._value(event, depth)
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            raise _fault(event, f"`{_MERGE}` takes a mapping or a list of mappings")
        return parts

    def _merge(self, result: dict[str, Any], parts: Sequence[Mapping[str, Any]]) -> None:
        for part in parts:
            for key in part.keys() - result.keys():
                result[key] = part[key]
                self._marks[id(result)][key] = self._marks[id(part)][key]

    def _line(self, position: _Position) -> int:
        return _original(position[0], self._lines)


def _original(line: int, lines: Sequence[int]) -> int:
    """The line in the file that the reader knows; text may end after the last one that was mapped."""
    return lines[min(line, len(lines)) - 1] if lines else line


def _mark(mark: Any) -> _Position:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _position(event: Event) -> _Position:
    return _mark(event.start_mark)


def _fault(event: Event, problem: str) -> _Fault:
    return _Fault(_position(event), problem)


def _key(event: Event) -> str:
    if not isinstance(event, ScalarEvent):
        raise _fault(event, "a key must be plain text. Text that starts with `{`, `[` or `*` needs quotes")
    _check_tag(event, "str")
    if not event.value:
        raise _fault(event, "a key is empty")
    return event.value


def _check_tag(event: Any, expected: str) -> None:
    """Explicit tags would make objects; those which only repeat what a value is anyway are harmless."""
    if event.tag not in (None, f"tag:yaml.org,2002:{expected}"):
        raise _fault(event, "tags (`!name`) are not supported. Quote text that starts with `!`")


def _scalar(event: ScalarEvent) -> Any:
    _check_tag(event, "str")
    text: str = event.value
    return _plain(text) if event.implicit[0] else text


def _plain(text: str) -> Any:
    """What an unquoted scalar stands for; the rules are in the module's docstring."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _INTEGER.fullmatch(text) and text != "-0":
        return int(text)
    if _FLOAT.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text


def _refuse_unprintable(text: str) -> None:
    # libyaml would name a byte offset in its own copy; a line is of more use.
    if found := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        raise _Fault((line, column), f"holds the control character {ord(found.group()):#06x}")


def _explained(error: yaml.MarkedYAMLError) -> str:
    problem = f"is not YAML: {error.problem}"
    if "cannot start any token" in problem and "%" not in problem:
        return problem + ". Tabs cannot indent, and text that starts with a special character needs quotes"
    if "mapping values are not allowed" in problem:
        return problem + ". Text that holds `: ` needs quotes; otherwise check the indentation"
    return problem

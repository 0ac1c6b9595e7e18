"""Template text and variables → text, with the template's line for every line of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import TracebackType
from typing import Any

import jinja2
from jinja2 import nodes

from reconciler.core.budget import SIZE_LIMIT, Refused, limited
from reconciler.core.model import Template
from reconciler.core.sandbox import Sandbox, UndefinedName, bounded_range
from reconciler.core.text import decode, did_you_mean
from reconciler.errors import Invalid

SUFFIXES = (".yaml", ".yml", ".json", ".yaml.j2", ".yml.j2", ".json.j2")
"""What a file in the templates' folder must end with to be rendered; others (a README) are left alone."""

TOKEN_LIMIT = 50_000
"""Words and signs in all expressions and statements of one template; more would take long to compile."""

_SANDBOX = Sandbox()
_HELM = re.compile(r"\{[{%].*?(?<![\w\])])\.([A-Za-z][\w.]*)")
"""An expression with a name that begins with a dot: `{{ .Values.name }}`, `{{- if .Values.name }}`."""
_HELM_WIDTH = 1000
"""Characters of a line that are searched for it: of a line without end that would take for ever."""
_NO_FILTER = re.compile(r"No filter named '(.*)'")
_REFERENCES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
# What a template's own expressions can raise besides Jinja2's errors. Their messages may hold values, which
# may be secrets, so only the kind of error is shown.
_EXPRESSION_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A template's output; `lines` gives for each of its lines the template's line (from 1) behind it."""

    template: str
    text: str
    lines: tuple[int, ...]


def templates_in(folder: str, files: Mapping[str, bytes]) -> tuple[Template, ...]:
    """The templates among a folder's `files` (name → content), sorted by name.

    Raises:
        Invalid: there is none, or one is no UTF-8 text or larger than 1 MiB.
    """
    found = tuple(
        Template(f"{folder}/{name}", decode(files[name], f"{folder}/{name}", SIZE_LIMIT))
        for name in sorted(files)
        if name.endswith(SUFFIXES) and not name.startswith(".")
    )
    if not found:
        todo = f"Add files that end with one of {', '.join(SUFFIXES)}. Folders below it are not read"
        raise Invalid("holds no template", where=folder, todo=todo)
    return found


def draw(template: Template, variables: Mapping[str, Any]) -> Rendered:
    """Renders `template` with `variables`.

    Raises:
        Invalid: a syntax error, an undefined name, an operation that fails, or output over 1 MiB; names the
            template's line.
    """
    try:
        with limited():
            return _drawn(template, {**variables, "range": bounded_range()})
    except jinja2.TemplateSyntaxError as error:
        line, what, todo = error.lineno, _misspelt(error), ""
    except UndefinedName as error:
        line = _failing_line(error.__traceback__)
        what, todo = _undefined(error, template, variables), "Define it, or write `| default(…)` after it"
    except jinja2.TemplateError as error:
        line, what, todo = _failing_line(error.__traceback__), error.message or "cannot be rendered", ""
    except (SyntaxError, MemoryError):  # Python's compiler, of the code that Jinja2 made: both are about nesting
        line, what, todo = 1, "nests loops, conditions or brackets too deeply", ""
    except _EXPRESSION_ERRORS as error:
        line = _failing_line(error.__traceback__)
        what, todo = f"an expression fails with {type(error).__name__}", "Check the types of what it uses"
    todo = _helm_advice(template.text, line) or todo
    raise Invalid(what, where=f"{template.name}:{line}", todo=todo)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A template and its literal parts."""

    template: jinja2.Template
    literals: frozenset[str]


@lru_cache(maxsize=512)
def _compiled(text: str) -> _Compiled:
    # Each has a character at least, so that most texts need not be counted.
    if len(text) > TOKEN_LIMIT and len(list(islice(_words(text), TOKEN_LIMIT + 1))) > TOKEN_LIMIT:
        raise Refused(f"has more than {TOKEN_LIMIT} words and signs within its braces")
    parsed = _SANDBOX.parse(text)
    for reference in parsed.find_all(_REFERENCES):
        raise jinja2.TemplateSyntaxError(
            f"`{type(reference).__name__.lower()}` is not supported, every template stands alone",
            reference.lineno,
        )
    literals = frozenset(each.data for each in parsed.find_all(nodes.TemplateData))
    return _Compiled(_SANDBOX.from_string(parsed), literals)


def _words(text: str) -> Iterator[str]:
    return (kind for _, kind, _ in _SANDBOX.lex(text) if kind not in ("data", "whitespace"))


def _drawn(template: Template, variables: dict[str, Any]) -> Rendered:
    compiled = _compiled(template.text)
    pieces: list[str] = []
    lines: list[int] = []
    size = 0
    context: Any = compiled.template.new_context(variables)
    at_line_start = True
    for piece in compiled.template.root_render_func(context):
        size += len(piece)
        if size > SIZE_LIMIT:
            raise Refused(f"renders to more than {SIZE_LIMIT // 1024} KiB")
        if at_line_start or "\n" in piece:
            lines.extend(_lines_begun(piece, context.line, piece in compiled.literals, at_line_start))
            at_line_start = piece.endswith("\n") if piece else at_line_start
        pieces.append(piece)
    return Rendered(template.name, "".join(pieces), tuple(lines))


def _lines_begun(piece: str, line: int, literal: bool, at_line_start: bool) -> list[int]:
    """The template's lines for the lines of output that begin in `piece`, which starts on `line`."""
    newlines = piece.count("\n")
    # Literal text goes on line by line; all that an expression gives comes from the line it stands on.
    step = 1 if literal else 0
    begun = [line + index * step for index in range(newlines + 1)]
    first = 0 if at_line_start and piece else 1
    return begun[first : len(begun) - piece.endswith("\n")]


def _failing_line(trace: TracebackType | None) -> int:
    line = 1
    while trace:
        compiled = trace.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(compiled, jinja2.Template):
            line = compiled.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _misspelt(error: jinja2.TemplateSyntaxError) -> str:
    what = f"is not a Jinja2 template: {error.message}"
    found = _NO_FILTER.match(error.message or "")
    return what.rstrip(".") + did_you_mean(found[1], _SANDBOX.filters) if found else what


def _helm_advice(text: str, line: int) -> str:
    """What to write instead, if that line of a template was written for Helm."""
    lines = text.split("\n")
    found = _HELM.search(lines[min(line, len(lines)) - 1][:_HELM_WIDTH])
    if not found:
        return ""
    name = found[1]
    instead = f"`values{name.removeprefix('Values')}`" if name.startswith("Values.") else "names without the dot"
    return f"`.{name}` is Helm's syntax, and this is Jinja2's: write {instead}"


def _undefined(error: UndefinedName, template: Template, variables: Mapping[str, Any]) -> str:
    # A key that the template does not spell out was computed, maybe from a secret.
    name = error.name if error.name in template.text else "(a computed key)"
    if error.parent is None:
        values = {str(key): f"values.{key}" for key in variables.get("values", {})}
        return f"`{name}` is not defined{_suggestion(name, values | {each: each for each in variables})}"
    if not isinstance(error.parent, Mapping):
        return f"`.{name}` is not defined: what is before it is no mapping"
    path = _path_of(error.parent, variables)
    return f"`{path}.{name}` is not defined{_suggestion(name, {str(key): f'{path}.{key}' for key in error.parent})}"


def _suggestion(name: str, full_names: Mapping[str, str]) -> str:
    suggestion = did_you_mean(name, full_names)
    for short, full in full_names.items():
        suggestion = suggestion.replace(f"`{short}`", f"`{full}`")
    return suggestion


def _path_of(wanted: Any, variables: Mapping[str, Any]) -> str:
    """How a template would write the way to the mapping `wanted`; its last resort is a description."""
    return next((path for path, each in _mappings(variables) if each is wanted), "(a mapping)")


def _mappings(inside: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in inside.items():
        if isinstance(value, Mapping):
            yield f"{prefix}{key}", value
            yield from _mappings(value, f"{prefix}{key}.")

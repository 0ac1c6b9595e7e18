"""Jinja2 for templates that come from Git: strict, deterministic, without files, within bounds.

Templates are written by the team that owns the app, so this is a guard against accidents (an endless loop, a
gigabyte of text, a rendering that differs every time) more than against attackers.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import jinja2
import yaml
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import do_indent
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from reconciler.core.revision import slug
from reconciler.core.versionfile import merge_values

SIZE_LIMIT = 1024 * 1024
"""Characters that one template may render to, and that any text made on the way may have."""

LOOP_LIMIT = 10_000
"""How many numbers all `range()` calls of one rendering may give together."""

_WIDTH_LIMIT = 1000
_POWER_LIMIT = 1000
_REMOVED_FILTERS = (
    # Give another result every time, and with it another revision.
    *("random", "pprint"),
    # Make HTML, or pad to any width.
    *("center", "e", "escape", "forceescape", "format", "safe", "striptags", "urlize", "wordwrap", "xmlattr"),
)
_PADDING_METHODS = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill", "format", "format_map"})
_YAML_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class UndefinedName(jinja2.UndefinedError):
    """A template used a name that does not exist: `name`, in `parent` if that is not None."""

    def __init__(self, name: str, parent: Any) -> None:
        super().__init__(f"{name} is undefined")
        self.name = name
        self.parent = parent


class Refused(jinja2.TemplateRuntimeError):
    """The template itself said `fail("…")`, or went over a bound. The message is fit to be shown."""


class _Strict(jinja2.StrictUndefined):
    """Like `StrictUndefined`, but says what was missing from what."""

    __slots__ = ()

    def _fail_with_undefined_error(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        if self._undefined_hint:
            raise Refused(self._undefined_hint)
        parent = None if self._undefined_obj is missing else self._undefined_obj
        raise UndefinedName(str(self._undefined_name), parent)


for _name, _member in {**vars(Undefined), **vars(jinja2.StrictUndefined)}.items():
    # Jinja2 binds this one function to each operator by name, so overriding it once is not enough.
    if _member is Undefined._fail_with_undefined_error:
        setattr(_Strict, _name, _Strict._fail_with_undefined_error)


class _Generator(CodeGenerator):
    """Notes the template's line at every piece of output, and lets `~` be bounded."""

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        for child in node.nodes:
            self.newline(child)
            super().visit_Output(nodes.Output([child], lineno=child.lineno), frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for child in node.nodes:
            self.visit(child, frame)
            self.write(", ")
        self.write("))")


class Sandbox(ImmutableSandboxedEnvironment):
    """The one environment in which all templates are compiled and rendered."""

    code_generator_class = _Generator
    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=_Strict, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
        for name in _REMOVED_FILTERS:
            del self.filters[name]
        # Random text; `range` is given to each rendering with a budget of its own.
        for name in ("lipsum", "range"):
            del self.globals[name]
        self.globals["fail"] = _fail
        self.filters.update(FILTERS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A mapping's own key goes before Python's methods, or `values.items` could never be a value."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As Jinja2's, without the methods of text that can make it as long as they are told."""
        padding = isinstance(obj, str) and attr in _PADDING_METHODS
        return not padding and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuses what would make a huge text, list or number before it is made."""
        if operator == "%" and isinstance(left, str):
            raise Refused("`%` on text is not supported. Use `~` to join texts")
        if operator == "**" and (_size(left) > _POWER_LIMIT or _size(right) > _POWER_LIMIT):
            raise Refused(f"`**` takes numbers up to {_POWER_LIMIT}")
        if operator == "*" and _length(left) * _size(right) + _length(right) * _size(left) > SIZE_LIMIT:
            raise Refused(f"`*` would make more than {SIZE_LIMIT} characters")
        if operator == "+" and _length(left) + _length(right) > SIZE_LIMIT:
            raise Refused(f"`+` would make more than {SIZE_LIMIT} characters")
        return super().call_binop(context, operator, left, right)

    def joined(self, parts: tuple[Any, ...]) -> str:
        """The operator `~`."""
        texts = [str(part) for part in parts]
        if sum(map(len, texts)) > SIZE_LIMIT:
            raise Refused(f"`~` would make more than {SIZE_LIMIT} characters")
        return "".join(texts)


def bounded_range() -> Callable[..., range]:
    """A `range` for one rendering; all its calls together may give `LOOP_LIMIT` numbers."""
    left = LOOP_LIMIT

    def limited(*bounds: int) -> range:
        nonlocal left
        numbers = range(*bounds)
        try:
            left -= len(numbers)
        except OverflowError:
            left = -1
        if left < 0:
            raise Refused(f"`range` gives more than {LOOP_LIMIT} numbers in all")
        return numbers

    return limited


def to_yaml(value: Any) -> str:
    """The filter `toyaml`: block style YAML without a newline at its end; pipe it on into `indent`."""
    _demand(value)
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=SIZE_LIMIT)
    return text.removesuffix("...\n").rstrip("\n")


def quote(value: Any) -> str:
    """The filter `quote`: `value` as a double-quoted text, safe in YAML and JSON whatever it holds."""
    _demand(value)
    text = json.dumps(_as_text(value), ensure_ascii=False)
    return _YAML_ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def merge(base: Mapping[str, Any], over: Mapping[str, Any] | None) -> dict[str, Any]:
    """The filter `merge`: `over` laid over `base` to any depth; a null in `over` removes the key."""
    _demand(over)
    return _without_nulls(merge_values(base, over or {}))


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """The filter `texts`: every value as text, as environment variables and annotations must be."""
    _demand(values)
    return {key: _as_text(value) for key, value in values.items()}


def b64enc(value: Any) -> str:
    """The filter `b64enc`: UTF-8 as Base64, as in a Secret's `data`."""
    _demand(value)
    return base64.b64encode(str(value).encode()).decode()


def _indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    if (width if isinstance(width, int) else len(width)) > _WIDTH_LIMIT:
        raise Refused(f"`indent` takes widths up to {_WIDTH_LIMIT}")
    return do_indent(text, width, first, blank)


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    text, old, new = str(text), str(old), str(new)
    if (text.count(old) if count < 0 else min(count, text.count(old))) * len(new) > SIZE_LIMIT:
        raise Refused(f"`replace` would make more than {SIZE_LIMIT} characters")
    return text.replace(old, new, count)


FILTERS: dict[str, Callable[..., Any]] = {
    "toyaml": to_yaml,
    "quote": quote,
    "merge": merge,
    "texts": texts,
    "b64enc": b64enc,
    "slug": lambda value: slug(str(value)),
    "indent": _indent,
    "replace": _replace,
}


def _always(_dumper: Any, _data: Any) -> bool:
    return True


# Text is written out in full wherever it is used twice: an alias in a rendered object would only puzzle.
_Dumper: Any = type("_Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {"ignore_aliases": _always})


def _fail(message: str) -> NoReturn:
    raise Refused(str(message)[:500])


def _demand(value: Any) -> None:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nulls(each) if isinstance(each, Mapping) else each
        for key, each in value.items()
        if each is not None
    }


def _as_text(value: Any) -> str:
    """Scalars as YAML writes them, so that `true` does not become Python's `True`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise Refused("a list or mapping is where text or a number must be. Use `toyaml` for it")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, tuple)) else 0


def _size(value: Any) -> int:
    return abs(int(value)) if isinstance(value, (int, float)) else 0

"""The filters that templates have: an allow-list, `manifests/README.md` names each.

Of Jinja2's own those are left out that give another result every time, make HTML, pad to any width, or whose number
argument says how much they make.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import yaml
from jinja2 import Environment, pass_environment
from jinja2.filters import FILTERS as JINJA
from jinja2.filters import do_indent, do_round, make_attrgetter
from jinja2.runtime import Undefined
from jinja2.utils import htmlsafe_json_dumps

from reconciler.core.budget import SIZE_LIMIT, Refused, joined, read, spend, text_of, weight
from reconciler.core.revision import slug
from reconciler.core.versionfile import merge_values

_WIDTH_LIMIT = 1000
_PRECISION_LIMIT = 100
_YAML_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_TAKEN_OVER = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "last"),
    *(
        "length",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "reverse",
        "select",
        "selectattr",
        "sort",
    ),
    *("title", "trim", "truncate", "unique", "upper", "urlencode", "wordcount"),
)


def to_yaml(value: Any) -> str:
    """The filter `toyaml`: block style YAML without a newline at its end; pipe it on into `indent`."""
    _demand(value)
    weight(value, plain=True)
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
    return base64.b64encode(text_of(value).encode()).decode()


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    """The filter and method `replace`."""
    text, old, new = text_of(text), text_of(old), text_of(new)
    if (text.count(old) if count < 0 else min(count, text.count(old))) * len(new) > SIZE_LIMIT:
        raise Refused(f"`replace` would make more than {SIZE_LIMIT} characters")
    return text.replace(old, new, count)


@pass_environment
def join(environment: Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    """The filter `join`."""
    parts = value if attribute is None else map(make_attrgetter(environment, attribute), value)
    return joined(parts, text_of(d))


@pass_environment
def total(
    environment: Environment, value: Iterable[Any], attribute: str | int | None = None, start: float = 0
) -> float:
    """The filter `sum`, of numbers only: of lists it would make one as long as all of them."""
    result = start
    for each in value if attribute is None else map(make_attrgetter(environment, attribute), value):
        if not isinstance(each, (int, float)) or not isinstance(start, (int, float)):
            raise Refused("`sum` takes numbers only")
        result += each
    return result


def to_json(value: Any, indent: int | None = None) -> str:
    """The filter `tojson`: as Jinja2's, with `<`, `>`, `&` and `'` escaped."""
    weight(value, plain=True)
    _check_at_most(indent or 0, _WIDTH_LIMIT, "tojson")
    return str(htmlsafe_json_dumps(value, sort_keys=True, indent=indent))


def _indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    _check_at_most(width if isinstance(width, int) else len(width), _WIDTH_LIMIT, "indent")
    text = text_of(text)
    if text.count("\n") * (width if isinstance(width, int) else len(width)) > SIZE_LIMIT:
        raise Refused(f"`indent` would make more than {SIZE_LIMIT} characters")
    return do_indent(text, width, first, blank)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    _check_at_most(abs(precision), _PRECISION_LIMIT, "round")
    return do_round(value, precision, method)


def _check_at_most(number: int, limit: int, name: str) -> None:
    if number > limit:
        raise Refused(f"`{name}` takes numbers up to {limit}")


def paid(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with what it reads and gives paid for. Jinja2's marks stay, so that it is given the environment."""

    @functools.wraps(function)
    def paying(*arguments: Any, **named: Any) -> Any:
        spend(sum(map(weight, (*arguments, *named.values()))))
        return read(function(*arguments, **named))

    return paying


_FILTERS: dict[str, Callable[..., Any]] = {
    **{name: JINJA[name] for name in _TAKEN_OVER},
    "toyaml": to_yaml,
    "quote": quote,
    "merge": merge,
    "texts": texts,
    "b64enc": b64enc,
    "slug": lambda value: slug(text_of(value)),
    "indent": _indent,
    "replace": replace,
    "join": join,
    "string": text_of,
    "sum": total,
    "tojson": to_json,
    "round": _round,
}
FILTERS = {name: paid(function) for name, function in _FILTERS.items()}


def _always(_dumper: Any, _data: Any) -> bool:
    return True


# Text is written out in full wherever it is used twice: an alias in a rendered object would only puzzle.
_Dumper: Any = type("_Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {"ignore_aliases": _always})


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

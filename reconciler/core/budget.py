"""How much one rendering may do. Whatever a template does is paid from one budget, beforehand where that is possible.

Bounds on single operations are not enough: a loop makes much of little, and a list that holds another one twice, which
holds another one twice, writes itself out for ever. Every node of a template costs each time that it is reached, and
every operation costs what it reads and makes. So neither time nor memory can grow without end, and the same template
always ends at the same place: no clock is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import jinja2
from jinja2.runtime import Undefined
from jinja2.utils import Namespace

SIZE_LIMIT = 1024 * 1024
"""Characters that one template may render to, and that any text, list or mapping made on the way may have."""

WORK_LIMIT = 16 * 1024 * 1024
"""What one rendering may cost in all. Of the order of a second."""

NODE = 16
"""What it costs to reach one node of a template: as much as so many characters."""

_ITEM = 8
_DEPTH_LIMIT = 64
_NUMBER_BITS = 4096

T = TypeVar("T")


class Refused(jinja2.TemplateRuntimeError):
    """The template itself said `fail("…")`, or went over a bound. The message is fit to be shown."""


@dataclass(slots=True)
class _Budget:
    left: int = WORK_LIMIT


_PRESENT: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """All that happens within the `with`, in this thread or task, is paid from one budget."""
    token = _PRESENT.set(_Budget())
    try:
        yield
    finally:
        _PRESENT.reset(token)


def spend(cost: int) -> None:
    """Raises `Refused` once a rendering has cost too much. Outside of `limited` nothing does."""
    budget = _PRESENT.get()
    if budget is not None:
        budget.left -= cost
        if budget.left < 0:
            raise Refused("does too much: its loops, calls and texts come to more than one rendering may do")


def read(value: T) -> T:
    """`value` itself, paid for."""
    spend(weight(value))
    return value


def weight(value: Any, *, plain: bool = False) -> int:
    """Roughly the characters that `value` would have if it were written out; what it holds twice counts twice.

    With `plain`, only what has a text of its own is taken. A generator or function has none: what Python would print is
    its address, which is another one every time.

    Raises:
        Refused: it is over the limit, nested too deeply, or not plain.
        UndefinedName: with `plain`, it holds something undefined.
    """
    total, waiting = 0, [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        parts = _parts(each)
        if parts is None:
            total += _weight_of_one(each, plain)
            continue
        if depth >= _DEPTH_LIMIT:
            raise Refused(f"a list or mapping is nested deeper than {_DEPTH_LIMIT} levels")
        total += _ITEM * (len(parts) + 1)
        if total > SIZE_LIMIT:
            raise Refused(f"a list or mapping comes to more than {SIZE_LIMIT} characters")
        waiting.extend((part, depth + 1) for part in parts)
    return total


def text_of(value: Any) -> str:
    """`value` as Jinja2 prints it, bounded and paid for."""
    spend(weight(value, plain=True))
    text = value if type(value) is str else str(value)
    spend(len(text))
    return text


def joined(parts: Iterable[Any], separator: str = "", what: str = "joining texts") -> str:
    """The texts of `parts` with `separator` between them. Counted before each is made, so that nothing huge ever is."""
    texts: list[str] = []
    size = 0
    for part in parts:
        texts.append(text_of(part))
        size += len(texts[-1]) + len(separator) + _ITEM
        if size > SIZE_LIMIT + len(separator):
            raise Refused(f"{what} would make more than {SIZE_LIMIT} characters")
    spend(size)
    return separator.join(texts)


def check_number(value: Any) -> None:
    """Whole numbers of Python have no end; these have."""
    if isinstance(value, int) and value.bit_length() > _NUMBER_BITS:
        raise Refused(f"a number has more than {_NUMBER_BITS} bits")


def _parts(value: Any) -> list[Any] | tuple[Any, ...] | None:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, (list, tuple)) else None


def _weight_of_one(value: Any, plain: bool) -> int:
    if isinstance(value, Namespace):
        raise Refused("a namespace can only be read and set, not put into something else")
    if isinstance(value, str):
        return len(value)
    if plain and isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if plain and not isinstance(value, (int, float, type(None))):
        raise Refused("a value has no text of its own. Make a list of it with `| list`, or call it")
    return 1

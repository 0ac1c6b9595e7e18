"""Jinja2 for templates that come from Git: strict, deterministic, without files, within bounds.

Templates are written by the team that owns the app, so this is a guard against accidents (an endless loop, a
gigabyte of text, a rendering that differs every time) more than against attackers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, missing

from reconciler.core.budget import NODE, SIZE_LIMIT, Refused, check_number, joined, read, spend, text_of
from reconciler.core.filters import FILTERS, paid, replace

LOOP_LIMIT = 10_000
"""How many numbers all `range()` calls of one rendering may give together."""

_POWER_LIMIT = 1000
# Of text and numbers: those that make as much as they are told, or bytes, which nothing here needs.
_REFUSED_METHODS = frozenset(
    {"center", "expandtabs", "ljust", "rjust", "zfill", "format", "format_map", "translate", "encode", "to_bytes"}
)
_GROWING_METHODS: Mapping[str, Callable[..., str]] = {
    "replace": replace,
    "join": lambda separator, parts: joined(parts, separator),
}
_REPEATED = (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)


class UndefinedName(jinja2.UndefinedError):
    """A template used a name that does not exist: `name`, in `parent` if that is not None."""

    def __init__(self, name: str, parent: Any) -> None:
        super().__init__(f"{name} is undefined")
        self.name = name
        self.parent = parent


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
    """Notes the template's line before every piece of output, and has all that a template does paid for."""

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        for child in node.nodes:
            self._note_line(child, frame)
            super().visit_Output(nodes.Output([child], lineno=child.lineno), frame)

    def start_write(self, frame: Frame, node: nodes.Node | None = None) -> None:
        if node is not None:
            self._note_line(node, frame)
        super().start_write(frame, node)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.tilde((")
        for child in node.nodes:
            self.visit(child, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        self._paid(lambda: super(_Generator, self).visit_List(node, frame))

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self._paid(lambda: super(_Generator, self).visit_Dict(node, frame))

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        if node.ctx == "load":
            self._paid(lambda: super(_Generator, self).visit_Tuple(node, frame))
        else:
            super().visit_Tuple(node, frame)

    def visit_Operand(self, node: nodes.Operand, frame: Frame) -> None:
        self.write(f" {operators[node.op]} ")
        self._paid(lambda: self.visit(node.expr, frame))

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Slice):
            return super().visit_Getitem(node, frame)
        self._paid(lambda: self.visit(node.node, frame))
        self.write("[")
        self.visit(node.arg, frame)
        return self.write("]")

    def _note_line(self, node: nodes.Node, frame: Frame) -> None:
        if frame.buffer is None:
            self.writeline(f"context.line = {node.lineno}", node)
        else:
            self.newline(node)

    def _paid(self, write: Callable[[], None]) -> None:
        self.write("environment.read(")
        write()
        self.write(")")


class Sandbox(ImmutableSandboxedEnvironment):
    """The one environment in which all templates are compiled and rendered."""

    code_generator_class = _Generator
    intercepted_binops = frozenset({"*", "**", "+", "-", "/", "//", "%"})
    read = staticmethod(read)
    spend = staticmethod(spend)
    concat = staticmethod(joined)  # "".join in Jinja2: of what a macro or block gives

    def __init__(self) -> None:
        super().__init__(
            undefined=_Strict,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            # What it would compute while it compiles, nothing would pay for.
            optimized=False,
            finalize=_finalize,
        )
        self.filters = dict(FILTERS)
        tests: dict[str, Any] = self.tests
        self.tests = {name: paid(test) for name, test in tests.items()}
        # Random text; `range` is given to each rendering with a budget of its own.
        for name in ("lipsum", "range"):
            del self.globals[name]
        self.globals["fail"] = _fail

    def _generate(self, source: nodes.Template, *arguments: Any, **named: Any) -> str:
        repeated: list[Any] = list(source.find_all(_REPEATED))
        for node in repeated:
            _charge(node)
        return super()._generate(source, *arguments, **named)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A mapping's own key goes before Python's methods, or `values.items` could never be a value."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As Jinja2's, without the methods that can make a text as long as they are told."""
        refused = isinstance(obj, (str, int, float)) and attr in _REFUSED_METHODS
        return not refused and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Nothing: Jinja2 would let `format` through, made safe, before it asks `is_safe_attribute`."""
        return

    def call(self, context: Context, function: Any, /, *arguments: Any, **named: Any) -> Any:
        """As Jinja2's, with what a method reads and what comes of it paid for."""
        holder = getattr(function, "__self__", None)
        if isinstance(holder, (str, list, tuple, Mapping)):
            read(holder)
            growing = _GROWING_METHODS.get(function.__name__) if isinstance(holder, str) else None
            if growing is not None:
                return read(growing(holder, *arguments, **named))
        result = super().call(context, function, *arguments, **named)
        return result if isinstance(result, Namespace) else read(result)

    def tilde(self, parts: tuple[Any, ...]) -> str:
        """The operator `~`."""
        return joined(parts, what="`~`")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuses what would make a huge text, list or number before it is made."""
        check_number(left)
        check_number(right)
        if operator == "%" and isinstance(left, str):
            raise Refused("`%` on text is not supported. Use `~` to join texts")
        if operator == "**" and (_size(left) > _POWER_LIMIT or _size(right) > _POWER_LIMIT):
            raise Refused(f"`**` takes numbers up to {_POWER_LIMIT}")
        if operator == "*" and _length(left) * _size(right) + _length(right) * _size(left) > SIZE_LIMIT:
            raise Refused(f"`*` would make more than {SIZE_LIMIT} characters")
        if operator == "+" and _length(left) + _length(right) > SIZE_LIMIT:
            raise Refused(f"`+` would make more than {SIZE_LIMIT} characters")
        return read(super().call_binop(context, operator, left, right))


@pass_context
def _finalize(_context: Context, value: Any) -> str:
    # With the context, though it has no use for it: then Jinja2 does not call it while it compiles.
    spend(NODE)
    return text_of(value)


def _charge(node: nodes.For | nodes.Macro | nodes.CallBlock | nodes.Block) -> None:
    """Has what is repeated begin with paying for one more time."""
    cost = NODE * sum(1 for _ in node.find_all(nodes.Node))
    line = node.lineno
    pay = nodes.Call(nodes.EnvironmentAttribute("spend"), [nodes.Const(cost)], [], None, None)
    node.body.insert(0, nodes.ExprStmt(pay, lineno=line).set_lineno(line))


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


def _fail(message: str) -> NoReturn:
    raise Refused(str(message)[:500])


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, tuple)) else 0


def _size(value: Any) -> int:
    return abs(int(value)) if isinstance(value, (int, float)) else 0

"""What a check can ask of an answer: the parts of the configuration that say so."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from reconciler.app.settings_fields import Model, Seconds, at_least, rule
from reconciler.core.duration import PATTERN
from reconciler.core.jsonpath import path_fault as jsonpath_fault
from reconciler.core.pattern import pattern_fault
from reconciler.core.probe import Bounds, Conditions, HeaderTest, JsonTest, Operator, Scalar, Test
from reconciler.core.target import header_fault

MANY = 32
"""Headers, or conditions of one kind, in one list."""
_TEXT = 4096
"""Characters of a text that is sent or looked for."""
_STATUS = re.compile(r"[1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?")


def _wrong_status(text: str) -> str:
    if not _STATUS.fullmatch(text):
        return "is no status: write it like `200`, `200-204` or `2xx`"
    low, high = _range(text)
    return "" if low <= high else "ends before it begins"


def _range(text: str) -> tuple[int, int]:
    if text.endswith("xx"):
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def _as_text(value: Any) -> Any:
    """`status: [200]` and `port: 8080` are numbers to YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _scalar(value: Any) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise ValueError("must be a text, a number, true or false")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("must be a number")
    return float(value)


_SCALAR_SCHEMA: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_AnyScalar = Annotated[Any, BeforeValidator(_scalar), Field(json_schema_extra=_SCALAR_SCHEMA)]
Number = Annotated[float, BeforeValidator(_number, json_schema_input_type=float)]
_Pattern = Annotated[str, rule(pattern_fault)]
AS_TEXT = BeforeValidator(_as_text, json_schema_input_type=int | str)
_Status = Annotated[str, AS_TEXT, rule(_wrong_status)]
Text = Annotated[str, Field(max_length=_TEXT)]


class _Comparison(Model):
    """One comparison: exactly one of the operators that the model has."""

    @model_validator(mode="after")
    def _one_comparison(self) -> Self:
        operators = _operators(self)
        given = [each for each, name in operators.items() if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"must have one of {', '.join(operators)}" + (", and no more" if given else ""))
        return self

    @property
    def test(self) -> Test:
        """What the model says."""
        given = ((each, getattr(self, name)) for each, name in _operators(self).items())
        return next(Test(each, value) for each, value in given if value is not None)


def _operators(model: Model) -> dict[Operator, str]:
    """The operators that it has, with the names of their fields."""
    fields = type(model).model_fields
    return {Operator(field.alias): name for name, field in fields.items() if field.alias in set(Operator)}


class _BodyTest(_Comparison):
    """What the answer's body must be."""

    equals: Text | None = Field(default=None, description="It is this, to the last character.")
    contains: Text | None = Field(default=None, description="It contains this.")
    matches: _Pattern | None = Field(default=None, description="This regular expression (RE2) matches somewhere in it.")


class _HeaderTest(_BodyTest):
    """What a header of the answer must be."""

    name: Annotated[str, rule(header_fault)] = Field(description="The header's name.")
    exists: bool | None = Field(default=None, description="It is there, or with `false` it is not.")


class _JsonTest(_Comparison):
    """What the values at a path in the answer's JSON must be."""

    path: Annotated[str, rule(jsonpath_fault)] = Field(
        description="A JSONPath (RFC 9535), like `$.items[*].status`, of names, indices, slices and `*`."
    )
    equals: _AnyScalar = Field(default=None, description="It is this.")
    not_equals: _AnyScalar = Field(default=None, description="It is there, and is not this.")
    contains: _AnyScalar = Field(default=None, description="A text with this in it, or a list with this as an element.")
    matches: _Pattern | None = Field(
        default=None, description="A text in which this regular expression (RE2) matches somewhere."
    )
    above: Number | None = Field(default=None, description="A number above this.")
    below: Number | None = Field(default=None, description="A number below this.")
    exists: bool | None = Field(default=None, description="It is there, or with `false` it is not.")


class ConditionsModel(Model):
    """What is said of one answer."""

    status: list[_Status] = Field(
        default_factory=list, max_length=MANY, description="Statuses, like `200`, `200-204` or `2xx`: one is enough."
    )
    headers: list[_HeaderTest] = Field(default_factory=list, max_length=MANY, description="Headers.")
    body: list[_BodyTest] = Field(default_factory=list, max_length=MANY, description="The body.")
    json_values: list[_JsonTest] = Field(
        default_factory=list, max_length=MANY, alias="json", description="Values in the body, which is JSON then."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.status or self.headers or self.body or self.json_values):
            raise ValueError("must have one of status, headers, body, json")
        return self

    def values(self, statuses: tuple[tuple[int, int], ...] = ()) -> Conditions:
        """What the model says; `statuses` if it says nothing of them."""
        return Conditions(
            tuple(map(_range, self.status)) or statuses,
            tuple(HeaderTest(each.name, each.test) for each in self.headers),
            tuple(each.test for each in self.body),
            tuple(JsonTest(each.path, each.test) for each in self.json_values),
        )


class LatencyModel(Model):
    """How fast the answers have to be."""

    percentile: Annotated[Number, Field(gt=0, le=100)] = Field(
        default=95.0, description="Of the answers to each target so many percent must be fast enough."
    )
    below: Annotated[Seconds, at_least(0.001)] = Field(
        description="How fast that is.", json_schema_extra={"type": "string", "pattern": PATTERN}
    )


class BoundsModel(Model):
    """What a number must be: all of this."""

    below: Number | None = Field(default=None, description="Below this.")
    above: Number | None = Field(default=None, description="Above this.")
    equals: Number | None = Field(default=None, description="Exactly this.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.below is None and self.above is None and self.equals is None:
            raise ValueError("must have one of below, above, equals")
        return self

    @property
    def values(self) -> Bounds:
        """What the model says."""
        return Bounds(self.below, self.above, self.equals)

"""A cursor into a rendered object, so that a check is one line and its error says file, line and field.

No message ever shows a value that it did not ask to be shown: it may be a Secret's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.core.naming import wrong_label_key, wrong_label_value
from reconciler.core.strictyaml import Document, Key
from reconciler.errors import Invalid


@dataclass(frozen=True, slots=True)
class Field:
    """The field at `path` of a document; `value` is None if it is not there. `subject` names the object."""

    document: Document
    subject: str
    value: Any
    path: tuple[Key, ...] = ()

    def __getitem__(self, key: Key) -> Field:
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return Field(self.document, self.subject, value, (*self.path, key))

    def at(self, *path: Key) -> Field:
        """The field at `path` below it, of whatever kind."""
        value = self.value
        for key in path:
            there = isinstance(value, list) or (isinstance(value, dict) and key in value)
            value = value[key] if there else None
        return Field(self.document, self.subject, value, (*self.path, *path))

    @property
    def name(self) -> str:
        """The path as people write it: `spec.containers[0].image`."""
        return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path).removeprefix(".")

    def fault(self, what: str, todo: str = "") -> Invalid:
        """The error that this field `what`."""
        place = f"{self.subject}: `{self.name}`" if self.path else self.subject
        return Invalid(f"{place} {what}", where=self.document.at(*self.path), todo=todo)

    def mapping(self) -> Field:
        """Itself, if it is a mapping that is there.

        Raises:
            Invalid: it is missing, or something else. So do the other readers here.
        """
        self._expect(dict, "a mapping")
        return self

    def entries(self) -> Iterator[tuple[str, Field]]:
        """The keys and fields of a mapping; none if it is not there."""
        if self.value is not None:
            for key in self.mapping().value:
                yield key, self[key]

    def elements(self) -> list[Field]:
        """The elements of a list; none if it is not there."""
        if self.value is None:
            return []
        self._expect(list, "a list")
        return [
            Field(self.document, self.subject, value, (*self.path, index)) for index, value in enumerate(self.value)
        ]

    def text(self, wrong: Callable[[str], str] | None = None) -> str:
        """A text that is not empty, and in which `wrong` finds no fault."""
        self._expect(str, "text", todo="Quote it" if isinstance(self.value, (int, float)) else "")
        if not self.value:
            raise self.fault("is empty")
        if wrong and (reason := wrong(self.value)):
            raise self.fault(reason)
        return str(self.value)

    def any_text(self) -> None:
        """A text of any kind, also an empty one; null counts as not there, which Kubernetes reads as empty."""
        if self.value is not None:
            self._expect(str, "text", todo='Quote it, as in "1" or "true", or pipe it through `| quote`')

    def integer(self, low: int, high: int) -> int:
        """A whole number within the two bounds."""
        self._expect(int, "a whole number", todo="Remove the quotes" if isinstance(self.value, str) else "")
        if not low <= self.value <= high:
            raise self.fault(f"is {self.value}, but must be from {low} to {high}")
        return int(self.value)

    def labels(self) -> dict[str, str]:
        """Valid labels; none if the field is not there."""
        for key, label in self.entries():
            label.any_text()
            if reason := wrong_label_key(key):
                raise label.fault(f"is no key for a label: it {reason}")
            if reason := wrong_label_value(label.value or ""):
                raise label.fault(reason)
        return {key: label.value or "" for key, label in self.entries()}

    def _expect(self, kind: type, noun: str, todo: str = "") -> None:
        if self.value is None:
            raise self.fault("is missing")
        if not isinstance(self.value, kind) or (kind is int and isinstance(self.value, bool)):
            raise self.fault(f"is {_noun(self.value)}, but must be {noun}", todo)


def _noun(value: Any) -> str:
    nouns: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "text"),
        (list, "a list"),
        (dict, "a mapping"),
    ]
    return next((noun for kind, noun in nouns if isinstance(value, kind)), "null")

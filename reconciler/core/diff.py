"""What of a rendered object differs in the live one. Pure.

Only fields that the rendering names count: defaults that the API server filled in, and fields of other
managers, are no difference. Lists of objects with a natural key (containers by name, ports by number) are matched by
it, as server-side apply does.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.core.model import Manifest
from reconciler.core.place import Element, Place, path_text
from reconciler.core.quantity import quantity

_KEYS = ("name", "containerPort", "port", "mountPath", "key")
_QUANTITIES = re.compile(r"\.(resources\..*|overhead\..*|sizeLimit|divisor)$")
"""Fields that hold quantities, which the API server writes in a form of its own: `1024Mi` becomes `1Gi`."""
_ENVIRONMENT = re.compile(r"\.env(\[|$)|\.(c|initC)ontainers(\[[^]]*\])?$")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: where it is, and both values. `by` is the field manager that owns what was found ('' if unknown).

    `hidden`: the values may be secret, and are never shown; not by `repr` either.
    """

    at: Place
    wanted: Any = field(repr=False)
    found: Any = field(repr=False)
    hidden: bool = False
    by: str = ""

    @property
    def path(self) -> str:
        """Where it is as people write it: `spec.ports[80].targetPort`."""
        return path_text(self.at)

    def __str__(self) -> str:
        values = "changed" if self.hidden else f"{self.found!r} instead of {self.wanted!r}"
        return f"{self.path}: {values}" + (f" (by {self.by})" if self.by else "")

    @property
    def shown(self) -> dict[str, Any]:
        """As an event shows it."""
        values = {} if self.hidden else {"wanted": self.wanted, "found": self.found}
        return {"field": self.path, **values, **({"by": self.by} if self.by else {})}

    @property
    def identity(self) -> str:
        """Names this very difference, values and all, without showing them."""
        values = hashlib.sha256(repr((self.wanted, self.found)).encode()).hexdigest()
        return f"{self.path} {values[:16]}"


def differences(rendered: Manifest, live: Manifest) -> tuple[Difference, ...]:
    """Every field of `rendered` that `live` lacks or holds otherwise.

    Values of Secrets, of ConfigMaps, and of environment variables are hidden: people keep passwords in all three.
    """
    found = _compare(_as_stored(rendered), live, ())
    secretive = rendered.get("kind") in ("Secret", "ConfigMap")
    return tuple(replace(each, hidden=True) if secretive or _ENVIRONMENT.search(each.path) else each for each in found)


def _as_stored(rendered: Manifest) -> Manifest:
    """A Secret's `stringData` as the API server keeps it: base64 in `data`."""
    if "stringData" not in rendered:
        return rendered
    encoded = {k: base64.b64encode(str(v).encode()).decode() for k, v in rendered["stringData"].items()}
    kept = {key: value for key, value in rendered.items() if key != "stringData"}
    return {**kept, "data": {**(rendered.get("data") or {}), **encoded}}


def _compare(wanted: Any, found: Any, at: Place) -> Iterator[Difference]:
    if not wanted and not found:
        return  # the API server drops zero values (`omitempty`): a wanted 0, false, "" or {} may be absent
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            yield from _compare(value, found.get(key), (*at, str(key)))
    elif _is_list(wanted) and _is_list(found):
        yield from _compare_lists(wanted, found, at)
    elif not _same(wanted, found, at):
        yield Difference(at, wanted, found)


def _compare_lists(wanted: Sequence[Any], found: Sequence[Any], at: Place) -> Iterator[Difference]:
    key = _key_of(wanted)
    if key is None:
        if len(wanted) != len(found):
            yield Difference(at, wanted, found)
            return
        for index, (left, right) in enumerate(zip(wanted, found, strict=True)):
            yield from _compare(left, right, (*at, index))
        return
    there = {each.get(key): each for each in found if isinstance(each, Mapping)}
    for each in wanted:
        yield from _compare(each, there.get(each[key]), (*at, Element(key, each[key])))
    for extra in [name for name in there if name not in {each[key] for each in wanted}]:
        yield Difference((*at, Element(key, extra)), None, there[extra])


def _key_of(items: Sequence[Any]) -> str | None:
    for key in _KEYS:
        if items and all(isinstance(each, Mapping) and key in each for each in items):
            distinct = {str(each[key]) for each in items}
            return key if len(distinct) == len(items) else None
    return None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same(wanted: Any, found: Any, at: Place) -> bool:
    if wanted == found:
        return True
    number = quantity(wanted) if _QUANTITIES.search(path_text(at)) else None
    return number is not None and number == quantity(found)

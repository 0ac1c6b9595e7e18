"""Values out of JSON that others wrote, by JSONPath (RFC 9535) as far as its work is bounded by the JSON's size.

`$.a.b`, `$['a b'][0]`, `$.items[*].status`, `$.items[1:3]`: names, indices, slices and `*`, one at a time. Not
`..` and filters, which on a made-up document can take for ever.
"""

from __future__ import annotations

from functools import lru_cache

from jsonpath import CompoundJSONPath, JSONPath, JSONPathEnvironment, JSONPathError
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import IndexSelector, NameSelector, SliceSelector, WildcardSelector

LIMIT = 500
"""Characters of a path."""

_ENVIRONMENT = JSONPathEnvironment(strict=True)
_BOUNDED = (NameSelector, IndexSelector, SliceSelector, WildcardSelector)


def path_fault(text: str) -> str:
    """Why `text` is no JSONPath that can be used here, or ''."""
    if not text.startswith("$"):
        return "must begin with `$`, like `$.status`"
    if len(text) > LIMIT:
        return f"is longer than {LIMIT} characters"
    try:
        path = _compiled(text)
    except JSONPathError as error:
        return f"is no JSONPath: {error.args[0] if error.args else 'it cannot be read'}"
    if not isinstance(path, JSONPath) or not all(map(_is_bounded, path.segments)):
        return "may hold names, indices, slices and `*`, one at a time; `..`, `,` and filters are not supported"
    return ""


def values_at(text: str, document: object) -> list[object]:
    """The values at the path `text`, which has no fault, in parsed JSON; none if there are none."""
    path = _compiled(text)
    if not isinstance(document, (dict, list)):  # the library would take a text for JSON that is still to be parsed
        return [] if isinstance(path, JSONPath) and path.segments else [document]
    return list(path.findall(document))


def _is_bounded(segment: object) -> bool:
    return (
        isinstance(segment, JSONPathChildSegment)
        and len(segment.selectors) == 1
        and isinstance(segment.selectors[0], _BOUNDED)
    )


@lru_cache(maxsize=256)
def _compiled(text: str) -> JSONPath | CompoundJSONPath:
    return _ENVIRONMENT.compile(text)

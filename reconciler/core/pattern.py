"""Regular expressions on texts that others wrote.

RE2's, because Python's own take exponential time for some pairs of pattern and text, and would hold up every app of the
daemon meanwhile. RE2 takes time in proportion to the text, within a fixed memory; it has no backreferences and no
lookaround (https://github.com/google/re2/wiki/Syntax).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

LIMIT = 1000
"""Characters of a pattern."""

_OPTIONS = re2.Options()
_OPTIONS.max_mem = 1 << 20
_OPTIONS.log_errors = False


def pattern_fault(pattern: str) -> str:
    """Why `pattern` is no regular expression, or ''."""
    if len(pattern) > LIMIT:
        return f"is longer than {LIMIT} characters"
    try:
        _compiled(pattern)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        return f"is no regular expression of RE2: {said.decode(errors='replace') if isinstance(said, bytes) else said}"
    return ""


def is_found(pattern: str, text: str) -> bool:
    """Whether `pattern` matches anywhere in `text`; one that is no regular expression does not."""
    return not pattern_fault(pattern) and _compiled(pattern).search(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern, _OPTIONS)

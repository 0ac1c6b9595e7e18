"""Bytes from Git or disk → text, with a reason that can be acted on when they are not text."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Iterable

from reconciler.errors import Invalid


def decode(data: bytes, where: str, limit: int) -> str:
    """`data` as text, without a byte order mark and with plain line ends.

    Raises:
        Invalid: `data` is longer than `limit` bytes, UTF-16, binary (holds a NUL), or not UTF-8.
    """
    if len(data) > limit:
        raise Invalid(f"has {len(data)} bytes, more than the {limit // 1024} KiB allowed", where=where)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Invalid("is UTF-16", where=where, todo="Save it as UTF-8")
    if b"\0" in data:
        raise Invalid("is binary: it holds a NUL byte", where=where, todo="Save it as UTF-8 text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid("is not UTF-8 text", where=f"{where}:{line}", todo="Save it as UTF-8") from None
    return text.replace("\r\n", "\n")


SHOWN = 100
"""Characters of a name from Git that an error shows."""


def shown(name: str) -> str:
    """`name` in backticks, its end left out if it is long."""
    return f"`{name}`" if len(name) <= SHOWN else f"`{name[:SHOWN]}…`"


def shortened(message: str, limit: int) -> str:
    """`message` in at most `limit` characters: whole words, and `…` for those left out."""
    if len(message) <= limit:
        return message
    kept = message[: limit - 2]
    return f"{kept.rsplit(maxsplit=1)[0] if ' ' in kept.strip() else kept} …"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` with the closest of `known`, or nothing if none is close."""
    if len(word) > SHOWN:  # comparing long ones takes long, too
        return ""
    names = [name for name in known if len(name) <= SHOWN]
    folded = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f" (did you mean `{folded[close[0]]}`?)" if close else ""

"""The approval file: which revisions somebody has approved by a commit."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.core.revision import ALPHABET, HASH_LENGTH, LETTERS
from reconciler.core.text import decode
from reconciler.errors import Invalid

SIZE_LIMIT = 16 * 1024
MOST_LINES = 64

_REVISION = re.compile(f"[{LETTERS}][{ALPHABET}]{{{HASH_LENGTH - 1}}}")
_COMMENT = re.compile(r"(^|[ \t])#.*")


def parse_approvals(data: bytes, where: str) -> frozenset[str]:
    """The revisions in the file, one a line. Comments begin with `#`; they and blank lines say nothing.

    Args:
        data: the file's content. A byte order mark and Windows line ends do no harm.
        where: the file's name for errors.

    Raises:
        Invalid: a line is anything else, or the file is over 16 KiB, has over 64 lines, or is not text. What stands
            there is not shown: the path may have been set to a file that is none of ours.
    """
    return frozenset(_revisions(decode(data, where, SIZE_LIMIT), where))


def _revisions(text: str, where: str) -> Iterator[str]:
    lines = text.removesuffix("\n").split("\n")
    if len(lines) > MOST_LINES:
        raise Invalid(
            f"has {len(lines)} lines, {MOST_LINES} are allowed", where=where, todo="Remove revisions that are long gone"
        )
    for number, line in enumerate(lines, start=1):
        word = _COMMENT.sub("", line).strip(" \t")
        if word and not _REVISION.fullmatch(word):
            raise Invalid(
                "is no revision",
                where=f"{where}:{number}",
                todo=f"Write its {HASH_LENGTH} characters as `reconciler status` shows them, one revision a line",
            )
        if word:
            yield word

"""What a source follows in its repository: a branch, a tag, the highest of a range of versions, or one commit. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cmp_to_key
from typing import Any

import nodesemver

from reconciler.core.address import branch_fault

_RANGE_LIMIT = 200
"""Characters of a range of versions; nobody writes a longer one."""
_VERSION_LIMIT = 256
"""Characters of a tag that can be a version, as in node-semver: whoever can push should not make us parse more."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_VERSION = re.compile(r"v?[0-9]")


class RefKind(StrEnum):
    """How a ref chooses its commit. The values are the keys of Flux's GitRepositoryRef."""

    BRANCH = "branch"
    TAG = "tag"
    SEMVER = "semver"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class GitRef:
    """One thing to follow: the name of a branch or tag, a range of versions over all tags, or a commit's full id."""

    kind: RefKind
    text: str

    def __str__(self) -> str:
        return f"tags {self.text}" if self.kind is RefKind.SEMVER else f"{self.kind} {self.text}"


def branch(name: str) -> GitRef:
    """A branch, by its short name."""
    return GitRef(RefKind.BRANCH, name)


def ref_fault(ref: GitRef) -> str:
    """What is wrong with a ref, as the end of a sentence; '' if nothing is."""
    match ref.kind:
        case RefKind.BRANCH:
            return branch_fault(ref.text)
        case RefKind.TAG:
            return tag_fault(ref.text)
        case RefKind.SEMVER:
            return range_fault(ref.text)
        case RefKind.COMMIT:
            return commit_fault(ref.text)


def tag_fault(tag: str) -> str:
    """What is wrong with a tag's name, as the end of a sentence; '' if nothing is."""
    return "is no name of a tag (see `git help check-ref-format`)" if branch_fault(tag) else ""


def commit_fault(commit: str) -> str:
    """What is wrong with a commit's id, as the end of a sentence; '' if nothing is."""
    return "" if _COMMIT.fullmatch(commit) else "is no full id of a commit: 40 digits, in lower case"


def range_fault(text: str) -> str:
    """What is wrong with a range of versions, as the end of a sentence; '' if nothing is."""
    return "" if _range(text) else "is no range of versions, like `1.x`, `~1.2` or `>=1.2.0 <2.0.0`"


def highest(text: str, tags: Iterable[str]) -> str | None:
    """The tag with the highest version in the range `text`, if there is one.

    A tag is a version with or without a leading `v`; others are passed over. A pre-release counts only if the range
    names one of the same version, which is npm's rule. Of tags of equal precedence (semver.org, 10: they differ
    in build metadata, or in the `v`) the last in alphabetical order wins, so that everybody chooses the same.
    """
    wanted = _range(text)
    found = [tag for tag in tags if _is_version(tag) and wanted is not None and wanted.test(tag)]
    return max(found, key=lambda tag: (_PRECEDENCE(tag), tag)) if found else None


_PRECEDENCE = cmp_to_key(lambda one, other: int(nodesemver.compare(one, other, loose=False)))


def _range(text: str) -> Any:
    """A range, in which commas are taken as Flux takes them; None if it is none."""
    if not text.strip() or len(text) > _RANGE_LIMIT:
        return None
    text = " ".join(text.replace(",", " ").split())
    return nodesemver.make_range(text, False) if nodesemver.valid_range(text, False) else None


def _is_version(tag: str) -> bool:
    plausible = len(tag) <= _VERSION_LIMIT and tag.isascii() and _VERSION.match(tag)
    return bool(plausible and nodesemver.valid(tag, False))

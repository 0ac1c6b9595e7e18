"""What a source follows in its repository: a branch, a tag, the highest of a range of versions, or one commit. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from semantic_version import NpmSpec, Version

from reconciler.core.address import branch_fault

_RANGE_LIMIT = 200
"""Characters of a range of versions; nobody writes a longer one."""
_VERSION_LIMIT = 256
"""Characters of a tag that can be a version, as in node-semver: whoever can push should not make us parse more."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OPERATOR = re.compile(r"([<>=~^]+)\s+")


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
    try:
        _range(text)
    except ValueError:
        return "is no range of versions, like `1.x`, `~1.2` or `>=1.2.0 <2.0.0`"
    return ""


def highest(text: str, tags: Iterable[str]) -> str | None:
    """The tag with the highest version in the range `text`, if there is one.

    A tag is a version with or without a leading `v`; others are passed over. A pre-release counts only if the range
    names one of the same version, which is npm's rule. Of tags of equal precedence (semver.org, 10: they differ
    in build metadata, or in the `v`) the last in alphabetical order wins, so that everybody chooses the same.
    """
    wanted = _range(text)
    found = [(version, tag) for tag in tags if (version := _version(tag)) and wanted.match(version)]
    return max(found, key=lambda each: (each[0].precedence_key, each[1]))[1] if found else None


def _range(text: str) -> NpmSpec:
    """Commas and blanks after an operator are taken as Flux takes them. Raises ValueError."""
    if not text.strip() or len(text) > _RANGE_LIMIT:
        raise ValueError("empty or too long")
    return NpmSpec(" ".join(_OPERATOR.sub(r"\1", text.replace(",", " ")).split()))


def _version(tag: str) -> Version | None:
    if len(tag) > _VERSION_LIMIT or not tag.isascii():
        return None
    try:
        return Version(tag.removeprefix("v"))
    except ValueError:
        return None

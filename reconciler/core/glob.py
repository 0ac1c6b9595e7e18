"""Patterns of paths in a repository: plain text with at most one `*` in each part, which never crosses a `/`.

No more than that, so that how much has to be looked through is plain, and matching takes no time to speak of.
"""

from __future__ import annotations


def pattern_fault(pattern: str) -> str:
    """What is wrong with a pattern of files, or ''."""
    if not pattern or not pattern.isprintable() or "\\" in pattern:
        return "must be a path with `/` between its parts"
    parts = pattern.split("/")
    if pattern.startswith(("/", "-")) or any(part in ("", ".", "..") for part in parts):
        return "must be a relative path, without `.`, `..`, `//` or a leading `-`"
    if any(part.count("*") > 1 for part in parts):
        return "may hold one `*` in each part of the path, and no `**`"
    if any(sign in pattern for sign in "?[]{}"):
        return "may hold `*`, but no other wildcard"
    return ""


def part_matches(pattern: str, name: str) -> bool:
    """Whether one part of a path matches. As in a shell, a leading `*` does not match what begins with a dot."""
    head, star, tail = pattern.partition("*")
    if not star:
        return name == pattern
    if name.startswith(".") and not head:
        return False
    return len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail)


def path_matches(pattern: str, path: str) -> bool:
    """Whether the whole path matches."""
    parts, names = pattern.split("/"), path.split("/")
    return len(parts) == len(names) and all(map(part_matches, parts, names))

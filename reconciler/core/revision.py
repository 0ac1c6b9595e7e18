"""How a revision gets its short name: a hash of what its pods are made of, and object names built on it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' safe alphabet (apimachinery, `rand.SafeEncodeString`): no vowels, so no accidental words."""

LETTERS = ALPHABET.rstrip("0123456789")
"""A hash begins with one of these: ten digits, unquoted in a template, would be read as a number."""

HASH_LENGTH = 10
NAME_LENGTH = 52
"""Leaves room for what controllers append (`-<pod-template-hash>`) without anything being truncated to 63."""

_NOT_DNS = re.compile(r"[^a-z0-9]+")


def short_hash(value: Any) -> str:
    """Ten characters that stand for `value`, which is any JSON data; the order of keys does not matter.

    Raises:
        ValueError: `value` holds NaN or an infinity, for which JSON has no text.
        TypeError: `value` is not JSON data.
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    number = int.from_bytes(hashlib.sha256(canonical.encode()).digest(), "big")
    characters = []
    for alphabet in (LETTERS, *[ALPHABET] * (HASH_LENGTH - 1)):
        number, index = divmod(number, len(alphabet))
        characters.append(alphabet[index])
    return "".join(characters)


def slug(text: str) -> str:
    """`text` in the alphabet of a DNS-1123 label (RFC 1123, lower case); may be empty, never shortened."""
    return _NOT_DNS.sub("-", text.lower()).strip("-")


def object_name(app: str, version: str, revision: str) -> str:
    """`<app>-<version>-<revision>` as a DNS-1123 label of at most 52 characters.

    What is too long is cut from the version first, then from the app; the revision is kept whole, since
    it is what makes the name unique. `revision` must come from `short_hash`.
    """
    room = NAME_LENGTH - len(revision) - 2
    head, tail = slug(app), slug(version)
    tail = tail[: max(room - len(head), room // 2)].rstrip("-")
    head = head[: room - len(tail)].rstrip("-")
    return "-".join(part for part in (head, tail, revision) if part)


def component_name(name: str, of_revision: str, version: str, revision: str) -> str:
    """An object's `name` with what depends on the revision left out: `my-app-v1-0-0-bcd…-db` → `*-db`.

    `of_revision` is the template variable `name`. So what corresponds to each other in two revisions has one name.
    """
    name = name.replace(of_revision, "*").replace(revision, "*")
    return re.sub(rf"(?<![a-z0-9]){re.escape(slug(version))}(?![a-z0-9])", "*", name) if slug(version) else name

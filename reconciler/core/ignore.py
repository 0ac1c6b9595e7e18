"""Fields that are left as they are, whoever wrote them: `ignoreDifferences`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.model import PREFIX, Ignored, Manifest

_ALLOWED = ("spec",), ("data",), ("metadata", "labels"), ("metadata", "annotations")
_MISSING = object()


def parse_pointer(text: str) -> tuple[str, ...]:
    """The parts of a JSON Pointer such as `/metadata/annotations/example.com~1team`.

    Raises:
        ValueError: it is none, or points to what must not be ignored; the message is fit to be shown.
    """
    if not text.startswith("/"):
        raise ValueError(
            "is no JSON Pointer: write it like `/spec/externalTrafficPolicy`, with `~1` for a `/` in a key"
        )
    parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))
    if not any(parts[: len(root)] == root and len(parts) > len(root) for root in _ALLOWED):
        raise ValueError("must be a field below /spec, /data, /metadata/labels or /metadata/annotations")
    if parts[1] in ("selector", "replicas", "ports") or any(part.startswith(PREFIX) for part in parts):
        raise ValueError("is what a release is made of, and cannot be ignored")
    return parts


def as_left(manifest: Manifest, live: Manifest, ignored: Iterable[Ignored]) -> Manifest:
    """`manifest` with every ignored field as the live object has it, or without it if that has none.

    It is sent as it is found rather than left out: server-side apply removes what its manager owned and does not send.
    """
    for path in (path for each in ignored if each.kind == manifest["kind"] for path in each.paths):
        if _at(manifest, path) is not _MISSING:
            manifest = _with(manifest, path, _at(live, path))
    return manifest


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def _with(manifest: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    head, *rest = path
    if rest:
        return {**manifest, head: _with(manifest[head], tuple(rest), value)}
    without = {key: each for key, each in manifest.items() if key != head}
    return without if value is _MISSING else {**without, head: value}

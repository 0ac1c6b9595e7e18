"""A secret in a file of its own."""

from __future__ import annotations

from pathlib import Path

from reconciler.errors import Invalid

_LIMIT = 4096


def read_secret(path: Path) -> bytes:
    """What the file holds, without the line end that editors put there. Reads it anew at each call.

    Raises:
        Invalid: it is no file, cannot be read, or is longer than 4 KiB. No error ever holds a part of it.
    """
    try:
        if not path.is_file():  # to open a pipe would wait for its other end
            raise _unusable(path, "there is no such file")
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {(error.strerror or type(error).__name__).lower()}") from None
    if len(content) > _LIMIT:
        raise _unusable(path, f"is longer than {_LIMIT} bytes")
    return content.rstrip(b"\r\n")


def _unusable(path: Path, what: str) -> Invalid:
    return Invalid(what, where=str(path), todo="Put the secret, and nothing else, into this file")

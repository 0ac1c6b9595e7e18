"""What goes into Git when a release is taken back: a commit that changes the version file back, and says why. Pure."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import yaml

from reconciler.core.versionfile import parse_version_file
from reconciler.errors import Invalid, printable

REVERTS, APP, REJECTED = "Reconciler-Reverts", "Reconciler-App", "Reconciler-Rejected"
"""The trailers of the commit (git-interpret-trailers(1)): the commit that asked for what failed, the app as
NAMESPACE/NAME, and the revision that is rejected."""

_NAME = 100
"""Characters of a name or version in the message."""
_REASON = 2000
_MEASURED = 300
"""Characters of one measurement."""
_MOST_MEASURED = 20
_WIDTH = 72


@dataclass(frozen=True, slots=True)
class Release:
    """A version, and the revision that it was rendered to."""

    version: str
    revision: str


@dataclass(frozen=True, slots=True)
class Revert:
    """The taking back of one app's release.

    `path` is the version file, from the repository's root. `content` is what it holds afterwards: byte by byte what it
    held when `good` was released, or, where that is no longer to be had, `with_version` of what it holds now. `onto` is
    the full id of a commit that asks for `bad`: the ref's tip has to be that very commit. `released_by` is the one
    by which it was released; '': the same. Between the two there may be commits of other apps.
    """

    app: str
    namespace: str
    path: str
    onto: str
    content: bytes
    bad: Release
    good: Release
    reason: str
    measurements: tuple[str, ...] = ()
    released_by: str = ""


def message(revert: Revert) -> str:
    """The whole message of the commit.

    The reason and the measurements may hold anything. Each is cut off and put on lines that begin with our own words or
    with blanks, so that none is taken for a trailer, or for the end of the message.
    """
    app, bad, good = _line(revert.app, _NAME), _told(revert.bad), _told(revert.good)
    to, of = (_line(each.version, _NAME) for each in (revert.good, revert.bad))
    parts = [
        f"Revert {app} to {to}: analysis of {of} failed",
        "\n".join([_wrapped(f"Released was {bad}."), _wrapped(f"It is taken back to {good}.")]),
        _wrapped(f"Reason: {_line(revert.reason, _REASON) or 'not given'}"),
        *([_measured(revert.measurements)] if revert.measurements else []),
        _trailers(revert),
    ]
    return "\n\n".join(parts) + "\n"


def with_version(content: bytes, version: str, where: str) -> bytes:
    """The version file `content` with another version in place of its own; every other byte stays, values too.

    Raises:
        Invalid: it is no version file, or the version cannot be put there.
    """
    now = parse_version_file(content, where)
    text = content.decode("utf-8")
    start, end = _extent(text, now.version)
    mark = text[start] if text[start] in "'\"" else ""
    for quote in (mark, '"'):
        changed = f"{text[:start]}{quote}{version}{quote}{text[end:]}".encode()
        if _says(changed, version, where) and parse_version_file(changed, where).values == now.values:
            return changed
    raise Invalid(f"`{_line(version, _NAME)}` cannot be put there", where=where, todo="Change the file by hand")


def _says(content: bytes, version: str, where: str) -> bool:
    try:
        return parse_version_file(content, where).version == version
    except Invalid:
        return False


def _extent(text: str, version: str) -> tuple[int, int]:
    """Where the version stands in a version file that was found good: of a mapping its value, with its quotes."""
    if text.strip("\ufeff \t\r\n") == version:
        plain = text.index(version)
        return plain, plain + len(version)
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    value = next(value for key, value in root.value if key.value == "version")
    start: int = value.start_mark.index
    # A block (`>-`) ends where the next line begins.
    return start, start + len(text[start : value.end_mark.index].rstrip())


def _told(release: Release) -> str:
    return f"{_line(release.version, _NAME)} (revision {_line(release.revision, _NAME)})"


def _measured(measurements: tuple[str, ...]) -> str:
    shown = [_wrapped(f"- {_line(each, _MEASURED)}") for each in measurements[:_MOST_MEASURED]]
    more = len(measurements) - len(shown)
    return "\n".join(["Measured:", *shown, *([f"- and {more} more"] if more else [])])


def _trailers(revert: Revert) -> str:
    app = f"{_line(revert.namespace, _NAME)}/{_line(revert.app, _NAME)}"
    rejected = _line(revert.bad.revision, _NAME)
    return f"{REVERTS}: {_line(revert.released_by or revert.onto, _NAME)}\n{APP}: {app}\n{REJECTED}: {rejected}"


def _line(text: str, most: int) -> str:
    """One line of at most `most` characters that a terminal shows as it is."""
    plain = printable(" ".join(text[: 4 * most].split()))
    return plain if len(plain) <= most and len(text) <= 4 * most else f"{plain[:most]}…"


def _wrapped(line: str) -> str:
    return textwrap.fill(line, _WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)

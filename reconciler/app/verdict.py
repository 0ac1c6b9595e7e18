"""What `validate` found, as data for a pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.app.oneshot import Sight
from reconciler.errors import ReconcilerError

_PLACED = re.compile(r"(?P<file>[^:\n]+):(?P<line>\d+)(?::\d+)?(?:: (?P<what>.*))?", re.DOTALL)
_FIELD = re.compile(r"(?:[^`:]+: )?`(?P<quoted>[^`]+)` .*|(?P<plain>[\w.\[\]-]+): .+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One finding, or that there is none. What does not apply is None."""

    app: str
    ok: bool
    file: str | None = None
    line: int | None = None
    field: str | None = None
    what: str | None = None
    todo: str | None = None


def verdicts(sights: Iterable[Sight]) -> Iterator[Verdict]:
    """Every finding, and one line for each app without any."""
    for sight in sights:
        if sight.error is None:
            yield Verdict(sight.app.name, True)
        else:
            yield from findings(sight.app.name, sight.app.file or None, sight.error)


def findings(app: str, file: str | None, error: ReconcilerError) -> Iterator[Verdict]:
    """Every fault that one error tells of. `file` is the app's, if none is named; `app` '' if it concerns none."""
    # An error without a place of its own has several, one a line.
    for each in [error.located] if error.where else error.what.split("\n"):
        placed = _PLACED.fullmatch(each)
        what = (placed["what"] if placed else "") or each
        field = _FIELD.fullmatch(what) if placed else None
        yield Verdict(
            app,
            False,
            placed["file"] if placed else file,
            int(placed["line"]) if placed else None,
            (field["quoted"] or field["plain"]) if field else None,
            what,
            error.todo or None,
        )

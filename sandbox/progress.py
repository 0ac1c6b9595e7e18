"""What `up` shows: one line per step with its time, and a bar for builds. Plain lines off a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

_PLAIN_STEP = 0.1  # off a terminal, a line for each tenth of a build


class Bar:
    """The progress of one build."""

    def __init__(self, progress: Progress, title: str, total: int, rich: RichProgress | None) -> None:
        self._progress = progress
        self._title = title
        self._total = max(total, 1)
        self._rich = rich
        self._task = rich.add_task(title, total=self._total) if rich else None
        self._done = 0
        self._said = 0.0

    def advance(self) -> None:
        """One package more has been compiled."""
        self._done = min(self._done + 1, self._total)
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=self._done)
        elif self._done / self._total >= self._said + _PLAIN_STEP:
            self._said = self._done / self._total
            self._progress.say(f"{self._title}: {self._done} of {self._total} packages compiled")


class Progress:
    """Writes to standard error, so that the output of a command stays usable in a pipe."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """One plain line."""
        self.console.print(text, markup=False)

    @contextmanager
    def step(self, name: str, doing: str = "starting", began: float | None = None) -> Iterator[None]:
        """Show NAME while it lasts, then a line with the time it took (since BEGAN, if it began before)."""
        began = time.monotonic() if began is None else began
        if self.console.is_terminal and not self.console.quiet:
            with self.console.status(f"{name}: {doing} …"):
                yield
        else:
            yield
        self.done(name, time.monotonic() - began)

    def done(self, name: str, seconds: float) -> None:
        """The line of a finished step."""
        self.say(f"{name:<26}{seconds:6.1f} s")

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        """A bar on a terminal, a line now and then elsewhere."""
        if not self.console.is_terminal or self.console.quiet:
            yield Bar(self, title, total, None)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with RichProgress(*columns, console=self.console, transient=True) as rich:
            yield Bar(self, title, total, rich)

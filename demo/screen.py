"""What the demo shows while it runs: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from demo.chart import BUCKET, Chart, colour_of
from rig.daemon import Event
from rig.scene import Scene

_EVENT_STYLES = {
    "switched": "bold green",
    "rolled_back": "bold yellow",
    "switch_confirmed": "green",
    "revision_ready": "cyan",
    "retired": "magenta",
    "phase_changed": "dim",
    "rejected": "bold red",
}
_SHOWN = ("version", "colour", "phase", "from_version", "replicas", "duration", "reason")
_EVENTS_SHOWN = 10
_CHART_HEIGHT = 7


@dataclass(slots=True)
class Step:
    """One step of the story: `note` is filled in when it is done."""

    title: str
    began: float
    note: str = ""
    done: bool = False


@dataclass
class Screen:
    """Draws until it is left. A context manager."""

    scene: Scene
    console: Console
    chart: Chart = field(default_factory=Chart)
    steps: list[Step] = field(default_factory=list)
    _told: int = 0
    _next_rates: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Screen:
        draw = self._draw_live if self.console.is_terminal else self._draw_plain
        self._thread = threading.Thread(target=draw, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._thread:
            self._thread.join(5)

    def step(self, title: str) -> Callable[[str], None]:
        """Begins a step. Call what it returns, with a note on how it went, at its end."""
        step = Step(title, time.time())
        self.steps.append(step)
        if not self.console.is_terminal:
            self.console.print(f"\n== {title}")

        def end(note: str) -> None:
            step.note, step.done = note, True
            if not self.console.is_terminal:
                self.console.print(f"== {title}: {note}")

        return end

    # -- on a terminal

    def _draw_live(self) -> None:
        with Live(console=self.console, auto_refresh=False, vertical_overflow="crop") as live:
            while not self._over.wait(0.12):
                live.update(self._picture(), refresh=True)
            live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        now = time.time()
        self.chart.take(self.scene.load.requests)
        return Group(self._steps(now), self._events(), self._traffic(now))

    def _steps(self, now: float) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for step in self.steps:
            if step.done:
                table.add_row(Text("✔", "green"), Text(step.title, "bold"), Text(step.note, "dim"))
            else:
                table.add_row(
                    Spinner("dots", style="cyan"), Text(step.title, "bold"), Text(f"{now - step.began:.1f} s")
                )
        return table

    def _events(self) -> RenderableType:
        rows = [_line(each) for each in self.scene.daemon.events[-_EVENTS_SHOWN:]]
        rows += [Text()] * (_EVENTS_SHOWN - len(rows))
        for row in rows:
            row.no_wrap, row.overflow = True, "ellipsis"
        return Panel(Group(*rows), title="what the daemon says", title_align="left", border_style="dim")

    def _traffic(self, now: float) -> RenderableType:
        width = max(20, min(self.console.width - 4, 160))
        legend = Text()
        for name, rate in self.chart.rates(now).items():
            legend.append(f"█ {name} ", colour_of(name)).append(f"{rate:.0f}/s   ")
        legend.append(f"{self.chart.total.total()} answered, ")
        failed = self.chart.total["failed"]
        legend.append(f"{failed} failed", "bold red" if failed else "bold green")
        title = f"requests at the NodePort by version, one column for {BUCKET:g} s"
        content = Group(self.chart.draw(now, width, _CHART_HEIGHT), legend)
        return Panel(content, title=title, title_align="left", border_style="dim")

    # -- elsewhere

    def _draw_plain(self) -> None:
        while not self._over.wait(0.12):
            self._say_events()
            self.chart.take(self.scene.load.requests)
            self._say_rates()
        self._say_events()

    def _say_events(self) -> None:
        events = self.scene.daemon.events
        for each in events[self._told :]:
            self.console.print(_line(each), soft_wrap=True)
        self._told = len(events)

    def _say_rates(self) -> None:
        now = time.time()
        if now < self._next_rates or not self.chart.total:
            return
        self._next_rates = now + 1.0
        rates = "  ".join(f"{name} {rate:.0f}/s" for name, rate in self.chart.rates(now).items())
        self.console.print(f"{_clock(now)} requests  {rates}", soft_wrap=True)
        sys.stdout.flush()


def _line(event: Event) -> Text:
    name = str(event["event"])
    line = Text.assemble((str(event["timestamp"])[11:23], "dim"), " ", (f"{name:17}", _EVENT_STYLES.get(name, "")))
    for key in _SHOWN:
        if event.get(key) not in (None, ""):
            line.append(f" {key}=", "dim").append(str(event[key]))
    return line


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at))

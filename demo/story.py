"""The story itself, played inside the sandbox's network: release, bump, revert, and what clients saw of them."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from demo.screen import Screen
from rig.cluster import Change, Watch, is_ready
from rig.daemon import Event
from rig.repository import Repository
from rig.scene import APP, Scene
from rig.waiting import until
from sandbox import Sandbox

RATE = 300
REPLICAS = 3
_LOOK = 600
"""Requests to wait for between two steps, so that each can be seen."""
_STRATEGY = {"scaleDownDelay": "10s"}


class Stopped(Exception):
    """We were told to end."""


@dataclass(slots=True)
class Times:
    """When what happened, in epoch seconds; the moments of the API server's side as a watch of our own got them."""

    committed: float = 0.0
    ready: float = 0.0
    switched: float = 0.0
    answered: float = 0.0


@dataclass
class Story:
    """Everything that is played, and measured on the way."""

    scene: Scene
    screen: Screen
    pods: Watch
    services: Watch
    times: dict[str, Times] = field(default_factory=dict)

    def play(self) -> None:
        """All steps, one after the other. Raises when one does not happen."""
        self._prepare()
        self._release("first", "v1.0.0", "git commit v1.0.0: the first release")
        self._release("bump", "v2.0.0", "git commit v2.0.0: bring up, prove, switch")
        self._revert()
        self._retire()

    def _prepare(self) -> None:
        end = self.screen.step("a Git repository, the daemon, and load on the NodePort")
        self.scene.load.start()
        self.scene.repository.commit("Say what this is", {"README.md": "What runs is in the file `version`.\n"})
        self.scene.daemon.start()
        self.scene.daemon.wait_for("source_updated")
        end(f"daemon {self.scene.daemon.pid}, load on {self.scene.url}; nothing answers yet")

    def _release(self, step: str, version: str, title: str) -> None:
        end = self.screen.step(title)
        commit = self.scene.repository.release(version)
        switched = self._follow(step, commit, version)
        times = self.times[step]
        times.ready = max(self._became_ready(str(switched["revision"])))
        took = times.answered - times.committed
        end(f"clients got it after {took:.1f} s, {_ms(times)} after the last of its {REPLICAS} pods was ready")
        self._look()

    def _follow(self, step: str, commit: str, version: str) -> Event:
        """Waits for the switch of a commit and for its first answer; notes the moments."""
        times = self.times[step] = Times(committed=self.scene.repository.moved_at)
        switched = self.scene.daemon.wait_for("switched", commit=commit, app=APP, timeout=120)
        revision = str(switched["revision"])
        times.switched = self.services.wait_for(
            lambda change: change.at > times.committed and _selects(change, revision), f"the switch to {version}"
        ).at
        times.answered = self.scene.load.wait_for(version, since=times.committed).end
        self.scene.settle(commit)
        return switched

    def _became_ready(self, revision: str) -> list[float]:
        """The moment at which each pod of a revision was first seen ready."""
        first: dict[str, float] = {}
        for change in self.pods.changes:
            if _revision(change) == revision and is_ready(change.object):
                first.setdefault(change.name, change.at)
        return list(first.values())

    def _revert(self) -> None:
        end = self.screen.step("git revert: v1.0.0 is still warm")
        commit = self.scene.repository.revert()
        self._follow("revert", commit, "v1.0.0")
        self.scene.daemon.wait_for("rolled_back", commit=commit)
        times = self.times["revert"]
        end(f"clients got v1.0.0 back after {(times.answered - times.committed) * 1000:.0f} ms")
        self._look()

    def _retire(self) -> None:
        end = self.screen.step(f"v2.0.0 is kept warm for {_STRATEGY['scaleDownDelay']}, then removed")
        self.scene.daemon.wait_for("retired", version="v2.0.0", app=APP)
        until(lambda: self.scene.versions() == {"v1.0.0"}, "only v1.0.0 left")
        self._look()
        end("only v1.0.0 is left, alone, and serving")

    def _look(self) -> None:
        """Lets some traffic pass, to be seen."""
        self.scene.load.wait_for_count(_LOOK)


def _revision(change: Change) -> str:
    return str((change.object["metadata"].get("labels") or {}).get("bluegreen.reconciler/revision", ""))


def _selects(change: Change, revision: str) -> bool:
    selector = change.object["spec"].get("selector") or {}
    return change.name == APP and selector.get("bluegreen.reconciler/revision") == revision


def _ms(times: Times) -> str:
    return f"{(times.answered - times.ready) * 1000:.0f} ms"


def report(story: Story, console: Console) -> bool:
    """The closing table. Returns whether no request failed."""
    load, times = story.scene.load, story.times
    bump, revert, first = times["bump"], times["revert"], times["first"]
    table = Table(title="What it took", title_justify="left", title_style="bold", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("commit v1.0.0 → Service created, pointing to ready pods", _took(first.committed, first.switched))
    table.add_row("commit v2.0.0 → switch", _took(bump.committed, bump.switched))
    table.add_row("last pod of v2.0.0 ready → switch", _took(bump.ready, bump.switched))
    table.add_row("switch → first answer of v2.0.0 at the NodePort", _took(bump.switched, bump.answered))
    table.add_row("revert → switch", _took(revert.committed, revert.switched))
    table.add_row("revert → first answer of v1.0.0 at the NodePort", _took(revert.committed, revert.answered))
    for version, count in sorted(load.versions().items()):
        table.add_row(f"requests answered by {version}", f"{count:,}")
    failed = len(load.failures)
    table.add_row("requests failed", f"[bold {'red' if failed else 'green'}]{failed:,}[/]")
    console.print(table)
    console.print(
        f"Not counted: {load.knocks:,} requests before the NodePort first answered, as there was no Service yet.\n"
        "commit: the branch moved; ready, switch: seen by a watch on the API server; answer: seen by the load client.",
        style="dim",
    )
    for each in load.failures[:5]:
        console.print(f"failed: {each}", style="red", markup=False)
    return not failed and len(load.versions()) == 2


def _took(begin: float, end: float) -> str:
    seconds = end - begin
    return f"{seconds * 1000:,.0f} ms" if seconds < 2 else f"{seconds:,.2f} s"


def how_to_look_around(scene: Scene, console: Console) -> None:
    """What to try on a demo that was left running, and how to end it."""
    python = shlex.quote(os.path.relpath(sys.executable))
    repository: Repository = scene.repository
    load = scene.load.pid
    console.print(
        f"""
[bold]It goes on running[/] (the load ends by itself after 20 minutes). Look around:
  {python} -m sandbox exec -- curl {scene.url}
  {python} -m sandbox kubectl -n {scene.namespace} get deployments,services,pods --show-labels
  {python} -m sandbox kubectl -n {scene.namespace} describe service {APP}
  {python} -m sandbox exec -- {python} -m reconciler status --config {scene.config}
  tail -f {scene.daemon.output}
Release something:
  cd {repository.path} && echo v3.0.0 > version && git commit -am "Release v3.0.0"
End it:
  kill {scene.daemon.pid} {load}; {python} -m sandbox kubectl delete namespace {scene.namespace}
  {python} -m sandbox down""",
        soft_wrap=True,
    )


def main() -> int:
    """Plays the story. Returns the exit status."""
    signal.signal(signal.SIGTERM, _stop)
    console = Console(highlight=False)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    folder = Path(tempfile.mkdtemp(prefix="reconciler-demo-"))
    scene = Scene(Sandbox(quiet=True), folder, kind="demo")
    scene.configure(values={"replicas": REPLICAS}, strategy=_STRATEGY)
    scene.load.rate = RATE
    kept = False
    try:
        fine = _perform(scene, console, keep=keep)
        if keep:
            how_to_look_around(scene, console)
            kept = True
        return 0 if fine else 1
    except (AssertionError, RuntimeError) as error:
        console.print(f"a step did not happen: {error}", style="red", markup=False)
        return 1
    except (Stopped, KeyboardInterrupt):
        return 130
    finally:
        if not kept:
            _tidy_up(scene)


def _perform(scene: Scene, console: Console, *, keep: bool) -> bool:
    with scene.cluster.watch("Pod") as pods, scene.cluster.watch("Service") as services:
        with Screen(scene, console) as screen:
            story = Story(scene, screen, pods, services)
            story.play()
        if not keep:
            scene.load.stop()
        return report(story, console)


def _tidy_up(scene: Scene) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    scene.close()
    rmtree(scene.folder)


def _stop(*_: object) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())

"""Programs run to their end: the reconciler's one-shot commands, and kubectl."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from rig.daemon import reconciler
from rig.scene import Scene


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended, and what it printed."""

    status: int
    out: str
    err: str


def run(scene: Scene, command: str, *arguments: str, stdin: str = "", **environment: str) -> Done:
    """One of the reconciler's commands, on the scene's configuration."""
    return _run(reconciler(command, scene.config, scene.folder / "commands", *arguments), scene, stdin, environment)


def kubectl(scene: Scene, *arguments: str, stdin: str = "") -> Done:
    """kubectl in the scene's namespace."""
    return _run([str(scene.sandbox.kubectl), "--namespace", scene.namespace, *arguments], scene, stdin, {})


def _run(command: list[str], scene: Scene, stdin: str, environment: dict[str, str]) -> Done:
    known = os.environ | scene.sandbox.environment() | {"COLUMNS": "200"} | environment
    done = subprocess.run(command, env=known, input=stdin, capture_output=True, text=True, timeout=120, check=False)
    return Done(done.returncode, done.stdout, done.stderr)

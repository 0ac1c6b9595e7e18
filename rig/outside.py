"""Runs a program inside the sandbox's network, and leaves the sandbox as it was found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from sandbox import Sandbox
from sandbox.errors import SandboxError

_ROOT = Path(__file__).resolve().parents[1]


def run_inside(module: str, arguments: list[str], *, keep: bool = False) -> int:
    """`python -m MODULE ARGUMENTS` in the network of a real sandbox, which is brought up for it if need be.

    Returns its exit status, or 1 if something of the sandbox is left. A sandbox that was brought up for it is taken
    down again, unless it is to be kept.
    """
    console = Console(highlight=False)
    sandbox = Sandbox()
    found_running = sandbox.running
    status = _up_and_run(sandbox, module, arguments, console)
    if found_running or keep or not sandbox.running:
        return status
    console.print("Taking the sandbox down again …", style="dim")
    left = sandbox.down()
    for line in left:
        console.print(f"left behind: {line}", style="red", markup=False)
    return 1 if left else status


def _up_and_run(sandbox: Sandbox, module: str, arguments: list[str], console: Console) -> int:
    try:
        console.print("[bold]A Kubernetes cluster on this machine[/] (the first time it is compiled: some minutes)")
        sandbox.up()
        if sandbox.simulated:
            console.print("This sandbox simulates its pods, so there is no traffic to show.", style="red")
            return 1
        return _run([*sandbox.exec_prefix(), sys.executable, "-m", module, *arguments], console)
    except SandboxError as error:
        console.print(f"{error.log or ''}\n{error.message}".strip(), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(command: list[str], console: Console) -> int:
    """A process of its own, so that this one stays outside and can take the network down afterwards."""
    program = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(_ROOT)})
    before = signal.signal(signal.SIGTERM, lambda *_: program.send_signal(signal.SIGTERM))
    try:
        while True:
            try:
                return program.wait()
            except KeyboardInterrupt:
                console.print("Stopping …", style="dim")  # the terminal told the program, too: it tidies up
    finally:
        signal.signal(signal.SIGTERM, before)

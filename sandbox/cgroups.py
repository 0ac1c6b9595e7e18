"""The cgroup that all pods of a sandbox are under: kubelet wants it to exist, and `down` removes it."""

from __future__ import annotations

import os
from pathlib import Path

from . import procs

_ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS_V2 = "+cpu +cpuset +io +memory +pids"


def _hierarchies() -> list[Path]:
    """One folder where version 2 is the only one; else one for each controller, some known by two names."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    folders = {entry.resolve() for entry in _ROOT.iterdir() if entry.is_dir()} if _ROOT.is_dir() else set()
    return sorted(folder for folder in folders if (folder / "cgroup.procs").exists())


def create(name: str) -> None:
    """Make the cgroup in every hierarchy."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        if (hierarchy / "cgroup.subtree_control").exists() and hierarchy == _ROOT:
            for folder in (hierarchy, group):
                _enable_controllers(folder)
        # Empty in a new cpuset of version 1, and then no process may enter.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if hierarchy != _ROOT and (group / file).exists():
                (group / file).write_text((hierarchy / file).read_text())


def _enable_controllers(folder: Path) -> None:
    for controller in _CONTROLLERS_V2.split():
        try:
            (folder / "cgroup.subtree_control").write_text(controller)
        except OSError:
            continue  # not in this kernel, or kept by whoever runs this machine; kubelet says which it misses


def remove(name: str) -> bool:
    """Remove it everywhere; says whether that worked. A group stays busy for a moment after its last process."""
    return procs.wait_until(lambda: all(_remove(hierarchy / name) for hierarchy in _hierarchies()), 10)


def _remove(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return not group.exists()


def present(name: str) -> list[Path]:
    """Where it still exists."""
    return [hierarchy / name for hierarchy in _hierarchies() if (hierarchy / name).exists()]


def below(name: str, controller: str, leaf: str) -> list[Path]:
    """The folders called LEAF (a container's id) below the cgroup NAME, in the hierarchy of a controller of version 1.

    Where version 2 is the only one, in that, whatever the controller.
    """
    hierarchy = _ROOT if (_ROOT / "cgroup.controllers").exists() else _ROOT / controller
    return sorted(Path(folder, leaf) for folder, below, _ in os.walk(hierarchy / name) if leaf in below)

"""Removes what a sandbox leaves when its processes are gone, and looks whether anything is there still.

Mounts, networks, iptables rules, pods' network namespaces and files in system folders need no removing: they were
in the sandbox's own namespaces, which end with their last process.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import cgroups, procs
from .paths import StatePaths


def remove(paths: StatePaths) -> None:
    """Remove cgroups and files; what resists is reported by `find`."""
    cgroups.remove(paths.cgroup)
    # A second try: the kernel may still be letting go of the last files.
    for _ in range(2):
        shutil.rmtree(paths.root, ignore_errors=True)


def find(paths: StatePaths, network: int | None) -> list[str]:
    """One line for each thing that is left. NETWORK is the inode of the sandbox's network, if known."""
    left = [f"cgroup {folder}" for folder in cgroups.present(paths.cgroup)]
    if paths.root.exists():
        left.append(f"folder {paths.root}")
    root = str(paths.root) + "/"
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    left += [f"mount {mount}" for mount in mounts if f"{mount}/".startswith(root)]
    commands = {pid: _belongs(pid, root, network) for pid in procs.all_pids() if pid != os.getpid()}
    left += [f"process {pid}: {command}" for pid, command in commands.items() if command]
    return left


def _belongs(pid: int, root: str, network: int | None) -> str | None:
    """The command of a process that was started for this sandbox or runs in its network."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        inside = network is not None and os.stat(f"/proc/{pid}/ns/net").st_ino == network
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    ours = inside or any(root in f"{word}/" for word in words)
    return " ".join(words).strip()[:120] if ours and procs.Process.find(pid) else None

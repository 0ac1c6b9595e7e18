"""The processes of a pod's container, as the machine sees them: killed, halted, or out of memory.

They are found by the container's cgroup, whose folder kubelet and containerd name by the pod's and the container's id.
A signal goes to a process by id and start time, never to a stranger who got its id.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rig.cluster import Manifest
from rig.waiting import until
from sandbox import Sandbox, cgroups
from sandbox.procs import Process

_PAGE = os.sysconf("SC_PAGE_SIZE")
_EATER = """
import os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
kept = os.memfd_create("eaten")
block = bytes(2**20)
while True:
    os.write(kept, block)
"""
"""Fills the memory of the cgroup that it moves into with a file. Files of memory count for the group, and not for the
process; so the one that the kernel kills for it is the group's biggest, which is the daemon."""


@dataclass(frozen=True)
class Container:
    """One life of a container: a restart makes another one."""

    group: str
    """The cgroup of all pods of the sandbox."""
    id: str

    @property
    def pids(self) -> list[int]:
        """Its processes, by their ids on the machine; none when it has ended."""
        return [pid for folder in self._folders("cpu") for pid in _pids(folder)]

    @property
    def alive(self) -> bool:
        """Whether a process of it runs."""
        return bool(self.pids)

    def kill(self) -> None:
        """SIGKILL to every process of it; returns when they have gone."""
        assert self.alive, f"container {self.id} has ended already"
        self._signal(signal.SIGKILL)
        until(lambda: not self.alive, f"container {self.id} gone", 10)

    @contextmanager
    def halted(self) -> Iterator[None]:
        """SIGSTOP for as long as the `with` lasts, then SIGCONT to those that are still there."""
        try:
            self._signal(signal.SIGSTOP)
            yield
        finally:
            self._signal(signal.SIGCONT)

    def exhaust(self) -> None:
        """Uses up the container's memory limit, until the kernel kills a process of it for that; returns then."""
        before = set(self.pids)
        members = self._folder("memory") / "cgroup.procs"
        eater = subprocess.Popen([sys.executable, "-c", _EATER, str(members)])
        try:
            until(lambda: not before & set(self.pids), f"container {self.id} killed for want of memory", 30)
        finally:
            eater.kill()
            eater.wait()

    @property
    def main(self) -> int:
        """The process that it was started with, by its id on the machine: the first one in a namespace of its own."""
        found = [pid for pid in self.pids if _innermost(pid) == 1]
        assert found, f"container {self.id} has ended"
        return found[0]

    @property
    def resident(self) -> int:
        """Bytes of memory that its main process has resident."""
        return int(Path(f"/proc/{self.main}/statm").read_text().split()[1]) * _PAGE

    @property
    def descriptors(self) -> int:
        """File descriptors that its main process has open."""
        return len(os.listdir(f"/proc/{self.main}/fd"))

    @property
    def working_set(self) -> int:
        """Bytes that the kernel could not take back without harm: used, less the file cache that was not used lately.

        What `kubectl top` shows and a memory limit is compared with; see Kubernetes' "Node-pressure eviction".
        """
        folder = self._folder("memory")
        for used, idle in (("memory.usage_in_bytes", "total_inactive_file"), ("memory.current", "inactive_file")):
            if (folder / used).exists():
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                return int((folder / used).read_text()) - int(stat[idle])
        raise AssertionError(f"{folder} says nothing of memory")

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used so far, those of its processes that have ended included."""
        if (usage := self._folder("cpuacct") / "cpuacct.usage").exists():
            return int(usage.read_text()) / 1e9
        stat = dict(line.split() for line in (self._folder("cpu") / "cpu.stat").read_text().splitlines())
        return int(stat["usage_usec"]) / 1e6

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids:
            if process := Process.find(pid):
                process.signal(number)

    def _folders(self, controller: str) -> list[Path]:
        return cgroups.below(self.group, controller, self.id)

    def _folder(self, controller: str) -> Path:
        found = self._folders(controller)
        assert found, f"container {self.id} has ended"
        return found[0]


def container_of(sandbox: Sandbox, pod: Manifest, name: str) -> Container:
    """The present life of a pod's container, by the pod's status."""
    return Container(sandbox.control.paths.cgroup, _status(pod, name)["containerID"].partition("://")[2])


def restarts(pod: Manifest, name: str) -> int:
    """How often a container of a pod was restarted, by the pod's status; 0 also before it has started."""
    return int(_status(pod, name).get("restartCount", 0))


def last_end(pod: Manifest, name: str) -> str:
    """Why a container's life before this one ended, as kubelet says it (`OOMKilled`, `Error`); '' without one."""
    return str(_status(pod, name).get("lastState", {}).get("terminated", {}).get("reason", ""))


def _status(pod: Manifest, name: str) -> Manifest:
    statuses: list[Manifest] = pod["status"].get("containerStatuses") or []
    return next((each for each in statuses if each["name"] == name), {})


def _pids(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:  # removed while it was being read: ENOENT, or ENODEV for an open one
        return []


def _innermost(pid: int) -> int:
    """The id of a process in the innermost PID namespace that it is in; 0 if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1])
    return 0

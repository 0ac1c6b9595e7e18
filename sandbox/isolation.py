"""Makes the namespaces of a real sandbox, from inside: network, mounts and process ids.

The mount namespace hides /run, /var/lib and /var/log behind folders of the sandbox. Kubelet, containerd and the
CNI plugins write to fixed places there; so nothing of theirs is ever on the machine, and all mounts end with the
namespace.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path

NODE_ADDRESS = "10.77.0.1"
SOURCE_ADDRESSES = tuple(f"10.77.0.{n}" for n in range(2, 10))  # for load clients: see docs/sandbox.md

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_LIBC = ctypes.CDLL(None, use_errno=True)

# Kubelet insists on these values and would set them for the whole machine. It finds them, in files of ours.
_KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def die_with_parent() -> None:
    """Have the kernel kill the calling process when the one that started it ends, however it ends."""
    _checked(_LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent has ended."""
    _checked(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def new_namespaces() -> None:
    """Leave the machine's network and mounts; the next child will be the first process of a PID namespace."""
    _checked(_LIBC.unshare(_CLONE_NEWNET | _CLONE_NEWNS | _CLONE_NEWPID), "unshare")


def enter_network(path: str) -> None:
    """Move the calling thread into the network namespace at PATH (/proc/PID/ns/net)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        _checked(_LIBC.setns(handle, _CLONE_NEWNET), f"enter {path}")
    finally:
        os.close(handle)


def in_network(path: str) -> bool:
    """Whether the caller is in the network namespace at PATH already."""
    return os.stat(path).st_ino == os.stat("/proc/self/ns/net").st_ino


def set_up_mounts(state: Path, visible: list[Path]) -> None:
    """Hide the machine's changeable folders. STATE and VISIBLE stay where they are, also inside one of those."""
    _run("mount", "--make-rprivate", "/")
    _run("mount", "--make-rshared", "/")  # shared among ourselves: pods' volumes need it
    _run("mount", "-t", "proc", "proc", "/proc")
    # All are opened before the first mount hides one of them.
    handles = {folder: os.open(folder, os.O_PATH) for folder in (state, *visible)}
    for hidden, own in (("/var/lib", "var-lib"), ("/var/log", "var-log")):
        source = Path(f"/proc/{os.getpid()}/fd/{handles[state]}", own)
        source.mkdir(exist_ok=True)
        _bind(str(source), hidden)
    _run("mount", "-t", "tmpfs", "-o", "mode=755,size=64m", "tmpfs", "/run")
    for name in ("netns", "lock"):
        Path("/run", name).mkdir()
    for folder, handle in handles.items():
        if any(folder.is_relative_to(hidden) for hidden in ("/var/lib", "/var/log", "/run")):
            folder.mkdir(parents=True, exist_ok=True)
            _bind(f"/proc/{os.getpid()}/fd/{handle}", str(folder))
        os.close(handle)
    _pretend_kernel_settings()


def _pretend_kernel_settings() -> None:
    folder = Path("/run/kernel-settings")
    folder.mkdir()
    for name, value in _KERNEL_SETTINGS.items():
        if Path("/proc/sys", name).exists():
            file = folder / name.replace("/", ".")
            file.write_text(value + "\n")
            _bind(str(file), f"/proc/sys/{name}")


def _bind(source: str, target: str) -> None:
    """Without canonicalising: an open folder's name in /proc would become a path that is hidden by now."""
    _run("mount", "--no-canonicalize", "--bind", source, target)


def set_up_network() -> None:
    """A node with one network device, an address, and a default route that leads nowhere."""
    _run("ip", "link", "set", "lo", "up")
    # A veth pair with both ends here stands for a network card: not every kernel has dummy devices.
    _run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "node1")
    for device in ("node0", "node1"):
        _run("ip", "link", "set", device, "up")
    for address in (NODE_ADDRESS, *SOURCE_ADDRESSES):
        _run("ip", "address", "add", f"{address}/24", "dev", "node0")
    _run("ip", "route", "add", "default", "via", "10.77.0.254", "dev", "node0")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stdout.strip()}")

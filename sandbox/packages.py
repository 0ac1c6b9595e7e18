"""The Debian packages that real pods and the tests' servers need, and whether this machine can have a real sandbox."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .errors import SandboxError
from .progress import Progress

CNI_PLUGINS = Path("/usr/lib/cni")

# What is looked for, and the package that has it.
_NEEDED = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    str(CNI_PLUGINS / "ptp"): "containernetworking-plugins",
    str(CNI_PLUGINS / "portmap"): "containernetworking-plugins",
}
_FOR_TESTS = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "openssl": "openssl",
    "haproxy": "haproxy",
    "prometheus": "prometheus",
}
"""What the tests of Git over SSH and HTTPS (tests/servers.py), of an Ingress (rig/haproxy.py) and of analysis
(rig/prometheus.py) start. Installed as well where that is possible; the sandbox itself can do without."""
_FOR_IMAGE = {"buildah": "buildah", "debootstrap": "debootstrap"}
"""What builds the project's own image (sandbox/project.py)."""
_SERVICES = {"containerd": "containerd", "sshd": "ssh", "haproxy": "haproxy", "prometheus": "prometheus"}
"""Programs whose package starts a service, and that service's name."""
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program_path() -> str:
    """A PATH on which system programs are found, also for a user whose own leaves out sbin."""
    return os.environ.get("PATH", "") + ":" + _SYSTEM_PATH


def missing() -> list[str]:
    """The Debian packages that the sandbox needs and that are not there."""
    return _absent(_NEEDED)


def _absent(programs: Mapping[str, str]) -> list[str]:
    path = program_path()
    return sorted({package for name, package in programs.items() if not shutil.which(name, path=path)})


def install_line(packages: list[str]) -> str:
    """What a person would type."""
    return "apt-get install -y --no-install-recommends " + " ".join(packages)


def obstacle() -> str | None:
    """Why there can be no real sandbox on this machine, or None. Installs nothing."""
    if sys.platform != "linux":
        return "this is not Linux"
    if os.geteuid() != 0:
        return "not run as root"
    absent = missing()
    if absent and not shutil.which("apt-get"):
        return f"there is no apt-get to install what is missing; on Debian: {install_line(absent)}"
    if shutil.which("unshare"):
        tried = subprocess.run(
            ["unshare", "--net", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/run"],
            capture_output=True,
            text=True,
        )
        if tried.returncode != 0:
            return f"namespaces are refused here ({tried.stderr.strip()})"
    return None


def ensure(progress: Progress) -> None:
    """Install what is missing with one apt line, which is shown first."""
    absent = missing() + (_absent(_FOR_TESTS) if shutil.which("apt-get") else [])
    if absent:
        _install(absent, _NEEDED, progress)


def ensure_for_image(progress: Progress) -> None:
    """Install what builds the project's image, and is missing, in the same way."""
    absent = _absent(_FOR_IMAGE)
    if absent and not shutil.which("apt-get"):
        raise SandboxError(f"the image is built with Debian's tools, which are missing: {install_line(absent)}")
    if absent:
        _install(absent, _FOR_IMAGE, progress)


def _install(absent: list[str], needed: Mapping[str, str], progress: Progress) -> None:
    line = install_line(absent)
    progress.say(f"installing Debian packages: {line}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with progress.step("packages"):
        new = [service for name, service in _SERVICES.items() if not shutil.which(name, path=program_path())]
        for command in ("apt-get update", line):
            done = subprocess.run(
                command.split(), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            if done.returncode != 0 and _absent(needed):
                raise SandboxError(f"`{command}` failed; run this as root: {line}", log=_tail(done.stdout))
        _stop_debians(new)
        if left := _absent(needed):
            raise SandboxError(f"still missing after the install: {', '.join(left)}")


def _stop_debians(services: list[str]) -> None:
    """A package may start its service (by systemd, or by init scripts that no policy-rc.d forbids). Nobody asked for
    it: sandbox and tests have their own."""
    for service in services:
        if Path("/run/systemd/system").exists():
            subprocess.run(["systemctl", "disable", "--now", service], capture_output=True)
        elif Path("/etc/init.d", service).exists():
            subprocess.run([f"/etc/init.d/{service}", "stop"], capture_output=True)


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-15:])

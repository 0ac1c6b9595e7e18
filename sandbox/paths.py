"""Where things are: the state of one sandbox, the cache of built programs, the sources in this folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import SandboxError

SOURCES = Path(__file__).resolve().parent
GO_MODULES = SOURCES / "go"
DEFAULT_NAME = "bluegreen"


def cache_dir() -> Path:
    """The folder of everything that is built once and kept between sandboxes."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "reconciler-sandbox"


def state_base() -> Path:
    """The folder of all sandboxes' state: SANDBOX_STATE, else the system's place for it, or the user's."""
    if chosen := os.environ.get("SANDBOX_STATE"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/reconciler-sandbox")
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base).absolute() / "reconciler-sandbox"


@dataclass(frozen=True)
class StatePaths:
    """The files of one sandbox; nothing of it is anywhere else."""

    name: str
    base: Path

    @classmethod
    def of(cls, name: str) -> StatePaths:
        """The paths of the sandbox NAME, which becomes part of file, cgroup and node names."""
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
            rule = "up to 32 of a-z, 0-9 and -, but no - at an end"
            raise SandboxError(f"{name!r} cannot be a sandbox's name: {rule}")
        return cls(name, state_base())

    @property
    def root(self) -> Path:
        """The folder that `down` removes."""
        return self.base / self.name

    @property
    def lock(self) -> Path:
        """Held by the one command that changes this sandbox."""
        return self.base / f"{self.name}.lock"

    @property
    def record(self) -> Path:
        """Which kind of sandbox this is, and its ports."""
        return self.root / "sandbox.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def socket(self) -> Path:
        """Where the supervisor takes orders."""
        return self.root / "supervisor.sock"

    @property
    def keeper(self) -> Path:
        """Process ids, with start times, of the two processes that everything else hangs on."""
        return self.root / "keeper.json"

    @property
    def audit_log(self) -> Path:
        """Who wrote which Service and Deployment."""
        return self.root / "logs" / "audit.log"

    @property
    def pod_logs(self) -> Path:
        """What kubelet keeps in /var/log/pods, which is the sandbox's own there."""
        return self.root / "var-log" / "pods"

    @property
    def images(self) -> Path:
        """Which images have been imported, and from what."""
        return self.root / "images.json"

    def config(self, name: str) -> Path:
        """The configuration file NAME of a component."""
        return self.root / "config" / name

    def log(self, component: str) -> Path:
        """The log of one component."""
        return self.root / "logs" / f"{component}.log"

    @property
    def volume_plugins(self) -> Path:
        """Always empty; else two components would make a folder for these below /usr."""
        return self.root / "volume-plugins"

    @property
    def cgroup(self) -> str:
        """The cgroup that all pods are under, by its name in every hierarchy."""
        return f"reconciler-sandbox-{self.name}"

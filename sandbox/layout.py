"""What a sandbox remembers of itself: whether its nodes are real, its ports, everybody's login tokens."""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from .isolation import NODE_ADDRESS

NODE_NAME = "node-1"
POD_RANGE = "10.244.0.0/16"
SERVICE_RANGE = "10.96.0.0/16"

_REAL_PORTS = {
    "etcd": 2379,
    "etcd-peer": 2380,
    "apiserver": 6443,
    "controller-manager": 10257,
    "scheduler": 10259,
    "kubelet": 10248,
    "kube-proxy": 10256,
}
_SIMULATED_PORTS = ("etcd", "etcd-peer", "apiserver", "controller-manager", "scheduler", "kwok")

# Who logs in, as whom, in which group: the users that Kubernetes' own RBAC rules are written for.
USERS = {
    "admin": ("sandbox-admin", "system:masters"),
    "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", ""),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kwok": ("sandbox-kwok", "system:masters"),
}


@dataclass(frozen=True)
class Layout:
    """Decided when a sandbox is made, unchanged until it is removed."""

    simulated: bool
    ports: dict[str, int]
    tokens: dict[str, str]

    @classmethod
    def new(cls, *, simulated: bool) -> Layout:
        """A real sandbox owns its network and has the usual ports; a simulated one takes free ones."""
        ports = _free_ports(_SIMULATED_PORTS) if simulated else dict(_REAL_PORTS)
        return cls(simulated, ports, {user: secrets.token_hex(16) for user in USERS})

    @classmethod
    def read(cls, path: Path) -> Layout | None:
        """The layout of the sandbox that is there, or None."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: Path) -> None:
        """Keep it; in one move, as `up` may be killed at any moment."""
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file)
        fresh.rename(path)

    @property
    def host(self) -> str:
        """The address that clients use: the node's, or loopback."""
        return "127.0.0.1" if self.simulated else NODE_ADDRESS

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://{self.host}:{self.ports['apiserver']}"


def _free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """Below the range that outgoing connections take theirs from, so that they stay free across a restart."""
    ports: dict[str, int] = {}
    while len(ports) < len(names):
        candidate = 20000 + secrets.randbelow(10000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
        if candidate not in ports.values():
            ports[names[len(ports)]] = candidate
    return ports

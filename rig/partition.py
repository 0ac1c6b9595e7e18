"""Cuts a pod off from everything: nothing that it sends leaves it, nothing that is sent to it arrives."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sandbox import Sandbox
from sandbox.errors import SandboxError

_LOCK = "xtables.lock"


Direction = tuple[str, str, str]
"""A table and a chain of iptables, and which of a packet's addresses is the pod's."""
OUTGOING: Direction = ("raw", "PREROUTING", "--source")
"""What a pod sends, before any address translation: it asks the API server by a Service's address."""
INCOMING: Direction = ("mangle", "POSTROUTING", "--destination")
"""What is sent to it, after any address translation."""


@contextmanager
def cut_off(sandbox: Sandbox, address: str, directions: Iterable[Direction] = (OUTGOING, INCOMING)) -> Iterator[None]:
    """Drops every packet from and to a pod's address for as long as the `with` lasts, connections that are there too.

    Kubelet's probes are dropped as well, so that a long cut ends by a restart of the container.
    """
    made: list[list[str]] = []
    try:
        for table, chain, side in directions:
            rule = [chain, side, f"{address}/32", "--jump", "DROP"]
            _iptables(sandbox, "--table", table, "--insert", *rule)
            made.append(["--table", table, "--delete", *rule])
        yield
    finally:
        for undo in made:
            _iptables(sandbox, *undo)


def _iptables(sandbox: Sandbox, *words: str) -> None:
    """Under the lock of the sandbox's kube-proxy, which writes rules as well."""
    lock = f"XTABLES_LOCKFILE={sandbox.runtime_folder / _LOCK}"
    command = [*sandbox.exec_prefix(), "env", lock, "iptables", "--wait", "10", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(f"iptables {' '.join(words)} failed", log=done.stderr)

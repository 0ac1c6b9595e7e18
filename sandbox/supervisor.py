"""The process that everything in a sandbox hangs on. Started as `python -m sandbox.supervisor`, never by hand.

Two processes. The *keeper* records itself, makes the namespaces and waits. Its child, the *supervisor*, is the
first process of the PID namespace: it starts components when told to over a socket, and reaps whatever is orphaned
there. When either is killed, even by SIGKILL, the kernel ends every process in the namespace, and with them its
mounts and network. A simulated sandbox has no namespaces; there each component asks the kernel to be killed with
its parent.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import isolation
from .procs import Process

_SECONDS_PER_REQUEST = 2.0


def main() -> None:
    """Record this process, make the namespaces, and keep the supervisor company until it ends."""
    parser = argparse.ArgumentParser(prog="sandbox.supervisor")
    parser.add_argument("state", type=Path)
    parser.add_argument("--isolated", action="store_true")
    parser.add_argument("--visible", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    state: Path = arguments.state
    if os.fork() > 0:  # orphaned on purpose: whoever ran `up` may live on and is not to reap us
        os._exit(0)
    os.chdir("/")
    # A `down` may have removed the folder while we were starting: then opening this fails, and so do we.
    lock = os.open(state / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    keep(state, isolated=arguments.isolated, visible=arguments.visible)


def keep(state: Path, *, isolated: bool, visible: list[Path]) -> None:
    """Start the supervisor and end with it."""
    keeper = Process.find(os.getpid())
    assert keeper is not None
    record = {"keeper": [keeper.pid, keeper.started]}
    _write(state / "keeper.json", record)
    if isolated:
        isolation.new_namespaces()
    go_on, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(tell)
        isolation.die_with_parent()
        if os.read(go_on, 1) != b"+":  # the keeper ended before the kernel was told to end us with it
            os._exit(1)
        os.close(go_on)
        supervise(state, isolated=isolated, visible=visible)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    supervisor = Process.find(child)
    assert supervisor is not None
    _write(state / "keeper.json", record | {"supervisor": [supervisor.pid, supervisor.started]})
    os.write(tell, b"+")
    os.waitpid(child, 0)
    sys.exit(0)


def _write(path: Path, value: object) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value))
    fresh.rename(path)


def supervise(state: Path, *, isolated: bool, visible: list[Path]) -> None:
    """Prepare the namespaces and serve orders for ever."""
    listener = socket.socket(socket.AF_UNIX)
    if isolated:
        isolation.set_up_mounts(state, visible)
        isolation.set_up_network()
    else:
        isolation.adopt_orphans()
    fresh = state / "supervisor.sock.new"
    fresh.unlink(missing_ok=True)
    listener.bind(str(fresh))
    listener.listen(16)
    fresh.rename(state / "supervisor.sock")
    Supervisor(listener).serve()


@dataclass
class Child:
    """One component's process, or what is known of its end."""

    pid: int
    argv: list[str]
    since: float = field(default_factory=time.time)
    status: int | None = None  # the exit code, negative for a signal, None while it runs


class Supervisor:
    """Starts, signals and reaps; every decision is the client's."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._children: dict[str, Child] = {}

    def serve(self) -> None:
        """Take one order at a time, and reap in between."""
        wake, waker = socket.socketpair()
        wake.setblocking(False)
        waker.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(self._listener, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is wake:
                    wake.recv(4096)
                else:
                    self._accept()
            self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self._children.values():
                if child.pid == pid:
                    child.status = os.waitstatus_to_exitcode(status)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(_SECONDS_PER_REQUEST)
            try:
                with connection.makefile("rwb") as stream:
                    answer = self._obey(json.loads(stream.readline()))
                    stream.write(json.dumps(answer).encode() + b"\n")
            except (OSError, ValueError, KeyError, TypeError) as error:
                print(f"supervisor: order not carried out: {error!r}", file=sys.stderr, flush=True)

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        self._reap()
        match order["do"]:
            case "start":
                self._start(order["name"], order["argv"], order["env"], order["log"])
            case "signal":
                child = self._children.get(order["name"])
                if child is not None and child.status is None:
                    os.kill(child.pid, order["number"])
        return {name: vars(child) for name, child in self._children.items()}

    def _start(self, name: str, argv: list[str], env: dict[str, str], log: str) -> None:
        known = self._children.get(name)
        if known is not None and known.status is None:
            return
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(argv, env, log, supervisor)
        self._children[name] = Child(pid, argv)


def _become(argv: list[str], env: dict[str, str], log: str, supervisor: int) -> None:
    """In the child: turn into a component. Returns never."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, output), (2, output)):
            os.dup2(source, target)
        isolation.die_with_parent()
        if os.getppid() == supervisor:
            os.execvpe(argv[0], argv, env)  # noqa: S606 -- no shell is wanted
    except OSError as error:
        os.write(2, f"{argv[0]}: {error}\n".encode())
    finally:
        os._exit(127)


if __name__ == "__main__":
    main()

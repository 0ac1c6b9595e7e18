"""HAProxy as a process of its own: new configurations without a dropped connection, and hosts that move all at once.

Two things make that so. The listening socket is made here and inherited (`bind fd@N`), so nobody ever closes it: a
connection that comes in the middle of a reload waits in it for the next worker. And which backend a host leads to
stands in a map, whose entries are exchanged in one transaction (`prepare map`, `add map`, `commit map`) of the worker's
runtime API: no request meets one host moved and the other not. See HAProxy's Management Guide, 9.3 and 9.4.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rig.waiting import until
from sandbox.packages import install_line, program_path

_TIMEOUT = 15.0
_TAIL = 2000
_RELOAD = signal.SIGUSR2

_GLOBAL = """\
global
  nbthread 1
  hard-stop-after 30s
  description generation-{generation}
defaults
  mode http
  timeout connect 2s
  timeout client 15s
  timeout server 15s
  timeout http-request 5s
  retries 0
frontend ingress
  bind fd@{socket}
  use_backend %[req.hdr(host),field(1,:),lower,map({hosts},{nowhere})]
backend {nowhere}
  http-request return status 404 content-type text/plain string "no such host"
"""
_NOWHERE = "nowhere"

Backends = Mapping[str, tuple[str, ...]]
"""Name → addresses with ports of its servers."""

Hosts = Mapping[str, str]
"""Host → name of the backend that answers for it."""


class ProxyError(AssertionError):
    """HAProxy is missing, refused a configuration, or ended."""


class Haproxy:
    """One HAProxy, from `start` to `stop`. It ends with this process, however that ends.

    `retries 0`: what a client would have to suffer is not smoothed over here.
    """

    def __init__(self, address: str) -> None:
        self._listener = _listen(address)
        self.port: int = self._listener.getsockname()[1]
        self._folder = Path(tempfile.mkdtemp(prefix="ingress-"))  # short: a socket's path has 107 bytes at most
        self._config, self._map = self._folder / "haproxy.cfg", self._folder / "hosts.map"
        self._stderr, self._admin = self._folder / "stderr.txt", self._folder / "admin.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._generation = 0

    def start(self) -> None:
        """Starts it with no host and no backend. Returns when it answers, with 404."""
        self._write_hosts({})
        self._configure({})
        command = ["setpriv", "--pdeathsig", "KILL", _program(), "-W", "-S", str(self._admin), "-f", str(self._config)]
        with self._stderr.open("wb") as err:
            self._process = subprocess.Popen(command, stderr=err, pass_fds=[self._listener.fileno()])
        until(self._is_current, "HAProxy at work", _TIMEOUT)

    def reload(self, backends: Backends) -> None:
        """Exchanges all backends; hosts lead where they led. Returns when no earlier worker takes connections."""
        assert self._process is not None, "it does not run"
        former = _workers(self._ask("show proc"))
        self._configure(backends)
        self._process.send_signal(_RELOAD)
        until(lambda: self._is_current() and not self._accepting(former), "HAProxy's new worker alone", _TIMEOUT)

    def route(self, hosts: Hosts) -> None:
        """Exchanges all hosts at once. When this returns, they are: what begins after that finds nothing of before."""
        version = self._prepared()
        for host, backend in hosts.items():
            self._tell(f"add map @{version} {self._map} {host.lower()} {backend}")
        self._tell(f"commit map @{version} {self._map}")
        self._write_hosts(hosts)  # for the next worker

    def stop(self) -> None:
        """Ends it, by its process id, and removes its files. May be called twice."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _prepared(self) -> int:
        answer = self._ask(f"@1 prepare map {self._map}")
        version = re.search(r"New version created: (\d+)", answer)
        if version is None:
            raise ProxyError(f"HAProxy prepares no map: {answer.strip()}")
        return int(version[1])

    def _tell(self, command: str) -> None:
        """A command of the worker that answers nothing but what is wrong."""
        answer = self._ask(f"@1 {command}").strip()
        if answer:
            raise ProxyError(f"HAProxy refuses {command!r}: {answer}")

    def _is_current(self) -> bool:
        return f"description: generation-{self._generation}\n" in self._ask("@1 show info", patient=True)

    def _accepting(self, former: frozenset[int]) -> bool:
        """Whether a former worker has not yet stopped to take connections. Those that it has it serves to their end."""
        left = former & _workers(self._ask("show proc", patient=True))
        return any("Stopping: 1\n" not in self._ask(f"@!{pid} show info", patient=True) for pid in left)

    def _ask(self, command: str, *, patient: bool = False) -> str:
        """What the master's socket answers. While it reads its configuration, nobody does: '' if `patient`."""
        self._require_alive()
        try:
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(_TIMEOUT)
                asked.connect(str(self._admin))
                asked.sendall(f"{command}\n".encode())
                asked.shutdown(socket.SHUT_WR)
                return asked.makefile().read()
        except OSError as error:
            if patient:
                return ""
            raise ProxyError(f"HAProxy does not answer {command!r}: {error}\n{self._told()}") from error

    def _require_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise ProxyError(f"HAProxy has ended\n{self._told()}")

    def _configure(self, backends: Backends) -> None:
        """Writes a configuration, and has it checked before anybody reads it."""
        self._generation += 1
        known = {"generation": self._generation, "socket": self._listener.fileno(), "nowhere": _NOWHERE}
        text = _GLOBAL.format(hosts=self._map, **known) + "".join(map(_backend, backends.items()))
        fresh = self._config.with_suffix(".new")
        fresh.write_text(text)
        command = [_program(), "-c", "-q", "-f", str(fresh)]
        done = subprocess.run(command, capture_output=True, text=True, pass_fds=[self._listener.fileno()], timeout=30)
        if done.returncode:
            raise ProxyError(f"HAProxy refuses its configuration: {done.stderr[-_TAIL:]}")
        fresh.replace(self._config)

    def _write_hosts(self, hosts: Hosts) -> None:
        self._map.write_text("".join(f"{host.lower()} {backend}\n" for host, backend in hosts.items()))

    def _told(self) -> str:
        return self._stderr.read_text(errors="replace")[-_TAIL:] if self._stderr.exists() else ""


def _listen(address: str) -> socket.socket:
    """A listening socket on a free port, and with it the end of any race for that port."""
    made = socket.socket()
    try:
        made.bind((address, 0))
    except OSError as error:
        made.close()
        raise ProxyError(f"no port on {address}: is this the sandbox's network? (python -m sandbox exec)") from error
    made.listen(1024)
    return made


def _program() -> str:
    found = shutil.which("haproxy", path=program_path())
    if found is None:
        line = install_line(["haproxy"])
        raise ProxyError(
            f"there is no HAProxy here; `python -m sandbox up` from nothing installs it, or as root: {line}"
        )
    return found


def _backend(named: tuple[str, tuple[str, ...]]) -> str:
    name, servers = named
    return f"backend {name}\n" + "".join(f"  server {each} {each}\n" for each in servers)


def _workers(shown: str) -> frozenset[int]:
    """Process ids of all workers, former ones too, that the answer to `show proc` lists."""
    return frozenset(int(pid) for pid in re.findall(r"^(\d+)\s+worker\b", shown, re.MULTILINE))

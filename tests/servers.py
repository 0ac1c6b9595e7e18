"""Real Git servers inside the test's own process: HTTPS by `git http-backend`, SSH by OpenSSH's sshd.

Neither is a daemon. Both listen on the loopback (HTTPS elsewhere if pods are to reach it), on a port that the kernel
chose, so that nothing has to be waited for. What they need of Debian is in `sandbox/packages.py`; `missing` says what
is not there.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sandbox.packages import program_path

PROGRAMS = ("openssl", "sshd", "ssh", "ssh-keygen")
_ENOUGH = 30.0
"""Seconds that any one thing of a server may take."""
_BACKEND = ("git", "http-backend")


def missing() -> list[str]:
    """Programs that are not there."""
    return [name for name in PROGRAMS if not shutil.which(name, path=program_path())]


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=_ENOUGH, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own, and a server's certificate by it for localhost and an address."""

    ca: Path
    certificate: Path
    key: Path


def make_authority(folder: Path, address: str = "127.0.0.1") -> Authority:
    """Makes it with the openssl command, for a server at that address."""
    folder.mkdir()
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _run(
        "openssl",
        *new,
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=test CA",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        cwd=folder,
    )
    _run("openssl", *new, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr", cwd=folder)
    (folder / "names").write_text(f"subjectAltName=DNS:localhost,IP:{address}\n")
    signed = ("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    _run("openssl", *signed, "-extfile", "names", "-out", "server.crt", cwd=folder)
    return Authority(folder / "ca.crt", folder / "server.crt", folder / "server.key")


@dataclass
class HttpsServer:
    """Serves the repositories below `root`, and does what its switches say. `seen` are the requests' paths with their
    Authorization; `allowed` the values of it that are let in (None: nobody is asked)."""

    root: Path
    address: str = "127.0.0.1"
    port: int = 0
    allowed: set[str] | None = None
    revoked: bool = False
    """Who was let in with the first request of an operation is not with those after it."""
    redirect: str = ""
    rubbish: bytes = b""
    hold: threading.Event = field(default_factory=threading.Event)
    """Set: requests are answered. Cleared: they wait for it."""
    waiting: threading.Event = field(default_factory=threading.Event)
    """Set once a request waits for `hold`."""
    before: Callable[[str], object] = lambda _: None
    """Called with the path of each request before it is answered, in the connection's thread."""
    after: Callable[[str], object] = lambda _: None
    """The same once it was carried out, and before the answer goes out."""
    losing: str = ""
    """Requests with this method and path are carried out, and the connection is closed instead of an answer."""
    read_only: bool = False
    """Whoever wants to push is told that it is forbidden."""
    seen: list[tuple[str, str]] = field(default_factory=list)

    def url(self, name: str, host: str = "") -> str:
        """The address of a repository."""
        return f"https://{host or self.address}:{self.port}/{name}"


@contextmanager
def https_server(root: Path, authority: Authority, address: str = "127.0.0.1") -> Iterator[HttpsServer]:
    """Runs one at that address of this machine, for as long as the `with` lasts."""
    state = HttpsServer(root, address)
    state.hold.set()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)

    class Handler(_Handler):
        server_state = state

    server = _Server(context, address, Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        thread.join(_ENOUGH)
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that the end waits for them

    def __init__(self, context: ssl.SSLContext, address: str, handler: type[_Handler]) -> None:
        self._context = context
        super().__init__((address, 0), handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The handshake comes with the first read, in the connection's thread: it must not hold up the others."""
        connection, address = super().get_request()
        connection.settimeout(_ENOUGH)
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server_state: HttpsServer

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def _serve(self) -> None:
        state = self.server_state
        authorization = self.headers.get("Authorization", "")
        state.seen.append((self.path, authorization))
        if not state.hold.is_set():
            state.waiting.set()
            state.hold.wait(_ENOUGH)
        state.before(self.path)
        if state.read_only and "git-receive-pack" in self.path:
            self._answer(403)
        elif state.redirect:
            self._answer(302, Location=state.redirect + self.path)
        elif (state.revoked and self.command == "POST") or (
            state.allowed is not None and authorization not in state.allowed
        ):
            self._answer(401, **{"WWW-Authenticate": 'Basic realm="test"'})
        elif state.rubbish:
            self.wfile.write(state.rubbish)
            self.close_connection = True
        else:
            self._by_backend()

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _by_backend(self) -> None:
        """git-http-backend(1): a CGI program (RFC 3875)."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            _BACKEND, input=body, env=self._cgi(), stdout=subprocess.PIPE, timeout=_ENOUGH, check=False
        )
        self.server_state.after(self.path)
        if f"{self.command} {self.path}" == self.server_state.losing:
            self.close_connection = True
            return
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _cgi(self) -> dict[str, str]:
        path, _, query = self.path.partition("?")
        return {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "3",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowFilter",
            "GIT_CONFIG_VALUE_1": "true",
            "GIT_CONFIG_KEY_2": "http.receivepack",
            "GIT_CONFIG_VALUE_2": "true",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(self.server_state.root),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }


@dataclass
class SshServer:
    """An sshd with keys of its own. `identity` opens it, `known_hosts` names it rightly."""

    folder: Path
    port: int
    user: str

    @property
    def identity(self) -> bytes:
        """The private key that is let in."""
        return (self.folder / "user").read_bytes()

    @property
    def known_hosts(self) -> bytes:
        """The line for the server's host key."""
        return self.known_as("host")

    def known_as(self, key: str) -> bytes:
        """The line for another host key."""
        return f"[127.0.0.1]:{self.port} ".encode() + (self.folder / f"{key}.pub").read_bytes()

    def before(self, script: str) -> None:
        """Has a shell run `script` before every command of a client from now on; $SSH_ORIGINAL_COMMAND is that."""
        (self.folder / "before").write_text(script)

    def url(self, repository: Path) -> str:
        """The address of a repository."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}{repository}"


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Runs one, for as long as the `with` lasts: an `sshd -i` for each connection, as inetd would start it."""
    folder.mkdir(mode=0o700)
    for name in ("host", "user", "other"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name, cwd=folder)
    (folder / "authorized_keys").write_bytes((folder / "user.pub").read_bytes())
    (folder / "before").write_text("")
    (folder / "sshd_config").write_text(_SSHD.format(folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, for the separation of privileges
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running: list[subprocess.Popen[bytes]] = []
        thread = threading.Thread(target=_accept, args=(listener, folder, running), daemon=True)
        thread.start()
        try:
            yield SshServer(folder, listener.getsockname()[1], _user())
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(_ENOUGH)
            for process in running:
                process.kill()
                process.wait(_ENOUGH)


def _accept(listener: socket.socket, folder: Path, running: list[subprocess.Popen[bytes]]) -> None:
    program = shutil.which("sshd", path=program_path())
    assert program is not None
    command = (program, "-i", "-e", "-f", str(folder / "sshd_config"))
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, (folder / "log").open("ab") as log:
            both = connection.fileno()
            running.append(subprocess.Popen(command, stdin=both, stdout=both, stderr=log))


def _user() -> str:
    done = subprocess.run(("id", "-un"), capture_output=True, text=True, timeout=_ENOUGH, check=True)
    return done.stdout.strip()


_SSHD = """\
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PidFile none
ForceCommand . {folder}/before; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""

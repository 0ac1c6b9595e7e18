"""A Git host: repositories by HTTP as real ones give them, with nothing on disk that the daemon could watch."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

_HANDED_ON = {"Content-Type": "CONTENT_TYPE", "Content-Encoding": "HTTP_CONTENT_ENCODING"}
_TIMEOUT = 30.0


class GitHost:
    """Serves every repository in a folder, for reading, by `git http-backend`; see git-http-backend(1)."""

    def __init__(self, folder: Path, address: str) -> None:
        self._server = ThreadingHTTPServer((address, 0), _handler(folder))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> GitHost:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, name: str) -> str:
        """The address of the repository in the folder's folder `name`."""
        return "http://{}:{}/{}".format(*self._server.server_address[:2], name)


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            environment = os.environ | self._variables()
            command = ["git", "http-backend"]
            done = subprocess.run(
                command, env=environment, input=body, capture_output=True, check=True, timeout=_TIMEOUT
            )
            head, _, answer = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked may have been killed since
                self.end_headers()
                self.wfile.write(answer)

        def _variables(self) -> Mapping[str, str]:
            """Of the Common Gateway Interface, RFC 3875."""
            address = urlsplit(self.path)
            known = {"PATH_INFO": address.path, "QUERY_STRING": address.query, "REQUEST_METHOD": self.command}
            handed_on = {name: self.headers.get(header, "") for header, name in _HANDED_ON.items()}
            protocol = {"GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_HTTP_EXPORT_ALL": "1"}
            return {**known, **handed_on, **protocol, "GIT_PROJECT_ROOT": str(folder)}

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    return Handler

"""What messages are sent to: a web server and a mail server, real ones on loopback, that behave as they are told."""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebService:
    """Takes JSON messages. `status` is what it answers; with None it takes a request and never answers."""

    def __init__(self, status: int | None = 200, host: str = "127.0.0.1", port: int = 0) -> None:
        self.status = status
        self.taken: list[dict[str, Any]] = []
        self.asked = 0
        self._closing = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def address(self, secret: str = "", **options: str) -> str:
        """As apprise writes it."""
        user = f"bot:{secret}@" if secret else ""
        query = "".join(f"{'&' if index else '?'}{key}={options[key]}" for index, key in enumerate(options))
        host = self._server.server_address[0]
        return f"json://{user}{host!s}:{self.port}/{secret}{query}"

    def titles(self) -> list[str]:
        return [str(each["title"]) for each in self.taken]

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> WebService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        message = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.asked += 1
        if self.status is None:
            self._closing.wait()
            return
        if self.status < 300:
            self.taken.append(message)
        request.send_response(self.status)
        request.send_header("Content-Length", "0")
        request.end_headers()


class MailService(socketserver.ThreadingTCPServer):
    """Takes mail by as much of SMTP (RFC 5321) as one client needs, without TLS and passwords."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.taken: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Mail(socketserver.StreamRequestHandler):
    server: MailService

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            command = line.strip().upper()
            if command == b"DATA":
                self._say("354 go on")
                self.server.taken.append(self._text())
                self._say("250 taken")
            elif command == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _text(self) -> str:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        return b"".join(lines).decode()

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

"""What `helm test` runs in its pod, run here: it ends well only with a daemon that is ready and has metrics."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from docs.generate import ROOT

READY, METRICS = (200, "ready"), (200, 'reconciler_build_info{version="0.1.0"} 1\n')


@contextmanager
def daemon(answers: Mapping[str, tuple[int, str]]) -> Iterator[int]:
    """Something that answers like a daemon; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int) -> subprocess.CompletedProcess[str]:
    script = (ROOT / "helm/reconciler/files/ask.py").read_text(encoding="utf-8")
    variables = {"BLUE_SERVICE_HOST": "127.0.0.1", "BLUE_SERVICE_PORT_MONITORING": str(port)}
    command = [sys.executable, "-c", script, "BLUE"]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_a_ready_daemon_passes() -> None:
    with daemon({"/readyz": READY, "/metrics": METRICS}) as port:
        done = ask(port)
    assert (done.returncode, done.stdout) == (0, "/readyz: 200\n/metrics: 200\n")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"/readyz": (503, "not yet"), "/metrics": METRICS}, "HTTP Error 503"),
        ({"/readyz": READY, "/metrics": (404, "")}, "HTTP Error 404"),
        ({"/readyz": READY, "/metrics": (200, "other 1\n")}, "/metrics does not hold reconciler_build_info{"),
    ],
)
def test_any_other_fails_and_it_is_said_why(answers: Mapping[str, tuple[int, str]], told: str) -> None:
    with daemon(answers) as port:
        done = ask(port)
    assert done.returncode == 1
    assert told in done.stderr

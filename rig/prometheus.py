"""Prometheus as a process of its own: it scrapes the pods of one namespace, as they ask for by their annotations.

Which pods there are it learns as in a production cluster (rig/discovery.py). Two things are quicker here than its
defaults: it scrapes twice a second, and a pod that was discovered is scraped half a second later, not up to five.
That it takes notice of new pods only every five seconds is fixed in its code (discovery.Manager's `updatert`).

Its port stays reserved while it is stopped, so that it can be away for a while: until then connections are refused.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import yaml

from rig.discovery import PodDiscovery
from rig.waiting import Overdue, until
from sandbox import Sandbox
from sandbox.packages import install_line, program_path

INTERVAL = 0.5
"""Seconds between two scrapes of a pod, unless another interval is asked for."""

_TIMEOUT = 30.0
_QUERY_TIMEOUT = 10.0
_TAIL = 2000
_RETENTION = "2h"
_OPENER = build_opener(ProxyHandler({}))
_META = "__meta_kubernetes_"
_LABELS = {
    "namespace": "namespace",
    "pod": "pod_name",
    "app": "pod_label_app",
    "version": "pod_label_version",
    "revision": "pod_label_bluegreen_reconciler_revision",
}
RELABELLING: Sequence[Mapping[str, Any]] = (
    {"source_labels": [_META + "pod_annotation_prometheus_io_scrape"], "regex": "true", "action": "keep"},
    {
        "source_labels": [_META + "pod_ip", _META + "pod_annotation_prometheus_io_port"],
        "separator": ":",
        "regex": r"(.+):(\d+)",
        "replacement": "$1:$2",
        "target_label": "__address__",
    },
    *({"source_labels": [_META + source], "target_label": label} for label, source in _LABELS.items()),
)
"""The rules of docs/analysis-queries.md. However many ports a pod has, one target is made of it: equal ones are one."""

Samples = Sequence["Sample"]
Job = Mapping[str, Any]
"""One entry of `scrape_configs`."""


class PrometheusError(AssertionError):
    """Prometheus is missing, has ended, or does not take a query."""


class Sample(NamedTuple):
    """One element of the vector that a query answers: its labels and its value. NaN is a value, too."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """A context manager: one Prometheus on the loopback address of the caller's network, until it is left.

    It ends with this process, however that ends. What it has measured stays while it is stopped.

    Args:
        folder: for its configuration, its data and its log.
        jobs: what it scrapes; see `pods_of`.
        interval: seconds between two scrapes.
        prefix: words before its command line: the environment, and the way into another network.
    """

    def __init__(
        self, folder: Path, jobs: Iterable[Job], *, interval: float = INTERVAL, prefix: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self._config = configuration(jobs, interval)
        self._prefix = prefix
        self._reserved: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Prometheus:
        self._reserved = _reserve()
        self.port = self._reserved.getsockname()[1]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "prometheus.yml").write_text(yaml.safe_dump(self._config, sort_keys=False))
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it answers queries, or refuses connections."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, on the same port as before. Returns when it takes queries.

        It ends with the thread that calls this, so that should be the main one.
        """
        assert self._process is None, "it runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log)
        until(self._is_ready, "Prometheus at work", _TIMEOUT)

    def stop(self) -> None:
        """Ends it, by its process id: connections are refused from now on. May be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Ends it, and gives up its port. What it wrote is left in `folder`."""
        self.stop()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    @property
    def log(self) -> Path:
        """What it says, over all its lives."""
        return self.folder / "prometheus.log"

    def query(self, expr: str) -> Samples:
        """The vector that `expr` is at present: empty without any data.

        Raises:
            PrometheusError: it does not answer, or finds fault with the expression.
        """
        result = self._get("/api/v1/query?" + urlencode({"query": expr}))["data"]
        if result["resultType"] == "scalar":
            return [Sample({}, float(result["result"][1]))]
        if result["resultType"] != "vector":
            raise PrometheusError(f"{expr} is no vector, but a {result['resultType']}")
        return [Sample(each["metric"], float(each["value"][1])) for each in result["result"]]

    def wait_for(self, expr: str, holds: Callable[[Samples], bool] = bool, *, timeout: float = 120.0) -> Samples:
        """The first answer to `expr` of which something holds; by itself, that there is data."""
        last: Samples = ()

        def found() -> bool:
            nonlocal last
            last = self.query(expr)
            return holds(last)

        try:
            until(found, f"an answer to {expr}", timeout, poll=0.1)
        except Overdue as error:
            raise Overdue(f"{error}; the last: {last}\nscraped: {self.targets()}") from None
        return last

    def targets(self) -> Sequence[str]:
        """What it scrapes at present, a line each: the pod or the address, and how that goes."""
        active = self._get("/api/v1/targets?state=active")["data"]["activeTargets"]
        return [
            f"{each['scrapeUrl']} {each['labels']} {each['health']} {each['lastError']}".rstrip() for each in active
        ]

    def _command(self) -> list[str]:
        own = [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--storage.tsdb.retention.time={_RETENTION}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--scrape.discovery-reload-interval=500ms",
            "--log.level=warn",
        ]
        return ["setpriv", "--pdeathsig", "KILL", *self._prefix, program(program_path()), *own]

    def _is_ready(self) -> bool:
        self._require_alive()
        try:
            with _OPENER.open(f"{self.url}/-/ready", timeout=_QUERY_TIMEOUT) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def _get(self, path: str) -> Any:
        self._require_alive()
        try:
            with _OPENER.open(self.url + path, timeout=_QUERY_TIMEOUT) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                raise PrometheusError(f"{path}: {error.read(_TAIL).decode(errors='replace')}") from error
        except OSError as error:
            raise PrometheusError(f"Prometheus does not answer {path}: {error}\n{self._told()}") from error

    def _require_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise PrometheusError(f"Prometheus does not run\n{self._told()}")

    def _told(self) -> str:
        return self.log.read_text(errors="replace")[-_TAIL:] if self.log.exists() else ""


@contextmanager
def of_namespace(sandbox: Sandbox, namespace: str, folder: Path, *, interval: float = INTERVAL) -> Iterator[Prometheus]:
    """A Prometheus in the sandbox's network, where the caller has to be, for the pods of one namespace."""
    with (
        PodDiscovery(sandbox.kubeconfig, namespace) as discovery,
        Prometheus(folder, [pods_of(discovery.url)], interval=interval, prefix=sandbox.exec_prefix()) as made,
    ):
        yield made


def configuration(jobs: Iterable[Job], interval: float) -> dict[str, Any]:
    """A Prometheus' configuration."""
    written = f"{round(interval * 1000)}ms"
    return {"global": {"scrape_interval": written, "scrape_timeout": written}, "scrape_configs": list(jobs)}


def pods_of(discovery: str) -> Job:
    """Scrapes the pods that a discovery names (its URL), if they ask for it, on the port that they name.

    What the program itself says of its version gives way to the pod's label: they are the same, or the program does not
    know what it was released as.
    """
    return {
        "job_name": "pods",
        "http_sd_configs": [{"url": discovery, "refresh_interval": "500ms"}],
        "relabel_configs": [*RELABELLING],
        "metric_relabel_configs": [{"regex": "exported_version", "action": "labeldrop"}],
    }


def _reserve() -> socket.socket:
    """A free port, bound and not listened on: Prometheus, which sets SO_REUSEADDR as well, may listen on it.

    Nobody else gets it: the kernel gives to those who ask for any port only one that is bound by nobody.
    """
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", 0))
    return made


def program(path: str) -> str:
    """Where Prometheus is; raises PrometheusError, with how to get it, if it is in none of the folders of `path`."""
    found = shutil.which("prometheus", path=path)
    if found is None:
        line = install_line(["prometheus"])
        raise PrometheusError(
            f"there is no Prometheus here; `python -m sandbox up` from nothing installs it, or as root: {line}"
        )
    return found

"""An ingress controller of one namespace: what Ingress, Services and EndpointSlices say, into a real proxy.

It does what such controllers do, and no more than the tests need: backends are the addresses of ready pods, and every
change of the Ingress objects is one exchange of all hosts. Backends are made for every Service of the namespace, so
that a host can move to one without a reload before it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from urllib3.exceptions import HTTPError

from rig.cluster import Cluster, Manifest, Watch
from rig.haproxy import Backends, Haproxy, Hosts
from rig.waiting import POLL, Overdue, until
from sandbox import Sandbox

_KINDS = ("Ingress", "Service", "EndpointSlice")


class Unsupported(AssertionError):
    """An Ingress says something that this small controller does not know."""


@dataclass(frozen=True, slots=True)
class Routing:
    """What the objects of a namespace ask a proxy for."""

    hosts: Hosts
    backends: Backends


class Move(NamedTuple):
    """The hosts from `at` (epoch seconds) on: a request that began later met these."""

    at: float
    hosts: Hosts

    def leads(self, services: Mapping[str, str]) -> bool:
        """Whether each of these hosts leads to that Service."""
        return all(self.hosts.get(host, "").partition(":")[0] == service for host, service in services.items())


def routing(ingresses: Iterable[Manifest], services: Iterable[Manifest], slices: Iterable[Manifest]) -> Routing:
    """The proxy's tables. Of two Ingresses that name one host the elder has it, as with most controllers."""
    elder = sorted(ingresses, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"]))
    hosts: dict[str, str] = {}
    known = {each["metadata"]["name"]: each for each in services}
    for ingress in elder:
        for host, backend in _rules(ingress):
            hosts.setdefault(host, _backend_name(backend["service"], known))
    return Routing(hosts, dict(_backends(known.values(), list(slices))))


def _rules(ingress: Manifest) -> Iterator[tuple[str, Manifest]]:
    name, spec = ingress["metadata"]["name"], ingress["spec"]
    if "defaultBackend" in spec:
        raise Unsupported(f"Ingress {name}: spec.defaultBackend")
    for rule in spec.get("rules", ()):
        paths = rule.get("http", {}).get("paths", ())
        simple = [each for each in paths if each.get("path", "/") == "/" and each["pathType"] != "Exact"]
        if len(paths) != 1 or paths != simple or "service" not in paths[0]["backend"] or "*" in rule.get("host", "*"):
            raise Unsupported(f"Ingress {name}: only a host with the one path / and a Service behind it, not {rule}")
        yield rule["host"], paths[0]["backend"]


def _backend_name(wanted: Manifest, services: Mapping[str, Manifest]) -> str:
    """`SERVICE:PORT`, the port by its number in the Service. One that is not there is answered for by 503."""
    name, port = wanted["name"], wanted["port"]
    if "number" in port:
        return f"{name}:{port['number']}"
    ports = services[name]["spec"]["ports"] if name in services else ()
    return f"{name}:{next((each['port'] for each in ports if each.get('name') == port['name']), port['name'])}"


def _backends(services: Iterable[Manifest], slices: list[Manifest]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for service in services:
        name = service["metadata"]["name"]
        own = [each for each in slices if each["metadata"]["labels"]["kubernetes.io/service-name"] == name]
        for port in service["spec"].get("ports", ()):
            addresses = {each for piece in own for each in _addresses(piece, port.get("name", ""))}
            yield f"{name}:{port['port']}", tuple(sorted(addresses))


def _addresses(piece: Manifest, port_name: str) -> Iterator[str]:
    """Of pods that are ready and not about to end. A condition that is absent counts as ready (discovery/v1)."""
    numbers = [each["port"] for each in piece.get("ports") or () if (each.get("name") or "") == port_name]
    for endpoint in piece.get("endpoints") or ():
        conditions = endpoint.get("conditions", {})
        if conditions.get("ready", True) and not conditions.get("terminating"):
            yield from (f"{address}:{number}" for address in endpoint["addresses"] for number in numbers)


class IngressProxy:
    """A context manager: a proxy that follows the Ingress objects of a namespace, until it is left.

    It answers at `address` and `port`, in the network of the sandbox, in which the caller has to be.
    """

    def __init__(self, sandbox: Sandbox, namespace: str) -> None:
        self._cluster = Cluster(sandbox.kubeconfig, namespace)
        self.address = sandbox.node_address
        self._proxy = Haproxy(self.address)
        self.port = self._proxy.port
        self.reloads = 0
        self._moves: list[Move] = []
        self._current = Routing({}, {})
        self._failure: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._watches: list[Watch] = []
        self._closing = ExitStack()

    def __enter__(self) -> IngressProxy:
        with ExitStack() as closing:
            closing.callback(self._cluster.close)
            closing.callback(self._proxy.stop)
            self._proxy.start()
            self._watches = [closing.enter_context(self._cluster.watch(kind)) for kind in _KINDS]
            closing.callback(self._end)
            self._thread.start()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.__exit__(kind, error, at)
        if error is None:
            self._require_well()

    @property
    def moves(self) -> tuple[Move, ...]:
        """Every exchange of the hosts so far."""
        return tuple(self._moves)

    def wait_for(self, services: Mapping[str, str], timeout: float = 60.0) -> Move:
        """The exchange since when all of these hosts lead to those Services."""

        def found() -> Move | None:
            self._require_well()
            last = self._moves[-1] if self._moves else None
            return last if last and last.leads(services) else None

        try:
            return until(found, f"the proxy leading to {dict(services)}", timeout)
        except Overdue as error:
            raise Overdue(f"{error}; it leads to {self._current}") from None

    def _require_well(self) -> None:
        if self._failure is not None:
            raise AssertionError(f"the ingress proxy follows no more: {self._failure}") from self._failure

    def _end(self) -> None:
        self._over.set()
        self._thread.join(60)

    def _follow(self) -> None:
        try:
            seen = -1
            while not self._over.wait(POLL):
                now = sum(len(each.changes) for each in self._watches)
                if now != seen:
                    seen = now
                    self._take_over()
        except (AssertionError, OSError, HTTPError) as error:
            self._failure = error

    def _take_over(self) -> None:
        """Backends before hosts: a host is never led to one that is not there yet, or from one that is gone already."""
        wanted, current = routing(*(self._cluster.find(kind) for kind in _KINDS)), self._current
        left = {each: current.backends[each] for each in current.hosts.values() if each in current.backends}
        backends = {**left, **wanted.backends}
        if backends != current.backends:
            self._proxy.reload(backends)
            self.reloads += 1
        if wanted.hosts != current.hosts:
            self._proxy.route(wanted.hosts)
            self._moves.append(Move(time.time(), wanted.hosts))
        self._current = Routing(wanted.hosts, backends)

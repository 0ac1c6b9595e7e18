"""Connections that were opened before a switch are answered by the old colour until that goes, and it goes late enough.

Each connection is asked without a pause, so an answer that never comes is noticed, whenever it would have been given.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from rig.cluster import Change, Manifest, ready_endpoints
from rig.scene import APP, Scene
from rig.waiting import until
from tests.e2e.harness.asserts import moved, no_request_failed

CONNECTIONS = 12
PAUSE = 0.02
"""Seconds between two requests of a connection: there are many, and the machine is small."""


class Answer(NamedTuple):
    """What came of one request: when (epoch seconds) it was sent and answered, and by which version."""

    began: float
    ended: float
    version: str


@dataclass
class Kept:
    """One connection, asked again and again until the server ends it (`ended`). `error`: that was in the midst of a
    request."""

    host: str
    port: int
    answers: list[Answer] = field(default_factory=list)
    error: str = ""
    ended: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    def talk(self) -> None:
        """Asks until the server says that it closes the connection, or it is `over`."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            while not self.over.wait(PAUSE) and not self._idle_end(connection):
                began = time.time()
                connection.request("GET", "/")
                with connection.getresponse() as response:
                    said = json.load(response)
                self.answers.append(Answer(began, time.time(), said["version"]))
                if response.getheader("Connection") == "close":
                    break
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.ended = time.time()
            connection.close()

    def _idle_end(self, connection: http.client.HTTPConnection) -> bool:
        """Whether the server closed it between two requests, as HTTP lets it: nothing of ours was on its way."""
        if connection.sock is None:
            assert not self.answers, "it would be opened anew"
            return False
        connection.sock.setblocking(False)
        try:
            return connection.sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        finally:
            connection.sock.settimeout(20)


@contextmanager
def kept(scene: Scene) -> Iterator[list[Kept]]:
    """Connections to the app, each of which was answered once."""
    made = [Kept(scene.sandbox.node_address, scene.node_port) for _ in range(CONNECTIONS)]
    threads = [threading.Thread(target=each.talk, daemon=True) for each in made]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(each.answers or each.error for each in made), "an answer on every connection")
        yield made
    finally:
        for each in made:
            each.over.set()
        for thread in threads:
            thread.join(30)


def test_connections_are_answered_by_the_old_colour_until_it_goes(scene: Scene) -> None:
    """None of them ends before that is deleted, and no request is lost until then. Their server closes them as it ends;
    a request that is just being sent on an idle connection may cross with that, whatever we do (RFC 9112, 9.5)."""
    scene.first_release("v1.0.0")
    with kept(scene) as connections:
        commit = scene.release("v2.0.0")
        scene.load.wait_for("v2.0.0")
        scene.settle(commit)
        scene.daemon.wait_for("retired", version="v1.0.0")
        until(lambda: all(each.ended for each in connections), "every old connection ended by its server", 60)
    switch = next(each for each in scene.audit.writes("services") if each.version == "v2.0.0" and each.succeeded).at
    deleted = next(each for each in scene.audit.writes("deployments") if each.verb == "delete" and each.succeeded).at
    assert {answer.version for each in connections for answer in each.answers} == {"v1.0.0"}
    early = [each.error or "it was closed" for each in connections if each.ended <= deleted]
    assert not early, f"ended before the old colour was deleted: {early}"
    late = [answer for each in connections for answer in each.answers if answer.began > switch]
    assert all(any(answer.began > switch for answer in each.answers) for each in connections)
    after = sum(answer.began > deleted for answer in late)
    print(
        f"{len(late)} requests on {CONNECTIONS} connections from before the switch were answered by the old colour "
        f"after it, {after} of them after its deletion had begun, {deleted - switch:.1f} s after the switch; "
        f"{sum(bool(each.error) for each in connections)} crossed with the end of their server"
    )
    no_request_failed(scene.load)
    moved(scene, 1)


def test_the_old_colour_goes_after_nothing_routes_to_it_and_its_delay_is_over(scene: Scene) -> None:
    """In the order of the API server: switched, no endpoint of the old colour left, and only then deleted."""
    scene.configure(strategy={"scaleDownDelay": "3s"})
    scene.first_release("v1.0.0")
    old = scene.cluster.endpoints(APP)
    with (
        scene.cluster.watch("Service") as services,
        scene.cluster.watch("EndpointSlice") as slices,
        scene.cluster.watch("Deployment") as deployments,
    ):
        commit = scene.release("v2.0.0")
        scene.settle(commit)
        retired = scene.daemon.wait_for("retired", version="v1.0.0")
        gone = deployments.wait_for(_goes, "the old Deployment deleted")
        switched = services.wait_for(_leads_to_v2, "the Service led to v2.0.0")
    routed = [each for each in slices.changes if ready_endpoints(each.object) & old]
    drained = next(each for each in slices.changes if each.version > switched.version and not _any(each, old))
    assert all(each.version < drained.version for each in routed), "the old colour was routed to again"
    assert switched.version < drained.version < gone.version
    names = scene.daemon.names(commit=commit)
    assert names.index("switched") < names.index("switch_confirmed") < names.index("retired")
    kept_warm = float(str(retired["reason"]).removeprefix("kept warm for ").split(" s ")[0])
    assert kept_warm >= 3, retired
    no_request_failed(scene.load)
    moved(scene, 1)


def test_as_long_as_an_endpoint_slice_routes_to_it_the_old_colour_stays(scene: Scene) -> None:
    """Somebody has a slice of his own for the Service, with a pod of v1: kube-proxy goes by that, too."""
    scene.configure(strategy={"scaleDownDelay": "0s"})
    scene.first_release("v1.0.0")
    old = scene.cluster.active_revision(APP)
    scene.cluster.create(_slice_of(scene.cluster.pods(old)[0]))
    commit = scene.release("v2.0.0")
    scene.daemon.wait_for("switched", commit=commit)
    scene.load.wait_for("v2.0.0")
    scene.load.wait_for_count(1500)
    assert old in scene.deployments(), "what still got requests was deleted"
    assert not scene.daemon.find("retired")
    scene.cluster.delete("EndpointSlice", "by-hand")
    scene.settle(commit)
    scene.daemon.wait_for("retired", version="v1.0.0")
    no_request_failed(scene.load)
    moved(scene, 1)


def _slice_of(pod: Manifest) -> Manifest:
    own = {"kubernetes.io/service-name": APP, "bluegreen.reconciler/app": APP}
    by_hand = {"endpointslice.kubernetes.io/managed-by": "somebody"}
    reference = {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
    endpoint = {"addresses": [pod["status"]["podIP"]], "conditions": {"ready": True}, "targetRef": reference}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "by-hand", "labels": {**own, **by_hand}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [endpoint],
    }


def _goes(change: Change) -> bool:
    ours = change.object["metadata"]["labels"].get("version") == "v1.0.0"
    return ours and (change.type == "DELETED" or "deletionTimestamp" in change.object["metadata"])


def _leads_to_v2(change: Change) -> bool:
    return bool(change.name == APP and change.object["spec"]["selector"].get("version") == "v2.0.0")


def _any(change: Change, pods: set[str]) -> bool:
    return bool(ready_endpoints(change.object) & pods)

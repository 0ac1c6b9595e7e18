"""What Kubernetes' own controllers would do to the objects of a `FakeCluster`, one call at a time.

Deployment controller, kubelet, and endpoint-slice controller, each as one step that a test takes when it likes: so a
test, or Hypothesis, can put any order and any delay between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.memory import format_time
from reconciler.core.model import LABEL_APP, LABEL_REVISION
from tests.fakes.cluster import FakeCluster


@dataclass
class Controllers:
    """The controllers of one namespace. `broken` revisions never get ready.

    `behind`: the controllers' cache of pods has stopped, as after an outage of the API server. Statuses and endpoints
    are made from it alone.
    """

    cluster: FakeCluster
    namespace: str
    now: Callable[[], float]
    broken: set[str] = field(default_factory=set)
    behind: bool = False
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def everything(self) -> None:
        """All controllers, their cache up to date, until nothing is left to do."""
        self.behind = False
        for _ in range(4):
            self.deployments()
            self.kubelet()
            self.endpoints()

    def deployments(self) -> None:
        """Makes and removes pods until every Deployment has as many as it wants, and writes its status."""
        wanted = {}
        for deployment in self.cluster.all("Deployment"):
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            if LABEL_REVISION in labels:  # others' pods carry no label of ours, so nobody here sees them
                wanted[labels[LABEL_REVISION]] = deployment
        for pod in self.cluster.all("Pod"):
            if pod["metadata"]["labels"][LABEL_REVISION] not in wanted:
                self.cluster.remove("Pod", self.namespace, pod["metadata"]["name"])
        for revision, deployment in wanted.items():
            self._scale(revision, deployment)
        self._look()
        for revision, deployment in wanted.items():
            self._count(revision, deployment)

    def kubelet(self, revision: str | None = None, count: int | None = None) -> None:
        """Makes pods ready: all, or `count` of one revision."""
        changed = 0
        for pod in self.cluster.all("Pod"):
            of = pod["metadata"]["labels"][LABEL_REVISION]
            if of in self.broken or (revision and of != revision) or _ready(pod):
                continue
            if count is not None and changed >= count:
                return
            self._set_ready(pod, True)
            changed += 1

    def unready(self, revision: str, count: int) -> None:
        """Makes `count` ready pods of a revision unready."""
        for pod in [p for p in self._pods(revision) if _ready(p)][:count]:
            self._set_ready(pod, False)

    def endpoints(self) -> None:
        """Writes, for every Service, the slice of the ready pods that its selector matches."""
        self._look()
        for service in self.cluster.all("Service"):
            name, selector = service["metadata"]["name"], service["spec"].get("selector") or {}
            pods = [
                pod
                for pod in self._known.values()
                if selector and selector.items() <= pod["metadata"]["labels"].items() and _ready(pod)
            ]
            app = (service["metadata"].get("labels") or {}).get(LABEL_APP, "")
            self._put_if_new(
                {
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": f"{name}-x",
                        "namespace": self.namespace,
                        "labels": {LABEL_APP: app, "kubernetes.io/service-name": name},
                    },
                    "endpoints": [
                        {"conditions": {"ready": True}, "targetRef": {"name": pod["metadata"]["name"]}} for pod in pods
                    ],
                }
            )
        services = {each["metadata"]["name"] for each in self.cluster.all("Service")}
        for each in self.cluster.all("EndpointSlice"):
            if each["metadata"]["labels"]["kubernetes.io/service-name"] not in services:
                self.cluster.remove("EndpointSlice", self.namespace, each["metadata"]["name"])

    def _scale(self, revision: str, deployment: dict[str, Any]) -> None:
        wanted = int(deployment["spec"].get("replicas", 1))
        pods = self._pods(revision)
        for pod in pods[wanted:]:
            self.cluster.remove("Pod", self.namespace, pod["metadata"]["name"])
        for _ in range(wanted - len(pods)):
            self._make_pod(deployment)

    def _look(self) -> None:
        if not self.behind:
            self._known = {pod["metadata"]["name"]: pod for pod in self.cluster.all("Pod")}

    def known_ready(self, revision: str) -> int:
        """How many ready pods of a revision the controllers know of."""
        return sum(
            1 for pod in self._known.values() if pod["metadata"]["labels"][LABEL_REVISION] == revision and _ready(pod)
        )

    def _count(self, revision: str, deployment: dict[str, Any]) -> None:
        pods = self._pods(revision)
        ready = self.known_ready(revision)
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": deployment.get("status", {}).get("conditions") or [],
        }
        if ready >= int(deployment["spec"].get("replicas", 1)) > 0:
            status["conditions"] = [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]
        if deployment.get("status") != status:
            self.cluster.put({**deployment, "status": status}, "controller")

    def _make_pod(self, deployment: dict[str, Any]) -> None:
        name = f"{deployment['metadata']['name']}-{next(self._numbers)}"
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        pod = {"kind": "Pod", "metadata": {"name": name, "namespace": self.namespace, "labels": dict(labels)}}
        self.cluster.put({**pod, "status": {}}, "controller")

    def _set_ready(self, pod: dict[str, Any], ready: bool) -> None:
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "lastTransitionTime": format_time(self.now()),
        }
        self.cluster.put({**pod, "status": {"conditions": [condition]}}, "kubelet")

    def _pods(self, revision: str) -> list[dict[str, Any]]:
        return [pod for pod in self.cluster.all("Pod") if pod["metadata"]["labels"][LABEL_REVISION] == revision]

    def _put_if_new(self, wanted: dict[str, Any]) -> None:
        meta = wanted["metadata"]
        there = self.cluster.get(wanted["kind"], self.namespace, meta["name"])
        if there is None or there["endpoints"] != wanted["endpoints"]:
            self.cluster.put(wanted, "controller")


def _ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))

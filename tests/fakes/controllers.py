"""What Kubernetes' own controllers would do to the objects of a `FakeCluster`, one call at a time.

Workload controllers, kubelet, and endpoint-slice controller, each as one step that a test takes when it likes: so a
test, or Hypothesis, can put any order and any delay between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.memory import format_time
from reconciler.core.model import LABEL_APP, LABEL_REVISION, WORKLOADS
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
        """Makes and removes pods until every workload has as many as it wants, and writes its status."""
        # Others' pods carry no label of ours, so nobody here sees them.
        wanted = [each for kind in WORKLOADS for each in self.cluster.all(kind) if LABEL_REVISION in _pod_labels(each)]
        for pod in self.cluster.all("Pod"):
            if not any(_owns(each, pod) for each in wanted):
                self.cluster.remove("Pod", self.namespace, pod["metadata"]["name"])
        for each in wanted:
            self._scale(each)
        self._look()
        for each in wanted:
            self._count(each)

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
        pods = (pod for pod in self.cluster.all("Pod") if pod["metadata"]["labels"][LABEL_REVISION] == revision)
        for pod in [each for each in pods if _ready(each)][:count]:
            self._set_ready(pod, False)

    def make_unready(self, name: str) -> None:
        """Makes one pod unready."""
        pod = self.cluster.get("Pod", self.namespace, name)
        assert pod
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
            self._put_if_new(
                {
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": f"{name}-x",
                        "namespace": self.namespace,
                        "labels": {
                            LABEL_APP: "",
                            **(service["metadata"].get("labels") or {}),
                            "kubernetes.io/service-name": name,
                        },
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

    def _scale(self, workload: dict[str, Any]) -> None:
        wanted = int(workload["spec"].get("replicas", 1))
        pods = self._pods(workload)
        for pod in pods[wanted:]:
            self.cluster.remove("Pod", self.namespace, pod["metadata"]["name"])
        for _ in range(wanted - len(pods)):
            self._make_pod(workload)

    def _look(self) -> None:
        if not self.behind:
            self._known = {pod["metadata"]["name"]: pod for pod in self.cluster.all("Pod")}

    def known_ready(self, workload: Mapping[str, Any]) -> int:
        """How many ready pods of a workload the controllers know of."""
        return sum(1 for pod in self._known.values() if _owns(workload, pod) and _ready(pod))

    def _count(self, workload: dict[str, Any]) -> None:
        pods = self._pods(workload)
        ready = self.known_ready(workload)
        status = {
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": workload.get("status", {}).get("conditions") or [],
        }
        if workload["kind"] == "Deployment" and ready >= int(workload["spec"].get("replicas", 1)) > 0:
            status["conditions"] = [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]
        if workload.get("status") != status:
            self.cluster.put({**workload, "status": status}, "controller")

    def _make_pod(self, workload: dict[str, Any]) -> None:
        name = f"{workload['metadata']['name']}-{next(self._numbers)}"
        labels = dict(_pod_labels(workload))
        meta = {"name": name, "namespace": self.namespace, "labels": labels, "ownerReferences": _as_owner(workload)}
        pod = {"kind": "Pod", "metadata": meta}
        self.cluster.put({**pod, "status": {}}, "controller")

    def _set_ready(self, pod: dict[str, Any], ready: bool) -> None:
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "lastTransitionTime": format_time(self.now()),
        }
        self.cluster.put({**pod, "status": {"conditions": [condition]}}, "kubelet")

    def _pods(self, workload: dict[str, Any]) -> list[dict[str, Any]]:
        return [pod for pod in self.cluster.all("Pod") if _owns(workload, pod)]

    def _put_if_new(self, wanted: dict[str, Any]) -> None:
        meta = wanted["metadata"]
        there = self.cluster.get(wanted["kind"], self.namespace, meta["name"])
        if there is None or there["endpoints"] != wanted["endpoints"]:
            self.cluster.put(wanted, "controller")


def _pod_labels(workload: Mapping[str, Any]) -> Mapping[str, str]:
    labels: Mapping[str, str] = workload["spec"]["template"]["metadata"].get("labels") or {}
    return labels


def _owns(workload: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    return bool(pod["metadata"]["ownerReferences"] == _as_owner(workload))


def _as_owner(workload: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"kind": workload["kind"], "name": workload["metadata"]["name"]}]


def _ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))

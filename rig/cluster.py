"""A small client for one namespace of the sandbox's API server, and watches that note when each change arrived."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from rig.waiting import until

Manifest = dict[str, Any]

_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/namespaces/{}/services",
    "Pod": "/api/v1/namespaces/{}/pods",
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Event": "/api/v1/namespaces/{}/events",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ValidatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}
_MERGE = "application/merge-patch+json"
_REVISION = "bluegreen.reconciler/revision"


class ApiError(AssertionError):
    """The API server refused a request."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(f"{status}: {told[:500]}")
        self.status = status


class Cluster:
    """Reads and writes plain JSON objects of one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        settings = client.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
        settings.no_proxy = "*"
        self._api = client.ApiClient(settings)
        self.namespace = namespace

    def close(self) -> None:
        """Lets go of its connections."""
        self._api.rest_client.pool_manager.clear()

    def get(self, kind: str, name: str) -> Manifest | None:
        """One object, or None."""
        try:
            return self._send("GET", self._path(kind, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def find(self, kind: str, **labels: str) -> list[Manifest]:
        """All objects of a kind with those labels."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        items: list[Manifest] = self._send("GET", self._path(kind), {"labelSelector": selector})["items"]
        return items

    def create(self, manifest: Manifest) -> Manifest:
        """Creates an object."""
        return self._send("POST", self._path(manifest["kind"]), body=manifest)

    def patch(self, kind: str, name: str, patch: Mapping[str, Any], manager: str = "kubectl-edit") -> Manifest:
        """A merge patch, as a person's `kubectl patch` or `edit`."""
        return self._send("PATCH", self._path(kind, name), {"fieldManager": manager}, patch, _MERGE)

    def delete(self, kind: str, name: str) -> None:
        """Deletes an object; returns when the API server has taken it."""
        self._send("DELETE", self._path(kind, name))

    def delete_and_wait(self, kind: str, name: str, timeout: float = 120.0) -> None:
        """Deletes an object and returns when it has gone."""
        self.delete(kind, name)
        until(lambda: self.get(kind, name) is None, f"{kind} {name} gone", timeout, poll=0.1)

    def service(self, name: str) -> Manifest:
        """A Service that has to be there."""
        found = self.get("Service", name)
        assert found is not None, f"there is no Service {name}"
        return found

    def active_revision(self, service: str) -> str:
        """The revision that the Service's selector points to; '' where it says none."""
        return str((self.service(service)["spec"].get("selector") or {}).get(_REVISION, ""))

    def deployments(self, app: str) -> dict[str, Manifest]:
        """The app's Deployments by revision, those that are being deleted left out."""
        found = self.find("Deployment", **{"bluegreen.reconciler/app": app})
        return {each["metadata"]["labels"][_REVISION]: each for each in found if not _deleting(each)}

    def pods(self, revision: str) -> list[Manifest]:
        """The pods of a revision, those that are being deleted left out."""
        return [each for each in self.find("Pod", **{_REVISION: revision}) if not _deleting(each)]

    def endpoints(self, service: str) -> set[str]:
        """Names of the pods that are ready endpoints of a Service."""
        slices = self.find("EndpointSlice", **{"kubernetes.io/service-name": service})
        return {name for each in slices for name in ready_endpoints(each)}

    def used_node_ports(self) -> set[int]:
        """Every NodePort of the whole cluster that is taken."""
        services = self._send("GET", "/api/v1/services")["items"]
        return {port["nodePort"] for each in services for port in each["spec"]["ports"] if "nodePort" in port}

    def may(self, user: str, verb: str, group: str, resource: str) -> bool:
        """Whether the API server lets that user do this in the namespace (authorization.k8s.io/v1)."""
        resource, _, part = resource.partition("/")
        about = {"namespace": self.namespace, "verb": verb, "group": group, "resource": resource, "subresource": part}
        review = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = self._send("POST", path, body={**review, "spec": {"user": user, "resourceAttributes": about}})
        return bool(answer["status"]["allowed"])

    def token(self, account: str) -> str:
        """A token of a ServiceAccount of the namespace, good for an hour."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        answer = self._send("POST", f"{self._path('ServiceAccount', account)}/token", body=body)
        return str(answer["status"]["token"])

    def watch(self, kind: str) -> Watch:
        """Watches a kind from now on; a context manager."""
        version = self._send("GET", self._path(kind), {"limit": "1"})["metadata"]["resourceVersion"]
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "1200"}
        return Watch(lambda: self._open("GET", self._path(kind), query))

    def _path(self, kind: str, name: str = "") -> str:
        return _PATHS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Manifest:
        response = self._open(method, path, query, body, content_type)
        data = response.read()
        if response.status >= 400:
            raise ApiError(response.status, data.decode(errors="replace"))
        answer: Manifest = json.loads(data)
        return answer

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        """The response with its body unread."""
        request = self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        return self._api.call_api(*request)


class Change(NamedTuple):
    """One line of a watch. `at`: when it arrived here, in epoch seconds."""

    at: float
    type: str
    object: Manifest

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.object["metadata"]["name"])

    @property
    def version(self) -> int:
        """The object's resourceVersion, which orders all changes of the whole cluster."""
        return int(self.object["metadata"]["resourceVersion"])


class Watch:
    """Collects the changes that a watch brings, in a thread of its own, until it is left."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._changes: list[Change] = []
        self._response: Any = None
        self._broken: Exception | None = None
        self._left = False
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Watch:
        self._response = self._connect()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._left = True
        self._response.response.shutdown()
        self._thread.join(10)
        self._response.response.close()
        if self._broken and error is None:
            raise AssertionError("the watch broke off, so changes were missed") from self._broken

    @property
    def changes(self) -> tuple[Change, ...]:
        """All so far."""
        return tuple(self._changes)

    def wait_for(self, holds: Callable[[Change], bool], what: str, timeout: float = 120.0) -> Change:
        """The first change of which something holds."""
        return until(lambda: next(filter(holds, self.changes), None), what, timeout)

    def _follow(self) -> None:
        try:
            self._collect()
            ended: Exception = EOFError("the API server ended it")
        except HTTPError as error:
            ended = error
        self._broken = None if self._left else ended

    def _collect(self) -> None:
        rest = b""
        for chunk in self._response.response.stream():
            at = time.time()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(None, lines):
                change = json.loads(line)
                self._changes.append(Change(at, change["type"], change["object"]))


def _deleting(live: Manifest) -> bool:
    return "deletionTimestamp" in live["metadata"]


def is_ready(pod: Manifest) -> bool:
    """Whether a pod's Ready condition is true."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def ready_endpoints(endpoint_slice: Manifest) -> set[str]:
    """Names of the pods that an EndpointSlice says are ready."""
    endpoints = endpoint_slice.get("endpoints") or []
    return {each["targetRef"]["name"] for each in endpoints if each.get("conditions", {}).get("ready")}

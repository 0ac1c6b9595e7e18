"""The chart's pods at work on a scene's apps: everything as a user has it, under the chart's own ServiceAccount.

Git is reached by HTTP at the node's address: there is no DNS in the sandbox, and no way out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from reconciler.app.ownership import key_of
from reconciler.core.membership import owner_of
from rig.chart import Chart, HelmError
from rig.cluster import Cluster, Manifest, is_ready
from rig.containers import Container, container_of, restarts
from rig.githost import GitHost
from rig.members import Members, owner
from rig.podlogs import PodLogs
from rig.scene import APP, Scene
from rig.told import Event
from rig.waiting import Overdue, until

CONTAINER = "reconciler"
_RELEASE = "reconciler"
_SELECTOR = {"app.kubernetes.io/name": "reconciler", "app.kubernetes.io/instance": _RELEASE}
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

LEASE = "5s"
"""Short: what is tested is that it is waited for, not how long. But a busy machine may keep a daemon waiting, too."""
_PATIENCE = 240.0
"""Seconds for one release."""


class InCluster:
    """A context manager: a namespace for the chart beside the scene's own, which is the apps'. It installs nothing.

    The scene's `load`, `audit`, `repository` and `cluster` go on to be those of the app; its `daemon` is not started.
    """

    def __init__(self, scene: Scene, *, replicas: int = 1) -> None:
        self.scene = scene
        self.namespace = f"{scene.namespace}-release"
        self.replicas = replicas
        self.lease = LEASE
        self.git = ""
        self.home = Cluster(scene.sandbox.kubeconfig, self.namespace)
        self.members = Members(self.home)
        self.logs = PodLogs(scene.sandbox, self.namespace, CONTAINER)
        prefix = tuple(scene.sandbox.exec_prefix())
        self.chart = Chart(scene.sandbox.helm, prefix, self.namespace, scene.folder / "helm", _RELEASE)
        self._apps: list[Mapping[str, Any]] = [scene.app()]
        self._closing = ExitStack()

    def __enter__(self) -> InCluster:
        with ExitStack() as made:
            made.callback(self.home.close)
            meta = {"name": self.namespace, "labels": _RESTRICTED}
            self.home.create({"kind": "Namespace", "apiVersion": "v1", "metadata": meta})
            made.callback(self.home.delete, "Namespace", self.namespace)
            host = made.enter_context(GitHost(self.scene.folder, self.scene.sandbox.node_address))
            self.git = host.url(self.scene.repository.path.name)
            made.enter_context(self.logs)
            self.scene.load.daemons = [self.logs]
            self._closing = made.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.scene.load.stop()  # before the pods go: what it would meet then is nobody's fault
        self._closing.close()

    def configure(self, apps: Iterable[Mapping[str, Any]] = (), **settings: Any) -> None:
        """What the next `apply` installs: the given apps, else the one app with `settings`."""
        self._apps = list(apps) or [self.scene.app(**settings)]

    def values(self, **more: Any) -> dict[str, Any]:
        """The chart's values; `more` goes over the rig's own, key by key."""
        source = self.scene.source(url=self.git, interval="3s")  # each of the replicas asks: three git processes
        config = {
            "sources": [source],
            "apps": [_first_served(each) for each in self._apps],
            "highAvailability": {"leaseDuration": self.lease},
        }
        repository, _, tag = self.scene.sandbox.project_image().name.rpartition(":")
        own = {
            "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
            "replicas": self.replicas,
            "namespaces": [self.scene.namespace],
            "config": config,
        }
        return {**own, **more}

    def apply(self, *, wait: bool = True, **more: Any) -> None:
        """Installs or upgrades the chart; returns when every pod is ready, if that is to be waited for."""
        try:
            self.chart.apply(self.values(**more), wait=wait)
        except HelmError as error:
            raise HelmError(f"{error}\n{self._state()}") from None

    def first_release(self, version: str = "v1.0.0", values: Mapping[str, Any] | None = None) -> str:
        """Installs the chart, starts the load, commits a version, and returns when clients get it."""
        commit = self.scene.release(version, values)
        self.scene.load.start()
        self.apply()
        self.settle(commit)
        self.scene.load.wait_for(version)
        return commit

    def settle(self, commit: str, app: str = APP, **options: Any) -> Event:
        """Returns when a pod has said that the switch to what `commit` wants is confirmed."""
        try:
            return self.logs.wait_for("switch_confirmed", commit=commit, app=app, **{"timeout": _PATIENCE, **options})
        except Overdue as error:
            raise Overdue(f"{error}\n{self._state()}") from None

    def _state(self) -> str:
        """Of the pods, the Leases and the logs, for a failure's message."""
        statuses = "\n".join(f"{name}: {each['status']}" for name, each in self.pods().items())
        return f"{statuses}\n{self.members.story()}\n{self.logs.story()}"

    def pods(self) -> dict[str, Manifest]:
        """The chart's pods by name, those that are being deleted left out."""
        found = self.home.find("Pod", **_SELECTOR)
        return {each["metadata"]["name"]: each for each in found if "deletionTimestamp" not in each["metadata"]}

    def owner(self, service: str = APP) -> str:
        """The pod that looks after an app, as soon as one has said so."""
        return until(lambda: owner(self.scene.cluster, service), f"an owner of {service}")

    def due(self, app: str = APP) -> str:
        """Whose the app is by the members that there are, be it handed over yet or not."""
        return owner_of(key_of(self.scene.namespace, app), self.members.names)

    def roll(self) -> None:
        """`kubectl rollout restart`: every pod is to be replaced. Returns at once."""
        note = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat()}
        patch = {"spec": {"template": {"metadata": {"annotations": note}}}}
        self.home.patch("Deployment", self._deployment["metadata"]["name"], patch, manager="kubectl-rollout")

    @property
    def account(self) -> str:
        """The ServiceAccount of its pods, as the API server calls it as a user."""
        name = self._deployment["spec"]["template"]["spec"]["serviceAccountName"]
        return f"system:serviceaccount:{self.namespace}:{name}"

    @property
    def _deployment(self) -> Manifest:
        [found] = self.home.find("Deployment", **_SELECTOR)
        return found

    def containers(self) -> dict[str, Container]:
        """The present lives of all daemons, by the names of their pods."""
        return {name: container_of(self.scene.sandbox, pod, CONTAINER) for name, pod in self.pods().items()}

    def afresh(self) -> None:
        """Returns when all pods are ready members, and none was restarted twice: those that were are replaced.

        Kubelet lets a container wait longer before each restart but the first: if all waited at once, nobody would look
        after the apps.
        """
        try:
            until(self._all_fresh, f"{self.replicas} ready members", _PATIENCE, poll=0.1)
        except Overdue as error:
            raise Overdue(f"{error}\n{self._state()}") from None

    def _all_fresh(self) -> bool:
        """The same at present. That a container was killed, kubelet sees only after a moment: until then its pod is
        ready; and for longer, its Lease is there."""
        pods = self.pods()
        worn = [name for name, each in pods.items() if restarts(each, CONTAINER) > 1]
        for name in worn:
            self.home.delete("Pod", name)
        ready = {name for name, each in pods.items() if is_ready(each)}
        fresh = not worn and len(ready) == self.replicas and ready == pods.keys() == self.members.names
        return fresh and all(each.alive for each in self.containers().values())

    def container(self, pod: str) -> Container:
        """The present life of a pod's daemon."""
        return container_of(self.scene.sandbox, self.pods()[pod], CONTAINER)


def _first_served(app: Mapping[str, Any]) -> Mapping[str, Any]:
    """The app that has the load gets more of a busy processor than daemons that start beside it, as anybody's would."""
    if app["name"] != APP:
        return app
    resources = {"requests": {"cpu": "100m", "memory": "16Mi"}}
    return {**app, "values": {**app["values"], "resources": resources}}

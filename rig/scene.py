"""One app on the sandbox, with everything around it: namespace, repository, configuration, daemon, load, audit."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from rig.audit import Audit
from rig.cluster import Cluster, Manifest
from rig.daemon import Daemon, Event
from rig.load import Load
from rig.repository import Repository
from sandbox import Sandbox

APP = "my-app"
NODE_PORTS = range(30100, 32700)

VALUES: Mapping[str, Any] = {
    "image": Sandbox.sample_image,
    "imagePullPolicy": "IfNotPresent",
    "replicas": 2,
    "preStopSleepSeconds": 2,
    "terminationGracePeriodSeconds": 5,
    "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}},
}
"""Quick probes, small requests, a short but sufficient end: many releases in a short time on a small machine. Of a busy
processor, though, clients' requests get their share beside daemons that start."""

STRATEGY: Mapping[str, Any] = {"scaleDownDelay": "4s", "abortScaleDownDelay": "2s", "progressDeadline": "60s"}


class Scene:
    """A namespace of its own with one app in it, released from a repository of its own by a daemon of its own."""

    def __init__(
        self, sandbox: Sandbox, folder: Path, node_ports: Iterable[int] = NODE_PORTS, kind: str = "test"
    ) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.namespace = f"{kind}-{secrets.token_hex(4)}"
        self.cluster = Cluster(sandbox.kubeconfig, self.namespace)
        self._closing = ExitStack()
        self._closing.callback(self.cluster.close)
        self.audit = Audit(sandbox.audit_log, self.namespace)
        used = self.cluster.used_node_ports()
        self.node_port = next(each for each in node_ports if each not in used)
        self.cluster.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": self.namespace}})
        self._closing.callback(self.cluster.delete, "Namespace", self.namespace)
        self.repository = Repository(folder / "repository")
        self.config = folder / "reconciler.yaml"
        self.configure()
        self._daemons: list[Daemon] = []
        self.daemon = self.another_daemon("daemon")
        self.load = self.another_load("load")

    @property
    def url(self) -> str:
        """Where the app answers clients."""
        return f"http://{self.sandbox.node_address}:{self.node_port}/"

    def app(self, name: str = APP, **settings: Any) -> dict[str, Any]:
        """An app of the configuration; `values` and `strategy` go over the rig's own, key by key."""
        service = {"type": "NodePort", "port": 80, "nodePort": self.node_port} if name == APP else {"port": 80}
        values = {**VALUES, "service": service, **settings.pop("values", {})}
        strategy = {**STRATEGY, **settings.pop("strategy", {})}
        known = {"name": name, "namespace": self.namespace, "source": "shop", "values": values, "strategy": strategy}
        return {**known, **settings}

    def source(self, name: str = "shop", url: str = "", **settings: Any) -> dict[str, Any]:
        """A source of the configuration: the scene's repository, if no other is given."""
        return {"name": name, "url": url or str(self.repository.path), "interval": "5s", "timeout": "20s", **settings}

    def configure(
        self,
        apps: Iterable[Mapping[str, Any]] = (),
        sources: Iterable[Mapping[str, Any]] = (),
        webhook: Mapping[str, Any] | None = None,
        monitoring: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """Writes the configuration file: the given apps and sources, else the one app with `settings`."""
        held: dict[str, Any] = {
            "sources": list(sources) or [self.source()],
            "apps": list(apps) or [self.app(**settings)],
        }
        held |= {"webhook": dict(webhook)} if webhook else {}
        held |= {"monitoring": dict(monitoring)} if monitoring else {}
        fresh = self.config.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(held, sort_keys=False))
        fresh.replace(self.config)

    def another_daemon(self, name: str, kubeconfig: Path | None = None, config: Path | None = None) -> Daemon:
        """A daemon that works here; `close` ends it, too."""
        prefix, environment = self.sandbox.exec_prefix(), dict(self.sandbox.environment())
        if kubeconfig:
            prefix = [each for each in prefix if not each.startswith("KUBECONFIG=")]
            environment["KUBECONFIG"] = str(kubeconfig)
        made = Daemon(config or self.config, self.folder / name, prefix, environment)
        self._daemons.append(made)
        self._closing.callback(made.close)
        return made

    def another_load(self, name: str, path: str = "", rate: float = 200) -> Load:
        """Load that is not started yet; `close` ends it, too."""
        made = Load(self.url + path, self.folder / f"{name}.txt", self.sandbox, rate, daemons=self._daemons)
        self._closing.callback(made.close)
        return made

    def release(self, version: str, values: Mapping[str, Any] | None = None) -> str:
        """Commits a version."""
        return self.repository.release(version, values)

    def settle(self, commit: str, **options: Any) -> Event:
        """Returns when the switch to what `commit` wants is confirmed."""
        return self.daemon.wait_for("switch_confirmed", commit=commit, app=APP, **options)

    def first_release(self, version: str = "v1.0.0", values: Mapping[str, Any] | None = None) -> str:
        """Starts the daemon and the load, commits a version, and returns when clients get it: the usual beginning."""
        commit = self.release(version, values)
        self.daemon.start()
        self.load.start()
        self.settle(commit)
        self.load.wait_for(version)
        return commit

    def deployments(self, app: str = APP) -> dict[str, Manifest]:
        """The app's Deployments by revision."""
        return self.cluster.deployments(app)

    def versions(self, app: str = APP) -> set[str]:
        """The versions of which there are Deployments."""
        return {each["metadata"]["labels"]["version"] for each in self.deployments(app).values()}

    def selected(self) -> str:
        """The version that the Service's selector points to."""
        return str(self.cluster.service(APP)["spec"]["selector"].get("version", ""))

    def close(self) -> None:
        """Ends every process and deletes the namespace, whichever of these fails; the latter takes its time."""
        self._closing.close()

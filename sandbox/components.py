"""What runs in a sandbox, in starting order: command lines, and how to tell that each one works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import config
from .health import ask_http, ask_socket
from .isolation import NODE_ADDRESS
from .layout import NODE_NAME, POD_RANGE, SERVICE_RANGE, Layout
from .paths import StatePaths


@dataclass(frozen=True)
class Component:
    """One process of the cluster."""

    name: str
    argv: list[str]
    address: str
    check: Callable[[], object]  # raises Unhealthy; runs inside the sandbox's network
    patience: float = 30.0  # seconds until it has to work


@dataclass(frozen=True)
class Cluster:
    """What the command lines are made from."""

    paths: StatePaths
    layout: Layout
    programs: dict[str, Path]
    supervisor_root: Path  # the root folder as the supervisor sees it: /proc/PID/root

    def components(self) -> list[Component]:
        """All of them, in starting order."""
        return [*self.foundation(), *self.rest()]

    def foundation(self) -> list[Component]:
        """Those that the ones after them cannot even start without."""
        runtime = [] if self.layout.simulated else [self._containerd()]
        return [self._etcd(), *runtime, self._apiserver()]

    def rest(self) -> list[Component]:
        """Those that need only the foundation, and so can start together."""
        nodes = [self._kwok()] if self.layout.simulated else [self._kubelet(), self._kube_proxy()]
        return [self._controller_manager(), self._scheduler(), *nodes]

    def _local(self, name: str) -> str:
        return f"127.0.0.1:{self.layout.ports[name]}"

    def _component(self, name: str, argv: list[str], path: str, *, tls: bool = False) -> Component:
        check = partial(ask_http, ("127.0.0.1", self.layout.ports[name]), path, tls=tls)
        return Component(name, argv, self._local(name), check)

    def _kubeconfig(self, user: str) -> str:
        return str(self.paths.config(f"{user}.kubeconfig"))

    def _etcd(self) -> Component:
        client, peer = (f"http://{self._local(name)}" for name in ("etcd", "etcd-peer"))
        argv = [
            str(self.programs["etcd"]),
            f"--data-dir={self.paths.root}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # what it writes need not outlive the machine
            "--log-level=warn",
        ]
        return self._component("etcd", argv, "/readyz")

    def _apiserver(self) -> Component:
        layout, pki = self.layout, self.paths.root / "pki"
        argv = [
            str(self.programs["kube-apiserver"]),
            f"--etcd-servers=http://{self._local('etcd')}",
            f"--secure-port={layout.ports['apiserver']}",
            f"--bind-address={'127.0.0.1' if layout.simulated else '0.0.0.0'}",  # noqa: S104 -- own network
            f"--advertise-address={layout.host}",
            # A loopback address is no valid endpoint of the `kubernetes` Service; nothing simulated needs one.
            f"--endpoint-reconciler-type={'none' if layout.simulated else 'lease'}",
            f"--cert-dir={pki}",
            f"--token-auth-file={self.paths.config('tokens.csv')}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={pki}/service-accounts.key",
            f"--service-account-key-file={pki}/service-accounts.key",
            "--kubelet-preferred-address-types=InternalIP",  # the node's name is in no DNS
            "--allow-privileged=true",
            # The limits of a busy production cluster, not of its fair queues, which throttle a test's bursts.
            "--enable-priority-and-fairness=false",
            "--max-requests-inflight=2000",
            "--max-mutating-requests-inflight=1000",
            f"--audit-policy-file={self.paths.config('audit.yaml')}",
            f"--audit-log-path={self.paths.audit_log}",
            "--audit-log-maxsize=1000",
            "--audit-log-maxbackup=1",
            "--profiling=false",
        ]
        address = (layout.host, layout.ports["apiserver"])
        token, ca = layout.tokens["admin"], config.certificate(self.paths)
        check = partial(ask_http, address, "/readyz", tls=True, token=token, ca=ca)
        return Component("apiserver", argv, f"{address[0]}:{address[1]}", check, 60.0)

    def _controller_manager(self) -> Component:
        argv = [
            str(self.programs["kube-controller-manager"]),
            *self._as("controller-manager"),
            f"--secure-port={self.layout.ports['controller-manager']}",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={self.paths.root}/pki/service-accounts.key",
            f"--root-ca-file={config.certificate(self.paths)}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--flex-volume-plugin-dir={self.paths.volume_plugins}",
            # The defaults (20 and 30) make a burst of releases wait for this client, not for the server.
            "--kube-api-qps=100",
            "--kube-api-burst=200",
        ]
        return self._component("controller-manager", argv, "/healthz", tls=True)

    def _scheduler(self) -> Component:
        argv = [
            str(self.programs["kube-scheduler"]),
            *self._as("scheduler"),
            f"--secure-port={self.layout.ports['scheduler']}",
            "--kube-api-qps=100",
            "--kube-api-burst=200",
        ]
        return self._component("scheduler", argv, "/healthz", tls=True)

    def _as(self, user: str) -> list[str]:
        kubeconfig = self._kubeconfig(user)
        return [
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",  # there is only one, and it must be at work at once after a restart
            "--profiling=false",
        ]

    def _containerd(self) -> Component:
        argv = ["containerd", f"--config={self.paths.config('containerd.toml')}", "--log-level=warn"]
        socket = self.supervisor_root / config.CONTAINERD_SOCKET.lstrip("/")
        return Component("containerd", argv, config.CONTAINERD_SOCKET, partial(ask_socket, socket))

    def _kubelet(self) -> Component:
        argv = [
            str(self.programs["kubelet"]),
            f"--config={self.paths.config('kubelet.yaml')}",
            f"--kubeconfig={self._kubeconfig('kubelet')}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_ADDRESS}",
        ]
        return self._component("kubelet", argv, "/healthz")

    def _kube_proxy(self) -> Component:
        argv = [
            str(self.programs["kube-proxy"]),
            f"--kubeconfig={self._kubeconfig('kube-proxy')}",
            f"--hostname-override={NODE_NAME}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={POD_RANGE}",
            # These settings are the whole machine's; left alone.
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ]
        return self._component("kube-proxy", argv, "/healthz")

    def _kwok(self) -> Component:
        argv = [
            str(self.programs["kwok"]),
            f"--kubeconfig={self._kubeconfig('kwok')}",
            "--manage-all-nodes=true",
            f"--server-address={self._local('kwok')}",
            "--node-lease-duration-seconds=40",
        ]
        return self._component("kwok", argv, "/healthz")

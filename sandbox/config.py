"""Writes the configuration files of the components."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from .images import PAUSE_IMAGE
from .isolation import NODE_ADDRESS
from .layout import POD_RANGE, USERS, Layout
from .packages import CNI_PLUGINS
from .paths import StatePaths

MAX_PODS = 500
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"  # in the sandbox's own /run


def write_all(paths: StatePaths, layout: Layout) -> None:
    """Everything that can be written before anything runs."""
    for folder in ("config", "logs", "pki", "config/cni"):
        (paths.root / folder).mkdir(exist_ok=True)
    tokens = [f'{layout.tokens[key]},{user},{key},"{group}"\n' for key, (user, group) in USERS.items()]
    _write_private(paths.config("tokens.csv"), "".join(tokens))
    _write_yaml(paths.config("audit.yaml"), _audit_policy())
    authority = {"certificate-authority": str(certificate(paths))}
    for key in USERS:
        _write_private(paths.config(f"{key}.kubeconfig"), yaml.safe_dump(_kubeconfig(layout, key, authority)))
    if not layout.simulated:
        # Neither the machine's nameservers nor a search list: there is nobody to ask in this network.
        paths.config("resolv.conf").write_text("")
        _write_yaml(paths.config("kubelet.yaml"), _kubelet(paths))
        paths.config("containerd.toml").write_text(_containerd(paths))
        paths.config("cni/10-sandbox.conflist").write_text(json.dumps(_pod_network(), indent=2))


def certificate(paths: StatePaths) -> Path:
    """The API server's own certificate, which it makes on its first start; it is also what clients trust."""
    return paths.root / "pki" / "apiserver.crt"


def write_kubeconfig(paths: StatePaths, layout: Layout) -> None:
    """The administrator's kubeconfig, complete in itself. Only possible once the API server has started."""
    authority = {"certificate-authority-data": base64.b64encode(certificate(paths).read_bytes()).decode()}
    text = yaml.safe_dump(_kubeconfig(layout, "admin", authority))
    if not paths.kubeconfig.exists() or paths.kubeconfig.read_text() != text:
        _write_private(paths.kubeconfig, text)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _write_yaml(path: Path, value: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(value))


def _kubeconfig(layout: Layout, user: str, authority: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "clusters": [{"name": "sandbox", "cluster": {"server": layout.server} | authority}],
        "users": [{"name": user, "user": {"token": layout.tokens[user]}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": user}}],
    }


def _audit_policy() -> dict[str, Any]:
    """Enough to prove who moved a selector, and to what; everything else would cost time in every test."""
    services = [{"group": "", "resources": ["services"]}]
    deployments = [{"group": "apps", "resources": ["deployments"]}]
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": True,
        "rules": [
            {"level": "RequestResponse", "verbs": ["patch"], "resources": services},
            {"level": "Metadata", "verbs": writes, "resources": services + deployments},
            {"level": "None"},
        ],
    }


def _kubelet(paths: StatePaths) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{paths.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        # Nothing outside the sandbox can reach the kubelet, and this makes logs, exec and port-forward work.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        # A full disk of the machine is no reason to evict pods, or to throw away images that nobody can pull.
        "evictionHard": {
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "localStorageCapacityIsolation": False,
        "maxPods": MAX_PODS,
        "podLogsDir": "/var/log/pods",
        "resolvConf": str(paths.config("resolv.conf")),
        # There is no cluster DNS. Where nobody listens, a lookup fails at once instead of waiting.
        "clusterDNS": [NODE_ADDRESS],
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "10s",
        "eventRecordQPS": 0,
        "volumePluginDir": str(paths.volume_plugins),
        "volumeStatsAggPeriod": "0s",
        "enableDebuggingHandlers": True,
        "logging": {"verbosity": 0},
    }


def _containerd(paths: StatePaths) -> str:
    # restrict_oom_score_adj: where the machine is itself a container, a negative score is refused, and with it
    # every pod.
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{paths.config("cni")}"
"""


def _pod_network() -> dict[str, Any]:
    """A routed cable to each pod, as kind has it: on a bridge, a pod's answer to its neighbour could slip past
    the address translation of a Service.
    """
    ranges = [[{"subnet": POD_RANGE}]]
    return {
        "cniVersion": "0.4.0",
        "name": "sandbox",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]},
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }

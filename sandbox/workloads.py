"""What a cluster needs beyond its components before the first pod: images, ready nodes, a service account."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from . import config, health, packages, procs
from .build import one_builder
from .components import Cluster
from .errors import SandboxError
from .health import Unhealthy, ask_http
from .images import PAUSE_IMAGE, SAMPLE_IMAGE, write_image
from .progress import Progress
from .project import PROJECT_IMAGE, ProjectImage
from .supervision import last_lines

SIMULATED_NODES = 4
_PODS_PER_NODE = 2000
_IMAGES = {"pause": PAUSE_IMAGE, "sample-app": SAMPLE_IMAGE}


def import_images(cluster: Cluster, progress: Progress) -> None:
    """Give containerd the sandbox's own images, unless it has just these."""
    if has_images(cluster):
        return
    with progress.step("images", "importing"), tempfile.TemporaryDirectory() as folder:
        for name, image in _IMAGES.items():
            file = Path(folder, f"{name}.tar")
            write_image(cluster.programs[name], image, file)
            import_image(cluster, file)
    cluster.paths.images.write_text(json.dumps(_wanted(cluster)))


def has_images(cluster: Cluster) -> bool:
    """Whether containerd was given the images of just these programs, which have to be built."""
    return _imported(cluster) == _wanted(cluster)


def _wanted(cluster: Cluster) -> dict[str, str]:
    return {image: _digest(cluster.programs[name]) for name, image in _IMAGES.items()}


def _digest(program: Path) -> str:
    return hashlib.sha256(program.read_bytes()).hexdigest()


def _imported(cluster: Cluster) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads(cluster.paths.images.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return known


def import_image(cluster: Cluster, file: Path) -> None:
    """Import an OCI or Docker archive for pods to use with `imagePullPolicy: IfNotPresent`."""
    _ctr(cluster, f"image {file} cannot be imported", "import", str(file))


def import_project_image(cluster: Cluster, image: ProjectImage) -> None:
    """Import the project's image, unless containerd has just this one, and have `:latest` be its name as well."""
    refused = f"image {image.name} cannot be imported"
    with one_builder("import"):  # `--force` deletes the tag and makes it: another's may come between
        if image.name not in _ctr(cluster, refused, "list", "--quiet", f"name=={image.name}").split():
            import_image(cluster, Path(image.archive))
        _ctr(cluster, refused, "tag", "--force", image.name, f"{PROJECT_IMAGE}:latest")


def _ctr(cluster: Cluster, refused: str, *arguments: str) -> str:
    socket = cluster.supervisor_root / config.CONTAINERD_SOCKET.lstrip("/")
    done = subprocess.run(
        ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", *arguments],
        env={"PATH": packages.program_path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise SandboxError(refused, log=done.stdout)
    return done.stdout


def settle(cluster: Cluster, network: str | None, progress: Progress) -> None:
    """Wait until a pod can be created and scheduled."""
    with progress.step("nodes", "waiting"):
        if cluster.layout.simulated:
            _create_nodes(cluster)
        if not procs.wait_until(partial(ready, cluster, network), 60, pause=0.1):
            log = last_lines(cluster.paths.log("kwok" if cluster.layout.simulated else "kubelet"))
            raise SandboxError("the cluster is up, but no node became ready", log=log)


def ready(cluster: Cluster, network: str | None) -> bool:
    """Whether all nodes are ready and the service account exists that pods get by default."""
    try:
        nodes = health.inside(network, partial(_get, cluster, "/api/v1/nodes"))["items"]
        health.inside(network, partial(_get, cluster, "/api/v1/namespaces/default/serviceaccounts/default"))
    except Unhealthy:
        return False
    wanted = SIMULATED_NODES if cluster.layout.simulated else 1
    return len(nodes) == wanted and all(_node_ready(node) for node in nodes)


def _node_ready(node: dict[str, Any]) -> bool:
    conditions = {item["type"]: item["status"] for item in node["status"].get("conditions", [])}
    tainted = any(taint["key"] == "node.kubernetes.io/not-ready" for taint in node["spec"].get("taints", []))
    return conditions.get("Ready") == "True" and not tainted


def _get(cluster: Cluster, path: str) -> Any:
    layout = cluster.layout
    address = (layout.host, layout.ports["apiserver"])
    ca = config.certificate(cluster.paths)
    return ask_http(address, path, tls=True, token=layout.tokens["admin"], ca=ca)


def _create_nodes(cluster: Cluster) -> None:
    nodes = [_simulated_node(f"node-{number}") for number in range(1, SIMULATED_NODES + 1)]
    kubectl, kubeconfig = cluster.programs["kubectl"], cluster.paths.kubeconfig
    done = subprocess.run(
        [kubectl, "--kubeconfig", kubeconfig, "apply", "--filename", "-"],
        input="\n".join(map(json.dumps, nodes)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise SandboxError("the simulated nodes cannot be created", log=done.stdout)


def _simulated_node(name: str) -> dict[str, Any]:
    size = {"cpu": "1000", "memory": "1000Gi", "pods": str(_PODS_PER_NODE)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "status": {"allocatable": size, "capacity": size},
    }

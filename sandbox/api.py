"""The Python side of the sandbox, for tests, the demo and benchmarks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import build, project, workloads
from .cluster import Control
from .errors import SandboxError
from .images import SAMPLE_IMAGE
from .isolation import SOURCE_ADDRESSES, in_network
from .paths import DEFAULT_NAME, StatePaths
from .procs import Process
from .progress import Progress
from .supervision import Running


class Sandbox:
    """One sandbox by its name. Making this object starts nothing; `up` does."""

    sample_image = SAMPLE_IMAGE
    """The image of the sample application, present in every real sandbox."""

    def __init__(self, name: str | None = None, *, quiet: bool = False) -> None:
        self.name = name or os.environ.get("SANDBOX_NAME") or DEFAULT_NAME
        self._control = Control(StatePaths.of(self.name), Progress(quiet=quiet))

    @property
    def control(self) -> Control:
        """Everything else that can be asked of it."""
        return self._control

    def up(self, simulated: bool | None = None) -> Sandbox:
        """Start what of it does not run. SIMULATED None means: real where this machine allows it."""
        self._control.up(simulated)
        return self

    def down(self) -> list[str]:
        """Remove it; a line for each thing that could not be removed."""
        return self._control.down()

    def restart(self, component: str) -> None:
        """Stop one component and start it again; returns when it works."""
        self._control.restart(component)

    @contextmanager
    def paused(self, component: str) -> Iterator[None]:
        """Halts one component (SIGSTOP) for as long as the `with` lasts: one that hears late of things."""
        process = process_of(component, self._control.supervision.components().get(component))
        process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.signal(signal.SIGCONT)

    @contextmanager
    def stopped(self, component: str) -> Iterator[None]:
        """Ends one component for as long as the `with` lasts; starts it afterwards, and returns when it works."""
        self._control.stop(component)
        try:
            yield
        finally:
            self._control.restart(component)

    @property
    def running(self) -> bool:
        """Whether it has been started and not been taken down."""
        return self._control.supervision.supervisor is not None

    @property
    def simulated(self) -> bool:
        """Whether its pods are only simulated."""
        return self._control.require().simulated

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; its server answers inside the sandbox's network."""
        return self._control.paths.kubeconfig

    @property
    def node_address(self) -> str:
        """Where the API server and NodePorts answer."""
        return self._control.require().host

    @property
    def source_addresses(self) -> tuple[str, ...]:
        """More addresses of the node, for clients to send from."""
        return () if self.simulated else SOURCE_ADDRESSES

    @property
    def audit_log(self) -> Path:
        """Who wrote Services and Deployments, a JSON object a line."""
        return self._control.paths.audit_log

    @property
    def pod_logs(self) -> Path:
        """Where kubelet keeps what containers print: NAMESPACE_POD_UID/CONTAINER/LIFE.log."""
        return self._control.paths.pod_logs

    @property
    def runtime_folder(self) -> Path:
        """The /run that the components of a real sandbox see."""
        return self._control.cluster(self._control.require()).supervisor_root / "run"

    @property
    def netns(self) -> str | None:
        """The path of its network namespace; a simulated sandbox has none."""
        self._control.require()
        return self._control.network

    def exec_prefix(self) -> list[str]:
        """Words to put before a command line, so that it runs in the sandbox's network, with KUBECONFIG set."""
        network = self.netns
        enter = [] if network is None or in_network(network) else ["nsenter", f"--net={network}", "--"]
        return [*enter, "env", *(f"{name}={value}" for name, value in self.environment().items())]

    def environment(self) -> dict[str, str]:
        """Variables for programs that run against it."""
        direct = [os.environ.get("NO_PROXY", ""), self.node_address]  # no proxy knows a way in
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "SANDBOX_NAME": self.name,
            "NO_PROXY": ",".join(filter(None, direct)),
        }

    @property
    def kubectl(self) -> Path:
        """The kubectl that was built for it."""
        return build.programs(self.simulated)["kubectl"]

    @property
    def helm(self) -> Path:
        """Helm, built when it is first asked for: nothing of the sandbox itself needs it."""
        if not build.HELM.output.exists():
            self._require_network("helm is not built yet: `python -m sandbox helm version`")
        return build.ensure((build.HELM,), self._control.progress)["helm"]

    @property
    def load_binary(self) -> Path:
        """The load client; see docs/sandbox.md."""
        return build.programs(self.simulated)["load"]

    def project_image(self) -> project.ProjectImage:
        """The project's own image, as the sources are now, built if it is not there, and imported. Pods that are to run
        just this one use its `name`; `:latest` may be another checkout's a moment later.
        """
        layout = self._control.require()
        if layout.simulated:
            raise SandboxError("a simulated sandbox runs no containers, so it needs no image")
        if not project.is_built():
            self._require_network("the image is older than the sources: `python -m sandbox image`")
        image = project.ensure(self._control.progress)
        workloads.import_project_image(self._control.cluster(layout), image)
        return image

    def _require_network(self, why: str) -> None:
        """Raises `SandboxError` inside the sandbox's own network, from which nothing can be fetched to build from."""
        network = self.netns
        if network is not None and in_network(network):
            raise SandboxError(f"{why}, outside of the sandbox's network")

    def import_image(self, archive: Path) -> None:
        """Import an OCI or Docker archive, for pods with `imagePullPolicy: IfNotPresent`."""
        workloads.import_image(self._control.cluster(self._control.require()), archive)


def process_of(component: str, running: Running | None) -> Process:
    """The live process of a component. Never none: a signal to the id 0 would go to the caller's own group."""
    process = Process.find(running.pid) if running and running.pid else None
    if process is None:
        raise SandboxError(f"{component} does not run")
    return process

"""Brings a sandbox up and down: the only module that knows the order of things."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

from . import build, cgroups, config, health, leftovers, packages, workloads
from .components import Cluster, Component
from .errors import SandboxError
from .health import Unhealthy
from .layout import Layout
from .lock import exclusive
from .paths import StatePaths
from .progress import Progress
from .supervision import Running, Supervision, last_lines

SIMULATION_LIMITS = (
    "SIMULATED: pods exist in the API only. No container runs and no traffic flows: there is no kube-proxy,\n"
    "no NodePort answers, and no probe is made. A release can be watched here; that it loses no request\n"
    "cannot be shown."
)


class Control:
    """What the commands and the Python API do to the sandbox NAME."""

    def __init__(self, paths: StatePaths, progress: Progress) -> None:
        self.paths = paths
        self.progress = progress
        self.supervision = Supervision(paths)

    def _lock(self) -> AbstractContextManager[None]:
        return exclusive(self.paths.lock, self.progress, guarded=self.paths.root)

    # -- up

    def up(self, simulated: bool | None = None) -> Layout:
        """Make it run, wholly; does only what is missing. SIMULATED None: real where that is possible."""
        layout = self._existing(simulated)
        if layout is not None and self._is_fine(layout):
            return layout
        with self._lock():
            layout = self._existing(simulated)  # whoever had the lock before may have made or removed it
            wanted = layout.simulated if layout else self._choose(simulated)
            if not wanted:
                packages.ensure(self.progress)
            programs = build.ensure(build.SIMULATED if wanted else build.REAL, self.progress)
            if layout is None or self.supervision.supervisor is None:
                layout = self._begin(simulated=wanted)
            self._start_all(layout, programs)
            return layout

    def _existing(self, simulated: bool | None) -> Layout | None:
        layout = Layout.read(self.paths.record)
        if layout is not None and simulated is not None and simulated != layout.simulated:
            if self.supervision.supervisor is not None:
                kind = "simulated" if layout.simulated else "real"
                raise SandboxError(f"sandbox {self.paths.name} is up and {kind}; take it `down` first")
            return None
        return layout

    def _choose(self, simulated: bool | None) -> bool:
        obstacle = None if simulated else packages.obstacle()
        if simulated is False and obstacle is not None:
            raise SandboxError(f"no real sandbox is possible here: {obstacle}")
        if obstacle is not None:
            self.progress.say(f"no real sandbox is possible here: {obstacle}")
        return bool(simulated or obstacle)

    def _is_fine(self, layout: Layout) -> bool:
        """Without the lock, so that a healthy sandbox is found healthy at once."""
        if self.supervision.supervisor is None or not self.paths.kubeconfig.exists():
            return False
        if not build_exists(layout):
            return False
        running = self.supervision.components()
        cluster = self.cluster(layout)
        parts = cluster.components()
        if not all(is_up(running.get(part.name), part) and self.check(part) is None for part in parts):
            return False
        if not layout.simulated and not workloads.has_images(cluster):
            return False  # the sample application was changed, and built for another sandbox already
        return workloads.ready(cluster, self.network)

    def _begin(self, *, simulated: bool) -> Layout:
        """A fresh sandbox, after the remains of one that was cut short."""
        self._end()
        self.paths.root.mkdir(parents=True, mode=0o755)
        layout = Layout.new(simulated=simulated)
        layout.write(self.paths.record)
        config.write_all(self.paths, layout)
        with self.progress.step("supervisor"):
            if not simulated:
                cgroups.create(self.paths.cgroup)
            self.supervision.start(isolated=not simulated)
        return layout

    def _start_all(self, layout: Layout, programs: dict[str, Path]) -> None:
        self._make_key(programs["keys"])
        cluster = self.cluster(layout)
        foundation, rest = cluster.foundation(), cluster.rest()
        running = self.supervision.components()

        def absent(part: Component) -> bool:
            return not is_up(running.get(part.name), part) or self.check(part) is not None

        for component in filter(absent, foundation):
            self._start([component])
        config.write_kubeconfig(self.paths, layout)
        if not layout.simulated:
            workloads.import_images(cluster, self.progress)
        self._start(list(filter(absent, rest)))
        workloads.settle(cluster, self.network, self.progress)

    def _make_key(self, program: Path) -> None:
        """The key that signs service account tokens."""
        key = self.paths.root / "pki" / "service-accounts.key"
        if not key.exists():
            fresh = key.with_suffix(".new")
            done = subprocess.run([program, fresh], stderr=subprocess.PIPE, text=True)
            if done.returncode != 0:
                raise SandboxError("no signing key could be made", log=done.stderr)
            fresh.rename(key)

    def _start(self, components: list[Component]) -> None:
        """Start some at once and wait for each; one that runs but does not work is stopped first."""
        began = time.monotonic()
        for component in components:
            self.supervision.stop_component(component.name)
            self.supervision.start_component(component.name, component.argv, self.paths.log(component.name))
        for component in components:
            with self.progress.step(component.name, began=began):
                self._await(component)

    def _await(self, component: Component) -> None:
        end = time.monotonic() + component.patience
        while (problem := self.check(component)) is not None:
            status = self.supervision.components()[component.name].status
            if status is not None:
                problem = f"ended with status {status}"
            if status is not None or time.monotonic() > end:
                log = last_lines(self.paths.log(component.name))
                raise SandboxError(f"{component.name} does not work: {problem}", log=log)
            time.sleep(0.05)

    # -- down

    def down(self) -> list[str]:
        """Remove it, also one that was cut short; what is left after that, which should be nothing."""
        with self._lock():
            return self._end()

    def _end(self) -> list[str]:
        network = self.network
        inode = os.stat(network).st_ino if network else None
        self.supervision.end()
        leftovers.remove(self.paths)
        return leftovers.find(self.paths, inode)

    # -- in between

    def restart(self, name: str) -> None:
        """Stop one component, wait until it has gone, start it, wait until it works."""
        component = self._component(name)
        with self._lock():
            self._start([component])

    def stop(self, name: str) -> None:
        """Stop one component, wait until it has gone."""
        component = self._component(name)
        with self._lock():
            self.supervision.stop_component(component.name)

    def _component(self, name: str) -> Component:
        known = {component.name: component for component in self.cluster(self.require()).components()}
        component = known.get(name) or known.get(name.removeprefix("kube-")) or known.get(f"kube-{name}")
        if component is None:
            raise SandboxError(f"no component {name!r}; there are {', '.join(known)}")
        return component

    def require(self) -> Layout:
        """The layout of the sandbox, which has to run."""
        layout = Layout.read(self.paths.record)
        if layout is None or self.supervision.supervisor is None:
            raise SandboxError(f"sandbox {self.paths.name} is not up; start it with `python -m sandbox up`")
        return layout

    def check(self, component: Component) -> str | None:
        """What is wrong with a component, or None."""
        try:
            health.inside(self.network, component.check)
        except Unhealthy as problem:
            return str(problem)
        return None

    @property
    def network(self) -> str | None:
        """The path of the sandbox's network namespace; None without one, or when it does not run."""
        layout = Layout.read(self.paths.record)
        supervisor = self.supervision.supervisor
        return f"/proc/{supervisor.pid}/ns/net" if supervisor and layout and not layout.simulated else None

    def cluster(self, layout: Layout) -> Cluster:
        """The command lines for this sandbox."""
        supervisor = self.supervision.supervisor
        root = Path(f"/proc/{supervisor.pid}/root") if supervisor else Path("/")
        return Cluster(self.paths, layout, build.programs(layout.simulated), root)


def is_up(running: Running | None, component: Component) -> bool:
    """Whether it runs, and runs what it would be started with now."""
    return running is not None and running.status is None and running.argv == component.argv


def build_exists(layout: Layout) -> bool:
    """Whether every program is in the cache."""
    return all(program.exists() for program in build.programs(layout.simulated).values())

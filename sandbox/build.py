"""Builds the programs of the sandbox from the pinned Go modules in go/, once, into the cache.

A build is kept under a hash of everything it is made from: a second sandbox, or the same one tomorrow,
starts at once, and a changed pin or source builds afresh beside the old one.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import golang, isolation
from .errors import SandboxError
from .paths import GO_MODULES, cache_dir
from .progress import Progress

_KUBERNETES = "v1.34.4"
_VERSION_VARIABLES = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Module:
    """One folder below go/, and what is built there in one go."""

    folder: str
    packages: tuple[str, ...] = (".",)
    ldflags: str = "-s -w"
    sources: Path = GO_MODULES

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of what comes out."""
        if len(self.packages) == 1:
            return (self.folder,)  # its path may end in a version: go.etcd.io/etcd/server/v3
        return tuple(package.rpartition("/")[2] for package in self.packages)

    @property
    def path(self) -> Path:
        """Where the sources are."""
        return self.sources / self.folder

    def key(self) -> str:
        """A hash of all that goes into the build."""
        parts = hashlib.sha256(repr((self.packages, self.ldflags)).encode())
        for file in sorted(self.path.iterdir()):
            if file.name in ("go.mod", "go.sum") or file.suffix == ".go":
                parts.update(f"\n{file.name}\n".encode() + file.read_bytes())
        return parts.hexdigest()[:16]

    @property
    def output(self) -> Path:
        """The folder in the cache for exactly this build."""
        return cache_dir() / "bin" / f"{self.folder}-{self.key()}"


_COMMANDS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
KUBERNETES = Module(
    "kubernetes",
    tuple(f"k8s.io/kubernetes/cmd/{command}" for command in _COMMANDS),
    "-s -w "
    f"-X {_VERSION_VARIABLES}.gitVersion={_KUBERNETES} "
    f"-X {_VERSION_VARIABLES}.gitMajor={_KUBERNETES[1:].split('.')[0]} "
    f"-X {_VERSION_VARIABLES}.gitMinor={_KUBERNETES[1:].split('.')[1]}",
)
ETCD = Module("etcd", ("go.etcd.io/etcd/server/v3",))
KWOK = Module("kwok", ("sigs.k8s.io/kwok/cmd/kwok",))
# Helm's own build sets the same variables: without them it takes the cluster for a 1.20 where it cannot ask one.
HELM = Module(
    "helm",
    ("helm.sh/helm/v3/cmd/helm",),
    "-s -w -X helm.sh/helm/v3/internal/version.version=v3.19.0 "
    + " ".join(
        f"-X helm.sh/helm/v3/pkg/{package}.k8sVersion{part}={number}"
        for package in ("chartutil", "lint/rules")
        for part, number in zip(("Major", "Minor"), _KUBERNETES[1:].split(".")[:2], strict=True)
    ),
)
SAMPLE_APP, LOAD, PAUSE, KEYS = (Module(folder) for folder in ("sample-app", "load", "pause", "keys"))

REAL = (KEYS, PAUSE, SAMPLE_APP, LOAD, ETCD, KUBERNETES)
SIMULATED = (KEYS, LOAD, ETCD, KUBERNETES, KWOK)


def ensure(modules: tuple[Module, ...], progress: Progress) -> dict[str, Path]:
    """Build what is not in the cache; the paths of all programs by name."""
    if any(not module.output.exists() for module in modules):
        with _one_builder():
            go = golang.find_go(progress)
            for module in modules:
                if not module.output.exists():
                    _build(go, module, progress)
    return _paths(modules)


def programs(simulated: bool) -> dict[str, Path]:
    """Where the programs of a sandbox are, or will be."""
    return _paths(SIMULATED if simulated else REAL)


def _paths(modules: tuple[Module, ...]) -> dict[str, Path]:
    return {program: module.output / program for module in modules for program in module.programs}


@contextmanager
def _one_builder() -> Iterator[None]:
    """Two sandboxes that start at once wait for each other's build and then share it."""
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(go: str, module: Module, progress: Progress) -> None:
    fresh = module.output.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    # A name for the only program, a folder for several: go names them after their packages.
    target = f"{fresh}/" if len(module.programs) > 1 else str(fresh / module.programs[0])
    command = [go, "build", "-trimpath", "-v", "-ldflags", module.ldflags, "-o", target, *module.packages]
    with progress.step(f"fetch {module.folder}", "fetching modules"):
        total = _count_packages(go, module)
    began = time.monotonic()
    _compile(command, module, total, progress)
    progress.done(f"compile {module.folder}", time.monotonic() - began)
    fresh.rename(module.output)


def _count_packages(go: str, module: Module) -> int:
    """How many packages there are to compile; this is also what downloads the modules."""
    command = [go, "list", "-deps", *module.packages]
    done = subprocess.run(command, cwd=module.path, env=golang.environment(), capture_output=True, text=True)
    if done.returncode != 0:
        log = _tail(done.stderr.splitlines())
        raise SandboxError(f"the modules of {module.folder} could not be fetched", log=log)
    return len(done.stdout.splitlines())


def _compile(command: list[str], module: Module, total: int, progress: Progress) -> None:
    lines: deque[str] = deque(maxlen=20)
    process = subprocess.Popen(
        command,
        cwd=module.path,
        env=golang.environment(),
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        preexec_fn=isolation.die_with_parent,  # no compiler goes on after `up` was killed
    )
    assert process.stderr is not None
    try:
        with progress.bar(module.folder, total) as bar:
            for line in process.stderr:
                lines.append(line.rstrip())
                bar.advance()
        if process.wait() != 0:
            raise SandboxError(f"{module.folder} did not compile", log=_tail(list(lines)))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _tail(lines: list[str]) -> str:
    return "\n".join(lines[-15:])

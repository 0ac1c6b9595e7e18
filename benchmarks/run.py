"""The run itself, inside the sandbox's network."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.bare import PLACEHOLDER
from benchmarks.measure import Side, measure_round
from benchmarks.observer import Observer
from benchmarks.report import Pairs, document, requests_line, rows, table
from benchmarks.requests import count_requests
from rig.cluster import Manifest
from rig.scene import APP, Scene
from rig.waiting import until
from sandbox import Sandbox

REPLICAS = 3
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
_BASE = "v1"


def main() -> int:
    """Measures, prints, writes the document. Returns 0 unless a request failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rounds", type=int, default=20, help="switches and reverts of each side (default: 20)")
    rounds = parser.parse_args().rounds
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-") as name:
        folder = Path(name)
        sandbox = Sandbox(quiet=True)
        ours, bare = _rounds(sandbox, folder, rounds, console)
        console.print("counting requests …", style="dim")
        requests = count_requests(sandbox, folder / "requests")
    sections = rows(ours, bare)
    console.print(table(sections), requests_line(ours, bare))
    for step, counted in requests.items():
        console.print(f"requests to the API server, {step}: {counted.total()} {dict(counted)}")
    setting = f"{rounds} rounds, {REPLICAS} pods a version, a closed loop of 400 requests/s from 8 clients"
    _DOCUMENT.write_text(document(sections, requests_line(ours, bare), requests, setting))
    return 1 if any(each.failed for pair in ours for each in pair) else 0


def _rounds(sandbox: Sandbox, folder: Path, rounds: int, console: Console) -> tuple[Pairs, Pairs]:
    with ExitStack() as stack:
        ours = stack.enter_context(_reconciler(sandbox, folder / "reconciler"))
        bare = stack.enter_context(_bare(sandbox, folder / "bare", ours.scene))
        results: dict[str, list[Any]] = {ours.name: [], bare.name: []}
        for number in range(1, rounds + 1):
            for side in (ours, bare) if number % 2 else (bare, ours):
                pair = measure_round(side, _BASE, f"v{number + 1}", number)
                results[side.name].append(pair)
                console.print(_told(side.name, number, rounds, pair), style="dim")
        return results[ours.name], results[bare.name]


def _told(name: str, number: int, rounds: int, pair: Any) -> str:
    switch, revert = pair
    ready, back = (switch.answered - switch.ready) * 1000, (revert.answered - revert.moved) * 1000
    return f"{number:3}/{rounds} {name:12} ready → new answer {ready:6.0f} ms   revert → old answer {back:6.0f} ms"


@contextmanager
def _watched(scene: Scene, name: str, tidy: Any) -> Iterator[Side]:
    with Observer(scene.sandbox, scene.namespace, scene.folder) as observer:
        yield Side(name, scene, observer, tidy)


@contextmanager
def _reconciler(sandbox: Sandbox, folder: Path) -> Iterator[Side]:
    """The daemon with its first version up. Its own retention tidies up after each round."""
    scene = Scene(sandbox, folder, kind="bench")
    scene.configure(values={"replicas": REPLICAS}, strategy={"scaleDownDelay": "6s"})
    try:
        commit = scene.release(_BASE)
        scene.daemon.start()
        scene.settle(commit)
        with _watched(scene, "reconciler", lambda version: _gone(scene, version)) as side:
            yield side
    finally:
        scene.close()


@contextmanager
def _bare(sandbox: Sandbox, folder: Path, model: Scene) -> Iterator[Side]:
    """The script with the same first version up, its objects made after those of `model`."""
    scene = Scene(sandbox, folder, kind="bench")
    [live] = model.deployments().values()
    deployment = _deployment(live)
    scene.repository.release(_BASE)
    service = {"type": "NodePort", "selector": {"version": _BASE}}
    ports = [{"port": 80, "targetPort": "http", "nodePort": scene.node_port}]
    metadata = {"name": APP}
    arguments = {"namespace": scene.namespace, "app": APP, "replicas": REPLICAS, "deployment": deployment}
    arguments["repository"] = str(scene.repository.path)
    scene.cluster.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service | {"ports": ports}}
    )
    environment = os.environ | sandbox.environment()
    script = subprocess.Popen([sys.executable, "-m", "benchmarks.bare", json.dumps(arguments)], env=environment)
    try:
        until(lambda: len(scene.cluster.endpoints(APP)) == REPLICAS, "the first version's endpoints", 60)
        with _watched(scene, "bare script", lambda version: _delete(scene, version)) as side:
            yield side
    finally:
        script.kill()
        script.wait()
        scene.close()


def _deployment(live: Manifest) -> Manifest:
    """The daemon's Deployment as anybody would have written it."""
    spec = live["spec"]
    labels = {"app": APP, "version": PLACEHOLDER}
    pod = json.loads(json.dumps(spec["template"]["spec"]).replace(f'"{_BASE}"', f'"{PLACEHOLDER}"'))
    template = {"metadata": {"labels": labels}, "spec": pod}
    made = {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": f"{APP}-{PLACEHOLDER}", "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": made}


def _delete(scene: Scene, version: str) -> None:
    scene.cluster.delete("Deployment", f"{APP}-{version}")
    _gone(scene, version)


def _gone(scene: Scene, version: str) -> None:
    """Returns when nothing of a version is left, so that no round is measured in the noise of the one before."""

    def found() -> bool:
        return not scene.cluster.find("Deployment", version=version) and not scene.cluster.find("Pod", version=version)

    until(found, f"{version} gone", 90, poll=0.2)


if __name__ == "__main__":
    sys.exit(main())

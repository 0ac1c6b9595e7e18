"""The chart in the sandbox, by the real helm: installed, upgraded, uninstalled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[1] / "helm" / "reconciler"
_TIMEOUT = 120.0
"""Seconds for all pods to be ready. A few; the rest is for a machine that does several other things."""


class HelmError(AssertionError):
    """Helm refused, or what it installed did not come up."""


@dataclass(frozen=True)
class Chart:
    """A release of the chart in one namespace. `folder` holds the values that it was given last, and helm's own files.

    `prefix`: words before helm's command line: the way into the sandbox's network, and its kubeconfig.
    """

    helm: Path
    prefix: tuple[str, ...]
    namespace: str
    folder: Path
    name: str = "reconciler"

    def apply(self, values: Mapping[str, Any], *, wait: bool = True) -> None:
        """`helm upgrade --install`: with just these values. Returns when every pod is ready, or at once.

        Raises:
            HelmError: with helm's words.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump(dict(values), sort_keys=False))
        waiting = ["--wait", f"--timeout={_TIMEOUT:g}s"] if wait else []
        self._helm("upgrade", "--install", self.name, str(CHART), f"--values={file}", "--reset-values", *waiting)

    def uninstall(self) -> None:
        """`helm uninstall`; returns when its objects have gone."""
        self._helm("uninstall", self.name, "--wait", f"--timeout={_TIMEOUT:g}s")

    def test(self) -> str:
        """`helm test`; returns what it says."""
        return self._helm("test", self.name, f"--timeout={_TIMEOUT:g}s")

    def _helm(self, *words: str) -> str:
        command = [*self.prefix, str(self.helm), "--namespace", self.namespace, *words]
        own = {f"HELM_{each}_HOME": str(self.folder / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HelmError(f"helm {' '.join(words[:2])}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

"""What a repository of many apps costs to read and render, without a cluster.

    python -m benchmarks.many_apps [--apps 1000] [--write docs/benchmarks-many-apps.md]

Every app is looked at after the start, after a commit that changes one of them, and after one that changes none. The
baseline reads the same files of the same commits with one `git cat-file --batch`, and does nothing with them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import machine
from reconciler.adapters.git import GitRepository, Mirrors
from reconciler.app.builtin import builtin_templates
from reconciler.app.observe import Eyes
from reconciler.core.model import App, Desired, Strategy
from rig.repository import Repository
from tests.fakes.cluster import FakeCluster

_TEMPLATES = {each.name.rpartition("/")[2]: each.text for each in builtin_templates()}
_INTRODUCTION = """# Benchmark: many apps in one repository

Written by `python -m benchmarks.many_apps --write docs/benchmarks-many-apps.md`. Nothing in it is a test.

"""
_READING = """
## How to read it

Every app has a folder of its own with a version file; in the second table with templates, too, no two of them equal. A
look is what each app's cycle does before it plans: what Git says is read, parsed, rendered twice to name the revision,
checked, and rendered for its colour. All apps at once, as in the daemon. The cluster is in memory, and costs next to
nothing.

- **baseline**: the same files of all apps, read by one `git cat-file --batch` and thrown away. No other script can be
  quicker and still know what Git says.
- *one app changed*, *none changed*: the baseline reads everything again, as a script does that remembers nothing. The
  reconciler asks Git for the ids of what each app reads, and reads and renders where one is another.
- Templates that are not known yet are compiled. That is most of the first look in the second table.
- Memory is the process' resident set after the look, its imports and (second table) what the first table left included.
"""


@dataclass(frozen=True, slots=True)
class _Look:
    name: str
    ours: float
    bare: float
    memory: float


class _Apps:
    """Apps with all that their cycles would keep."""

    def __init__(self, count: int, templates: str | None, repository: GitRepository) -> None:
        self._clusters = [FakeCluster() for _ in range(count)]
        apps = (
            App(f"app-{n}", "default", "source", Strategy(f"app-{n}"), path=f"apps/app-{n}", templates=templates)
            for n in range(count)
        )
        self._eyes = [Eyes(app, repository, cluster) for app, cluster in zip(apps, self._clusters, strict=True)]

    async def look(self, commit: str) -> list[Desired]:
        """One look of each."""
        return [desired for desired, _ in await asyncio.gather(*(eyes.see(commit) for eyes in self._eyes))]

    async def release(self, wanted: Sequence[Desired]) -> None:
        """Puts the Deployments into the cluster, which then says which slot each revision has."""
        for desired, cluster in zip(wanted, self._clusters, strict=True):
            await cluster.apply(desired.components[0].manifest, "reconciler", None)


def _files(count: int, templates: str | None) -> dict[str, str]:
    files = {}
    for n in range(count):
        files[f"apps/app-{n}/version"] = f"version: v1\nvalues: {{image: example/app-{n}, replicas: 2}}\n"
        own = _TEMPLATES if templates else {}
        files |= {f"apps/app-{n}/{templates}/{name}": f"# app {n}\n{text}" for name, text in own.items()}
    return files


def _read_all(repository: Repository, commit: str, paths: Sequence[str]) -> float:
    """Seconds that git takes to give out all files."""
    asked = "".join(f"{commit}:{path}\n" for path in paths).encode()
    began = time.monotonic()
    command = ["git", "-C", str(repository.path), "cat-file", "--batch"]
    subprocess.run(command, input=asked, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def _resident() -> float:
    """MiB of memory that this process has now, proc(5)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _measured(count: int, templates: str | None, folder: Path) -> list[_Look]:
    served = Repository(folder / "repository")
    files = _files(count, templates)
    commits = {
        "after the start": served.commit("all", files),
        "one app changed": served.release("v2", {"image": "example/app-0"}, path="apps/app-0"),
        "none changed": served.commit("other", {"README.md": "x"}),
    }
    repository = GitRepository(str(served.path), "main", Mirrors(folder / "mirrors"))
    await repository.tip()
    apps, looks = _Apps(count, templates, repository), []
    for number, (name, commit) in enumerate(commits.items()):
        await repository.identities(commit, ["."])  # fetched: what the network takes is not measured
        began = time.monotonic()
        wanted = await apps.look(commit)
        took = time.monotonic() - began
        looks.append(_Look(name, took, _read_all(served, commit, list(files)), _resident()))
        if number == 0:
            await apps.release(wanted)
            await apps.look(commit)
    await repository.close()
    return looks


def _table(name: str, looks: Sequence[_Look]) -> str:
    lines = [f"## {name}\n", "| | reconciler | baseline | ratio | memory |", "| --- | ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {each.name} | {each.ours:.2f} s | {each.bare:.2f} s | {each.ours / each.bare:.1f} | {each.memory:.0f} MiB |"
        for each in looks
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints or writes it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_apps", description="Many apps in one repository.")
    parser.add_argument("--apps", type=int, default=1000)
    parser.add_argument("--write", type=Path, help="the document to write")
    chosen = parser.parse_args(arguments)
    said = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; {chosen.apps:,} apps. "
    text = _INTRODUCTION + said + f"The process has {_resident():.0f} MiB before it begins.\n"
    for name, templates in (("The built-in templates", None), ("Three templates of each app's own", "templates")):
        with tempfile.TemporaryDirectory() as folder:
            text += "\n" + _table(name, asyncio.run(_measured(chosen.apps, templates, Path(folder))))
    text += _READING
    if chosen.write:
        chosen.write.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

"""One hostile repository, and how a reconciler comes to see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.adapters.git import GitRepository, Mirrors
from reconciler.app.discovery import Discovery
from reconciler.app.observe import read_release
from reconciler.app.roster import Seen, roster
from reconciler.app.settings_source import SourceSettings
from reconciler.core.gitref import branch
from reconciler.core.model import App, Colour, Desired, Slot, Strategy
from reconciler.core.render import render
from tests.fakes.git import Content, Files, GitOrigin, git
from tests.fakes.rendering import DEPLOYMENT, SERVICE

APP = App("shop", "web", "source", Strategy("shop"), templates="templates")
PLAIN: Files = {
    "version": b"v1\n",
    "templates/deployment.yaml": DEPLOYMENT.encode(),
    "templates/service.yaml": SERVICE.encode(),
}
TIMEOUT = 120.0
"""Seconds for one Git operation; nothing here is about time, and the machine may be busy."""


@dataclass(frozen=True, slots=True)
class Case:
    """`files` goes over `PLAIN` (None removes one), `serve` has its way with the repository after that.

    `error` is the kind of error that comes of it, '' if nothing does; `message` is a part of what it says.
    With a `pattern` the app is the one called `shop` of those that the repository describes.
    """

    name: str
    error: str = ""
    message: str = ""
    files: Callable[[], Mapping[str, Content | None]] = field(default=dict)
    serve: Callable[[GitOrigin], object] = field(default=lambda _: None)
    app: App = APP
    branch: str = "main"
    pattern: str = ""


def over(**files: Content | None) -> Callable[[], Mapping[str, Content | None]]:
    """Files by a short name: `version`, or a template's without its ending."""
    named = {name if name == "version" else f"templates/{name}.yaml": content for name, content in files.items()}
    return lambda: named


def app(**changes: str) -> App:
    """The app with other paths."""
    return replace(APP, **changes)  # type: ignore[arg-type]


def plant(case: Case, folder: Path) -> GitOrigin:
    """The served repository in `folder`."""
    origin = GitOrigin(folder / "origin.git")
    origin.commit({path: content for path, content in {**PLAIN, **case.files()}.items() if content is not None})
    case.serve(origin)
    return origin


async def seen(case: Case, origin: GitOrigin, mirrors: Mirrors) -> Desired:
    """What a reconciler makes of it: the real adapter, the real rendering. Raises what they raise."""
    repository = GitRepository(str(origin.path), case.branch, mirrors, timeout=TIMEOUT)
    try:
        commit = await repository.tip()
        wanted = await _described(case, repository, commit) if case.pattern else case.app
        release = await read_release(wanted, repository, commit)
    finally:
        await repository.close()
    return render(wanted, release, Slot(Colour.BLUE, "0" * 40))


async def _described(case: Case, repository: GitRepository, commit: str) -> App:
    """The app as it is discovered, but for where it comes from, which its Service says."""
    source = SourceSettings("source", ".", branch("main"), 30.0, TIMEOUT, apps=case.pattern)
    source = replace(source, namespace=APP.namespace, namespaces=(APP.namespace,))
    found = await Discovery(source, repository).at(commit)
    made = roster((), {source.name: Seen(commit, found)}, {})
    for fault in made.faults:
        raise fault.error
    return replace(made.heads[APP.name].app, file="", origin="")


Entry = tuple[str, bytes, bytes]
"""Mode, name, and content (of a file) or id (of anything else)."""


def add_entries(origin: GitOrigin, *entries: Entry, below: str = "") -> str:
    """Commits a tree with `entries` besides what is there already, byte by byte as no git command would write it."""
    kept = _entries(origin, below)
    added = [
        (mode, name, _blob(origin, content) if mode.startswith("100") else content.decode())
        for mode, name, content in entries
    ]
    tree = _tree(origin, kept + added)
    if below:
        top = [each for each in _entries(origin, "") if each[1] != below.encode()]
        tree = _tree(origin, [*top, ("40000", below.encode(), tree)])
    commit = git("commit-tree", "-m", "x", tree, cwd=origin.path)
    origin.reset(commit)
    return commit


def _entries(origin: GitOrigin, below: str) -> list[tuple[str, bytes, str]]:
    lines = git("ls-tree", f"{origin.branch}:{below}", cwd=origin.path).splitlines()
    parted = [(line.split("\t")[0].split(), line.split("\t")[1]) for line in lines]
    return [(mode.lstrip("0"), name.encode(), identity) for (mode, _, identity), name in parted]


def _blob(origin: GitOrigin, content: bytes) -> str:
    return git("hash-object", "-w", "--stdin", cwd=origin.path, stdin=content)


def _tree(origin: GitOrigin, entries: list[tuple[str, bytes, str]]) -> str:
    """In git's order: a folder sorts as if its name ended with a slash."""
    in_order = sorted(entries, key=lambda each: each[1] + (b"/" if each[0] == "40000" else b""))
    raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in in_order)
    return git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", cwd=origin.path, stdin=raw)

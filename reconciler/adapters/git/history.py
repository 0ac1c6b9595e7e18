"""Whether a branch went on from where it was, or its history was written anew. Blocking; for the network thread.

The mirror has no history. A commit names its parents, though, also where the history is cut off, and a usual push or
merge has the former tip among them: that costs nothing. Otherwise the history is fetched, step by step and within
bounds, into a repository of its own that is thrown away: without files, if the server can leave them out.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from reconciler.adapters.git.address import Place, address_of
from reconciler.adapters.git.process import GitTooLarge, Growth, Runner

DEPTHS = (50, 1000)
"""Generations that are looked at, at first and at most. Beyond, `earlier` counts as lost."""
_REMOTE = "history"
_FETCH = (
    *("fetch", "--quiet", "--filter=tree:0", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"),
    "--no-auto-maintenance",
)


def follows(git: Runner, mirror: Path, place: Place, commit: str, earlier: str, deadline: float, *, limit: int) -> bool:
    """Whether `earlier` is among the ancestors of `commit`, which is in `mirror`.

    False as well if that cannot be told within the last of `DEPTHS` generations and `limit` bytes.

    Raises:
        GitFailed, GitTimedOut: the mirror or the repository cannot be read.
    """
    if commit == earlier or earlier in _parents(git, mirror, commit, deadline):
        return True
    draft = Path(tempfile.mkdtemp(prefix="new-", dir=mirror.parent))
    try:
        git.run("init", "--quiet", "--bare", "--", str(draft), cwd=mirror.parent, deadline=deadline)
        # By a name, as git cannot leave anything out of what it fetches by a path (promisor_remote_new in its sources).
        remote = (f"--git-dir={draft}", "config", f"remote.{_REMOTE}.url", address_of(place.url))
        git.run(*remote, cwd=mirror.parent, deadline=deadline)
        for depth in DEPTHS:
            if earlier in _history(git, draft, commit, depth, deadline, limit):
                return True
            if not (draft / "shallow").exists():  # that was all of it (gitrepository-layout(5))
                return False
        return False
    except GitTooLarge:
        return False
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _parents(git: Runner, mirror: Path, commit: str, deadline: float) -> list[str]:
    """As the commit itself says; `rev-list` would hide those that are cut off (git-cat-file(1))."""
    text = git.run(f"--git-dir={mirror}", "cat-file", "commit", commit, cwd=mirror.parent, deadline=deadline)
    headers = text.partition(b"\n\n")[0].split(b"\n")  # bytes: `splitlines` of a text finds lines in an author's name
    return [line.removeprefix(b"parent ").decode(errors="replace") for line in headers if line.startswith(b"parent ")]


def _history(git: Runner, draft: Path, commit: str, depth: int, deadline: float, limit: int) -> frozenset[str]:
    """The last `depth` generations up to `commit`.

    Not by `merge-base`: asked about a commit that is not there, an old git would fetch that from the server.
    """
    fetch = (f"--git-dir={draft}", *_FETCH, f"--depth={depth}", "--", _REMOTE, f"+{commit}:refs/history")
    growth = Growth(draft / "objects/pack", limit)
    git.run(*fetch, cwd=draft.parent, deadline=deadline, growth=growth)
    found = git.run(f"--git-dir={draft}", "rev-list", "refs/history", cwd=draft.parent, deadline=deadline)
    return frozenset(found.decode(errors="replace").split())

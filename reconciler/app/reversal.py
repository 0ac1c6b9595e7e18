"""Git told the truth: the version that was led back from is reverted there, too, if the app asks for it."""

from __future__ import annotations

from reconciler.app.observe import read_release, version_path
from reconciler.core.action import RevertInGit
from reconciler.core.model import App
from reconciler.core.render import identify
from reconciler.core.revert import Release, Revert, with_version
from reconciler.errors import Blocked, ReconcilerError, Transient
from reconciler.ports import Repository


async def revert_in_git(app: App, repository: Repository, action: RevertInGit, tip: str) -> str:
    """Commits and pushes, onto `tip` and no other commit, that the version file says again what it said of
    `action.good`; returns the full id of that commit.

    Raises:
        Conflict: somebody committed first.
        Blocked: the version file alone does not lead back to that revision, or the push is refused or forbidden.
        Others as the repository does.
    """
    path, good, rejected = version_path(app), action.good, action.rejection
    content = await _former_content(repository, action, path, tip)
    await _require_same(app, repository, action, content, tip)
    revert = Revert(
        app.name,
        app.namespace,
        path,
        tip,
        content,
        Release(rejected.version, rejected.revision),
        Release(good.version, good.revision),
        rejected.reason,
        released_by=action.released_by,
    )
    return await repository.revert(revert)


async def _former_content(repository: Repository, action: RevertInGit, path: str, tip: str) -> bytes:
    """What the file held when the good revision was released; if that cannot be read any more, its version in place of
    the one that it holds now."""
    try:
        return await repository.read(action.good.commit, path)
    except Transient:
        raise
    except ReconcilerError:
        return with_version(await repository.read(tip, path), action.good.version, path)


async def _require_same(app: App, repository: Repository, action: RevertInGit, content: bytes, tip: str) -> None:
    """What is pushed must lead to the very revision that has the traffic, which was proved: not to a third one."""
    release = await read_release(app, repository, tip, content)
    if identify(app, release) != action.good.revision:
        raise Blocked(
            f"{action.rejection.version} cannot be reverted by its version file alone: templates, values or the "
            f"configuration changed, too, since {action.good.version} (revision {action.good.revision}) was released",
            where=f"app {app.name}",
            untouched=f"Nothing was pushed. Traffic stays on {action.good.version}",
            todo="Run `git revert` on what changed, or commit a mended version",
        )

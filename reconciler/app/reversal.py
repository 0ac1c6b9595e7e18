"""Git told the truth: the version that was led back from is reverted there, too, if the app asks for it."""

from __future__ import annotations

from reconciler.app.observe import read_release, version_path
from reconciler.core.action import RevertInGit
from reconciler.core.model import App
from reconciler.core.render import identify
from reconciler.core.revert import Release, Revert, with_version
from reconciler.errors import Blocked, Invalid
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
    content = await _content(app, repository, action, tip)
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


async def _content(app: App, repository: Repository, action: RevertInGit, tip: str) -> bytes:
    """The version file as it is to be: with the good version in place of the rejected one, so that what else changed in
    it stays; or, if that is not enough, as it was when the good revision was released.

    What is pushed must lead to the very revision that has the traffic, which was proved: not to a third one.
    """
    path, good = version_path(app), action.good
    for former in (False, True):
        try:
            content = await repository.read(good.commit if former else tip, path)
            content = content if former else with_version(content, good.version, path)
            release = await read_release(app, repository, tip, content)
        except Invalid:
            continue
        if identify(app, release) == good.revision:
            return content
    raise Blocked(
        f"{action.rejection.version} cannot be reverted by its version file alone: templates, values or the "
        f"configuration changed, too, since {good.version} (revision {good.revision}) was released",
        where=f"app {app.name}",
        untouched=f"Nothing was pushed. Traffic stays on {good.version}",
        todo="Run `git revert` on what changed, or commit a mended version",
    )

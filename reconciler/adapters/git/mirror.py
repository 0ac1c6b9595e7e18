"""One bare, shallow mirror on disk, filled from its repository. Blocking; all calls come from one thread.

The mirror is a cache. Whatever is wrong with it (killed git, left-over lock, full or corrupted disk), the cure is
one: build a new one beside it and put that in its place. The old one stays until the new one is complete.

It holds only the tips, without history (`--depth=1`; `verify` may bring some), under
`refs/reconciler/heads/<branch>`. Old tips stay readable until `maintain` drops them, after some `MANY_PACKS` fetches;
git's own automatic gc is off, since it would run in the middle of a release.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from reconciler.adapters.git.address import Place, address_of, local_git_dir
from reconciler.adapters.git.process import GitFailed, GitTimedOut, GitTooLarge, Growth, Runner, config_text
from reconciler.core.address import is_local
from reconciler.errors import Invalid

MANY_PACKS = 200
"""Packs (one per fetch, usually a few KB) at which `maintain` is due; keeps look-ups and the disk small."""
FETCH_LIMIT = 1 << 30
"""Bytes that one fetch may bring: the files of one commit without its history, packed."""
_LEFTOVER_AGE = 3600.0
"""Seconds after which a half-built mirror is that of a killed process, not of one that is at work beside us."""
_FETCH = (
    *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"),
    "--no-auto-maintenance",
)


class Mirror:
    """The mirror in `folder/mirror.git`. At `many_packs` packs it is `maintenance_due`. One fetch may bring
    `fetch_limit` bytes."""

    def __init__(self, folder: Path, *, many_packs: int = MANY_PACKS, fetch_limit: int = FETCH_LIMIT) -> None:
        self.path = folder / "mirror.git"
        self.config = folder / "gitconfig"
        self.generation = 0
        """Whoever reads must open anew after a change: the mirror was replaced or tidied."""
        self._folder = folder
        self._many_packs = many_packs
        self._fetch_limit = fetch_limit
        self._too_large: dict[str, str] = {}
        self._tips: dict[str, str] = {}
        self._restored: set[str] = set()
        self._prepared = self._worn = False

    def tip(self, git: Runner, place: Place, deadline: float) -> str:
        """The commit that `place.branch` points to, and it is in the mirror afterwards. `deadline`: time.monotonic.

        Asking costs one `ls-remote`; something is fetched only if the answer is new. Exactly that commit is
        fetched, so that what is returned is what was advertised even if somebody pushes in between.

        Raises:
            Invalid: the repository answers, but has no such branch, or sends too much.
            GitFailed, GitTimedOut: it does not answer.
        """
        self._prepare(place)
        name = f"refs/heads/{place.branch}"
        commit = self._advertised(git, place, deadline, name).get(name)
        if commit is None:
            raise self._no_branch(place, self._advertised(git, place, deadline, "refs/heads/*"))
        if self._tips.get(place.branch) != commit:
            self._bring(git, place, commit, f"refs/reconciler/heads/{quote(place.branch, safe='')}", deadline)
            self._tips[place.branch] = commit
        return commit

    def restore(self, git: Runner, place: Place, deadline: float, *, damaged: int | None) -> None:
        """Brings `place.commit` back after a read missed it.

        `damaged` is the generation that was found damaged, if it was: that one is replaced. When a thousand apps
        miss the same thing, only the first of them causes any work.

        Raises:
            Invalid: the repository answers, but no longer gives out that commit, or sends too much.
            GitFailed, GitTimedOut: it does not answer.
        """
        self._prepare(place)
        self._worn = self._worn or damaged == self.generation
        if place.commit in self._restored and not self._worn:
            return
        try:
            self._bring(git, place, place.commit, "refs/reconciler/commit", deadline)
        except GitFailed as failure:
            # upload-pack's two ways to refuse an object: unknown, or not allowed by uploadpack.allow*.
            if "not our ref" in str(failure) or "unadvertised object" in str(failure):
                raise place.invalid("the commit is no longer in the repository", "Push it again") from failure
            raise
        self._restored.add(place.commit)

    def deepen(self, git: Runner, place: Place, commit: str, ref: str, depth: int, deadline: float) -> None:
        """Brings `commit` with `depth` generations of its history, under `ref`.

        Raises GitFailed, GitTimedOut, GitTooLarge as git does; the mirror is not built anew for it.
        """
        self._fetch(git, self.path, place, commit, ref, deadline, depth)

    def distrust(self) -> None:
        """What should be in the mirror could not be read: the next `tip` builds it anew."""
        self._worn = True
        self._tips.clear()

    @property
    def maintenance_due(self) -> bool:
        """Whether `maintain` is worth its time (some 50 ms for a small repository)."""
        try:
            names = os.listdir(self.path / "objects/pack")
        except OSError:
            return False
        return sum(name.endswith(".pack") for name in names) >= self._many_packs

    def maintain(self, git: Runner, deadline: float) -> None:
        """Packs what the branches' tips hold and drops the rest. If that fails, the next fetch builds anew."""
        self._remove_leftovers()
        self._restored.clear()
        try:
            git.run(f"--git-dir={self.path}", "gc", "--quiet", "--prune=now", cwd=self._folder, deadline=deadline)
        except (GitFailed, GitTimedOut):
            self._worn = True
        self.generation += 1  # a reader would keep the dropped packs open, and their disk space taken

    def _prepare(self, place: Place) -> None:
        if self._prepared:
            return
        own = {self.path, self.path.resolve()}
        if is_local(place.url):
            address = Path(address_of(place.url))
            roots = {address, address.resolve(), local_git_dir(place.url) or address}
            own |= roots | {root / ".git" for root in roots}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.config.with_name(f"gitconfig.{os.getpid()}")
        draft.write_text(config_text(sorted(own)))
        draft.replace(self.config)
        self._prepared = True

    def _advertised(self, git: Runner, place: Place, deadline: float, pattern: str) -> dict[str, str]:
        command = ("ls-remote", "--quiet", "--", address_of(place.url), pattern)
        try:
            lines = git.run(*command, cwd=self._folder, deadline=deadline).decode(errors="replace").splitlines()
        except GitTooLarge as error:
            raise _too_much(place, str(error)) from None
        return {name: commit for commit, _, name in (line.partition("\t") for line in lines)}

    def _no_branch(self, place: Place, advertised: dict[str, str]) -> Invalid:
        names = sorted(name.removeprefix("refs/heads/") for name in advertised if name.startswith("refs/heads/"))
        if not names:
            return place.invalid(f"there is no branch {place.branch}: the repository is empty", "Push the branch")
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        what = f"there is no branch {place.branch}; there are {', '.join(names[:5])}{more}"
        return place.invalid(what, "Push the branch, or correct ref.branch of the source")

    def _bring(self, git: Runner, place: Place, commit: str, ref: str, deadline: float) -> None:
        if commit in self._too_large:  # it will not have shrunk: wait for another one
            raise _too_much(place, self._too_large[commit])
        try:
            self._bring_once(git, place, commit, ref, deadline)
        except GitTooLarge as error:
            self._too_large[commit] = str(error)
            self._worn = True  # what came of it may be in the mirror: the next one is built anew
            raise _too_much(place, str(error)) from None

    def _bring_once(self, git: Runner, place: Place, commit: str, ref: str, deadline: float) -> None:
        if not self._worn and (self.path / "HEAD").exists():
            try:
                return self._fetch(git, self.path, place, commit, ref, deadline)
            except GitFailed:
                # The network or the mirror? git's messages do not tell reliably; a second try from scratch does.
                pass
        return self._rebuild(git, place, commit, ref, deadline)

    def _fetch(
        self, git: Runner, mirror: Path, place: Place, commit: str, ref: str, deadline: float, depth: int = 1
    ) -> None:
        refspec = f"+{commit}:{ref}"
        command = (f"--git-dir={mirror}", *_FETCH, f"--depth={depth}", "--", address_of(place.url), refspec)
        packs = mirror / "objects/pack"
        strangers = _unfinished(packs)
        try:
            git.run(*command, cwd=self._folder, deadline=deadline, growth=Growth(packs, self._fetch_limit))
        except (GitFailed, GitTimedOut, GitTooLarge):
            for path in _unfinished(packs) - strangers:  # git leaves it lying when it is ended
                path.unlink(missing_ok=True)
            raise

    def _rebuild(self, git: Runner, place: Place, commit: str, ref: str, deadline: float) -> None:
        draft = Path(tempfile.mkdtemp(prefix="new-", dir=self._folder))
        try:
            git.run("init", "--quiet", "--bare", "--", str(draft), cwd=self._folder, deadline=deadline)
            self._fetch(git, draft, place, commit, ref, deadline)
            if self.path.exists():
                self.path.rename(Path(tempfile.mkdtemp(prefix="old-", dir=self._folder)) / "mirror.git")
            draft.rename(self.path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for old in self._folder.glob("old-*"):
            shutil.rmtree(old, ignore_errors=True)
        self._tips.clear()
        self._restored.clear()
        self._worn = False
        self.generation += 1

    def _remove_leftovers(self) -> None:
        for path in (*self._folder.glob("new-*"), *self._folder.glob("verify-*")):
            if time.time() - path.stat().st_mtime > _LEFTOVER_AGE:
                shutil.rmtree(path, ignore_errors=True)


def _unfinished(packs: Path) -> set[Path]:
    return set(packs.glob("tmp_*"))


def _too_much(place: Place, how_much: str) -> Invalid:
    todo = "Give what is released a repository of its own, without large files"
    return place.invalid(f"the repository sends {how_much}, which is not taken", todo)

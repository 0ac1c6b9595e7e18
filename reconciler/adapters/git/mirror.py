"""One bare, shallow mirror on disk, filled from its repository. Blocking; all calls come from one thread.

The mirror is a cache. Whatever is wrong with it (killed git, left-over lock, full or corrupted disk), the cure is
one: build a new one beside it and put that in its place. The old one stays until the new one is complete.

It holds only the tips, without history (`--depth=1`; `verify` may bring some), under `refs/reconciler/heads/<branch>`,
`tags/<tag>` and the like. Old tips stay readable until `maintain` drops them, after some `MANY_PACKS` fetches; git's
own automatic gc is off, since it would run in the middle of a release. What was accepted last (see `app.sources`) is
never dropped, and its id stands beside the mirror, so that it outlives a mirror that has to be built anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from reconciler.adapters.git.access import remove_leftovers
from reconciler.adapters.git.address import Place, address_of, local_git_dir
from reconciler.adapters.git.history import follows
from reconciler.adapters.git.process import GitFailed, GitTimedOut, GitTooLarge, Growth, Runner, config_text
from reconciler.core.address import is_local
from reconciler.core.gitref import GitRef, RefKind, commit_fault, highest
from reconciler.errors import Invalid

MANY_PACKS = 200
"""Packs (one per fetch, usually a few KB) at which `maintain` is due; keeps look-ups and the disk small."""
FETCH_LIMIT = 1 << 30
"""Bytes that one fetch may bring: the files of one commit without its history, packed."""
_TAGS, _PEELED = "refs/tags/", "^{}"
_LEFTOVER_AGE = 3600.0
"""Seconds after which a half-built mirror is that of a killed process, not of one that is at work beside us."""
_FETCH = (
    *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"),
    "--no-auto-maintenance",
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a ref led to: the commit, the object to be fetched (an annotated tag, or the commit itself), and the tag
    if it was one."""

    commit: str
    target: str
    tag: str = ""


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
        self._tips: dict[GitRef, Found] = {}
        self._chosen: dict[GitRef, tuple[frozenset[str], str | None]] = {}
        self._restored: set[str] = set()
        self._prepared = self._worn = False

    def tip(self, git: Runner, place: Place, deadline: float) -> Found:
        """What `place.ref` leads to now, and it is in the mirror afterwards. `deadline`: time.monotonic.

        Asking costs one `ls-remote` (a commit's id is not asked for at all); something is fetched only if the answer
        is new. Exactly that object is fetched, so that what is returned is what was advertised even if somebody pushes
        in between.

        Raises:
            Invalid: the repository answers, but has no such branch, tag or commit, or sends too much.
            GitFailed, GitTimedOut: it does not answer.
        """
        self.prepare(place)
        found = self._found(git, place, deadline)
        if self._tips.get(place.ref) != found:
            self._bring_known(git, place, found.target, _name_of(place.ref), deadline)
            if found.tag:
                self._require_commit(git, place, found, deadline)
            self._tips[place.ref] = found
        return found

    def follows(self, git: Runner, place: Place, commit: str, earlier: str, deadline: float) -> bool:
        """Whether `commit`, a tip that is in the mirror, came after `earlier`; see `history.follows`."""
        return follows(git, self.path, place, commit, earlier, deadline, limit=self._fetch_limit)

    def accepted(self, keeper: str) -> str | None:
        """What `accept` noted last."""
        try:
            with (self._folder / "accepted" / keeper).open("rb") as file:
                commit = file.read(100).decode(errors="replace").strip()
        except OSError:
            return None
        return None if commit_fault(commit) else commit

    def accept(self, git: Runner, place: Place, keeper: str, commit: str, deadline: float) -> None:
        """Notes `commit` for `keeper`, and keeps it in the mirror if it is there."""
        self.prepare(place)
        note = self._folder / "accepted" / keeper
        note.parent.mkdir(mode=0o700, exist_ok=True)
        draft = note.with_name(f"{keeper}.{os.getpid()}")
        draft.write_text(f"{commit}\n")
        draft.replace(note)
        with contextlib.suppress(GitFailed):  # a broken mirror: the next fetch or read heals it
            name = f"refs/reconciler/accepted/{keeper}"
            git.run(f"--git-dir={self.path}", "update-ref", name, commit, cwd=self._folder, deadline=deadline)

    def restore(self, git: Runner, place: Place, deadline: float, *, damaged: int | None) -> None:
        """Brings `place.commit` back after a read missed it.

        `damaged` is the generation that was found damaged, if it was: that one is replaced. When a thousand apps
        miss the same thing, only the first of them causes any work.

        Raises:
            Invalid: the repository answers, but no longer gives out that commit, or sends too much.
            GitFailed, GitTimedOut: it does not answer.
        """
        self.prepare(place)
        self._worn = self._worn or damaged == self.generation
        if place.commit in self._restored and not self._worn:
            return
        self._bring_known(git, place, place.commit, "refs/reconciler/commit", deadline)
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

    def prepare(self, place: Place) -> None:
        """Makes the folder with git's configuration, once."""
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
        remove_leftovers(self._folder)
        self._prepared = True

    def _found(self, git: Runner, place: Place, deadline: float) -> Found:
        ref = place.ref
        if ref.kind is RefKind.COMMIT:
            return Found(ref.text, ref.text)
        if ref.kind is RefKind.BRANCH:
            name = f"refs/heads/{ref.text}"
            commit = self._advertised(git, place, deadline, "--heads", name).get(name)
            if commit is None:
                raise _missing(place, self._advertised(git, place, deadline, "--heads"))
            return Found(commit, commit)
        tags = self._advertised(git, place, deadline, "--tags", *_patterns(ref))
        chosen = ref.text if ref.kind is RefKind.TAG else self._highest(ref, frozenset(map(_short, tags)))
        if chosen is None or _TAGS + chosen not in tags:
            raise _missing(place, self._advertised(git, place, deadline, "--tags"))
        target = tags[_TAGS + chosen]
        return Found(tags.get(f"{_TAGS}{chosen}{_PEELED}", target), target, chosen)

    def _highest(self, ref: GitRef, tags: frozenset[str]) -> str | None:
        """Worked out anew only if there are other tags: thousands of them take a while."""
        if ref not in self._chosen or self._chosen[ref][0] != tags:
            self._chosen[ref] = tags, highest(ref.text, tags)
        return self._chosen[ref][1]

    def _advertised(self, git: Runner, place: Place, deadline: float, kind: str, *patterns: str) -> dict[str, str]:
        """Full names of refs, and what they point to; of an annotated tag also, with `^{}`, what that points to."""
        command = ("ls-remote", "--quiet", kind, "--", address_of(place.url), *patterns)
        try:
            told = git.run(*command, cwd=self._folder, deadline=deadline).decode(errors="replace")
        except GitTooLarge as error:
            raise _too_much(place, str(error)) from None
        # `splitlines` would end a line within a name as well, at U+2028 for example.
        lines = told.removesuffix("\n").split("\n") if told else []
        return {name: target for target, _, name in (line.partition("\t") for line in lines)}

    def _require_commit(self, git: Runner, place: Place, found: Found, deadline: float) -> None:
        command = (f"--git-dir={self.path}", "cat-file", "-t", found.commit)
        kind = git.run(*command, cwd=self._folder, deadline=deadline).decode(errors="replace").strip()
        if kind != "commit":
            raise place.invalid(f"the tag {found.tag} points to a {kind}, not to a commit", "Tag a commit")

    def _bring_known(self, git: Runner, place: Place, target: str, ref: str, deadline: float) -> None:
        try:
            self._bring(git, place, target, ref, deadline)
        except GitFailed as failure:
            # upload-pack's two ways to refuse an object: unknown, or not allowed by uploadpack.allow*.
            if "not our ref" not in str(failure) and "unadvertised object" not in str(failure):
                raise
            if place.ref.kind is RefKind.COMMIT and not place.commit:
                what = f"the repository does not give out commit {target}"
                raise place.invalid(what, "Correct ref.commit, or follow a branch or tag") from None
            raise place.invalid("the commit is no longer in the repository", "Push it again") from None

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
        remove_leftovers(self._folder)
        for path in (*self._folder.glob("new-*"), *self._folder.glob("verify-*")):
            if time.time() - path.stat().st_mtime > _LEFTOVER_AGE:
                shutil.rmtree(path, ignore_errors=True)


def _name_of(ref: GitRef) -> str:
    """Where a ref's tip is kept in the mirror: in a file, whose name has an end at 255 bytes."""
    folder = "heads" if ref.kind is RefKind.BRANCH else f"{ref.kind}s"
    name = quote(ref.text, safe="")
    return f"refs/reconciler/{folder}/{name if len(name) < 200 else sha256(name.encode()).hexdigest()}"


def _patterns(ref: GitRef) -> tuple[str, ...]:
    """What to ask for; a range is known to us alone, so it asks for all tags."""
    return (_TAGS + ref.text, _TAGS + ref.text + _PEELED) if ref.kind is RefKind.TAG else ()


def _short(name: str) -> str:
    return name.removeprefix(_TAGS).removesuffix(_PEELED)


def _missing(place: Place, advertised: dict[str, str]) -> Invalid:
    ref = place.ref
    what = f"there is no {ref.kind} {ref.text}"
    if ref.kind is RefKind.SEMVER:
        what = f"no tag is a version in {ref.text}"
    names = sorted({_short(name.removeprefix("refs/heads/")) for name in advertised})
    if not names:
        empty = "the repository is empty" if ref.kind is RefKind.BRANCH else "the repository has no tags"
        return place.invalid(f"{what}: {empty}", f"Push the {'branch' if ref.kind is RefKind.BRANCH else 'tag'}")
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return place.invalid(
        f"{what}; there are {', '.join(names[:5])}{more}",
        f"Push the {'branch' if ref.kind is RefKind.BRANCH else 'tag'}, or correct ref.{ref.kind} of the source",
    )


def _unfinished(packs: Path) -> set[Path]:
    return set(packs.glob("tmp_*"))


def _too_much(place: Place, how_much: str) -> Invalid:
    todo = "Give what is released a repository of its own, without large files"
    return place.invalid(f"the repository sends {how_much}, which is not taken", todo)

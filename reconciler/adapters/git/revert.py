"""Taking a release back in Git: one commit that changes one file, pushed onto the commit that it answers and onto no
other. Blocking; on the network thread.

Nothing is written to the mirror. The commit is made in a repository of its own that borrows the mirror's objects and is
thrown away, so that whatever ends this half-way leaves nothing that anybody reads. History is cut off there at the very
commit that the branch has to be at: to git every other tip is a stranger, and is not overwritten.

Nothing is forced. The one option with that word in its name, a lease on that commit, only takes away: a plain push
would be a fast-forward from there, too, but it would also make a branch anew that somebody has just deleted.

An answer that got lost does no harm either: where a push has failed, the branch is looked at again, and what is there
decides what it was.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.adapters.git.access import PUSH_PREFIX
from reconciler.adapters.git.address import Place, address_of, split_path
from reconciler.adapters.git.mirror import Mirror
from reconciler.adapters.git.process import GitFailed, GitTimedOut, GitTooLarge, Runner, local_push_config
from reconciler.adapters.git.pushing import UNSURE, refusal
from reconciler.adapters.git.signers import Refused
from reconciler.adapters.git.signing import UNPUSHED, Signing, signing, write_private
from reconciler.adapters.git.trees import Entry, find_entry, with_identity
from reconciler.adapters.git.verify import Verifier
from reconciler.core.address import is_local
from reconciler.core.credentials import Credentials
from reconciler.core.gitref import RefKind, commit_fault
from reconciler.core.revert import Revert, message
from reconciler.errors import Blocked, Conflict, Invalid, Transient

_GONE = "gone"
_PUSH = ("push", "--no-progress", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")


@dataclass(frozen=True, slots=True)
class Author:
    """Whose name the daemon's commits bear, and the file of the key that signs them, if there is one. Without an
    `email` it is `NAME@` the app's namespace."""

    name: str = "reconciler"
    email: str = ""
    signing_key: Path | None = None


class Reverter:
    """Commits to the branch of `place`, in the name of `author`. What `verifier` would refuse is not pushed."""

    def __init__(self, place: Place, mirror: Mirror, git: Runner, author: Author, verifier: Verifier | None) -> None:
        self._place = place
        self._mirror = mirror
        self._git = git
        self._author = author
        self._verifier = verifier

    def run(self, revert: Revert, keys: Credentials | None, deadline: float) -> str:
        """Commits and pushes; returns the full id of the commit. `deadline`: time.monotonic.

        Raises:
            Conflict: the branch's tip is not `revert.onto`, or no longer: whoever came first stays.
            Blocked: the ref is no branch, the server refuses the push, the key or the file is of no use for it.
            Invalid: there is no such branch or file.
            Transient, GitFailed, GitTimedOut, OSError: it did not work this time.
        """
        place = replace(self._place, commit=revert.onto, path=revert.path)
        self._check(place, revert)
        self._require_tip(place, revert.onto, deadline)
        with self._desk(revert.onto, deadline) as desk:
            commit = self._commit(desk, revert, place, deadline)
            self._rehearse(desk, commit, place, deadline)
            self._push(desk, commit, place, keys, deadline)
        return commit

    def _check(self, place: Place, revert: Revert) -> None:
        if place.ref.kind is not RefKind.BRANCH:
            what = f"the source follows a {place.ref.kind}, and only to a branch can a commit be added"
            raise self._blocked(what, "Follow a branch, or revert by hand", place)
        if fault := commit_fault(revert.onto):
            raise place.invalid(f"{revert.onto[:50]} {fault}", "Report it: a defect of the reconciler")
        if self._verifier and not self._author.signing_key:
            what = "the source asks for signed commits, and the daemon has no key to sign its own with"
            raise self._blocked(what, "Set push.signingKey of the source, and list its public half in `verify`", place)

    def _require_tip(self, place: Place, onto: str, deadline: float) -> None:
        found = self._mirror.tip(self._git, self._place, deadline).commit
        if found != onto:
            raise _overtaken(place, found)

    @contextmanager
    def _desk(self, onto: str, deadline: float) -> Iterator[_Desk]:
        folder = Path(tempfile.mkdtemp(prefix=PUSH_PREFIX, dir=self._mirror.path.parent))  # 0700
        try:
            desk = _Desk(folder, self._git)
            self._git.run("init", "--quiet", "--bare", "--", str(desk.path), cwd=folder, deadline=deadline)
            (desk.path / "objects/info/alternates").write_text(f"{self._mirror.path / 'objects'}\n")
            (desk.path / "shallow").write_text(f"{onto}\n")
            yield desk
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _commit(self, desk: _Desk, revert: Revert, place: Place, deadline: float) -> str:
        try:
            tree = self._tree(desk, revert, place, deadline)
        except (GitFailed, ValueError):
            self._mirror.distrust()
            raise place.transient("the mirror cannot be read", "Check the data directory's disk") from None
        except GitTooLarge:
            raise place.invalid("a folder on the way has too many entries", "Split it") from None
        text = desk.folder / "message"
        write_private(text, message(revert).encode())
        with signing(self._author.signing_key, desk.folder, self._git, deadline) as how:
            return self._signed(desk, tree, text, how, revert, deadline)

    def _signed(self, desk: _Desk, tree: str, text: Path, how: Signing, revert: Revert, deadline: float) -> str:
        command = (*how.options, "commit-tree", *how.sign, "-p", revert.onto, "-F", str(text), tree)
        env = {**how.env, **_names(self._author, revert.namespace)}
        try:
            return desk.run(*command, deadline=deadline, env=env).decode().strip()
        except GitFailed as failure:
            if self._author.signing_key is None:
                raise
            key = str(self._author.signing_key)
            todo = "Give a private key without a passphrase: see docs/git-revert.md"
            raise Blocked(f"the commit cannot be signed: {failure}", where=key, untouched=UNPUSHED, todo=todo) from None

    def _tree(self, desk: _Desk, revert: Revert, place: Place, deadline: float) -> str:
        """The id of the tip's root folder with the one file changed. What it is made of is in the desk then."""
        *folders, name = split_path(revert.path, place) or ("",)
        trees = [desk.tree(revert.onto, deadline)]
        way: list[Entry] = []
        for part in folders:
            way.append(_entry(trees[-1], part, place))
            if not way[-1].is_folder:
                raise place.invalid(f"{part} is no folder", "Correct the path")
            trees.append(desk.tree(way[-1].identity, deadline))
        way.append(_entry(trees[-1], name, place))
        if not way[-1].is_file:
            raise place.invalid("this is no regular file", "Name a file")
        identity = desk.write("blob", revert.content, deadline)
        if identity == way[-1].identity:
            what = "the version file holds that already, so what failed came by another file"
            raise self._blocked(what, "Revert by hand what the commit changed", place)
        for tree, entry in zip(reversed(trees), reversed(way), strict=True):
            identity = desk.write("tree", with_identity(tree, entry, identity), deadline)
        return identity

    def _rehearse(self, desk: _Desk, commit: str, place: Place, deadline: float) -> None:
        """A commit that the source then refused would leave it at the version that failed."""
        if self._verifier is None:
            return
        try:
            self._verifier.rehearse(commit, desk.path / "objects", deadline)
        except Refused as error:
            what = f"the source would not accept the daemon's own commit: {error.what}"
            todo = "List the public half of push.signingKey in `verify` of the source"
            raise self._blocked(what, todo, place) from None

    def _push(self, desk: _Desk, commit: str, place: Place, keys: Credentials | None, deadline: float) -> None:
        env = _as_owner(desk.folder) if is_local(place.url) else {}
        ref = f"refs/heads/{place.ref.text}"
        lease = f"--force-with-lease={ref}:{place.commit}"
        command = (*_PUSH, lease, "--", address_of(place.url), f"{commit}:{ref}")
        try:
            desk.run(*command, deadline=deadline, env=env)
        except (GitFailed, GitTimedOut, GitTooLarge) as failure:
            said = failure.stderr if isinstance(failure, GitFailed) else b""
            found = self._seen(deadline)
            if found == commit:
                return
            if found not in ("", place.commit):
                raise _overtaken(place, found) from None
            if isinstance(failure, GitFailed) and said:
                told = self._git.masked(said.decode(errors="replace"))
                raise refusal(place, told, keys, seen=bool(found)) from None
            raise _unknown(place, failure) from None

    def _seen(self, deadline: float) -> str:
        """Where the branch is after a push that failed; '' if that cannot be found out now, `_GONE` if nowhere."""
        try:
            return self._mirror.tip(self._git, self._place, deadline).commit
        except Invalid:
            return _GONE
        except (GitFailed, GitTimedOut):
            return ""

    def _blocked(self, what: str, todo: str, place: Place) -> Blocked:
        return Blocked(what, where=str(place), untouched=UNPUSHED, todo=todo)


@dataclass(frozen=True, slots=True)
class _Desk:
    """A private folder, and in it the repository where the commit is made."""

    folder: Path
    git: Runner

    @property
    def path(self) -> Path:
        return self.folder / "repository.git"

    def run(self, *arguments: str, deadline: float, env: Mapping[str, str] | None = None) -> bytes:
        return self.git.run(f"--git-dir={self.path}", *arguments, cwd=self.folder, deadline=deadline, env=env)

    def tree(self, name: str, deadline: float) -> bytes:
        """A folder as git stores it; of a commit its root."""
        return self.run("cat-file", "tree", name, deadline=deadline)

    def write(self, kind: str, content: bytes, deadline: float) -> str:
        """Stores an object; returns its id. It is taken as it is: no filter, no line ends."""
        draft = self.folder / "draft"
        draft.write_bytes(content)
        command = ("hash-object", "-w", "-t", kind, "--no-filters", "--", str(draft))
        return self.run(*command, deadline=deadline).decode().strip()


def _entry(tree: bytes, name: str, place: Place) -> Entry:
    found = find_entry(tree, name)
    if found is None:
        raise place.invalid("there is no such file or folder", "Add it, or correct the path")
    return found


def _names(author: Author, namespace: str) -> dict[str, str]:
    """git-commit-tree(1), COMMIT INFORMATION."""
    name, email = author.name, author.email or f"reconciler@{namespace}"
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
            (("NAME", name), ("EMAIL", email))}  # fmt: skip


def _as_owner(folder: Path) -> Mapping[str, str]:
    """For a push to a local repository: the git that receives it reads this configuration. The mirror's would keep the
    repository's own hooks from refusing, and its objects from being safe on the disk; and it would push to a repository
    of another user, whose hooks then run as us."""
    config = folder / "gitconfig"
    write_private(config, local_push_config().encode())
    return {"GIT_CONFIG_GLOBAL": str(config)}


def _overtaken(place: Place, found: str) -> Conflict:
    where = "gone" if found == _GONE else f"at commit {found[:10]}"
    what = f"the branch is {where} by now: whoever came first stays"
    return Conflict(what, where=str(place), untouched=UNPUSHED, todo="Nothing: the new commit is looked at")


def _unknown(place: Place, failure: Exception) -> Transient:
    late = isinstance(failure, GitTimedOut)
    what = "git push did not finish in time and was ended" if late else f"git push failed: {failure}"
    return Transient(what, where=str(place), untouched=UNSURE, todo="Look at the server, or raise `timeout`")

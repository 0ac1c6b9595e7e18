"""Whether a commit may be acted upon: its signature, checked by `git verify-commit` against keys that we were given.
Blocking; on the network thread, as it may have to fetch history.

The keys are read at every look and copied to a private folder that lives for one check: so what was found good is what
is used, neither the user's own keys nor their agent come into it, and nothing is left running. See docs/git-verify.md
for what this protects from.

Which commit was accepted last is kept in a file beside the mirror, since the mirror may be built anew at any time, and
as a ref in it, so that its objects stay.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.adapters.git.address import Place
from reconciler.adapters.git.mirror import Mirror
from reconciler.adapters.git.process import GitFailed, GitTooLarge, Runner
from reconciler.adapters.git.signers import AllowedSigners, Keys, Refused
from reconciler.adapters.git.verdict import kind_of, refusal
from reconciler.errors import Unverified

MOST_COMMITS = 500
"""Commits between two accepted ones: more than anybody reads, and their signatures take some 10 s."""
_DEPTHS = (8, 64, 512)
"""Generations of history to fetch, until all commits since the last accepted one are there."""
_BATCH = 50
"""Commits that are checked by one git, so that a time-out does not lose them all."""

_GPG_CONF = """\
batch
no-tty
no-autostart
no-auto-key-retrieve
disable-dirmngr
trust-model always
"""
# gpg(1). Nothing is started (agent) or asked for (key servers), and whoever is in the keyring is trusted.

_NO_AGENT = "%Assuan%\nsocket=/dev/null\n"
"""In place of the agent's socket: a redirection to nowhere (libassuan's assuan_sock_set_sockaddr_un). gpg looks for an
agent even to import a public key, and fails where the path of that socket would be too long for the kernel."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose signatures count, and on what: the branch's tip, or `every` commit since the last accepted one."""

    keys: Keys
    every: bool = False
    most: int = MOST_COMMITS


class Verifier:
    """Holds one branch to a policy, and remembers which commit it accepted last."""

    def __init__(self, policy: Policy, mirror: Mirror, git: Runner, branch: str) -> None:
        self._policy = policy
        self._mirror = mirror
        self._git = git
        self._folder = mirror.path.parent
        # Not the mode: to accept one tip by its own signature alone, people change it for a while.
        identity = f"{branch}\0{type(policy.keys).__name__}\0{policy.keys.path}"
        self._name = hashlib.sha256(identity.encode()).hexdigest()[:12]
        self._record = self._folder / f"verified-{self._name}"
        self._keys: Mapping[str, bytes] = {}
        self._passed = ""
        self._good: set[str] = set()

    def accept(self, place: Place, commit: str, deadline: float) -> None:
        """Returns if `commit`, which the mirror holds, may be acted upon; it is in force from then on.

        It is checked again when the keys change, and told if it no longer holds; in force it stays.

        Raises:
            Unverified: it may not, or the keys are unusable. The error has the commit that stays in force.
            GitFailed, GitTimedOut, OSError: it could not be found out.
        """
        before = self._in_force()
        try:
            self._judge(place, commit, before, deadline)
            if commit != before:
                self._remember(commit, deadline)
        except Refused as error:
            raise _unverified(place, commit, before, error) from None
        except GitFailed:
            self._mirror.distrust()  # the network or the mirror: git does not tell, so it is built anew
            raise
        self._passed = commit
        self._good.clear()

    def rehearse(self, commit: str, objects: Path, deadline: float) -> None:
        """Returns if the signature of `commit`, which is in the folder `objects` and not in the mirror, would hold.

        Nothing is noted of it. Raises Refused, GitFailed, GitTimedOut.
        """
        keys, good = self._keys, self._good
        try:
            self._keys, self._good = self._policy.keys.read(), set()
            with self._git.adding({"GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(objects)}):
                self._check([commit], deadline)
        finally:
            self._keys, self._good = keys, good

    def _judge(self, place: Place, commit: str, before: str, deadline: float) -> None:
        keys = self._policy.keys.read()
        if keys != self._keys:
            self._keys, self._passed = keys, ""
            self._good.clear()
        if commit == self._passed:
            return
        whole = self._policy.every and before not in ("", commit)
        due = self._since(place, commit, before, deadline) if whole else []
        self._check(due if commit in due else [*due, commit], deadline)

    def _check(self, commits: Sequence[str], deadline: float) -> None:
        """Raises `Refused` for the first of `commits` whose signature does not hold."""
        due = [each for each in commits if each not in self._good]
        with self._workplace(deadline) as desk:
            for start in range(0, len(due), _BATCH):
                batch = due[start : start + _BATCH]
                if not self._hold(batch, desk, deadline):
                    for each in batch:
                        self._explain(each, desk, deadline)
                self._good.update(batch)

    def _hold(self, commits: Sequence[str], desk: _Desk, deadline: float) -> bool:
        try:
            self._run(*desk.options, "verify-commit", *commits, deadline=deadline, env=desk.env)
        except GitFailed:
            return False
        return True

    def _explain(self, commit: str, desk: _Desk, deadline: float) -> None:
        try:
            self._run(*desk.options, "verify-commit", "--raw", commit, deadline=deadline, env=desk.env)
        except GitFailed as failure:
            # If git itself is at fault (cannot start, was killed, the mirror is damaged), this fails, too.
            try:
                content = self._run("cat-file", "commit", commit, deadline=deadline)
            except GitTooLarge:
                raise Refused("it is too large to be looked at", commit=commit, todo="Rewrite it") from None
            told = refusal(kind_of(content), failure.stderr.decode(errors="replace"), self._policy.keys)
            raise Refused(told.what, commit=commit, todo=told.todo) from None

    def _since(self, place: Place, tip: str, before: str, deadline: float) -> list[str]:
        """All commits that `tip` has and `before` has not, oldest first; fetches as much of history as that takes.

        `before` may be gone (the branch was rewritten, the mirror built anew): then it is all that `tip` has.
        """
        known = self._present(before, deadline) or self._fetched(place, before, 1, deadline)
        ends = [before] if known else []
        for depth in (0, *_DEPTHS):
            if depth:
                self._fetch(place, tip, depth, deadline)
            if depth and self._cuts() & set(ends):
                self._fetched(place, before, depth, deadline)
            found = self._listed(tip, ends, deadline)
            # Below a cut parents are missing: those to be checked, or those that `before` has in common with `tip`.
            if len(found) > self._policy.most or not self._cuts() & {*found, *ends}:
                break
        since, todo = f"{before[:10]}, which was accepted last", "Accept it by its tip once: see docs/git-verify.md"
        if len(found) > self._policy.most:
            raise Refused(f"there are more than {self._policy.most} commits since {since}", todo=todo)
        if self._cuts() & set(found):
            raise Refused(f"the repository does not give out all commits since {since}", todo=todo)
        return found

    def _listed(self, tip: str, ends: Sequence[str], deadline: float) -> list[str]:
        most = f"--max-count={self._policy.most + 1}"
        without = [f"^{each}" for each in ends]
        return self._run("rev-list", "--reverse", most, tip, *without, deadline=deadline).decode().split()

    def _cuts(self) -> set[str]:
        """The commits whose parents were not fetched (gitrepository-layout(5), `shallow`)."""
        path = self._mirror.path / "shallow"
        return set(path.read_text().split()) if path.exists() else set()

    def _present(self, commit: str, deadline: float) -> bool:
        try:
            self._run("cat-file", "-e", f"{commit}^{{commit}}", deadline=deadline)
        except GitFailed:
            return False
        return True

    def _fetch(self, place: Place, commit: str, depth: int, deadline: float) -> None:
        try:
            self._mirror.deepen(self._git, place, commit, f"refs/reconciler/history/{self._name}", depth, deadline)
        except GitTooLarge as error:
            todo = "Set mode: HEAD, or give what is released a repository of its own, without large files"
            raise Refused(f"its history sends {error}, which is not taken", todo=todo) from None

    def _fetched(self, place: Place, commit: str, depth: int, deadline: float) -> bool:
        """Whether the repository still gives out a commit that the branch may not have any more."""
        try:
            self._fetch(place, commit, depth, deadline)
        except GitFailed:
            return False
        return True

    @contextmanager
    def _workplace(self, deadline: float) -> Iterator[_Desk]:
        """A private folder with the keys, and nothing else, in force."""
        ssh = isinstance(self._policy.keys, AllowedSigners)
        program, package = ("ssh-keygen", "openssh-client") if ssh else ("gpg", "gnupg")
        if not shutil.which(program):
            raise Refused(f"{program} is not installed, so no signature can be checked", todo=f"Install {package}")
        with tempfile.TemporaryDirectory(prefix="verify-", dir=self._folder) as name:
            desk = _desk(Path(name), ssh=ssh)
            if ssh:
                desk.signers.write_bytes(next(iter(self._keys.values())))
            else:
                self._import(desk, deadline)
            yield desk

    def _import(self, desk: _Desk, deadline: float) -> None:
        (desk.folder / "gpg.conf").write_text(_GPG_CONF)
        (desk.folder / "S.gpg-agent").write_text(_NO_AGENT)
        for number, (name, content) in enumerate(self._keys.items()):
            copy = desk.folder / f"keys-{number}.asc"
            copy.write_bytes(content)
            command = ("--status-fd", "1", "--import", "--", str(copy))
            try:
                self._git.run(*command, cwd=desk.folder, deadline=deadline, program="gpg", env=desk.env)
            except GitFailed:
                todo = "Give `gpg --armor --export KEY`"
                raise Refused("gpg finds no usable public key there", where=name, todo=todo) from None

    def _run(self, *arguments: str, deadline: float, env: Mapping[str, str] | None = None) -> bytes:
        command = (f"--git-dir={self._mirror.path}", *arguments)
        return self._git.run(*command, cwd=self._folder, deadline=deadline, env=env)

    def _in_force(self) -> str:
        try:
            text = self._record.read_text(errors="replace").strip()
        except FileNotFoundError:
            return ""
        return text if re.fullmatch("[0-9a-f]{40}", text) else ""

    def _remember(self, commit: str, deadline: float) -> None:
        self._run("update-ref", f"refs/reconciler/verified/{self._name}", commit, deadline=deadline)
        draft = self._record.with_name(f"{self._record.name}.{os.getpid()}")
        draft.write_text(commit + "\n")
        draft.replace(self._record)


@dataclass(frozen=True, slots=True)
class _Desk:
    """A private folder, and how git comes to use it and no other keys."""

    folder: Path
    signers: Path
    options: Sequence[str]
    env: Mapping[str, str]


def _desk(folder: Path, *, ssh: bool) -> _Desk:
    # git goes by the signature's own kind, not by gpg.format: the other kinds get a program that is not there.
    none, signers = str(folder / "none"), folder / "allowed_signers"
    programs = {"gpg": none, "gpg.openpgp": none, "gpg.x509": none, "gpg.ssh": none}
    programs |= {"gpg.ssh": "ssh-keygen"} if ssh else {"gpg": "gpg", "gpg.openpgp": "gpg"}
    settings = [f"{key}.program={program}" for key, program in programs.items()]
    settings += [f"gpg.ssh.allowedSignersFile={signers}", "gpg.minTrustLevel=fully"]
    home = str(folder)
    env = {"GNUPGHOME": home, "HOME": home, "TMPDIR": home}
    return _Desk(folder, signers, [part for each in settings for part in ("-c", each)], env)


def _quoted(path: Path) -> str:
    """A path in git's list of folders of objects (git(1), GIT_ALTERNATE_OBJECT_DIRECTORIES), whatever is in it."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unverified(place: Place, commit: str, before: str, refused: Refused) -> Unverified:
    told = f"commit {commit[:10]} {'would not be accepted now' if commit == before else 'is not acted upon'}"
    ancestor = f"its ancestor {refused.commit[:10]}: " if refused.commit not in ("", commit) else ""
    what = f"{refused.what}, so {told}" if refused.where else f"{told}: {ancestor}{refused.what}"
    in_force = f"Commit {before[:10]}, which was accepted before, stays in force"
    return Unverified(
        what,
        where=refused.where or str(place),
        untouched=in_force if before else "Nothing is done for this source: no commit of it was accepted yet",
        todo=refused.todo,
        commit=commit,
        in_force=before,
    )

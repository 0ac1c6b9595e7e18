"""What a push that was not taken means. Text in, an error out."""

from __future__ import annotations

import re

from reconciler.adapters.git.access import explained
from reconciler.adapters.git.address import Place
from reconciler.adapters.git.process import telling
from reconciler.adapters.git.signing import UNPUSHED
from reconciler.core.address import masked
from reconciler.core.credentials import Credentials
from reconciler.errors import Blocked, ReconcilerError, Transient

UNSURE = "Whether the branch has the commit, the next look tells"
_TOLD = 500
"""Characters of what the other side says that are told."""
_STATUS = re.compile(r"^ ! \[[a-z ]+\] .* \(([^()]*)\)$", re.MULTILINE)
"""git-push(1), OUTPUT."""
_REMOTE = re.compile(r"^remote: (.*)$", re.MULTILINE)
_GENERAL = ("To ", " ! ", "error: failed to push", "hint:", "remote:")

_REFUSED = re.compile(r"declin|denied|deny|prohibit|protect|not allowed|not permitted|checked out|shallow update", re.I)
"""What servers put behind `remote rejected` when trying again does not help. The rest (a lock, a full disk) passes."""
_FORBIDDEN = re.compile(
    r"returned error: 40[13]|could not read Username|Authentication failed|insufficient permission|read.?only"
    r"|write access|denied|forbidden|not allowed|unauthori[sz]ed|not permitted|service not enabled|not authori[sz]ed",
    re.I,
)
_OWNER = re.compile(r"dubious ownership")

_HOOK_TODO = "Let the daemon's user push to this branch (docs/git-revert.md), or revert by hand"
_WRITE_TODO = "Give the source credentials that may write to the repository (docs/git-revert.md), or revert by hand"
_OWNER_TODO = (
    "Run the daemon as the repository's owner, or give its address as ssh:// or https://: a push runs what a "
    "local repository's hooks and configuration say"
)
_CHECKED_OUT_TODO = "Follow a bare repository: the branch is checked out there"


def refusal(place: Place, said: str, keys: Credentials | None, *, seen: bool) -> ReconcilerError:
    """The error for a push that failed. `said` is git's stderr, secrets masked; `seen`: the branch was looked at
    afterwards, and is where it was.

    It is Blocked where only a change helps, of a permission for example, and Transient otherwise.
    """
    said = masked(said, place.url)
    status = " ".join(_STATUS.findall(said)[-1:])
    remote = _clean(" ".join(line.strip() for line in _REMOTE.findall(said)), _TOLD)
    if status:
        return _of_status(place, status, remote)
    own = "\n".join(line for line in said.splitlines() if not line.startswith(_GENERAL))
    told = telling(own.encode()) or "git push failed"
    if _OWNER.search(own):
        what = "the repository belongs to another user, and git does not push to such a one"
        return _blocked(place, what, _OWNER_TODO)
    what, todo = explained(told, keys)
    what = f"the push failed: {what}" + (f": {remote}" if remote and remote not in what else "")
    if _FORBIDDEN.search(f"{own} {remote}"):
        return _blocked(place, what, _WRITE_TODO)
    return Transient(what, where=str(place), untouched=UNPUSHED if seen else UNSURE, todo=todo or "It is tried again")


def _of_status(place: Place, status: str, remote: str) -> ReconcilerError:
    what = f"the server refuses the push: {_clean(status, _TOLD)}" + (f": {remote}" if remote else "")
    if "checked out" in status:
        return _blocked(place, what, _CHECKED_OUT_TODO)
    if _REFUSED.search(status):
        return _blocked(place, what, _HOOK_TODO)
    if _FORBIDDEN.search(remote):
        return _blocked(place, what, _WRITE_TODO)
    return Transient(what, where=str(place), untouched=UNPUSHED, todo="It is tried again")


def _blocked(place: Place, what: str, todo: str) -> Blocked:
    return Blocked(what, where=str(place), untouched=UNPUSHED, todo=todo)


def _clean(text: str, most: int) -> str:
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= most else f"{plain[:most]}…"

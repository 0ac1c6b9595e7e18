"""What may be asked of Git: addresses, refs, paths. Text in, text out; anything hostile is refused here.

Git commands get these strings as arguments, so the checks are the first of two defences; the second is that
every command line ends its options with `--` and that git itself only speaks the transports in `SCHEMES`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reconciler.core.address import SCHEME, SCHEMES, address_fault, is_local, masked
from reconciler.core.gitref import GitRef, ref_fault
from reconciler.errors import Invalid, Transient

UNTOUCHED = "Nothing was changed in the cluster"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault is, as an error names it; its address never shows a secret."""

    url: str
    ref: GitRef
    commit: str = ""
    path: str = ""

    def __str__(self) -> str:
        ref = f"{self.ref} of {masked(self.url)}"
        if not self.commit:
            return ref
        return f"{self.path or '.'} at commit {self.commit[:10]} ({ref})"

    def invalid(self, what: str, todo: str) -> Invalid:
        """The error for an answer that cannot be used; it stays until Git or the configuration changes."""
        return Invalid(what, where=str(self), untouched=UNTOUCHED, todo=todo)

    def transient(self, what: str, todo: str = "") -> Transient:
        """The error for no answer. `what` may quote git: secrets in it are masked here."""
        todo = todo or _advice(self.url)
        return Transient(masked(what, self.url), where=str(self), untouched=UNTOUCHED, todo=todo)


def _advice(url: str) -> str:
    if not is_local(url):
        return "Check the network, the address and the credentials"
    where = address_of(url)
    return f"Is there a Git repository at {where}, and may it be read? A relative url counts from the working directory"


def address_of(url: str) -> str:
    """The address to give to git: an absolute path for a local repository, otherwise `url` itself.

    Raises:
        Invalid: for a transport that is not allowed, or anything git could take for something other than an
            address.
    """
    fault = address_fault(url)
    if fault:
        todo = f"Use a path or a URL of {', '.join(SCHEMES)}"
        raise Invalid(f"the repository address {fault}", where=masked(url), untouched=UNTOUCHED, todo=todo)
    if not is_local(url):
        return url
    return str((Path(unquote(urlsplit(url).path)) if SCHEME.match(url) else Path(url)).absolute())


def check_ref(ref: GitRef, url: str) -> GitRef:
    """`ref` itself, if it may be given to git (by git-check-ref-format(1), for a name); otherwise raises Invalid."""
    if fault := ref_fault(ref):
        shown = GitRef(ref.kind, repr(ref.text))
        raise Place(url, shown).invalid(f"ref.{ref.kind} {fault}", f"Correct ref.{ref.kind} of the source")
    return ref


def split_path(path: str, place: Place) -> tuple[str, ...]:
    """The parts of a path below the repository's root, `.` and inner `..` resolved; () is the root itself.

    Resolving `..` by text alone is right because no symbolic link is ever followed.

    Raises:
        Invalid: when the path is absolute, leaves the repository, begins with `-` or contains NUL.
    """
    todo = "Give a path inside the repository"
    if path.startswith(("/", "-")) or "\0" in path:
        raise place.invalid("the path must not be absolute, begin with '-' or contain NUL", todo)
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and not parts:
            raise place.invalid("the path leaves the repository", todo)
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts)


def mirror_name(url: str) -> str:
    """The folder name of a URL's mirror: something readable, then 12 digits of its SHA-256.

    Credentials of http(s) are left out, so that a renewed token keeps its mirror. The user of ssh:// stays: it
    can choose another repository.
    """
    plain = re.sub(r"^(https?://)[^/]*@", r"\1", url, flags=re.IGNORECASE)
    readable = re.sub(r"[^a-z0-9]+", "-", plain.partition("://")[2].lower() or plain.lower()).strip("-")
    return f"{readable[-40:].strip('-') or 'repository'}-{hashlib.sha256(plain.encode()).hexdigest()[:12]}"


def local_git_dir(url: str) -> Path | None:
    """The folder with the refs of a local repository (of a linked worktree: the common one), else None.

    None also when there is no repository at that path (yet). Looks at the disk, changes nothing.
    """
    if address_fault(url) or not is_local(url):
        return None
    address = address_of(url)
    # The order in which git itself tries: gitrepository-layout(5), and enter_repo() in its path.c.
    candidates = (Path(address + suffix) for suffix in ("/.git", "", ".git/.git", ".git"))
    return next((found for path in candidates if (found := _git_dir_at(path))), None)


def _git_dir_at(path: Path) -> Path | None:
    if path.is_file():
        pointer = path.read_bytes()[:4096].decode(errors="replace")
        return _git_dir_at(path.parent / pointer[8:].strip()) if pointer.startswith("gitdir: ") else None
    common = path / "commondir"
    if common.is_file():
        return _git_dir_at(path / common.read_text().strip())
    is_repository = (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
    return path.resolve() if is_repository else None

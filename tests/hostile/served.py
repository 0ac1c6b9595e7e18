"""What a repository can be besides its files: its refs, configuration, hooks and objects."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.fakes.git import GitOrigin, git
from tests.hostile.case import PLAIN, Case

_BRANCH = "is no name of a branch"
_ODD_REFS = (
    b"-x",
    b"--upload-pack=touch pwned",
    b"a..b",
    b"a@{1}",
    b"a b",
    b"a\x1b[31m",
    b"a~1",
    b"@",
    b".a",
    b"a.lock",
    b"a\\b",
)


_COMMANDS = (
    *("core.fsmonitor", "core.sshCommand", "core.editor", "core.pager", "core.askPass", "core.gitProxy"),
    *("core.alternateRefsCommand", "uploadpack.packObjectsHook", "credential.helper", "gpg.program"),
)


def _script(origin: GitOrigin, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\ntouch {origin.path.parent}/pwned\n")
    path.chmod(stat.S_IRWXU)


def _hooks(origin: GitOrigin) -> None:
    for name in ("post-checkout", "reference-transaction", "pre-receive", "post-update", "fsmonitor-watchman"):
        _script(origin, origin.path / "hooks" / name)


def _configured(origin: GitOrigin) -> None:
    script = origin.path.parent / "script"
    _script(origin, script)
    for key in _COMMANDS:
        git("config", key, str(script), cwd=origin.path)
    git("config", "core.hooksPath", str(origin.path.parent), cwd=origin.path)
    git("config", "protocol.ext.allow", "always", cwd=origin.path)
    git("config", "url.ext::sh -c touch% pwned;.insteadOf", "/", cwd=origin.path)
    git("config", "include.path", "/etc/passwd", cwd=origin.path)


def _without_include(origin: GitOrigin) -> None:
    _configured(origin)
    git("config", "--file", str(origin.path / "config"), "--unset", "include.path", cwd=origin.path.parent)


def _others(origin: GitOrigin) -> None:
    """As somebody else's, where this may be arranged."""
    _without_include(origin)
    if os.geteuid() == 0:
        for path in (origin.path, *origin.path.rglob("*")):
            os.chown(path, 12345, 12345)


def _partial(origin: GitOrigin) -> None:
    """Promises an object that it lacks, to be had from a helper that is a command."""
    git("config", "remote.origin.url", f"ext::touch {origin.path.parent}/pwned", cwd=origin.path)
    git("config", "remote.origin.promisor", "true", cwd=origin.path)
    git("config", "extensions.partialClone", "origin", cwd=origin.path)
    git("config", "core.repositoryFormatVersion", "1", cwd=origin.path)
    git("config", "protocol.ext.allow", "always", cwd=origin.path)
    tree = git("mktree", "--missing", cwd=origin.path, stdin=b"100644 blob " + b"1" * 40 + b"\tversion\n")
    origin.reset(git("commit-tree", "-m", "x", tree, cwd=origin.path))


def _replaced(origin: GitOrigin) -> None:
    version = git("rev-parse", "main:version", cwd=origin.path)
    other = git("hash-object", "-w", "--stdin", cwd=origin.path, stdin=b"v666\n")
    git("replace", version, other, cwd=origin.path)
    tip = origin.tip()
    evil = git("commit-tree", "-m", "evil", git("mktree", cwd=origin.path), cwd=origin.path)
    git("replace", tip, evil, cwd=origin.path)


def _grafted(origin: GitOrigin) -> None:
    (origin.path / "info").mkdir(exist_ok=True)
    (origin.path / "info" / "grafts").write_text(f"{origin.tip()} {'1' * 40}\n")


def _borrowing(origin: GitOrigin) -> None:
    """All objects in another repository, and a second one that is not there."""
    lender = origin.path.with_name("lender")
    origin.path.rename(lender)
    tip = git("rev-parse", "main", cwd=lender)
    GitOrigin(origin.path)
    (origin.path / "objects/info/alternates").write_text(f"{lender}/objects\n/nowhere\n")
    origin.reset(tip)


def _odd_refs(origin: GitOrigin) -> None:
    tip = origin.tip().encode()
    lines = [tip + b" refs/heads/" + name + b"\n" for name in (*_ODD_REFS, b"main")]
    (origin.path / "refs/heads/main").unlink()
    (origin.path / "packed-refs").write_bytes(b"# pack-refs with: peeled fully-peeled \n" + b"".join(lines))


def _many_refs(origin: GitOrigin) -> None:
    tip = origin.tip()
    lines = sorted(f"{tip} refs/heads/branch-{number}\n" for number in range(10_000))
    (origin.path / "packed-refs").write_text("# pack-refs with: peeled fully-peeled sorted \n" + "".join(lines))


def _look_alikes(origin: GitOrigin) -> None:
    origin.commit({**PLAIN, "version": b"v666\n"})
    evil = origin.tip()
    origin.commit(PLAIN)
    for name in ("refs/heads/refs/heads/main", "refs/tags/main", "refs/remotes/origin/main", "refs/heads/x/main"):
        git("update-ref", name, evil, cwd=origin.path)


def _forged_lines(origin: GitOrigin) -> None:
    """Names that are one line to Git, and more to whoever takes U+2028 and the like for an end of line."""
    origin.commit({**PLAIN, "version": b"v666\n"})
    evil = origin.tip()
    origin.commit(PLAIN)
    for end in ("\u2028", "\u2029", "\x85"):
        git("update-ref", f"refs/heads/main{end}/refs/heads/main", evil, cwd=origin.path)


def _symbolic(origin: GitOrigin) -> None:
    (origin.path / "refs/heads/main").unlink()
    (origin.path / "refs/heads/main").write_text("ref: refs/heads/main\n")


def _linked(origin: GitOrigin) -> None:
    (origin.path / "refs/heads/main").unlink()
    (origin.path / "refs/heads/main").symlink_to("/etc/passwd")


def _garbled(origin: GitOrigin) -> None:
    for path in (*origin.path.glob("objects/pack/*.pack"), *origin.path.glob("objects/??/*")):
        path.chmod(0o600)
        path.write_bytes(b"garbage" * 100)


def _to_a_tree(origin: GitOrigin) -> None:
    (origin.path / "refs/heads/main").write_text(git("rev-parse", "main^{tree}", cwd=origin.path) + "\n")


def _branch(name: str) -> Case:
    return Case(f"a branch called `{ascii(name)[1:-1]}`", "Invalid", _BRANCH, branch=name)


SERVED = (
    *map(
        _branch,
        (
            "-x",
            "--upload-pack=touch pwned",
            "a..b",
            "a@{1}",
            "main^{tree}",
            "main:version",
            "a\nb",
            "a\0b",
            "a\x1b[31m",
            "@",
        ),
    ),
    Case("a branch that is not there", "Invalid", "there is no branch nope", branch="nope"),
    Case("10,000 branches", serve=_many_refs),
    Case("10,000 branches, and not this one", "Invalid", "and 9996 more", serve=_many_refs, branch="nope"),
    Case("branches with names that Git forbids", serve=_odd_refs),
    Case("other refs whose names end like the branch's", serve=_look_alikes),
    Case("a branch whose name goes on as the branch's after an end of line of Unicode", serve=_forged_lines),
    Case("a branch that points to itself", "Invalid", "there is no branch main", serve=_symbolic),
    Case(
        "a branch that is a symbolic link to a file",
        "Invalid",
        "the commit is no longer in the repository",
        serve=_linked,
    ),
    Case("a branch that points to a tree of the same files", serve=_to_a_tree),
    Case("replacements in `refs/replace`", serve=_replaced),
    Case("grafts", serve=_grafted),
    Case("objects borrowed from another repository", serve=_borrowing),
    Case("hooks", serve=_hooks),
    Case("commands in its configuration", serve=_without_include),
    Case("commands in its configuration, and another owner", serve=_others),
    Case("a configuration that includes what is none", "Transient", "git failed", serve=_configured),
    Case("an object to be had from `ext::touch`", "Transient", "git failed", serve=_partial),
    Case("garbled objects", "Transient", "git failed", serve=_garbled),
)

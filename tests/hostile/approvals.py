"""What a file of approved revisions can hold."""

from __future__ import annotations

from dataclasses import replace

from tests.fakes.git import Content, Gitlink, Symlink
from tests.hostile.case import APP, Case

_APP = replace(APP, strategy=replace(APP.strategy, approval_file="approved"))
_NONE = "is no revision"


def _case(name: str, content: Content, message: str = "") -> Case:
    full = f"approvals: {name}"
    return Case(full, "Invalid" if message else "", message, lambda: {"approved": content}, app=_APP)


def _within(path: str, name: str, message: str) -> Case:
    app = replace(APP, strategy=replace(APP.strategy, approval_file=path))
    return Case(name, "Invalid" if message else "", message, app=app)


APPROVALS = (
    _within("approved", "an approval file that is missing", ""),
    _within("../approved", "`approvalFile` climbs out", "leaves the repository"),
    _within("/etc/passwd", "`approvalFile` is absolute", "must not be absolute"),
    _within("templates", "the approval file is a folder", "this is a folder, not a file"),
    _within("version", "the approval file is the version file", f"version:1: {_NONE}"),
    _case("an empty file", b""),
    _case("comments, with a byte order mark and Windows line ends", b"\xef\xbb\xbf# none\r\n\r\n \t# yet\r\n"),
    _case("a symbolic link", Symlink("/etc/passwd"), "approved is a symbolic link"),
    _case("a submodule", Gitlink(), "approved is a submodule"),
    _case("one that asks for all", b"*\n", f"approved:1: {_NONE}"),
    _case("a version", b"# first\nv2.0.0\n", f"approved:2: {_NONE}"),
    _case("two revisions on a line", b"bcdfghjklm bcdfghjkln", f"approved:1: {_NONE}"),
    _case("a revision in capitals", b"BCDFGHJKLM", f"approved:1: {_NONE}"),
    _case("a revision in other letters that look alike", "ｂcdfghjklm".encode(), f"approved:1: {_NONE}"),
    _case("an escape sequence", b"bcdfghjklm\x1b[31m", f"approved:1: {_NONE}"),
    _case("YAML", b"- bcdfghjklm", f"approved:1: {_NONE}"),
    _case("a NUL", b"bcdfghjklm\0", "is binary: it holds a NUL byte"),
    _case("UTF-16", "bcdfghjklm".encode("utf-16"), "is UTF-16"),
    _case("Latin-1", b"\n# J\xf6rg", "approved:2: is not UTF-8 text"),
    _case("65 lines", b"#\n" * 65, "has 65 lines, 64 are allowed"),
    _case("16 KiB of line ends", b"\n" * 16_384, "has 16384 lines"),
    _case("over 16 KiB", b"#" * 16_385, "more than the 16 KiB allowed"),
)

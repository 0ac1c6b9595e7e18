"""What a tree can hold besides plain files."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.git import Content, Gitlink, GitOrigin, Symlink, git
from tests.hostile.case import PLAIN, Case, add_entries, app, over

_LINK = "is a symbolic link, and those are not followed"
_MODULE = "is a submodule, and those are not fetched"
_DEEP = "/".join("d" for _ in range(2000))


def _moved(folder: str) -> Mapping[str, Content | None]:
    """All of the app in a folder of its own."""
    return {**dict.fromkeys(PLAIN), **{f"{folder}/{path}": content for path, content in PLAIN.items()}}


def _templates_gone(files: Mapping[str, Content]) -> Mapping[str, Content | None]:
    return {**{path: None for path in PLAIN if path != "version"}, **files}


def _templates(content: Content) -> Mapping[str, Content | None]:
    return {**{path: None for path in PLAIN if path != "version"}, "templates": content}


def _modules(url: str) -> Mapping[str, Content | None]:
    text = f'[submodule "m"]\n\tpath = m\n\turl = {url}\n\tupdate = checkout\n'
    return {"m": Gitlink(), ".gitmodules": text.encode()}


def _attributes() -> Mapping[str, Content | None]:
    attributes = b"* filter=evil ident export-subst text eol=crlf working-tree-encoding=UTF-16 diff=evil merge=evil\n"
    marked = {path: b"# $Id$ $Format:%H$\n" + bytes(content) for path, content in PLAIN.items() if path != "version"}  # type: ignore[arg-type]
    return {**marked, ".gitattributes": attributes, "templates/.gitattributes": attributes}


def _filters(origin: GitOrigin) -> None:
    pwned = origin.path.parent / "pwned"
    for key in ("filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv"):
        git("config", key, f"touch {pwned}", cwd=origin.path)


def _executable(origin: GitOrigin) -> None:
    add_entries(origin, ("100755", b"version2", b"v1\n"))


FILES = (
    Case("the version file is a symbolic link", "Invalid", f"version {_LINK}", over(version=Symlink("other"))),
    Case("… to `/etc/passwd`", "Invalid", f"version {_LINK}", over(version=Symlink("/etc/passwd"))),
    Case("… out of the repository", "Invalid", f"version {_LINK}", over(version=Symlink("../../../etc/passwd"))),
    Case("… to itself", "Invalid", f"version {_LINK}", over(version=Symlink("version"))),
    Case("the templates folder is a symbolic link", "Invalid", _LINK, lambda: _templates(Symlink("/etc"))),
    Case("a symbolic link in the templates folder", "Invalid", _LINK, over(x=Symlink("/etc/passwd"))),
    Case("a symbolic link on the way to the app", "Invalid", _LINK, lambda: {"a": Symlink(".")}, app=app(path="a")),
    Case("a symbolic link elsewhere", files=lambda: {"x": Symlink("/etc/passwd"), "y": Symlink("y")}),
    Case("the version file is a submodule", "Invalid", f"version {_MODULE}", over(version=Gitlink())),
    Case("the templates folder is a submodule", "Invalid", _MODULE, lambda: _templates(Gitlink())),
    Case("a submodule in the templates folder", "Invalid", _MODULE, over(x=Gitlink())),
    Case("a submodule elsewhere, by `ext::sh`", files=lambda: _modules("ext::sh -c touch% pwned")),
    Case("a submodule whose address is an option", "Transient", "git failed", lambda: _modules("-u./payload")),
    Case("`path` climbs out", "Invalid", "the path leaves the repository", app=app(path="../..")),
    Case("`path` climbs out from within", "Invalid", "the path leaves the repository", app=app(path="a/../..")),
    Case("`versionFile` climbs out", "Invalid", "leaves the repository", app=app(version_file="../../etc/passwd")),
    Case("`versionFile` is absolute", "Invalid", "must not be absolute", app=app(version_file="/etc/passwd")),
    Case("`versionFile` looks like an option", "Invalid", "begin with '-'", app=app(version_file="--help")),
    Case("`versionFile` looks like a revision", "Invalid", "no such file", app=app(version_file="HEAD:version")),
    Case("`versionFile` looks like a pattern", "Invalid", "no such file", app=app(version_file="versio?")),
    Case("`versionFile` with a NUL", "Invalid", "contain NUL", app=app(version_file="version\0x")),
    Case("`templates` climbs out", "Invalid", "leaves the repository", app=app(templates="../../etc")),
    Case("`templates` is absolute", "Invalid", "must not be absolute", app=app(templates="/etc")),
    Case("`templates` is Git's own folder", "Invalid", "no such file or folder", app=app(templates=".git/hooks")),
    Case(
        "the version file is a folder",
        "Invalid",
        "this is a folder, not a file",
        lambda: {"version": None, "version/x": b""},
    ),
    Case("the version file is missing", "Invalid", "there is no such file or folder", over(version=None)),
    Case("the templates folder is a file", "Invalid", "this is a file, not a folder", lambda: _templates(b"x")),
    Case("the templates folder is missing", "Invalid", "no such file", app=app(templates="nope")),
    Case(
        "no template in the templates folder",
        "Invalid",
        "holds no template",
        lambda: _templates_gone({"templates/README": b"x"}),
    ),
    Case(
        "10,000 files in the templates folder",
        "Invalid",
        "10002 files, 64 are allowed",
        lambda: {f"templates/{n}.yaml": b"" for n in range(10_000)},
    ),
    Case("10,000 files beside it", files=lambda: {f"more/{n}": b"" for n in range(10_000)}),
    Case(
        "a version file of 100 MB",
        "Invalid",
        "104857600 bytes, 1048576 are allowed",
        lambda: {"version": b"a: b\n" * (20 << 20)},
    ),
    Case("a file of 100 MB beside them", files=lambda: {"dump.sql": bytes(100 << 20)}),
    Case("a version file that may be executed", serve=_executable, app=app(version_file="version2")),
    Case(
        "a folder named in combining Unicode, right to left, with emoji",
        files=lambda: _moved("a\u0308/\u05d0\u202e/🚀"),
        app=app(path="a\u0308/\u05d0\u202e/🚀"),
    ),
    Case(
        "… which looks the same, but is another",
        "Invalid",
        "no such file",
        lambda: _moved("a\u0308"),
        app=app(path="\u00e4"),
    ),
    Case(
        "names that differ in case only",
        files=lambda: {"Version": b"v2\n", "VERSION": b"v3\n", "Templates/x.yaml": b"{{"},
    ),
    Case(
        "a template's name that colours a terminal",
        "Invalid",
        r"templates/\x1b[31m.yaml:1: is not YAML",
        lambda: {"templates/\x1b[31m.yaml": b"a: b: c"},
    ),
    Case(
        "a template's name that is not UTF-8",
        "Invalid",
        r"templates/\udcff.yaml:1: is not YAML",
        serve=lambda origin: add_entries(origin, ("100644", b"\xff.yaml", b"a: b: c"), below="templates"),
    ),
    Case("a name that is not UTF-8 elsewhere", serve=lambda origin: add_entries(origin, ("100644", b"\xff\x01", b"x"))),
    Case(
        "a folder called `..`",
        "Transient",
        "git failed",
        serve=lambda origin: add_entries(origin, ("100644", b"..", b"x")),
    ),
    Case(
        "a folder called `.git`",
        "Transient",
        "git failed",
        serve=lambda origin: add_entries(origin, ("100644", b".git", b"x")),
    ),
    Case(
        "a name with a slash",
        "Transient",
        "git failed",
        serve=lambda origin: add_entries(origin, ("100644", b"a/b", b"x")),
    ),
    Case(
        "one name twice in a folder",
        "Transient",
        "git failed",
        serve=lambda origin: add_entries(origin, ("100644", b"version", b"v2\n")),
    ),
    Case(
        "an object that is not there",
        "Transient",
        "git failed",
        serve=lambda origin: add_entries(origin, ("40000", b"x", b"1" * 40)),
    ),
    Case("folders 2,000 deep", files=lambda: {f"{_DEEP}/x": b""}),
    Case("an app 2,000 folders deep", files=lambda: _moved(_DEEP), app=app(path=_DEEP)),
    Case("filters, `ident`, `export-subst` and `eol` in `.gitattributes`", files=_attributes, serve=_filters),
)

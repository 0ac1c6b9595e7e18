"""What an `app.yaml`, and where it lies, can hold."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.git import Content, Gitlink, Symlink
from tests.hostile.case import PLAIN, Case, add_entries
from tests.hostile.documents import bomb

_PATTERN = "apps/*/app.yaml"
_FILE = "apps/shop/app.yaml"
_GOOD = b"templates: templates\n"
_ESCAPE = "apps/\x1b[31m/app.yaml"
Files = Mapping[str, Content | None]


def _described(more: Files) -> Files:
    """The app in a folder of its own, with a file that describes it."""
    gone: Files = dict.fromkeys(PLAIN)
    return {**gone, **{f"apps/shop/{path}": content for path, content in PLAIN.items()}, _FILE: _GOOD, **more}


def _beside(name: str, more: Files, error: str = "", message: str = "") -> Case:
    """Something else in the repository, by path."""
    return Case(name, error, message, lambda: _described(more), pattern=_PATTERN)


def _file(name: str, content: Content, message: str) -> Case:
    return Case(f"an `app.yaml` {name}", "Invalid", message, lambda: _described({_FILE: content}), pattern=_PATTERN)


def _says(name: str, text: bytes, message: str) -> Case:
    return _file(name, _GOOD + text, message)


def _many(count: int, ending: str) -> Files:
    return {f"apps/a{n}/{ending}": _GOOD for n in range(count)}


_TAG = "tags (`!name`) are not supported"
_PLACE = f"{_FILE}:2: "

APPS = (
    _beside("an `app.yaml`", {}),
    Case(
        "an `app.yaml` with Windows line ends and a byte order mark",
        files=lambda: _described({_FILE: b"\xef\xbb\xbf" + _GOOD.replace(b"\n", b"\r\n")}),
        pattern=_PATTERN,
    ),
    _file("that is a symbolic link", Symlink("/etc/passwd"), "is a symbolic link, and those are not followed"),
    _file("that is a symbolic link to another", Symlink("../other/app.yaml"), "is a symbolic link"),
    _beside("a folder of an app that is a symbolic link", {"apps/link": Symlink("shop")}),
    _beside("a folder of an app that is a submodule", {"apps/module": Gitlink()}),
    _beside("an `app.yaml` that is a folder", {"apps/folder/app.yaml/x": _GOOD}),
    _beside("an `app.yaml` that is a submodule", {"apps/module/app.yaml": Gitlink()}),
    _beside("an `app.yaml` in a hidden folder", {"apps/.hidden/app.yaml": b"nonsense: 1"}),
    _beside("an `app.yaml` further down than the pattern reaches", {"apps/a/b/app.yaml": b"nonsense: 1"}),
    _file("in UTF-16", "templates: templates\n".encode("utf-16"), "is UTF-16"),
    _file("in Latin-1", b"# \xe9\n", f"{_FILE}:1: is not UTF-8 text"),
    _file("with a NUL", b"name: a\0", "is binary: it holds a NUL byte"),
    _file("of 100 MB", b"#" * (100 << 20), "104857600 bytes, 1048576 are allowed"),
    _file("over 64 KiB", b"#" * (64 * 1024 + 1), "more than the 64 KiB allowed"),
    _file("of two documents", b"a: 1\n---\nb: 1", "must hold one document, but holds 2"),
    _file("that is a list", b"- name: shop", "must be a mapping"),
    _file("that is no YAML", b"a: [b", "is not YAML"),
    _says("with a key twice", b"suspend: false\nsuspend: true", "the key `suspend` is there twice"),
    _says("with billion laughs", b"values:\n  " + b"\n  ".join(bomb(10, 10).splitlines()), "aliases (`*name`)"),
    _says("with an alias to what it is in", b"values: {a: &a [*a]}", "has no anchor"),
    _says("with 10,000 levels of nesting", b"values: " + b"[" * 10_000, "is nested deeper than 64 levels"),
    _says("with a tag that builds an object", b"name: !!python/object/apply:os.system [id]", _TAG),
    _says("with a key that it does not know", b"sorce: x", f"{_PLACE}sorce: unknown key"),
    _says("with another source", b"source: other", f"{_PLACE}source: unknown key"),
    _says("with another folder", b"path: ../../secrets", f"{_PLACE}path: unknown key"),
    _says("with a `versionFile` that climbs out", b"versionFile: ../../x", f"{_PLACE}versionFile: "),
    _says("with an absolute `versionFile`", b"versionFile: /etc/passwd", f"{_PLACE}versionFile: "),
    _file("with `templates` that climb out", b"# x\ntemplates: ../other/templates", f"{_PLACE}templates: "),
    _says("with a file of values that climbs out", b"valuesFiles: [../../x]", f"{_PLACE}valuesFiles[0]: "),
    _says("with a name in capitals", b"name: Shop", f"{_PLACE}name: may only hold"),
    _says("with a name that is a path", b"name: ../shop", f"{_PLACE}name: may only hold"),
    _says("with a name that is a list", b"name: [shop]", f"{_PLACE}name: must be text"),
    _says("with a name of 64 letters", b"name: " + b"a" * 64, f"{_PLACE}name: "),
    _says("with a name that colours a terminal", b'name: "\\e[31m"', f"{_PLACE}name: may only hold"),
    _says("with a namespace that is not allowed", b"namespace: kube-system", "does not allow this namespace"),
    _says("with a namespace that is a path", b"namespace: web/../kube-system", f"{_PLACE}namespace: may only hold"),
    _says("that depends on itself", b"dependsOn: [shop]", "an app cannot wait for itself"),
    _says("that depends on 10,000 apps", b"dependsOn: [" + b"a," * 10_000 + b"]", f"{_PLACE}dependsOn: "),
    _says("with a policy that there is not", b"deletionPolicy: purge", f"{_PLACE}deletionPolicy: "),
    _beside(
        "two files with one name",
        {"apps/zzz/app.yaml": b"name: shop"},
        "Invalid",
        "another app is called shop: that of apps/shop/app.yaml in source source",
    ),
    _beside(
        "two files with one Service",
        {"apps/zzz/app.yaml": b"strategy: {activeService: shop}"},
        "Invalid",
        "the Service web/shop is that of app shop",
    ),
    _beside(
        "two files that wait for each other",
        {_FILE: _GOOD + b"dependsOn: [zzz]", "apps/zzz/app.yaml": b"dependsOn: [shop]"},
        "Invalid",
        "each would wait for the other: zzz → shop → zzz",
    ),
    _beside("a folder whose name is no name of an app", {"apps/A_b/app.yaml": b""}, "Invalid", "the folder's name"),
    _beside("a folder whose name colours a terminal", {_ESCAPE: _GOOD}, "Invalid", "the path holds control characters"),
    Case(
        "a file whose name is not UTF-8",
        "Invalid",
        "the path holds control characters, or is not UTF-8",
        lambda: _described({"app.yaml": b"name: shop\n" + _GOOD}),
        lambda origin: add_entries(origin, ("100644", b"\xff.yaml", b"name: x")),
        pattern="*.yaml",
    ),
    Case(
        "2,001 files that describe apps",
        "Invalid",
        "2002 files or folders match apps/*, 2000 are allowed",
        lambda: _described(_many(2001, "app.yaml")),
        pattern=_PATTERN,
    ),
    Case(
        "2,001 folders on the way",
        "Invalid",
        "2002 files or folders match apps/*, 2000 are allowed",
        lambda: _described(_many(2001, "x")),
        pattern=_PATTERN,
    ),
)

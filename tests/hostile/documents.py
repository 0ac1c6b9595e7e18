"""What a version file, and the YAML that comes of a template, can hold."""

from __future__ import annotations

from tests.fakes.git import Content
from tests.fakes.rendering import DEPLOYMENT, SERVICE
from tests.hostile.case import Case, over


def bomb(levels: int, width: int) -> bytes:
    """Every level holds the one before it `width` times: billion laughs."""
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def _inner(text: bytes) -> bytes:
    return b"version: v1\nvalues:\n" + b"\n".join(b"  " + line for line in text.splitlines())


def _version(name: str, content: bytes, message: str) -> Case:
    return Case(name, "Invalid", message, over(version=content))


def _rendered(name: str, content: bytes, message: str) -> Case:
    return Case(name, "Invalid", message, over(x=content))


def _as_plain(name: str, **files: Content) -> Case:
    return Case(name, files=over(**files))


_CONFIG = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ name }}}\ndata:\n"
_FEW = b"a: &a [" + b"x" * 30_000 + b"]\n" + b"\n".join(b"b%d: *a" % n for n in range(30))
_TAG = "tags (`!name`) are not supported"
_LABEL = "a label's value may only hold"

DOCUMENTS = (
    _as_plain("a version file with Windows line ends", version=b"v1\r\n\r\n"),
    _as_plain("… with a byte order mark", version=b"\xef\xbb\xbfv1"),
    _as_plain("… in JSON", version=b'{"version": "v1"}'),
    _version("… in UTF-16", "v1\n".encode("utf-16"), "is UTF-16"),
    _version("… in UTF-16 without a mark", "v1\n".encode("utf-16-le"), "is binary: it holds a NUL byte"),
    _version("… in Latin-1", "v1-é\n".encode("latin-1"), "version:1: is not UTF-8 text"),
    _version("… with a NUL", b"v1\0", "is binary: it holds a NUL byte"),
    _version("… that is empty", b"", "is empty"),
    _version("… of blanks", b" \n\t\r\n", "is empty"),
    _version("… of one line without end", b"v" * 65_000, "has 65000 characters, more than the 63"),
    _version("… of 64 KiB of line ends", b"a" + b"\n" * 65_000 + b"b", "has several lines"),
    _version("… of 64 KiB of blanks", b"a" + b" " * 65_000 + b"b", "more than the 63"),
    _version("… over 64 KiB", b"v1" + b" " * 65_536, "more than the 64 KiB allowed"),
    _version("… with a shell's words", b"v1;touch${IFS}pwned", _LABEL),
    _version("… with a path", b"../../v1", _LABEL),
    _version("… with an option", b"--help", "must begin and end with a letter or digit"),
    _version("… with a template", b"version: '{{ 7 * 7 }}'", _LABEL),
    _version("… with an escape sequence", b"v1\x1b[31m", _LABEL),
    _version("… with a bad key that colours a terminal", b'"\\e[31m": x\nversion: v1', r"unknown key `\x1b[31m`"),
    _version("… with a key of 60,000 characters", b"version: v1\n? " + b"k" * 60_000 + b"\n: 1", "unknown key `kkkk"),
    _version("… with a version that is a list", b"version: [v1]", "`version` must be text"),
    _version("… with two documents", b"version: v1\n---\nversion: v2", "must hold one mapping"),
    _version("… with a key twice", b"version: v1\nversion: v2", "the key `version` is there twice"),
    _version("… with control characters", b"version: v1\nvalues: {a: \x07}", "control character 0x0007"),
    _version("billion laughs in a version file", _inner(bomb(10, 10)), "aliases (`*name`)"),
    _version("few aliases that expand to much", _inner(_FEW), "aliases expand to more than 512 KiB"),
    _version("an alias to what it is in", _inner(b"a: &a [*a]"), "has no anchor"),
    _version("a merge of itself", _inner(b"a: &a\n  <<: *a"), "has no anchor"),
    _version("10,000 levels of nesting", _inner(b"a: " + b"[" * 10_000), "is nested deeper than 64 levels"),
    _version("10,000 levels of blocks", _inner(b"a:\n  " + b"- " * 10_000), "is nested deeper than 64 levels"),
    _version("`!!python/object/apply`", _inner(b"a: !!python/object/apply:os.system [touch pwned]"), _TAG),
    _version("`!!python/name`", _inner(b"a: !!python/name:os.system"), _TAG),
    _version("`!!binary`", _inner(b"a: !!binary aGk="), _TAG),
    _version("`!!set`", _inner(b"a: !!set {x}"), _TAG),
    _version("`!!timestamp`", _inner(b"a: !!timestamp 2024-01-01"), _TAG),
    _version("a tag of its own", _inner(b"a: !include /etc/passwd"), _TAG),
    _version("a tag by `%TAG`", b"%TAG !e! tag:yaml.org,2002:python/\n---\nversion: !e!name:os v1", _TAG),
    _version("an unknown anchor", _inner(b"a: *nope"), "has no anchor"),
    _version("a mapping as a key", _inner(b"? {a: b}\n: c"), "a key must be plain text"),
    _version("YAML that is none", _inner(b"a: [b"), "is not YAML"),
    _as_plain(
        "templates with Windows line ends and byte order marks",
        deployment=b"\xef\xbb\xbf" + DEPLOYMENT.replace("\n", "\r\n").encode(),
        service=b"\xef\xbb\xbf" + SERVICE.replace("\n", "\r\n").encode(),
    ),
    _rendered("a template in UTF-16", "a: b\n".encode("utf-16"), "templates/x.yaml: is UTF-16"),
    _rendered("a template with a NUL", b"a: \0", "templates/x.yaml: is binary"),
    _rendered(
        "billion laughs in a template", _CONFIG + b"  " + b"\n  ".join(bomb(10, 10).splitlines()), "aliases (`*name`)"
    ),
    _rendered("10,000 levels in a template", _CONFIG + b"  a: " + b"[" * 10_000, "is nested deeper than 64 levels"),
    _rendered("a key twice in a template", _CONFIG + b"  a: x\n  a: y", "the key `a` is there twice"),
    _rendered("`!!python/object/apply` in a template", _CONFIG + b"  a: !!python/object/apply:os.system [id]", _TAG),
    _rendered("100 documents in a template", b"---\na: b\n" * 100, "has more than 64 documents"),
    _rendered(
        "an object of another namespace",
        _CONFIG.replace(b"}\nd", b", namespace: kube-system}\nd") + b"  a: x",
        "namespace",
    ),
    _rendered(
        "an object of another kind",
        b"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}",
        "ClusterRole",
    ),
    _rendered("a second Deployment", DEPLOYMENT.encode(), "Deployment"),
    _rendered("a line of 900,000 characters", b"a: " + b"x" * 900_000 + b"{{ nope }}", "`nope` is not defined"),
    _rendered("a line of 900,000 braces", b"{" * 900_000, "words and signs"),
)

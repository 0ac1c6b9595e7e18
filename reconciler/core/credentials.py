"""What opens a repository: the files of a Secret or of a mounted folder, checked. Pure.

The names of the files are those that Flux gives the keys of a GitRepository's Secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

USERNAME, PASSWORD, BEARER = "username", "password", "bearerToken"
CA, IDENTITY, KNOWN_HOSTS = "ca.crt", "identity", "known_hosts"
FILES = (USERNAME, PASSWORD, BEARER, CA, IDENTITY, KNOWN_HOSTS)
"""What is read. Other files may be there, and are left alone."""
SIZE_LIMIT = 1 << 20
"""Bytes of one file: as many as a Secret can have."""

_LINE = re.compile(rb"[\x20-\x7e\x80-\xff]*")
_SCHEME = re.compile(r"([a-z]+)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credentials:
    """For https `username` and `password`, or `bearer`, and perhaps the only CA to be trusted; for ssh a private key
    and the known hosts. Empty is what is not given."""

    username: bytes = b""
    password: bytes = b""
    bearer: bytes = b""
    ca: bytes = b""
    identity: bytes = b""
    known_hosts: bytes = b""

    def __repr__(self) -> str:
        return "Credentials(…)"


def scheme_of(url: str) -> str:
    """`https`, `http`, `ssh` or `file`, by the rules of git-clone(1), "GIT URLS"."""
    found = _SCHEME.match(url)
    if found:
        return found[1].lower()
    return "ssh" if ":" in url.split("/", 1)[0] else "file"


def credentials_fault(url: str) -> str:
    """Why no credentials can be used for `url`, as the end of a sentence; '' if they can."""
    match scheme_of(url):
        case "http":
            return "http:// would let everybody read them: use https://"
        case "file":
            return "its url is a local repository, which needs none"
    return ""


def read_credentials(found: Mapping[str, bytes], url: str) -> Credentials:
    """The credentials in files called as in `FILES`, for a repository at `url`.

    Raises:
        ValueError: they do not fit the address, contradict each other, or are not complete. The text is the end of
            a sentence ("the Secret …") and holds nothing of their content.
    """
    if large := next((name for name in FILES if len(found.get(name, b"")) > SIZE_LIMIT), None):
        raise ValueError(f"has a {large} of more than {SIZE_LIMIT >> 20} MiB")
    return _for_ssh(found) if scheme_of(url) == "ssh" else _for_https(found)


def _for_ssh(found: Mapping[str, bytes]) -> Credentials:
    identity, hosts = found.get(IDENTITY, b""), found.get(KNOWN_HOSTS, b"")
    if not identity.strip():
        raise ValueError(f"has no {IDENTITY}, the private key that ssh needs")
    if not hosts.strip():
        raise ValueError(f"has no {KNOWN_HOSTS}: without it nobody knows whether the host is the right one")
    return Credentials(identity=_ended(identity), known_hosts=_ended(hosts))


def _for_https(found: Mapping[str, bytes]) -> Credentials:
    username, password, bearer = (_line(found, name) for name in (USERNAME, PASSWORD, BEARER))
    ca = found.get(CA, b"")
    if bearer and (username or password):
        raise ValueError(f"has {BEARER} and {USERNAME} or {PASSWORD}: it must be one of them")
    if bool(username) != bool(password):
        missing = PASSWORD if username else USERNAME
        raise ValueError(f"has no {missing}, which belongs to the {USERNAME if username else PASSWORD}")
    if b":" in username:
        raise ValueError(f"has a {USERNAME} with a colon, which basic authentication cannot send (RFC 7617)")
    if not (bearer or username or ca.strip()):
        raise ValueError(f"has none of {USERNAME} and {PASSWORD}, {BEARER}, {CA}")
    return Credentials(username=username, password=password, bearer=bearer, ca=_ended(ca))


def _line(found: Mapping[str, bytes], name: str) -> bytes:
    """One line, without the newline that an editor left at its end."""
    value = found.get(name, b"").rstrip(b"\r\n")
    if not _LINE.fullmatch(value):
        raise ValueError(f"has a {name} with control characters")
    return value


def _ended(text: bytes) -> bytes:
    """With a newline at its end: OpenSSH takes a key without one for damaged."""
    return text if not text or text.endswith(b"\n") else text + b"\n"

"""The keys whose signatures a source trusts: read from files beside the daemon, and held to their format.

ssh-keygen and gpg pass over lines and blocks that they do not understand. Here such a file is refused as a whole: a key
that somebody believes to be in force, or to be gone, should not depend on a slip in the line above it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE_LIMIT = 1 << 20
_FILES_LIMIT = 64

# ALLOWED SIGNERS of ssh-keygen(1): principals, options, key type, key. Values of options must be quoted.
_DATE = r'"\d{8}(?:\d{4}(?:\d\d)?)?Z?"'
_OPTION = rf'(?:cert-authority|namespaces="[^"]*"|valid-(?:after|before)={_DATE})'
_SIGNER = re.compile(
    rf'(?:"[^"]+"|[^\s"]+)[ \t]+(?:{_OPTION}(?:,{_OPTION})*[ \t]+)?'
    r"(?P<kind>[a-z][a-z0-9@.-]+)[ \t]+(?P<key>[a-z0-9+/]+=*)(?:[ \t].*)?",
    re.IGNORECASE,
)
_BARE_KEY = re.compile(r"(sk-)?(ssh|ecdsa)-[a-z0-9@.-]+\s+AAAA")
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")
_ARMOUR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


class Refused(Exception):
    """A commit must not be acted upon: because of a file of keys, `where`, or of a `commit` that it has or is."""

    def __init__(self, what: str, *, where: str = "", commit: str = "", todo: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.commit = commit
        self.todo = todo


@dataclass(frozen=True, slots=True)
class AllowedSigners:
    """SSH keys, in one file as ssh-keygen(1) describes it under ALLOWED SIGNERS."""

    path: Path

    def read(self) -> Mapping[str, bytes]:
        """The file → its content, found good. Raises `Refused`."""
        data = _content(self.path)
        lines = data.decode("utf-8", "replace").splitlines()
        kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#"]
        if not kept:
            raise Refused("holds no key", where=str(self.path), todo="Add a line for each who may sign")
        for number, line in kept:
            fault = _fault(line.strip())
            if fault:
                todo = "Write `PRINCIPAL [OPTIONS] KEYTYPE KEY`, see ALLOWED SIGNERS in ssh-keygen(1)"
                raise Refused(fault, where=f"{self.path}:{number}", todo=todo)
        return {str(self.path): data}


@dataclass(frozen=True, slots=True)
class Keyring:
    """OpenPGP public keys, armoured: a file, or all files of a folder (hidden ones left out, as kubelet makes them)."""

    path: Path

    def read(self) -> Mapping[str, bytes]:
        """File → content, each found to look like armoured public keys. Raises `Refused`."""
        files = self._files()
        if not files or len(files) > _FILES_LIMIT:
            what = f"holds {len(files)} files, but 1 to {_FILES_LIMIT} can be used"
            raise Refused(what, where=str(self.path), todo="Put armoured public keys there")
        found = {str(file): _content(file) for file in files}
        for name, data in found.items():
            _require_armour(name, data.decode("utf-8", "replace"))
        return found

    def _files(self) -> list[Path]:
        try:
            if not self.path.is_dir():
                return [self.path]
            return sorted(each for each in self.path.iterdir() if each.name[0] != "." and each.is_file())
        except OSError as error:
            raise _unreadable(self.path, error) from None


Keys = AllowedSigners | Keyring


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(data) > _FILE_LIMIT:
        raise Refused(f"has more than {_FILE_LIMIT >> 20} MiB", where=str(path), todo="Keep only keys there")
    return data


def _unreadable(path: Path, error: OSError) -> Refused:
    what = f"the keys cannot be read: {(error.strerror or type(error).__name__).lower()}"
    return Refused(what, where=str(path), todo="Put the file there, and let the daemon's user read it")


def _fault(line: str) -> str:
    """What is wrong with a line of an allowed-signers file, or ''. Never quotes it: it may be a private key."""
    if _PRIVATE.search(line):
        return "is a private key; only public ones belong here"
    if _BARE_KEY.match(line):
        return "begins with the key; a principal (an e-mail address, or *) must stand before it"
    found = _SIGNER.fullmatch(line)
    if not found:
        return "is no line of an allowed-signers file"
    return "" if _is_key(found["kind"], found["key"]) else "the key is cut short, or not of the type that is named"


def _is_key(kind: str, key: str) -> bool:
    """Whether a key is whole: its type, then what belongs to it, each after its length (RFC 4251, section 5)."""
    try:
        blob = base64.b64decode(key, validate=True)
    except binascii.Error:
        return False
    parts: list[bytes] = []
    while blob:
        end = 4 + int.from_bytes(blob[:4], "big")
        if len(blob) < end:
            return False
        parts.append(blob[4:end])
        blob = blob[end:]
    return len(parts) > 1 and parts[0] == kind.encode()


def _require_armour(name: str, text: str) -> None:
    private = _PRIVATE.search(text) or re.search(r"-----BEGIN PGP PRIVATE", text)
    if private:
        line = text.count("\n", 0, private.start()) + 1
        todo = "Give `gpg --armor --export KEY`, and consider that key known to others"
        raise Refused("is a private key; only public ones belong here", where=f"{name}:{line}", todo=todo)
    if _ARMOUR not in text:
        raise Refused("holds no armoured OpenPGP public key", where=name, todo="Give `gpg --armor --export KEY`")

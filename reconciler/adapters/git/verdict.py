"""Why `git verify-commit` refused a commit, in words. Text in, text out.

Nothing of the commit is quoted but its id and the fingerprint of the key: author, message and user ids are whatever an
attacker likes them to be.
"""

from __future__ import annotations

import re
from enum import StrEnum

from reconciler.adapters.git.signers import AllowedSigners, Keys, Refused


class Kind(StrEnum):
    """How a commit is signed; the values are the first lines of the signatures (git's gpg-interface.c)."""

    NOT = ""
    SSH = "-----BEGIN SSH SIGNATURE-----"
    OPENPGP = "-----BEGIN PGP SIGNATURE-----"
    OPENPGP_MESSAGE = "-----BEGIN PGP MESSAGE-----"
    X509 = "-----BEGIN SIGNED MESSAGE-----"
    UNKNOWN = "?"


_NAMES = {Kind.SSH: "SSH", Kind.OPENPGP: "OpenPGP", Kind.OPENPGP_MESSAGE: "OpenPGP", Kind.X509: "X.509"}

# From ssh-keygen, about the line of the allowed-signers file that has the key.
_SSH_LINE = re.compile(r":(\d+): (key (?:has expired|is not yet valid|is not permitted[^\n]*))")
_SSH_KEY = re.compile(r'^Good "git" signature with \S+ key (SHA256:[A-Za-z0-9+/=]+)\s*$', re.MULTILINE)

# Status lines of gpg (doc/DETAILS in its source), the one that decides first; each has the key's id.
_OPENPGP = (
    ("BADSIG", "the signature is bad: the commit is not what the key {key} signed"),
    ("REVKEYSIG", "it is signed by the key {key}, which is revoked"),
    ("EXPKEYSIG", "it is signed by the key {key}, which has expired"),
    ("EXPSIG", "its signature, by the key {key}, has expired"),
    ("NO_PUBKEY", "it is signed by the unknown key {key}"),
    ("ERRSIG", "its signature by the key {key} cannot be checked"),
)


def kind_of(commit: bytes) -> Kind:
    """How the commit with this content (`git cat-file commit`) is signed."""
    headers, _, _ = commit.partition(b"\n\n")
    for line in headers.split(b"\n"):
        if line.startswith(b"gpgsig "):
            first = line.removeprefix(b"gpgsig ").decode(errors="replace").strip()
            return Kind(first) if first in set(Kind) else Kind.UNKNOWN
    return Kind.NOT


def refusal(kind: Kind, said: str, keys: Keys) -> Refused:
    """The error for a commit that is signed like that, and for which git printed `said`."""
    ours = "SSH" if isinstance(keys, AllowedSigners) else "OpenPGP"
    if kind is Kind.NOT:
        return Refused("it is not signed", todo=f"Sign it with a key of {keys.path}")
    theirs = _NAMES.get(kind, "an unknown kind of")
    if theirs != ours:
        what = f"it has {theirs} signature" if kind is Kind.UNKNOWN else f"it is signed by {theirs}"
        return Refused(f"{what}, but this source trusts {ours} keys only", todo=f"Sign it with a key of {keys.path}")
    what = _ssh(said, keys) if ours == "SSH" else _openpgp(said, keys)
    return Refused(what, todo=f"Sign it with a key of {keys.path}, or correct the keys there")


def _ssh(said: str, keys: Keys) -> str:
    line, key = _SSH_LINE.search(said), _SSH_KEY.search(said)
    if line:
        when = "" if "permitted" in line[2] else " at the commit's own date"
        return f"the key of line {line[1]} in {keys.path} does not count: {line[2]}{when}"
    if key:
        return f"it is signed by the key {key[1]}, which {keys.path} does not allow"
    return "the signature is bad: the commit is not what was signed"


def _openpgp(said: str, keys: Keys) -> str:
    for word, text in _OPENPGP:
        found = re.search(rf"^\[GNUPG:\] {word} ([0-9A-F]{{8,40}})\b", said, re.MULTILINE)
        if found:
            return f"{text.format(key=found[1])} ({keys.path})"
    return f"gpg does not confirm the signature ({keys.path})"

"""Whether a webhook comes from who knows the secret, as each kind of Git host proves it. Pure.

- GitHub: `X-Hub-Signature-256: sha256=HEX`, an HMAC-SHA256 of the body.
  https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
- Gitea and Forgejo: `X-Gitea-Signature: HEX` and `X-Forgejo-Signature: HEX`, the same without the prefix.
  https://docs.gitea.com/usage/webhooks, https://forgejo.org/docs/latest/user/webhooks/
- generic: `X-Signature: sha256=HEX`, as Flux's generic-hmac.
  https://fluxcd.io/flux/components/notification/receivers/
- GitLab: `X-Gitlab-Token` is the secret itself. That is no HMAC: it says nothing about the body, and whoever reads one
  delivery can make others. https://docs.gitlab.com/user/project/integrations/webhooks/

Headers are given with their names in lower case.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from enum import StrEnum

Headers = Mapping[str, str]

LEAST_SECRET = 16
"""Bytes. Shorter secrets can be guessed from one recorded delivery, without asking us."""

_HEX_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class Kind(StrEnum):
    """How a sender proves that it knows the secret."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    GENERIC = "generic"


SIGNED_BY: Mapping[Kind, tuple[str, ...]] = {
    Kind.GITHUB: ("x-hub-signature-256",),
    Kind.GITLAB: ("x-gitlab-token",),
    Kind.GITEA: ("x-gitea-signature", "x-forgejo-signature"),
    Kind.GENERIC: ("x-signature",),
}
"""The headers that may hold the proof; the first that is there counts."""

_PREFIX = {Kind.GITHUB: "sha256=", Kind.GENERIC: "sha256="}


def is_signed(kind: Kind, headers: Headers) -> bool:
    """Whether there is anything to verify."""
    return any(name in headers for name in SIGNED_BY[kind])


def verify(kind: Kind, secret: bytes, headers: Headers, body: bytes) -> bool:
    """Whether the sender knows `secret`. Takes as long for a nearly right proof as for a wrong one."""
    proof = next((headers[name] for name in SIGNED_BY[kind] if name in headers), "")
    if wrong_secret(secret) or not proof:
        return False
    if kind is Kind.GITLAB:
        return _same_token(proof, secret)
    prefix = _PREFIX.get(kind, "")
    return proof.startswith(prefix) and _same_digest(proof.removeprefix(prefix), secret, body)


def wrong_secret(secret: bytes) -> str:
    """What is wrong with a secret, as the end of a sentence; '' if nothing is."""
    if not secret:
        return "is empty"
    return f"is shorter than {LEAST_SECRET} characters" if len(secret) < LEAST_SECRET else ""


def is_ping(kind: Kind, headers: Headers) -> bool:
    """Whether it only tries out the address, as GitHub does once a webhook is made."""
    return kind is Kind.GITHUB and headers.get("x-github-event") == "ping"


def identity(kind: Kind, headers: Headers, body: bytes) -> bytes:
    """The same for two deliveries if the second one is a replay.

    The body alone where it is signed: the header with the delivery's number is not, so a replay could bear any. GitLab
    signs nothing; its number (the same for a retry) tells two pushes apart that say the same.
    """
    number = headers.get("x-gitlab-event-uuid", "") if kind is Kind.GITLAB else ""
    return hashlib.sha256(number.encode("utf-8", "surrogateescape") + b"\0" + body).digest()


def _same_digest(digits: str, secret: bytes, body: bytes) -> bool:
    if not _HEX_SHA256.fullmatch(digits):
        return False
    return hmac.compare_digest(hmac.digest(secret, body, "sha256"), bytes.fromhex(digits))


def _same_token(token: str, secret: bytes) -> bool:
    """Compares digests, as the comparison of texts of different length would tell the secret's length."""
    given = token.encode("utf-8", "surrogateescape")  # how HTTP parsers hand on bytes that are no UTF-8
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(secret).digest())

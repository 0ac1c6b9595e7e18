"""Which repository addresses and branch names may be given to git at all, and how an address may be shown. Pure.

The configuration is checked by these rules, and the Git adapter holds to them again.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

SCHEMES = ("file", "http", "https", "ssh")
"""The transports that git may use. Never ext:: and fd:: (they run commands), nor git:// (unauthenticated)."""

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")  # gitremote-helpers(7): <transport>::<address>
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# git-check-ref-format(1), rules 1 and 3 to 10, for a name below refs/heads/.
_BAD_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|^/|(^|/)\.|\.lock(/|$)|\.$|^-|^@$|^$")

_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^/\s@:]*)(?P<password>:[^/\s]*)?@")
_QUERY_SECRET = re.compile(r"([?&][^=&\s]*(?:token|key|secret|passw)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)


def is_local(url: str) -> bool:
    """Whether git takes `url` for a path: file://, or no scheme and no colon before the first slash.

    The rule for scp-like addresses is that of git-clone(1), "GIT URLS".
    """
    scheme = SCHEME.match(url)
    if scheme:
        return scheme[1].lower() == "file"
    return ":" not in url.split("/", 1)[0]


def address_fault(url: str) -> str:
    """What is wrong with a repository's address, as the end of a sentence; '' if nothing is."""
    scheme = SCHEME.match(url)
    if not url or _CONTROL.search(url) or "%00" in url or "%0a" in url.lower():
        return "is empty or contains control characters"
    if url.startswith("-"):
        return "begins with '-'"
    if _HELPER.match(url) or (scheme and scheme[1].lower() not in SCHEMES):
        return "uses a transport that is not allowed"
    if is_local(url):
        return "names a host in file://" if scheme and urlsplit(url).netloc not in ("", "localhost") else ""
    # ssh takes a host that begins with '-' for an option (CVE-2017-1000117).
    host = re.split(r"[/:]", url[scheme.end() :] if scheme else url)[0].rpartition("@")[2]
    return "" if host and not host.startswith("-") else "has no usable host"


def branch_fault(branch: str) -> str:
    """What is wrong with a branch's name, as the end of a sentence; '' if nothing is."""
    return "is no name of a branch (see `git help check-ref-format`)" if _BAD_BRANCH.search(branch) else ""


def masked(text: str, url: str = "") -> str:
    """`text` without the passwords and tokens of the URLs in it, nor those of `url` standing on their own.

    A lone user name of http(s) is hidden as well: hosts take access tokens there.
    """
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return _QUERY_SECRET.sub(r"\1***", _USERINFO.sub(_masked_userinfo, text))


def _secrets(url: str) -> list[str]:
    found = _USERINFO.search(url)
    password = (found["password"] or "")[1:] if found else ""
    # Short ones would riddle the message with stars; inside a URL they are masked all the same.
    return [secret for secret in {password, unquote(password)} if len(secret) > 3]


def _masked_userinfo(found: re.Match[str]) -> str:
    if found["password"] is not None:
        return f"{found['scheme']}://{found['user']}:***@"
    if found["scheme"].lower().startswith("http"):
        return f"{found['scheme']}://***@"
    return found[0]

"""Which repository addresses and branch names may be given to git at all. Text in, text out; pure.

The configuration is checked by these rules, and the Git adapter holds to them again.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

SCHEMES = ("file", "http", "https", "ssh")
"""The transports that git may use. Never ext:: and fd:: (they run commands), nor git:// (unauthenticated)."""

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")  # gitremote-helpers(7): <transport>::<address>
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# git-check-ref-format(1), rules 1 and 3 to 10, for a name below refs/heads/.
_BAD_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|^/|(^|/)\.|\.lock(/|$)|\.$|^-|^@$|^$")


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

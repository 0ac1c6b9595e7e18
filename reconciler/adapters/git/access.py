"""How git gets the credentials of one operation: in files that only we can read and that are gone afterwards.

Never in an argument, in the environment, or in an address: other users of the machine can list those, and git and
ssh quote them in errors. Everything goes by a configuration file (`http.extraHeader`, `http.sslCAInfo`) and by the
names of files (`ssh -i`).
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.credentials import Credentials

Keys = Callable[[], Awaitable[Credentials | None]]
"""Looks up the credentials as they are now; None: there are none. Raises as `ports.Repository.tip`."""

_PREFIX = "auth-"
PUSH_PREFIX = "push-"
"""Begins the name of a folder in which a commit is made; a signing key may be in it."""
_STRICT = "-oBatchMode=yes -oStrictHostKeyChecking=yes"
_LEFTOVER_AGE = 3600.0
"""Seconds after which such a folder is that of a killed process, not of one that is at work beside us."""


async def no_keys() -> None:
    """The `Keys` of a repository without credentials of its own."""


@dataclass(frozen=True, slots=True)
class Access:
    """What one operation is allowed by: the environment of its git, and how to keep secrets out of what it says."""

    env: Mapping[str, str]
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def masked(self, text: str) -> str:
        """`text` without the secrets in it. Short ones stay: they would riddle it with stars, and tell by that."""
        for secret in self.secrets:
            text = text.replace(secret, "***") if len(secret) > 3 else text
        return text


@contextmanager
def opened(keys: Credentials | None, env: Mapping[str, str], config: Path) -> Iterator[Access]:
    """The access by `keys` for as long as the `with` lasts. `env` and the configuration file `config` are git's without
    them; what is written stands in a folder of its own beside `config`."""
    if keys is None:
        yield Access(env)
        return
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=config.parent))  # 0700
    try:
        yield _access(keys, env, config, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def explained(said: str, keys: Credentials | None) -> tuple[str, str]:
    """What git or ssh said, and what to do about it; '' for the general advice."""
    found = next((todo for words, todo in _ADVICE if words.search(said)), "")
    # With a header that the server does not want, git goes on to ask for a name, which nobody can give.
    if keys and (keys.bearer or keys.username) and _REFUSED.search(said):
        return f"the server refuses the credentials ({said})", _RENEW
    return said, found


_REFUSED = re.compile(r"could not read Username|Authentication failed|returned error: 40[13]", re.IGNORECASE)
_RENEW = "Renew the password or token in the source's secretRef or credentials: it is read again at every try"
_ADVICE = (
    (_REFUSED, "Give the source credentials: secretRef or credentials"),
    (
        re.compile(r"returned error: 30\d|redirect", re.IGNORECASE),
        "Set url to the address that the server redirects to: credentials are not taken there",
    ),
    (
        re.compile(r"Host key verification failed"),
        "Is it the right host? Then add its key to known_hosts; compare it with what the host's owner publishes",
    ),
    (
        re.compile(r"Permission denied \(|Load key"),
        "Add the public key to the repository's host. The private key (identity) must have no passphrase",
    ),
    (
        re.compile(r"certificate|SSL", re.IGNORECASE),
        "Put the certificate of the server's CA into ca.crt, or correct the host in url",
    ),
)


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed process may have left in `folder`."""
    for path in (*folder.glob(f"{_PREFIX}*"), *folder.glob(f"{PUSH_PREFIX}*")):
        with suppress(OSError):  # another process was quicker
            if time.time() - path.stat().st_mtime > _LEFTOVER_AGE:
                shutil.rmtree(path, ignore_errors=True)


def ssh_without_keys(program: str) -> str:
    """GIT_SSH_COMMAND by the user's own keys and known hosts. An unknown host is refused, whatever `~/.ssh/config`
    says: ssh_config(5) lets the command line win."""
    return f"{program} {_STRICT}"


def _access(keys: Credentials, env: Mapping[str, str], config: Path, folder: Path) -> Access:
    header = _authorization(keys)
    settings = [config.read_bytes(), b"[http]\n"]
    if header:
        # git would send the header to wherever a first redirect leads. Without one, git's own default is right.
        settings.append(b"    followRedirects = false\n    extraHeader = %s\n" % _quoted(b"Authorization: " + header))
    if keys.ca:
        settings.append(b"    sslCAInfo = %s\n" % _quoted(os.fsencode(_written(folder / "ca.crt", keys.ca))))
    private = _written(folder / "gitconfig", b"".join(settings))
    # Not the user's: ~/.netrc, ~/.ssh and an agent would be tried as well, and nobody could tell what opened the door.
    dropped = ("SSH_AUTH_SOCK", *(("GIT_SSL_CAINFO",) if keys.ca else ()))
    kept = {name: value for name, value in env.items() if name not in dropped}
    kept |= {"HOME": str(folder), "GIT_CONFIG_GLOBAL": str(private)}
    if keys.identity:
        kept["GIT_SSH_COMMAND"] = _ssh(keys, folder)
    return Access(kept, _secrets(keys, header))


def _authorization(keys: Credentials) -> bytes:
    """RFC 6750 or RFC 7617; b"" without either."""
    if keys.bearer:
        return b"Bearer " + keys.bearer
    if keys.username:
        return b"Basic " + base64.b64encode(keys.username + b":" + keys.password)
    return b""


def _secrets(keys: Credentials, header: bytes) -> tuple[str, ...]:
    found = (header.partition(b" ")[2], keys.password, keys.bearer)
    return tuple(each.decode(errors="replace") for each in found if each)


def _ssh(keys: Credentials, folder: Path) -> str:
    """ssh with this key and these hosts, and nothing of the user's or the system's (ssh(1), ssh_config(5))."""
    identity = _written(folder / "identity", keys.identity)
    hosts = _written(folder / "known_hosts", keys.known_hosts)
    options = (
        *("-F", "none", f"-oIdentityFile={_for_ssh(identity)}", "-oIdentitiesOnly=yes", "-oIdentityAgent=none"),
        *(f"-oUserKnownHostsFile={_for_ssh(hosts)}", "-oGlobalKnownHostsFile=/dev/null"),
        *("-oPasswordAuthentication=no", "-oKbdInteractiveAuthentication=no"),
    )
    return f"ssh {' '.join(map(shlex.quote, options))} {_STRICT}"


def _for_ssh(path: Path) -> str:
    """A file's name by ssh_config(5): blanks need quotes, and a percent sign stands for something else (TOKENS). Not by
    `-i`, which looks for the name as it is before it takes it by these rules."""
    return '"' + str(path).replace("%", "%%") + '"'


def _quoted(value: bytes) -> bytes:
    """A value for git's configuration file (git-config(1), "Syntax")."""
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _written(path: Path, content: bytes) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return path

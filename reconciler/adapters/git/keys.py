"""Where the credentials of a source are looked up, before every operation: a mounted folder, or a Secret.

Nothing is kept in between, so that what was renewed counts from the next operation on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from reconciler.adapters.git.access import Keys
from reconciler.adapters.git.address import UNTOUCHED
from reconciler.core.credentials import FILES, SIZE_LIMIT, Credentials, read_credentials
from reconciler.errors import Invalid, Transient

_TODO = "docs/git.md says what each kind of repository needs, under Credentials"


def keys_of_folder(folder: Path, url: str) -> Keys:
    """The files of `folder`, for the repository at `url`."""

    async def look() -> Credentials:
        return _checked(await asyncio.to_thread(_read, folder), f"the folder {folder}", url)

    return look


def keys_of_secret(read: Callable[[], Awaitable[Mapping[str, bytes]]], name: str, url: str) -> Keys:
    """The data of a Secret, which `read` asks the API server for; `name` is what errors call it."""

    async def look() -> Credentials:
        return _checked(await read(), f"the Secret {name}", url)

    return look


def _checked(found: Mapping[str, bytes], what: str, url: str) -> Credentials:
    try:
        return read_credentials(found, url)
    except ValueError as fault:
        raise Invalid(f"{what} {fault}", where="credentials", untouched=UNTOUCHED, todo=_TODO) from None


def _read(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise _unreadable(folder, "there is no such folder")
    found = {}
    for name in FILES:
        try:
            with (folder / name).open("rb") as file:
                found[name] = file.read(SIZE_LIMIT + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(folder / name, error.strerror or type(error).__name__) from None
    return found


def _unreadable(path: Path, why: str) -> Transient:
    todo = "Mount the folder, or correct the source's credentials; a relative path counts from the working directory"
    return Transient(f"{path} cannot be read: {why.lower()}", where="credentials", untouched=UNTOUCHED, todo=todo)

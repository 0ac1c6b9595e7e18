"""Where a channel's service is: the content of a file or of a Secret. It is a secret itself, so no error shows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from reconciler.adapters.secretfile import read_secret
from reconciler.app.settings_notifications import ChannelSettings
from reconciler.app.settings_source import SecretName
from reconciler.errors import Blocked, Invalid

ReadSecret = Callable[[SecretName], Awaitable[Mapping[str, bytes]]]
"""Gives the data of a Secret. Raises as `ports.Cluster.secret`."""

_LIMIT = 4096


async def address_of(channel: ChannelSettings, read: ReadSecret) -> str:
    """The address as it is now.

    Raises:
        Invalid: the file cannot be read, or what is found is no address.
        Transient, Blocked: the Secret cannot be read, or does not have the key.
    """
    if channel.secret is None:
        return address_in_file(channel)
    where = f"Secret {channel.secret}"
    data = await read(channel.secret)
    if channel.key not in data:
        raise Blocked(f"has no key {channel.key}", where=where, todo="Put the address of the service there")
    return _checked(data[channel.key], where)


def address_in_file(channel: ChannelSettings) -> str:
    """The address in the channel's file. Raises `Invalid` as `address_of` does."""
    return _checked(read_secret(Path(channel.url_file)), channel.url_file)


def _checked(content: bytes, where: str) -> str:
    text = content.decode(errors="replace").strip()
    fault = ""
    if not text:
        fault = "is empty"
    elif len(content) > _LIMIT:
        fault = f"is longer than {_LIMIT} bytes"
    elif not text.isprintable():
        fault = "holds more than one line, or control characters"
    if fault:
        raise Invalid(fault, where=where, todo="Put the address of one service, and nothing else, there")
    return text

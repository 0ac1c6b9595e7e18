"""HOST:PORT of the configuration: where something of the daemon's is listened on."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*):(?P<port>[0-9]{1,5})")


def wrong_address(value: str) -> str:
    """Why `value` cannot be listened on; '' if it can, as far as that is known here."""
    found = _ADDRESS.fullmatch(value)
    if not found:
        return "must be HOST:PORT, like `127.0.0.1:9292`; every interface is `0.0.0.0:9292` or `[::]:9292`"
    return "" if int(found["port"]) <= 65535 else "has a port over 65535"


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of an address that is not wrong."""
    found = _ADDRESS.fullmatch(address)
    assert found
    return found["host"].strip("[]"), int(found["port"])

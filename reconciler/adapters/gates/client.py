"""What the probes over HTTP have in common: trust, bounded reading, and what a failed connection means."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

import aiohttp

from reconciler.errors import Invalid

_SHARE = 0.8
"""Of the time that is left, how much a connection may take: so that no connection can be told from no answer."""
_CHUNK = 1 << 16


@asynccontextmanager
async def session(ca_file: str = "", *, proxies: bool = False) -> AsyncIterator[aiohttp.ClientSession]:
    """Connections for one measurement, all closed at its end. No cookies are kept, and nothing is decompressed.

    `proxies`: those of the environment are used. Raises `Invalid` if `ca_file` holds no certificates.
    """
    connector = aiohttp.TCPConnector(limit=0, ssl=_trust(ca_file), use_dns_cache=False)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=proxies,
        auto_decompress=False,
        headers={"User-Agent": "reconciler", "Accept-Encoding": "identity"},
    ) as made:
        yield made


def limits(left: float) -> aiohttp.ClientTimeout:
    """For a request that has `left` seconds; the whole of it is the caller's to end."""
    return aiohttp.ClientTimeout(total=None, sock_connect=max(left * _SHARE, 0.001))


async def read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """The body, up to `limit` bytes, and whether that is all of it."""
    found = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        found += chunk
        if len(found) > limit:
            return bytes(found[:limit]), False
    return bytes(found), True


def why(error: aiohttp.ClientError | OSError | ValueError) -> tuple[str, bool]:
    """Why there is no answer, in words, and whether the other side was reached: by its own doing then."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "no connection in time", False
        case aiohttp.ClientConnectorDNSError():
            return f"its name is not known to the DNS ({_said(error.os_error)})", False
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted ({_said(error.certificate_error)})", False
        case aiohttp.ClientSSLError():
            return f"no TLS with it ({_said(error.os_error)})", False
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "it refuses the connection", True
        case aiohttp.ClientConnectorError():
            return f"no connection ({_said(error.os_error)})", False
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return f"what it answers is no proper HTTP ({_said(error)})", True
    return f"it ended the connection ({_said(error)})", True


def _said(error: BaseException) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join((said or type(error).__name__).split())[:200]


def _trust(ca_file: str) -> ssl.SSLContext:
    if not ca_file:
        return _system()
    try:
        if not Path(ca_file).is_file():  # to open a pipe would wait for its other end
            raise Invalid("there is no such file", where=ca_file)
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise Invalid(f"holds no certificates that can be used ({_said(error)})", where=ca_file) from None


@lru_cache(maxsize=1)
def _system() -> ssl.SSLContext:
    return ssl.create_default_context()

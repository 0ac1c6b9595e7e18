"""One request to the API server through the official client's transport, its failures translated.

The generated, typed API classes are left aside: they build a model object per answer, and the core wants plain JSON.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from kubernetes.aio import client, config
from kubernetes.aio.config import kube_config
from kubernetes.aio.config.config_exception import ConfigException
from yarl import URL

from reconciler.adapters.cluster.kinds import place_of
from reconciler.adapters.cluster.permissions import forbidden
from reconciler.core.account import Account
from reconciler.errors import Blocked, Conflict, Invalid, ReconcilerError, Transient

_LIMIT = aiohttp.ClientTimeout(total=10)
"""Seconds that a request may take. The API server answers in milliseconds, or is not well."""

_IDLE = 75.0
"""Seconds that an idle connection is kept: less than the 90 of the API server, more than most pods need to start, so
that the patch which moves traffic does not begin with a TLS handshake."""

_KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
_UNACKNOWLEDGED = 10_000
"""Milliseconds for which the kernel goes on sending what the other side does not acknowledge (RFC 5482). By default
that is a quarter of an hour: a write that nobody waits for any more would arrive when the network is back."""

_UNKNOWN_FIELD = "failed to create typed patch object"
"""How server-side apply refuses a field that the schema does not have: with a 500, though no retry can help."""

_UNUSABLE = (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, AttributeError, KeyError)
"""What the client raises for a kubeconfig that is not one, or whose certificates are none."""

_DEFAULT = "~/.kube/config"
_NAME_ONE = "Name a kubeconfig with --kubeconfig or KUBECONFIG, or run inside a cluster with a ServiceAccount"

_NOTHING_READ = "Nothing was changed"
_NOTHING_WRITTEN = "This step changed nothing, and traffic goes on"
_GOES_ON = "Traffic goes on as it was"


async def connect(
    kubeconfig: str | None = None, context: str | None = None, trace: aiohttp.TraceConfig | None = None
) -> client.ApiClient:
    """A client by `kubeconfig` (a path; default: $KUBECONFIG or ~/.kube/config) and `context`, or inside a pod by its
    ServiceAccount. `trace` is told of every request. Raises `Invalid` when neither is usable."""
    settings = client.Configuration()
    try:
        inside = await _load(settings, kubeconfig, context)
        api = client.ApiClient(settings)
    except _UNUSABLE as error:
        raise Invalid(
            f"no usable credentials for a cluster: {' '.join(str(error).split())}",
            where=kubeconfig or os.environ.get("KUBECONFIG") or _DEFAULT,
            todo=_NAME_ONE,
        ) from error
    finally:
        _remove_copies()
    # No limit: every watch holds a connection for good, so a bounded pool would starve the writes.
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=_IDLE, ssl=api.rest_client.ssl_context, socket_factory=_socket
    )
    # No cookies: a pod behind the API server's proxy could leave some, which would go along with every request.
    api.rest_client.pool_manager = aiohttp.ClientSession(
        connector=connector,
        # In a pod a proxy is for what is outside: no NO_PROXY with a CIDR would keep the API server's address from it.
        trust_env=not inside,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace] if trace else None,
    )
    return api


def _require_usable(paths: str, context: str | None) -> None:
    """What the client would say of a missing file or context names neither. `paths` may be several, as in $KUBECONFIG;
    the last current-context counts, as it does for the client."""
    files = [each for path in paths.split(os.pathsep) if path and (each := Path(path).expanduser()).exists()]
    if not files:
        raise Invalid("there is no kubeconfig here", where=paths, todo=_NAME_ONE)
    contents = [yaml.safe_load(each.read_text(encoding="utf-8")) for each in files]
    if not all(isinstance(each, dict) for each in contents):
        raise Invalid("this is no kubeconfig", where=paths, todo=_NAME_ONE)
    known = [each["name"] for content in contents for each in content.get("contexts") or []]
    wanted = context or next((each["current-context"] for each in contents[::-1] if each.get("current-context")), None)
    if wanted not in known:
        missing = f"there is no context `{wanted}`" if wanted else "it has no current-context"
        what = f"{missing}. Its contexts: {', '.join(known) or 'none'}"
        raise Invalid(what, where=paths, todo="Name one of them with --context" if known else _NAME_ONE)


def _remove_copies() -> None:
    """The client writes certificates and private keys that a kubeconfig holds to temporary files, for the TLS context
    alone, and removes them when the process ends by itself: not if it is killed. It remembers them, too, and would
    look for them again: so they are removed, and forgotten, by its own function."""
    kube_config._cleanup_temp_files()  # type: ignore[no-untyped-call]


async def _load(settings: client.Configuration, kubeconfig: str | None, context: str | None) -> bool:
    """As kubectl does: what was named, else $KUBECONFIG, else the pod's own account, else ~/.kube/config.

    Returns whether it was the pod's own account.
    """
    named = kubeconfig or os.environ.get("KUBECONFIG")
    if not named and context is None:
        try:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
            return True
        except ConfigException:
            pass  # not in a pod: the user's own kubeconfig then
    paths = named or _DEFAULT
    _require_usable(paths, context)
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=paths, context=context, client_configuration=settings
    )
    return False


def _socket(info: Any) -> socket.socket:
    """A socket that notices a dead peer within half a minute: a silent watch is the normal case."""
    made = socket.socket(*info[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in _KEEPALIVE.items():
        made.setsockopt(socket.IPPROTO_TCP, option, seconds)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED)
    return made


async def send(
    api: client.ApiClient,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    content_type: str = "application/json",
    account: Account | None = None,
    within: float | None = None,
) -> dict[str, Any]:
    """One request, made as `account` if one is given; returns the answer's JSON, for a DELETE also that of a 404.

    It is given up after `within` seconds, if that is sooner than it would be anyway. Raises `Transient`, `Conflict`,
    `Blocked` or `Invalid`.
    """
    limit = _LIMIT if within is None else aiohttp.ClientTimeout(total=min(within, _LIMIT.total or within))
    try:
        async with await open_response(
            api, method, path, query=query, body=body, content_type=content_type, limit=limit, account=account
        ) as response:
            text = await response.text()
            gone = method == "DELETE" and response.status == 404
            if response.status >= 400 and not gone:
                untouched = _NOTHING_WRITTEN if is_write(method, query) else _NOTHING_READ
                raise translated(response, text, place_of(path), untouched, account)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _unreachable(error, place_of(path)) from error
    answer: dict[str, Any] = json.loads(text)
    return answer


def is_write(method: str, query: Mapping[str, str] | None) -> bool:
    """Whether such a request can change anything."""
    return method != "GET" and "dryRun" not in (query or {})


async def read_text(
    api: client.ApiClient, path: str, *, query: Mapping[str, str], limit: int, account: Account | None = None
) -> str:
    """What is at `path` as text, the first `limit` bytes of it; what is no UTF-8 is replaced. Raises as `send`."""
    found = bytearray()
    try:
        async with await open_response(api, "GET", path, query=query, limit=_LIMIT, account=account) as response:
            async for chunk in response.content.iter_any():
                found += chunk
                if len(found) >= limit:
                    break
            text = bytes(found[:limit]).decode(errors="replace")
            if response.status >= 400:
                raise translated(response, text, place_of(path), _NOTHING_READ, account)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _unreachable(error, place_of(path)) from error
    return text


async def open_response(
    api: client.ApiClient,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    content_type: str = "application/json",
    limit: aiohttp.ClientTimeout,
    account: Account | None = None,
) -> aiohttp.ClientResponse:
    """The raw response, its body unread. The caller closes it and looks at its status."""
    request = await api.param_serialize(
        method,
        path,
        query_params=list((query or {}).items()),
        header_params={"Accept": "application/json", "Content-Type": content_type, **_impersonation(account)},
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = await api.call_api(*request, _request_timeout=limit)
    response: aiohttp.ClientResponse = answer.response
    return response


async def open_proxied(
    api: client.ApiClient,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None,
    limit: aiohttp.ClientTimeout,
    account: Account | None = None,
) -> aiohttp.ClientResponse:
    """The raw response of whoever is behind the API server's proxy at `path`, its body unread; the caller closes it.

    No redirect is followed: it would take the daemon's credentials elsewhere. Nothing is decompressed: who limits what
    is read means what is sent. Our own headers go over `headers`. Raises what aiohttp raises.
    """
    ours = {"User-Agent": "reconciler", **_impersonation(account)}
    _, url, known, *_ = await api.param_serialize(method, path, header_params=ours, auth_settings=["BearerToken"])
    refused = {name.lower() for name in known}
    sent = {name: value for name, value in headers.items() if name.lower() not in refused} | dict(known)
    connections = api.rest_client.pool_manager
    assert connections is not None, "`connect` made them"
    return await connections.request(
        method,
        URL(url, encoded=True),
        headers=sent,
        data=body,
        timeout=limit,
        allow_redirects=False,
        auto_decompress=False,
    )


def _impersonation(account: Account | None) -> dict[str, str]:
    """Kubernetes' "User impersonation". Without groups: those of a ServiceAccount are then the API server's to add. To
    name them would take a permission on `groups`, which are the whole cluster's."""
    return {"Impersonate-User": account.user} if account else {}


def _unreachable(error: Exception, where: str) -> Transient:
    return Transient(
        f"the API server does not answer ({type(error).__name__}: {error})",
        where=where,
        untouched=_GOES_ON,
        todo="Check that it runs, and that the kubeconfig has its address",
    )


def translated(
    response: aiohttp.ClientResponse, text: str, where: str, untouched: str, account: Account | None = None
) -> ReconcilerError:
    """The API server's Status in `text` as one of our errors (Kubernetes API conventions, "Response Status Kind").
    `account`: as whom it was asked."""
    message = str(_status(text).get("message") or text[:500])
    code = response.status
    if code in (409, 410):
        return Conflict(message, where=where)
    if code == 403 and " cannot " in message:
        return forbidden(message, account, where, untouched)
    if code in (401, 403):
        todo = _permission_advice(code, message)
        return Blocked(message, where=where, untouched=untouched, todo=todo, status=code)
    if code == 404:
        todo = "Create the namespace, or correct the app's namespace in the configuration"
        return Blocked(message, where=where, untouched=untouched, todo=todo, status=code)
    if code in (400, 405, 406, 413, 415, 422) or (code == 500 and _UNKNOWN_FIELD in message):
        return Invalid(message, where=where, untouched=untouched, todo="Correct the templates or values")
    after = response.headers.get("Retry-After", "")
    wait = float(after) if after.isdigit() else None
    return Transient(message, where=where, untouched=untouched, retry_after=wait)


def _status(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _permission_advice(code: int, message: str) -> str:
    """A 403 has many reasons, known by their words alone."""
    if code == 401:
        return "Renew the credentials in the kubeconfig or of the ServiceAccount"
    return next((advice for words, advice in _FORBIDDEN.items() if words in message), "Do as the message says")


_FORBIDDEN: Mapping[str, str] = {
    "exceeded quota": "Raise the quota, or ask for fewer pods: blue/green needs room for both colours",
    "failed quota": "Say in the templates or values what the quota asks for",
    "being terminated": "Wait until the namespace is gone and create it again, or correct the app's namespace",
}

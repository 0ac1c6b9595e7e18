"""Whom an HTTP check asks, and whether it may. Pure.

An `app.yaml` is written by whoever can push to the repository. The pods of its app it may ask freely; a URL only at
hosts that the configuration allows, or the daemon would ask for it whatever its network reaches.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from reconciler.core.model import Desired, Manifest
from reconciler.core.naming import wrong_port_name, wrong_subdomain
from reconciler.core.preview import is_headless
from reconciler.core.probe import HttpProbe, Target

ANY_HOST = ("*",)
"""What an app of the configuration may ask: whoever writes that can do more than this."""
URL_LIMIT = 2000
"""Characters of a URL or path."""

_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_URL = re.compile(rf"(?P<scheme>https?)://(?P<host>{_HOST})(:(?P<port>[0-9]{{1,5}}))?(?P<path>[/?].*)?")
# Printable ASCII without a blank and what clients read in different ways.
_PATH = re.compile(r"[!-~]*")
_AMBIGUOUS = re.compile(r"[\\#]")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"[ -~]{0,4096}")
_OURS = ("connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect", "accept-encoding")
_API_SERVERS = ("authorization", "host", "cookie")
_API_SERVERS_PREFIXES = ("impersonate-", "x-remote-", "x-forwarded-")


class Unmeasurable(Exception):
    """Nobody can be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One who is asked: `name` is what to call it ('' if there is but one). `url` is absolute, or, with `proxied`, the
    path of the API server's proxy."""

    name: str
    url: str
    proxied: bool = False


def url_fault(text: str) -> str:
    """Why `text` is no URL that can be asked, or ''."""
    if len(text) > URL_LIMIT:
        return f"is longer than {URL_LIMIT} characters"
    authority = text.partition("://")[2].partition("/")[0]
    if "@" in authority:
        return "holds a user or password: put it into a header with `valueFile`"
    found = _URL.fullmatch(text)
    if not found or not _PATH.fullmatch(text) or "\\" in text or "#" in text:
        return "must be an absolute URL, like `https://votes.example.com/shop`"
    return "has a port over 65535" if int(found["port"] or 0) > 65535 else ""


def path_fault(text: str) -> str:
    """Why `text` is no path (with a query or without) that pods can be asked for, or ''."""
    if not text.startswith("/") or not _PATH.fullmatch(text) or _AMBIGUOUS.search(text):
        return "must begin with `/`, and hold printable ASCII without blanks, `\\` and `#`; others as `%20`"
    if len(text) > URL_LIMIT:
        return f"is longer than {URL_LIMIT} characters"
    plain = text.partition("?")[0]
    for _ in range(3):  # encoded, and encoded again
        if any(part in (".", "..") for part in re.split(r"[/\\]", plain)):
            return "must not hold `.` or `..` as a part"
        plain = unquote(plain)
    return ""


def port_fault(text: str) -> str:
    """Why `text` is neither a port's number nor its name, or ''."""
    if text.isdigit() and text.isascii():
        return "" if len(text) <= 5 and 0 < int(text) <= 65535 else "must be a port from 1 to 65535, or its name"
    return wrong_port_name(text)


def header_fault(name: str, value: str = "") -> str:
    """Why a header cannot be sent, or ''. Never shows its value."""
    if not _HEADER.fullmatch(name):
        return "is no name of a header"
    if name.lower() in _OURS:
        return "is set by the reconciler itself"
    return "" if _VALUE.fullmatch(value) else "has a value that is not printable ASCII, or longer than 4096 characters"


def proxied_header_fault(name: str) -> str:
    """Why that header must not go through the API server, which would take it for its own; '' if it may."""
    lower = name.lower()
    if lower in _API_SERVERS or lower.startswith(_API_SERVERS_PREFIXES):
        return "cannot be sent with viaApiServer: the API server would take it for its own"
    return ""


def host_fault(text: str) -> str:
    """Why `text` cannot stand among the hosts that checks may ask, or ''."""
    host, colon, port = (
        text.rpartition(":") if re.search(r":[0-9]+$", text) and "]" not in text[-1:] else (text, "", "")
    )
    name = host.removeprefix("*.")
    bad_name = bool(wrong_subdomain(name)) and not re.fullmatch(r"\[[0-9a-f:.]+\]", name)
    if bad_name or (colon and not 0 < int(port) <= 65535):
        return "must be a host in small letters, like `votes.example.com`, `*.example.com` or `10.0.0.1:8080`"
    return ""


def may_ask(url: str, hosts: Collection[str]) -> bool:
    """Whether the host of `url` is among the allowed `hosts`: `HOST` (any port), `HOST:PORT`, `*.DOMAIN`."""
    found = _URL.fullmatch(url)
    if tuple(hosts) == ANY_HOST:
        return True
    if not found or url_fault(url):
        return False
    host = found["host"].lower()
    port = found["port"] or ("443" if found["scheme"] == "https" else "80")
    return any(_covers(each, host) or (_covers(each.removesuffix(f":{port}"), host)) for each in hosts)


def _covers(pattern: str, host: str) -> bool:
    return host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]) and len(host) > len(pattern) - 1)


def asked(probe: HttpProbe, desired: Desired, pods: Mapping[str, str]) -> tuple[Asked, ...]:
    """Whom the probe asks, one at least. `pods`: the ready pods' addresses by name. Raises `Unmeasurable`."""
    if probe.url:
        if not may_ask(probe.url, desired.app.check_hosts):
            raise Unmeasurable(f"the configuration does not allow checks of source {desired.app.source} this host")
        return (Asked("", probe.url),)
    if fault := path_fault(probe.path):
        raise Unmeasurable(f"the path {fault}")
    return (_preview(probe, desired),) if probe.target is Target.PREVIEW else _pods(probe, desired, pods)


def _preview(probe: HttpProbe, desired: Desired) -> Asked:
    service = desired.preview
    if service is None:
        raise Unmeasurable("the app has no `strategy.previewService`")
    name, namespace = service["metadata"]["name"], desired.app.namespace
    port = _service_port(probe.port, service)
    if probe.via_api_server:
        return Asked(
            "", f"/api/v1/namespaces/{namespace}/services/{name}:{port['port']}/proxy{probe.path}", proxied=True
        )
    number = _behind(port, desired) if is_headless(service) else port["port"]
    return Asked("", f"http://{name}.{namespace}.svc:{number}{probe.path}")


def _service_port(wanted: str, service: Manifest) -> Mapping[str, Any]:
    """The Service's port of that name or number; its only one if none has the name."""
    ports: list[Mapping[str, Any]] = service["spec"].get("ports") or []
    key = "port" if wanted.isdigit() else "name"
    if found := next((port for port in ports if str(port.get(key)) == wanted), None):
        return found
    if wanted.isdigit():
        return {"port": int(wanted)}
    if len(ports) == 1:
        return ports[0]
    raise Unmeasurable(f"no port of the Service {service['metadata']['name']} is called `{wanted}`")


def _behind(port: Mapping[str, Any], desired: Desired) -> str:
    """The pods' port: the name of a headless Service gives their addresses, and nobody translates its ports."""
    target = str(port.get("targetPort", port["port"]))
    if target.isdigit():
        return target
    ports = (each for component in desired.components for each in _container_ports(component.manifest))
    if found := next((str(each["containerPort"]) for each in ports if each.get("name") == target), ""):
        return found
    raise Unmeasurable(f"no port of a container is called `{target}`")


def _pods(probe: HttpProbe, desired: Desired, pods: Mapping[str, str]) -> tuple[Asked, ...]:
    if not pods:
        raise Unmeasurable("no pod is ready")
    ports = {name: probe.port if probe.port.isdigit() else _pod_port(probe.port, name, desired) for name in pods}
    found = tuple(_pod(probe, desired, name, pods[name], port) for name, port in sorted(ports.items()) if port)
    if not found:
        raise Unmeasurable(f"no port of a container is called `{probe.port}`")
    return found


def _pod(probe: HttpProbe, desired: Desired, name: str, address: str, port: str) -> Asked:
    if probe.via_api_server:
        base = f"/api/v1/namespaces/{desired.app.namespace}/pods/{name}:{port}/proxy"
        return Asked(name, f"{base}{probe.path}", proxied=True)
    host = f"[{address}]" if ":" in address else address
    return Asked(name, f"http://{host}:{port}{probe.path}")


def _pod_port(name: str, pod: str, desired: Desired) -> str:
    """The number of the port `name` of that pod's containers; '' if its workload has none: other workloads may."""
    workloads = (each.manifest for each in desired.components)
    own = [each for each in workloads if pod.startswith(f"{each['metadata']['name']}-")]
    workload = max(own, key=lambda each: len(each["metadata"]["name"]), default=None)
    ports = _container_ports(workload) if workload else iter(())
    return next((str(port["containerPort"]) for port in ports if port.get("name") == name), "")


def _container_ports(workload: Manifest) -> Iterator[Mapping[str, Any]]:
    spec = workload["spec"]["template"]["spec"]
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        yield from container.get("ports") or ()

"""A Service's ports: which of them have to move in one write with the selector, and how that can be written.

Server-side apply merges a Service's ports by number and protocol. A port that keeps its name or its NodePort and gets
another number is two ports to it, of which the old one stays as long as somebody else owns it; and the API server
refuses two of one name. Such a change is written over (`clash`), whoever owns what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.core.diff import differences
from reconciler.core.model import Manifest
from reconciler.core.observed import Front

Port = Mapping[str, Any]


def moving_ports(rendered: Manifest, service: Front) -> list[Port]:
    """Ports that the Service has already and that lead elsewhere in the new version (another targetPort): they move
    in one request with the selector, or requests would fail between. Ports that come or go can follow it."""
    live = {_key(each): each for each in _live(service)}
    wanted = _ports(rendered)
    moving = {_key(each): each for each in wanted if _key(each) in live and differences(each, live[_key(each)])}
    return list(({_key(each): each for each in held_ports(service)} | moving).values())


def held_ports(service: Front) -> list[Port]:
    """Ports that the switch's manager still owns, before their handover. Each of its writes has to repeat them:
    server-side apply removes what a manager alone owned and no longer sends."""
    return list(_live(service)) if service.needs_handover else []


def clash(rendered: Manifest, service: Front) -> bool:
    """Whether a live port has the name or NodePort of a rendered one, and another number."""
    return any(_clashes(each, _ports(rendered)) for each in _live(service))


def written_over(rendered: Manifest, service: Front) -> list[Port]:
    """All ports as they shall be: the rendered ones, each with the NodePort that it has, and those of others that are
    in nobody's way."""
    wanted = _ports(rendered)
    numbers = {each.get("name"): each["nodePort"] for each in _live(service) if "nodePort" in each}
    numbered = [{"nodePort": numbers[p.get("name")], **p} if p.get("name") in numbers else p for p in wanted]
    known = {_key(each) for each in wanted}
    others = (each for each in _live(service) if _key(each) not in known and not _clashes(each, wanted))
    return [*numbered, *others]


def _live(service: Front) -> Sequence[Port]:
    return _ports(service.live)


def _ports(service: Manifest) -> Sequence[Port]:
    """An Ingress has none: its ports are in its route."""
    ports: Sequence[Port] = service["spec"].get("ports") or []
    return ports


def _clashes(port: Port, wanted: Sequence[Port]) -> bool:
    if _key(port) in {_key(each) for each in wanted}:
        return False
    same_name = any(port.get("name") == each.get("name") for each in wanted)
    return same_name or any(port.get("nodePort") == each["nodePort"] for each in wanted if "nodePort" in each)


def _key(port: Port) -> tuple[Any, str]:
    """What server-side apply merges a Service's ports by."""
    return port["port"], port.get("protocol", "TCP")

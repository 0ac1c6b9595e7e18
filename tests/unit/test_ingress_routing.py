"""What the tests' small ingress controller makes of the objects that it watches."""

from __future__ import annotations

from typing import Any

import pytest

from rig.ingress import Unsupported, routing


def _service(name: str, *ports: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": list(ports or [{"name": "http", "port": 80}])}}


def _ingress(name: str = "shop", created: str = "2026-01-01T00:00:00Z", /, **hosts: str) -> dict[str, Any]:
    rules = [_rule(f"{host}.example.com", service, {"number": 80}) for host, service in hosts.items()]
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": {"rules": rules}}


def _rule(host: str, service: str, port: dict[str, Any], **path: str) -> dict[str, Any]:
    backend = {"service": {"name": service, "port": port}}
    return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend, **path}]}}


def _slice(service: str, *endpoints: dict[str, Any], port: str = "http", number: int = 8080) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": service}
    ports = [{"name": port, "port": number}]
    return {"metadata": {"labels": labels}, "endpoints": list(endpoints), "ports": ports}


def _pod(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


def test_hosts_lead_to_the_ready_pods_of_their_services() -> None:
    slices = [
        _slice("a", _pod("10.0.0.2", ready=True), _pod("10.0.0.3", ready=False)),
        _slice("a", _pod("10.0.0.4", ready=True, terminating=True), _pod("10.0.0.1")),
        _slice("b", _pod("10.0.0.9", ready=True)),
    ]
    found = routing([_ingress(a="a", b="b")], [_service("a"), _service("b")], slices)
    assert found.hosts == {"a.example.com": "a:80", "b.example.com": "b:80"}
    assert found.backends == {"a:80": ("10.0.0.1:8080", "10.0.0.2:8080"), "b:80": ("10.0.0.9:8080",)}


def test_a_service_that_no_ingress_names_has_its_backend_ready() -> None:
    found = routing([], [_service("a")], [_slice("a", _pod("10.0.0.1"))])
    assert (found.hosts, found.backends) == ({}, {"a:80": ("10.0.0.1:8080",)})


def test_ports_are_found_by_number_and_by_name() -> None:
    service = _service("a", {"name": "http", "port": 80}, {"name": "admin", "port": 81})
    slices = [_slice("a", _pod("10.0.0.1")), _slice("a", _pod("10.0.0.1"), port="admin", number=9000)]
    ingress = _ingress()
    ingress["spec"]["rules"] = [
        _rule("x.example.com", "a", {"name": "admin"}),
        _rule("y.example.com", "a", {"number": 80}),
    ]
    found = routing([ingress], [service], slices)
    assert found.hosts == {"x.example.com": "a:81", "y.example.com": "a:80"}
    assert found.backends == {"a:80": ("10.0.0.1:8080",), "a:81": ("10.0.0.1:9000",)}


def test_of_two_ingresses_with_one_host_the_elder_has_it() -> None:
    younger = _ingress("a-first-by-name", "2026-01-02T00:00:00Z", a="b")
    found = routing([younger, _ingress(a="a")], [_service("a"), _service("b")], [])
    assert found.hosts == {"a.example.com": "a:80"}


@pytest.mark.parametrize(
    "rule",
    [
        _rule("*.example.com", "a", {"number": 80}),
        _rule("x.example.com", "a", {"number": 80}, path="/shop"),
        _rule("x.example.com", "a", {"number": 80}, pathType="Exact"),
        {key: value for key, value in _rule("", "a", {"number": 80}).items() if key != "host"},
        {"host": "x.example.com"},
    ],
)
def test_what_it_does_not_know_is_an_error_and_never_ignored(rule: dict[str, Any]) -> None:
    ingress = _ingress()
    ingress["spec"]["rules"] = [rule]
    with pytest.raises(Unsupported, match="Ingress shop"):
        routing([ingress], [_service("a")], [])

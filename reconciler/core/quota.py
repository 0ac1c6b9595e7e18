"""Whether another colour fits into a namespace's ResourceQuotas, before a pod of it is made. Pure.

What is counted: pods, and the CPU and memory that containers request or are limited to (Kubernetes' ResourceQuota
documentation). Quotas with scopes are left out, as are values that only a LimitRange fills in: the API server tells
those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from reconciler.core.model import Manifest
from reconciler.core.quantity import quantity

_NAMES = {
    "pods": ("pods",),
    "requests.cpu": ("requests.cpu", "cpu"),
    "requests.memory": ("requests.memory", "memory"),
    "limits.cpu": ("limits.cpu",),
    "limits.memory": ("limits.memory",),
}
"""What a pod needs → how a quota may call it."""


def shortages(workloads: Iterable[Manifest], quotas: Iterable[Manifest]) -> list[str]:
    """What `workloads` (with their `spec.replicas`) need more than the quotas have left, each with the figures."""
    need: dict[str, Decimal] = {}
    for workload in workloads:
        replicas = int(workload["spec"].get("replicas", 1))
        for name, amount in _of_pod(workload["spec"]["template"]["spec"]).items():
            need[name] = need.get(name, Decimal(0)) + amount * replicas
    return [told for quota in quotas for told in _short(need, quota)]


def _short(need: Mapping[str, Decimal], quota: Manifest) -> Iterator[str]:
    if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
        return
    status = quota.get("status") or {}
    hard, used = status.get("hard") or quota["spec"].get("hard") or {}, status.get("used") or {}
    for name, amount in need.items():
        for known in _NAMES[name]:
            limit, taken = quantity(hard.get(known)), quantity(used.get(known, 0)) or Decimal(0)
            if limit is not None and taken + amount > limit:
                left = _text(max(limit - taken, Decimal(0)))
                quota_name = quota["metadata"]["name"]
                yield f"{known}: {_text(amount)} more are needed, {left} of {_text(limit)} are left in {quota_name}"


def _of_pod(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """What one pod counts for: the sum of its containers, or its largest init container if that is more."""
    found = {"pods": Decimal(1)}
    for kind in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            together = sum((_amount(each, kind, resource) for each in spec["containers"]), Decimal(0))
            first = [_amount(each, kind, resource) for each in spec.get("initContainers") or []]
            if most := max([together, *first]):
                found[f"{kind}.{resource}"] = most
    return found


def _amount(container: Mapping[str, Any], kind: str, resource: str) -> Decimal:
    """A container's request, which is its limit where it names none."""
    resources = container.get("resources") or {}
    value = (resources.get(kind) or {}).get(resource)
    if value is None and kind == "requests":
        value = (resources.get("limits") or {}).get(resource)
    return quantity(value) or Decimal(0)


def _text(number: Decimal) -> str:
    for unit, scale in (("Gi", 2**30), ("Mi", 2**20)):
        if number >= scale and number % scale == 0:
            return f"{number / scale:f}{unit}"
    return f"{number.normalize():f}"

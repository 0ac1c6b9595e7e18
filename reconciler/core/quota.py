"""Whether another colour fits into a namespace's ResourceQuotas, before a pod of it is made. Pure.

What is counted: pods, the workload itself, and everything that containers request or are limited to, GPUs and ephemeral
storage too (Kubernetes' ResourceQuota documentation). Quotas with scopes are left out, as are values that only a
LimitRange fills in: the API server tells those.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from reconciler.core.model import Manifest
from reconciler.core.quantity import quantity

_SHORT = ("requests.cpu", "requests.memory", "requests.ephemeral-storage")
"""What a quota may call without `requests.` as well."""
_ALSO = {"pods": "count/pods"} | {name: name.removeprefix("requests.") for name in _SHORT}
_COUNTED = {"Deployment": "count/deployments.apps", "StatefulSet": "count/statefulsets.apps"}


def shortages(workloads: Iterable[Manifest], quotas: Iterable[Manifest]) -> list[str]:
    """What `workloads` (with their `spec.replicas`) need more than the quotas have left, each with the figures."""
    need: defaultdict[str, Decimal] = defaultdict(Decimal)
    for workload in workloads:
        replicas = int(workload["spec"].get("replicas", 1))
        for name, amount in _of_pod(workload["spec"]["template"]["spec"]).items():
            need[name] += amount * replicas
        if counted := _COUNTED.get(workload.get("kind", "")):
            need[counted] += Decimal(1)
    return [told for quota in quotas for told in _short(need, quota)]


def _short(need: Mapping[str, Decimal], quota: Manifest) -> Iterator[str]:
    if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
        return
    status = quota.get("status") or {}
    hard, used = status.get("hard") or quota["spec"].get("hard") or {}, status.get("used") or {}
    for name, amount in need.items():
        for known in filter(None, (name, _ALSO.get(name))):
            limit, taken = quantity(hard.get(known)), quantity(used.get(known, 0)) or Decimal(0)
            if limit is not None and taken + amount > limit:
                left = _text(max(limit - taken, Decimal(0)))
                quota_name = quota["metadata"]["name"]
                yield f"{known}: {_text(amount)} more are needed, {left} of {_text(limit)} are left in {quota_name}"


def _of_pod(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """What one pod counts for: the sum of its containers and sidecars, or an init container and the sidecars started
    before it if that is more; and its overhead (Kubernetes' documentation, Sidecar Containers and Pod Overhead)."""
    sidecars: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for each in spec.get("initContainers") or []:
        most |= sidecars + _amounts(each)
        if each.get("restartPolicy") == "Always":
            sidecars += _amounts(each)
    most |= sum(map(_amounts, spec["containers"]), sidecars)
    overhead = spec.get("overhead")
    limited = Counter({name: amount for name, amount in _named("limits", overhead).items() if most[name]})
    found: Mapping[str, Any] = most + _named("requests", overhead) + limited
    return {"pods": Decimal(1), **found}


def _amounts(container: Mapping[str, Any]) -> Counter[str]:
    """A container's limits and requests; a request is the limit where it names none."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return _named("limits", limits) + _named("requests", {**limits, **requests})


def _named(kind: str, amounts: Mapping[str, Any] | None) -> Counter[str]:
    return Counter({f"{kind}.{name}": quantity(value) or Decimal(0) for name, value in (amounts or {}).items()})


def _text(number: Decimal) -> str:
    for unit, scale in (("Gi", 2**30), ("Mi", 2**20)):
        if number >= scale and number % scale == 0:
            return f"{number / scale:f}{unit}"
    return f"{number.normalize():f}"

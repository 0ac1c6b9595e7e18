"""Kubernetes' resource quantities as numbers (k8s.io/apimachinery, resource.Quantity)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_TEXT = re.compile(r"^([0-9]+\.?[0-9]*|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
_SCALE = {"m": Decimal("0.001"), "": Decimal(1)} | {
    unit + suffix: Decimal(base) ** power
    for suffix, base in (("", 1000), ("i", 1024))
    for power, unit in enumerate("KMGTPE" if suffix else "kMGTPE", start=1)
}


def quantity(value: Any) -> Decimal | None:
    """The number that `value` stands for: `100m` and `0.1` are the same. None if it is no quantity."""
    match = _TEXT.match(str(value))
    return Decimal(match[1]) * _SCALE[match[2] or ""] if match else None

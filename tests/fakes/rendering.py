"""Templates and apps for the tests of rendering."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.model import App, Colour, Release, Slot, Strategy, Template
from reconciler.core.render import identify
from reconciler.errors import Invalid

APP = App("shop", "web", "source", Strategy("shop"), templates="templates")
SLOT = Slot(Colour.GREEN, "a" * 40)

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ name }}
spec:
  selector:
    matchLabels:
      bluegreen.reconciler/revision: {{ revision }}
  template:
    metadata:
      labels:
        app: shop
    spec:
      containers:
        - name: shop
          image: shop:{{ version }}
          ports:
            - name: http
              containerPort: 8080
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: shop
spec:
  selector:
    app: shop
    bluegreen.reconciler/revision: {{ revision }}
  ports:
    - port: 80
      targetPort: http
"""
CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ name }}
data:
  MODE: fast
"""


def release(
    *extra: str,
    deployment: str = DEPLOYMENT,
    service: str = SERVICE,
    values: dict[str, Any] | None = None,
    version: str = "v1",
    commit: str = "f" * 40,
) -> Release:
    """A release with `d.yaml`, `s.yaml`, and `x0.yaml`, `x1.yaml`… for what is `extra`."""
    named = {"d.yaml": deployment, "s.yaml": service, **{f"x{i}.yaml": text for i, text in enumerate(extra)}}
    return Release(commit, version, values or {}, tuple(Template(name, text) for name, text in named.items()))


def refusal(subject: Release, app: App = APP) -> str:
    """What `identify` says about a release that it must refuse."""
    with pytest.raises(Invalid) as caught:
        identify(app, subject)
    return str(caught.value)


def changed(text: str, old: str, new: str) -> str:
    """`text` with `old`, which must be there, replaced."""
    assert old in text
    return text.replace(old, new)

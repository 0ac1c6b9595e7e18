"""Taking over a Service and Deployment that were made by hand, without touching a pod. Pure.

Only labels and annotations of the two are written. From then on the Deployment is a colour like any other, but for its
pods, which carry no label of ours: so it is never switched back to, and it is retired when its time has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.model import (
    ADOPTED,
    LABEL_APP,
    LABEL_COLOUR,
    LABEL_MANAGED_BY,
    LABEL_REVISION,
    MANAGED_BY,
    PREFIX,
    App,
    Colour,
    Manifest,
)
from reconciler.errors import Blocked

_APP_VERSION = ("app.kubernetes.io/version", "version")


def is_taken(service: Manifest) -> bool:
    """Whether a Service belongs to this daemon already, for whichever app."""
    return (service["metadata"].get("labels") or {}).get(LABEL_MANAGED_BY) == MANAGED_BY


def adopted(app: App, service: Manifest, deployments: Iterable[Manifest]) -> list[tuple[Manifest, Manifest]]:
    """What to apply and to which live object, in this order: the Deployment first, so that the Service is only ours
    when what it leads to is.

    Raises:
        Blocked: the Service's selector is empty, or finds the pods of several Deployments, or those of another app.
    """
    selector = service["spec"].get("selector") or {}
    found = [each for each in deployments if selector and selector.items() <= _pod_labels(each).items()]
    place = f"Service {app.namespace}/{service['metadata']['name']}"
    untouched = "Nothing was adopted"
    if not selector:
        todo = "Give it a selector, or leave `adopt` out and the app another Service"
        raise Blocked(
            "it has no selector, so nobody knows what it leads to", where=place, untouched=untouched, todo=todo
        )
    if len(found) > 1:
        names = ", ".join(sorted(each["metadata"]["name"] for each in found))
        todo = "Narrow its selector to one of them first, as with `version`"
        raise Blocked(f"its selector finds the pods of {names}", where=place, untouched=untouched, todo=todo)
    for each in found:
        labels = each["metadata"].get("labels") or {}
        if labels.get(LABEL_MANAGED_BY) == MANAGED_BY and labels.get(LABEL_APP) != app.name:
            what = f"its selector finds the pods of {each['metadata']['name']}, which is app {labels.get(LABEL_APP)}'s"
            todo = "Give it another selector, or leave `adopt` out and the app another Service"
            raise Blocked(what, where=place, untouched=untouched, todo=todo)
    return [*((_deployment(app, each), each) for each in found), (_marked(app, service, {}, {}), service)]


def _deployment(app: App, live: Manifest) -> Manifest:
    labels = {**(live["metadata"].get("labels") or {}), **_pod_labels(live)}
    version = next((labels[key] for key in _APP_VERSION if key in labels), live["metadata"]["name"])
    revision = f"{ADOPTED}{live['metadata']['uid'][:8]}"
    coloured = {LABEL_REVISION: revision, LABEL_COLOUR: Colour.BLUE.value}
    return _marked(app, live, coloured, {PREFIX + "version": version})


def _marked(app: App, live: Manifest, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Manifest:
    meta: dict[str, Any] = {key: live["metadata"][key] for key in ("name", "namespace")}
    meta["labels"] = {LABEL_APP: app.name, LABEL_MANAGED_BY: MANAGED_BY, **labels}
    if annotations:
        meta["annotations"] = dict(annotations)
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": meta}


def _pod_labels(deployment: Manifest) -> Mapping[str, str]:
    labels: Mapping[str, str] = deployment["spec"]["template"]["metadata"].get("labels") or {}
    return labels

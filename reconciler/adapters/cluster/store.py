"""What the watches hold: the latest known state of every object of ours, by app.

Written by the watches and by the answers to our own writes, whichever is newer: a cycle that follows a write sees it
without waiting for its echo. resourceVersions are compared as integers, which the API server guarantees for its own
objects (KEP-5504, comparable resource versions).
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reconciler.core.model import LABEL_APP, Manifest
from reconciler.core.policy import resource_of

_REMEMBERED_DELETIONS = 4096
_Key = tuple[str, str, str]
"""kind (see `core.policy.resource_of`), namespace ('' where there is none), name"""


class Store:
    """Objects by (namespace, app). `on_change(app)` is called, on the event loop, after every change."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
        self._objects: dict[_Key, Manifest] = {}
        self._by_app: dict[tuple[str, str], dict[_Key, Manifest]] = {}
        self._deleted: OrderedDict[str, float] = OrderedDict()

    def of(self, namespace: str, app: str) -> Sequence[Manifest]:
        """The app's objects, in no particular order."""
        return tuple(self._by_app.get((namespace, app), {}).values())

    def apps(self, namespace: str) -> Sequence[str]:
        """Names of the apps that have any."""
        return tuple(app for space, app in self._by_app if space == namespace)

    def put(self, live: Manifest) -> None:
        """Takes in an object unless a newer state of it, or its deletion, is known."""
        key, meta = _key(live), live["metadata"]
        known = self._objects.get(key)
        # An object whose label was taken off and put back is deleted and added, with the same uid.
        if _version(live) <= self._deleted.get(meta["uid"], -1) or (known and _version(known) > _version(live)):
            return
        if known and known["metadata"]["resourceVersion"] == meta["resourceVersion"]:
            return
        self._forget(key)
        slim = _slimmed(live)
        self._objects[key] = slim
        self._by_app.setdefault(_owner(slim), {})[key] = slim
        for app in {_owner(slim)[1]} | ({_owner(known)[1]} if known else set()):  # whoever loses it must hear, too
            self._on_change(app)

    def drop(self, live: Manifest) -> None:
        """Takes in that an object is gone; a late echo of it will not bring it back."""
        self._deleted[live["metadata"]["uid"]] = float(live["metadata"].get("resourceVersion", math.inf))
        if len(self._deleted) > _REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        key = _key(live)
        known = self._objects.get(key)
        if known and known["metadata"]["uid"] == live["metadata"]["uid"]:
            self._forget(key)
            self._on_change(_owner(known)[1])

    def replace(self, kind: str, namespace: str, listed: Iterable[Manifest], version: str) -> None:
        """Takes in a full list as of `version`: what is not in it, and not newer than it, is gone."""
        present = {}
        for each in listed:
            present[_key(each)] = each
            self.put(each)
        for key, known in list(self._objects.items()):
            if key[:2] == (kind, namespace) and key not in present and _version(known) <= int(version):
                self.drop(known)

    def forget(self, kind: str, namespace: str) -> None:
        """Takes out a kind that is not watched any more."""
        for key in [each for each in self._objects if each[:2] == (kind, namespace)]:
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        known = self._objects.pop(key, None)
        if known is not None:
            owned = self._by_app[_owner(known)]
            del owned[key]
            if not owned:
                del self._by_app[_owner(known)]


def _key(live: Manifest) -> _Key:
    meta = live["metadata"]
    return resource_of(live), meta.get("namespace", ""), meta["name"]


def _owner(live: Manifest) -> tuple[str, str]:
    meta = live["metadata"]
    return meta.get("namespace", ""), (meta.get("labels") or {}).get(LABEL_APP, "")


def _version(live: Manifest) -> int:
    return int(live["metadata"]["resourceVersion"])


def _slimmed(live: Manifest) -> Manifest:
    """Only what the core reads: pods are many, and most of one is of no concern here."""
    meta: Mapping[str, Any] = live["metadata"]
    if live["kind"] == "Pod":
        kept = ("name", "namespace", "uid", "resourceVersion", "labels", "creationTimestamp", "deletionTimestamp")
        status = live.get("status") or {}
        wanted = ("conditions", "containerStatuses", "initContainerStatuses", "podIP")
        return {
            "kind": "Pod",
            "metadata": {key: meta[key] for key in kept if key in meta},
            "status": {key: status[key] for key in wanted if key in status},
        }
    if live["kind"] == "EndpointSlice":
        return {**live, "metadata": {key: value for key, value in meta.items() if key != "managedFields"}}
    if "managedFields" in meta:
        return {**live, "metadata": {**meta, "managedFields": json.dumps(meta["managedFields"], separators=(",", ":"))}}
    return live

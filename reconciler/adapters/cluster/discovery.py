"""Which further kinds the API server has, and where: its own lists of them, asked once for each API version.

Source: Kubernetes API concepts, "API discovery" (`APIResourceList` of meta/v1). Only kinds that an app renders, or that
the inventory of one names, are ever asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubernetes.aio import client

from reconciler.adapters.cluster.kinds import FIXED, KINDS, Kind
from reconciler.adapters.cluster.requests import send
from reconciler.core.model import Manifest
from reconciler.core.policy import resource_of
from reconciler.errors import Blocked

_NEEDED = {"list", "watch", "create", "patch", "delete"}


class Discovery:
    """The kinds that are known: those of the tables, and what was found."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._found: dict[str, Kind] = dict(FIXED)

    def of(self, manifest: Manifest) -> Kind:
        """The kind of an object. Of a further kind it must have been `find`ed before."""
        return self[resource_of(manifest)]

    def __getitem__(self, key: str) -> Kind:
        return KINDS[key] if key in KINDS else self._found[key]

    async def find(self, resource: str, *, afresh: bool = False) -> Kind | None:
        """The kind of a resource like `policy/v1/PodDisruptionBudget`; None if the API server has none.

        `afresh` asks even if it is known: it may have been taken away. Raises what `send` raises.
        """
        if resource in KINDS:
            return KINDS[resource]
        if afresh or resource not in self._found:
            self._found.pop(resource, None)
            version, _, name = resource.rpartition("/")
            entry = _entry(await self._listed(version), name)
            if entry:
                self._found[resource] = Kind(name, version, str(entry["name"]), bool(entry.get("namespaced")))
        return self._found.get(resource)

    async def _listed(self, version: str) -> Iterable[Mapping[str, Any]]:
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            answer = await send(self._api, "GET", path)
        except Blocked as error:
            if error.status == 404:
                return ()
            raise
        found: Iterable[Mapping[str, Any]] = answer.get("resources") or ()
        return found


def missing(resource: str) -> Blocked:
    """The error that the cluster has no such kind."""
    version, _, name = resource.rpartition("/")
    return Blocked(
        f"the cluster has no kind {name} in {version} that objects can be made of",
        where=f"kind {name}",
        untouched="Nothing was applied",
        todo="Install what brings this kind (its CustomResourceDefinition), or correct apiVersion and kind",
    )


def _entry(listed: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The kind's own entry: not that of a subresource (`scale`), nor one that can only be posted (`TokenReview`)."""
    kinds = (each for each in listed if each.get("kind") == name and "/" not in str(each.get("name", "/")))
    return next((each for each in kinds if set(each.get("verbs") or ()) >= _NEEDED), None)

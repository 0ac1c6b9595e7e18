"""Accounts with just the permissions that are meant, what they may do by the API server's word, and what they asked.

The three are compared with the one table, `reconciler.core.access`. For an account of somebody else's making:

    found = listed(kubectl("auth", "can-i", "--list", f"--as=system:serviceaccount:{namespace}:{name}"))
    assert not differences(found, documented(["always", "secrets"]))
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from reconciler.core import access
from rig.cluster import Cluster
from rig.proxy import Call
from rig.waiting import until

Permissions = Mapping[str, frozenset[str]]
"""Resource, with its group as kubectl writes it (`deployments.apps`), and where they are limited with the names of the
objects (`secrets [git]`) → verbs."""
Asked = tuple[str, str, str]
"""Verb, group ('' for the core group), resource."""

_EVERYBODY = re.compile(r"self\S*reviews\.(authentication|authorization)\.k8s\.io")
"""What Kubernetes lets everybody do who is known to it (its ClusterRole system:basic-user)."""
_ROW = re.compile(r"^(\S+) +\[(.*?)\] +\[(.*?)\] +\[(.*?)\]$")
_VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}


def documented(features: Collection[str], names: Mapping[str, Collection[str]] | None = None) -> Permissions:
    """What the table says that these features need; `names` as in `access.rules`."""
    found: dict[str, frozenset[str]] = {}
    for rule in access.rules(features, names=names):
        [group], [resource] = rule["apiGroups"], rule["resources"]
        key = _key(f"{resource}.{group}" if group else resource, " ".join(sorted(rule.get("resourceNames", ()))))
        found[key] = found.get(key, frozenset()) | frozenset(rule["verbs"])
    return found


def listed(text: str) -> Permissions:
    """What `kubectl auth can-i --list` prints, without what everybody may, and without paths that are no resources."""
    found: dict[str, frozenset[str]] = {}
    for line in text.splitlines():
        row = _ROW.match(line)
        if row and not _EVERYBODY.fullmatch(row[1]):
            key = _key(row[1], " ".join(sorted(row[3].split())))
            found[key] = found.get(key, frozenset()) | frozenset(row[4].split())
    return found


def differences(found: Permissions, wanted: Permissions) -> list[str]:
    """What an account may do and need not, and what it needs and may not, one line each; none: they are equal."""
    both = [("may, but need not", found, wanted), ("needs, but may not", wanted, found)]
    return [
        f"{says}: {verb} {resource}"
        for says, one, other in both
        for resource in sorted(one)
        for verb in sorted(one[resource] - other.get(resource, frozenset()))
    ]


def asked(answers: Iterable[tuple[Call, int]], namespace: str) -> set[Asked]:
    """The permissions that these requests took in that namespace, whether or not they were granted. An apply that
    makes an object takes two."""
    found: set[Asked] = set()
    for call, status in answers:
        target = _target(call.path, namespace)
        if target is None:
            continue
        group, resource, named = target
        verb = _VERBS.get(call.method) or ("watch" if call.watch else "get" if named else "list")
        found.add((verb, group, resource))
        if verb == "patch" and status == 201:
            found.add(("create", group, resource))
    return found


def _target(path: str, namespace: str) -> tuple[str, str, bool] | None:
    """Group, resource with its subresource, and whether the path leads to one object."""
    root, _, tail = path.partition(f"/namespaces/{namespace}/")
    if not tail:
        return None
    group = root.split("/")[2] if root.startswith("/apis/") else ""
    resource, *rest = tail.split("/")
    part = f"/{rest[1]}" if len(rest) > 1 else ""
    return group, resource + part, bool(rest)


def _key(resource: str, names: str) -> str:
    return f"{resource} [{names}]" if names else resource


class Account:
    """A ServiceAccount in the namespace of `cluster`, with a Role of its own: `allowed` is what it may do."""

    def __init__(self, cluster: Cluster, name: str = "reconciler") -> None:
        self.name = name
        self.user = f"system:serviceaccount:{cluster.namespace}:{name}"
        self._cluster = cluster
        self.allowed: frozenset[Asked] = frozenset()
        meta, group = {"name": name}, "rbac.authorization.k8s.io"
        subject = {"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}
        role = {"apiGroup": group, "kind": "Role", "name": name}
        cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        cluster.create({"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": []})
        bound = {"kind": "RoleBinding", "metadata": meta, "subjects": [subject], "roleRef": role}
        cluster.create({"apiVersion": f"{group}/v1", **bound})

    def allow(self, permissions: Iterable[Asked]) -> None:
        """Returns once the API server, which hears of its own Roles by a watch, goes by that."""
        wanted = frozenset(permissions)
        rules = [{"apiGroups": [group], "resources": [kind], "verbs": [verb]} for verb, group, kind in sorted(wanted)]
        self._cluster.patch("Role", self.name, {"rules": rules})
        for each in wanted ^ self.allowed:
            self._obeyed(each, each in wanted)
        self.allowed = wanted

    def _obeyed(self, permission: Asked, allowed: bool) -> None:
        what = f"{self.user} {'may' if allowed else 'may not'} {' '.join(permission)}"
        until(lambda: self._cluster.may(self.user, *permission) is allowed, what, 20.0, poll=0.01)

    def kubeconfig(self, admin: Path, path: Path) -> Path:
        """Writes that of `admin` with the account's token, good for an hour, to `path`."""
        config: dict[str, Any] = yaml.safe_load(admin.read_text())
        token = self._cluster.token(self.name)
        config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
        path.touch(0o600)
        path.write_text(json.dumps(config))
        return path

"""One suite for acting as a ServiceAccount, in memory and on the real API server: its Role is all that it may do."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio import client

from reconciler.adapters.cluster import KubernetesCluster, connect
from reconciler.adapters.cluster.requests import send
from reconciler.core.account import Account
from reconciler.core.action import Ref
from reconciler.core.model import LABEL_APP, LABEL_MANAGED_BY, MANAGED_BY, Manifest
from reconciler.core.observed import APPLY_MANAGER, SWITCH_MANAGER
from reconciler.errors import Forbidden
from reconciler.ports import Cluster
from tests.fakes.cluster import FakeCluster

VERBS = ["list", "create", "patch", "delete"]
_RBAC = "rbac.authorization.k8s.io"
_SOON = 20.0


@dataclass
class Subject:
    """A cluster, and a way to give an account of its namespace all `VERBS` on ConfigMaps."""

    cluster: Cluster
    namespace: str
    grant: Callable[[Account], Awaitable[None]]


@pytest.fixture(params=["fake", "real"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        fake = FakeCluster()

        async def grant(account: Account) -> None:
            fake.rights[account] = {(verb, "configmaps") for verb in VERBS}

        yield Subject(fake, "contract", grant)
        return
    api = await _api()
    async for namespace in _namespace(api):
        yield Subject(_cluster(api), namespace, lambda account: _grant(api, account))


async def _api(kubeconfig: str | None = None) -> client.ApiClient:
    if "SANDBOX_NAME" not in os.environ:  # never a developer's own cluster by accident
        pytest.skip("no API server: run inside the sandbox, `python -m sandbox exec -- pytest tests/contract`")
    return await connect(kubeconfig)


async def _namespace(api: client.ApiClient) -> AsyncIterator[str]:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    await send(api, "POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    try:
        yield name
    finally:
        await send(api, "DELETE", f"/api/v1/namespaces/{name}")
        await api.close()  # type: ignore[no-untyped-call]


def _cluster(api: client.ApiClient) -> KubernetesCluster:
    """Without watches: what is written is in its view all the same."""

    def spawn(_name: str, _work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        raise AssertionError("nothing here is watched")

    return KubernetesCluster(api, lambda _: None, lambda *_: None, lambda _: None, spawn, lambda: 0.0)


async def _grant(api: client.ApiClient, account: Account) -> None:
    roles, meta = f"/apis/{_RBAC}/v1/namespaces/{account.namespace}", {"name": account.name}
    await send(api, "POST", f"/api/v1/namespaces/{account.namespace}/serviceaccounts", body={"metadata": meta})
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": VERBS}]
    await send(api, "POST", f"{roles}/roles", body={"metadata": meta, "rules": rules})
    subjects = [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}]
    role = {"apiGroup": _RBAC, "kind": "Role", "name": account.name}
    await send(api, "POST", f"{roles}/rolebindings", body={"metadata": meta, "subjects": subjects, "roleRef": role})
    # The API server hears of its own Roles by a watch.
    async with asyncio.timeout(_SOON):
        while not await _may_patch(api, account):
            await asyncio.sleep(0.02)


async def _may_patch(api: client.ApiClient, account: Account) -> bool:
    asked = {"namespace": account.namespace, "verb": "patch", "resource": "configmaps"}
    body = {"metadata": {"namespace": account.namespace}, "spec": {"user": account.user, "resourceAttributes": asked}}
    path = f"/apis/authorization.k8s.io/v1/namespaces/{account.namespace}/localsubjectaccessreviews"
    return bool((await send(api, "POST", path, body=body))["status"]["allowed"])


def made(subject: Subject, kind: str, **content: Any) -> dict[str, Any]:
    labels = {LABEL_APP: "my-app", LABEL_MANAGED_BY: MANAGED_BY}
    meta = {"name": "one", "namespace": subject.namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **content}


def ref(live: Manifest) -> Ref:
    meta = live["metadata"]
    return Ref(live["kind"], meta["name"], meta["uid"], meta["resourceVersion"])


async def test_an_account_does_what_its_role_allows_and_all_see_it(subject: Subject) -> None:
    account = Account(subject.namespace, "web")
    await subject.grant(account)
    acting = subject.cluster.acting_as(account)
    await acting.require_free(made(subject, "ConfigMap"))
    await acting.check(made(subject, "ConfigMap", data={"a": "1"}), APPLY_MANAGER, None)
    live = await acting.apply(made(subject, "ConfigMap", data={"a": "1", "b": "2"}), APPLY_MANAGER, None)
    for each in (acting, subject.cluster):
        [seen] = each.view(subject.namespace, "my-app")
        assert seen["data"] == {"a": "1", "b": "2"}
    # The field manager is the same whoever acts: so what is no longer sent goes, either way.
    live = await subject.cluster.apply(made(subject, "ConfigMap", data={"a": "1"}), APPLY_MANAGER, ref(live))
    assert live["data"] == {"a": "1"}
    assert await acting.delete(subject.namespace, ref(live))
    assert not subject.cluster.view(subject.namespace, "my-app")


async def test_what_the_role_does_not_allow_names_account_verb_and_rule(subject: Subject) -> None:
    account = Account(subject.namespace, "web")
    await subject.grant(account)
    acting = subject.cluster.acting_as(account)
    service = made(subject, "Service", spec={"ports": [{"port": 80}], "selector": {"a": "1"}})
    live = await subject.cluster.create(service, SWITCH_MANAGER)
    writes: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("create", lambda: acting.create(service, SWITCH_MANAGER)),
        ("patch", lambda: acting.apply(service, SWITCH_MANAGER, ref(live))),
        ("patch", lambda: acting.check(service, SWITCH_MANAGER, ref(live))),
        ("patch", lambda: acting.drop_update_ownership(live, SWITCH_MANAGER)),
        ("list", lambda: acting.overwrite(service, SWITCH_MANAGER, ref(live))),
        ("list", lambda: acting.apply(service, SWITCH_MANAGER, None)),
        ("list", lambda: acting.require_free(service)),
        ("list", lambda: acting.find("Service", subject.namespace)),
        ("delete", lambda: acting.delete(subject.namespace, ref(live))),
    ]
    for verb, write in writes:
        with pytest.raises(Forbidden) as refused:
            await write()
        assert refused.value.what == f"ServiceAccount {subject.namespace}/web may not {verb} services"
        assert f"resources: [services], verbs: [{verb}]" in refused.value.todo
        assert refused.value.user == account.user
    assert await subject.cluster.find("Service", subject.namespace) == [live]


async def test_an_account_without_any_role_may_do_nothing(subject: Subject) -> None:
    acting = subject.cluster.acting_as(Account(subject.namespace, "nobody"))
    with pytest.raises(Forbidden, match="/nobody may not list configmaps"):
        await acting.apply(made(subject, "ConfigMap"), APPLY_MANAGER, None)


def _kubeconfig(folder: Path, token: str) -> str:
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8"))
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


async def test_who_may_not_act_as_the_account_is_told_the_rule(tmp_path: Path) -> None:
    api = await _api()
    async for namespace in _namespace(api):
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        await send(api, "POST", accounts, body={"metadata": {"name": "daemon"}})
        token = (await send(api, "POST", f"{accounts}/daemon/token", body={"spec": {}}))["status"]["token"]
        own = await _api(_kubeconfig(tmp_path, token))
        assert await _cluster(own).user() == Account(namespace, "daemon").user
        with pytest.raises(Forbidden) as refused:
            await _cluster(own).acting_as(Account(namespace, "web")).find("Service", namespace)
        await own.close()  # type: ignore[no-untyped-call]
        daemon = f"ServiceAccount {namespace}/daemon"
        assert refused.value.what == f"{daemon} may not act as ServiceAccount {namespace}/web"
        rule = '{apiGroups: [""], resources: [serviceaccounts], verbs: [impersonate], resourceNames: [web]}'
        assert refused.value.todo == f"Add to a Role of {daemon} in namespace {namespace}: {rule}"
        assert token not in str(refused.value)

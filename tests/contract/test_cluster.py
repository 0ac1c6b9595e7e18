"""One suite for the API server in memory and the real one: what the executor and the planner rely on.

The real one is the sandbox's: run inside it, `python -m sandbox exec -- pytest tests/contract`. Elsewhere those
cases are skipped, and say so.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from reconciler.adapters.cluster import KubernetesCluster, connect
from reconciler.adapters.cluster.requests import send
from reconciler.app.loop import keep_going
from reconciler.core.action import Ref
from reconciler.core.event import event
from reconciler.core.model import LABEL_APP, LABEL_MANAGED_BY, MANAGED_BY, Manifest, Strategy
from reconciler.core.observed import APPLY_MANAGER, PREVIEW_MANAGER, SCALE_MANAGER, SWITCH_MANAGER, observe
from reconciler.core.place import manager_of
from reconciler.errors import Blocked, Conflict, Invalid, ReconcilerError
from reconciler.ports import Cluster
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.world import Recorder

LABELS = {LABEL_APP: "my-app", LABEL_MANAGED_BY: MANAGED_BY}


@dataclass
class Subject:
    """A cluster under test, and another client's way to write to it."""

    cluster: Cluster
    namespace: str
    put_foreign: Callable[[Manifest], Any]
    changed: asyncio.Event

    async def seen(self, condition: Callable[[list[Manifest]], bool]) -> None:
        """Waits until the view of the app satisfies `condition`."""
        async with asyncio.timeout(10):
            while not condition(list(self.cluster.view(self.namespace, "my-app"))):
                await self.changed.wait()
                self.changed.clear()


@pytest.fixture(params=["fake", "real"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        fake = FakeCluster()

        async def put(manifest: Manifest) -> None:
            fake.put(manifest)

        yield Subject(fake, "contract", put, asyncio.Event())
        return
    if "SANDBOX_NAME" not in os.environ:  # never a developer's own cluster by accident
        pytest.skip("no API server: run inside the sandbox, `python -m sandbox exec -- pytest tests/contract`")
    async for each in _real():
        yield each


async def _real() -> AsyncIterator[Subject]:
    api = await connect()
    namespace = f"contract-{uuid.uuid4().hex[:8]}"
    await send(api, "POST", "/api/v1/namespaces", body={"metadata": {"name": namespace}})
    changed = asyncio.Event()
    failures: list[ReconcilerError] = []
    cluster = KubernetesCluster(
        api,
        lambda app: changed.set(),
        lambda kind, space, retry_in, error: failures.append(error),
        lambda _: None,
        lambda name, work: asyncio.create_task(keep_going(name, work, Recorder(), FakeClock())),
        time.time,
    )
    await cluster.synced(namespace)

    async def put(manifest: Manifest) -> None:
        meta = manifest["metadata"]
        path = f"/api/v1/namespaces/{namespace}/{manifest['kind'].lower()}s"
        await send(api, "POST", path, body={**manifest, "metadata": {**meta, "namespace": namespace}})

    try:
        yield Subject(cluster, namespace, put, changed)
    finally:
        await send(api, "DELETE", f"/api/v1/namespaces/{namespace}")
        await cluster.close()


def config_map(subject: Subject, name: str = "one", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": subject.namespace, "labels": dict(LABELS)},
        "data": data or {"key": "value"},
    }


def service(
    subject: Subject, *, ports: tuple[int, ...] = (80,), selector: dict[str, str] | None = None
) -> dict[str, Any]:
    spec: dict[str, Any] = {"ports": [{"name": f"p{each}", "port": each, "targetPort": each} for each in ports]}
    if selector is not None:
        spec["selector"] = selector
    meta = {"name": "my-app", "namespace": subject.namespace, "labels": dict(LABELS)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def switch(subject: Subject, selector: dict[str, str], **annotations: str) -> dict[str, Any]:
    meta = {"name": "my-app", "namespace": subject.namespace, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": selector}}


def ref(live: Manifest) -> Ref:
    meta = live["metadata"]
    return Ref(live["kind"], meta["name"], meta["uid"], meta["resourceVersion"])


def stored(subject: Subject, kind: str) -> Manifest | None:
    live = subject.cluster.view(subject.namespace, "my-app")
    return next((each for each in live if each["kind"] == kind), None)


async def test_an_apply_creates_and_is_in_the_view_at_once(subject: Subject) -> None:
    live = await subject.cluster.apply(config_map(subject), APPLY_MANAGER, None)
    assert live["metadata"]["uid"]
    there = stored(subject, "ConfigMap")
    assert there is not None
    assert there["data"] == {"key": "value"}


async def test_an_apply_that_changes_nothing_keeps_the_resource_version(subject: Subject) -> None:
    first = await subject.cluster.apply(config_map(subject), APPLY_MANAGER, None)
    second = await subject.cluster.apply(config_map(subject), APPLY_MANAGER, ref(first))
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_an_apply_removes_what_its_manager_no_longer_sends(subject: Subject) -> None:
    first = await subject.cluster.apply(config_map(subject, a="1", b="2"), APPLY_MANAGER, None)
    second = await subject.cluster.apply(config_map(subject, a="1"), APPLY_MANAGER, ref(first))
    assert second["data"] == {"a": "1"}


async def test_a_field_applied_by_another_manager_changes_nothing_else_and_is_taken_over(subject: Subject) -> None:
    """A former revision is scaled to zero by an apply of one field alone, and up again by one of all that it is."""
    first = await subject.cluster.apply(config_map(subject, a="1", b="2"), APPLY_MANAGER, None)
    meta = {"name": first["metadata"]["name"], "namespace": subject.namespace}
    alone = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"b": "0"}}
    down = await subject.cluster.apply(alone, SCALE_MANAGER, ref(first))
    assert (down["data"], down["metadata"]["labels"]) == ({"a": "1", "b": "0"}, first["metadata"]["labels"])
    assert [manager_of(down, ("data", each)) for each in "ab"] == [APPLY_MANAGER, SCALE_MANAGER]
    up = await subject.cluster.apply(config_map(subject, a="1", b="2"), APPLY_MANAGER, ref(down))
    assert up["data"] == {"a": "1", "b": "2"}
    assert manager_of(up, ("data", "b")) == APPLY_MANAGER


async def test_an_apply_from_an_old_state_is_a_conflict(subject: Subject) -> None:
    first = await subject.cluster.apply(config_map(subject, a="1"), APPLY_MANAGER, None)
    await subject.cluster.apply(config_map(subject, a="2"), APPLY_MANAGER, ref(first))
    with pytest.raises(Conflict):
        await subject.cluster.apply(config_map(subject, a="3"), APPLY_MANAGER, ref(first))


async def test_an_apply_to_an_object_that_is_gone_is_a_conflict_and_does_not_bring_it_back(subject: Subject) -> None:
    first = await subject.cluster.apply(config_map(subject), APPLY_MANAGER, None)
    assert await subject.cluster.delete(subject.namespace, ref(first))
    with pytest.raises(Conflict):
        await subject.cluster.apply(config_map(subject), APPLY_MANAGER, ref(first))
    assert stored(subject, "ConfigMap") is None


async def test_an_apply_never_merges_into_a_foreign_object(subject: Subject) -> None:
    foreign = config_map(subject, theirs="1")
    del foreign["metadata"]["labels"]
    await subject.put_foreign(foreign)
    with pytest.raises(Blocked):
        await subject.cluster.apply(config_map(subject), APPLY_MANAGER, None)


async def test_a_check_accepts_what_an_apply_would_and_changes_nothing(subject: Subject) -> None:
    await subject.cluster.check(config_map(subject), APPLY_MANAGER, None)
    live = await subject.cluster.apply(config_map(subject, a="1"), APPLY_MANAGER, None)
    await subject.cluster.check(config_map(subject, a="2"), APPLY_MANAGER, ref(live))
    again = await subject.cluster.apply(config_map(subject, a="1"), APPLY_MANAGER, ref(live))
    assert again["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]


async def test_a_check_refuses_what_an_apply_would(subject: Subject) -> None:
    with pytest.raises(Invalid):
        await subject.cluster.check(service(subject, ports=()), APPLY_MANAGER, None)
    live = await subject.cluster.apply(config_map(subject, a="1"), APPLY_MANAGER, None)
    await subject.cluster.apply(config_map(subject, a="2"), APPLY_MANAGER, ref(live))
    with pytest.raises(Conflict):
        await subject.cluster.check(config_map(subject, a="3"), APPLY_MANAGER, ref(live))
    foreign = config_map(subject, "theirs", a="1")
    del foreign["metadata"]["labels"]
    await subject.put_foreign(foreign)
    with pytest.raises(Blocked):
        await subject.cluster.check(config_map(subject, "theirs"), APPLY_MANAGER, None)


async def test_a_name_is_free_unless_a_foreign_object_has_it(subject: Subject) -> None:
    await subject.cluster.require_free(config_map(subject))
    await subject.cluster.apply(config_map(subject), APPLY_MANAGER, None)
    await subject.cluster.require_free(config_map(subject))
    foreign = config_map(subject, "theirs", a="1")
    del foreign["metadata"]["labels"]
    await subject.put_foreign(foreign)
    with pytest.raises(Blocked):
        await subject.cluster.require_free(config_map(subject, "theirs"))


async def test_create_refuses_a_foreign_object_and_reports_our_own_as_a_conflict(subject: Subject) -> None:
    await subject.cluster.create(service(subject, selector={"a": "1"}), SWITCH_MANAGER)
    with pytest.raises(Conflict):
        await subject.cluster.create(service(subject, selector={"a": "2"}), SWITCH_MANAGER)
    there = stored(subject, "Service")
    assert there is not None
    assert there["spec"]["selector"] == {"a": "1"}


async def test_create_is_blocked_by_a_foreign_service(subject: Subject) -> None:
    foreign = service(subject, selector={"a": "1"})
    del foreign["metadata"]["labels"]
    await subject.put_foreign(foreign)
    with pytest.raises(Blocked):
        await subject.cluster.create(service(subject, selector={"a": "2"}), SWITCH_MANAGER)


async def test_a_switch_replaces_the_whole_selector_and_leaves_the_rest(subject: Subject) -> None:
    made = await subject.cluster.create(service(subject, selector={"a": "1", "b": "1"}), SWITCH_MANAGER)
    moved = await subject.cluster.apply(switch(subject, {"a": "2"}, note="x"), SWITCH_MANAGER, ref(made))
    assert moved["spec"]["selector"] == {"a": "2"}
    assert moved["spec"]["ports"][0]["port"] == 80
    assert moved["metadata"]["annotations"]["note"] == "x"


async def test_an_address_is_neither_taken_from_a_service_nor_given_to_a_headless_one(subject: Subject) -> None:
    made = await subject.cluster.apply(service(subject, selector={"a": "1"}), APPLY_MANAGER, None)
    headless = service(subject, selector={"a": "1"})
    headless["spec"]["clusterIP"] = "None"
    with pytest.raises(Invalid):
        await subject.cluster.apply(headless, APPLY_MANAGER, ref(made))
    await subject.cluster.delete(subject.namespace, ref(made))
    made = await subject.cluster.apply(headless, APPLY_MANAGER, None)
    kept = await subject.cluster.apply(service(subject, selector={"a": "1"}), APPLY_MANAGER, ref(made))
    assert kept["spec"]["clusterIP"] == "None"


async def test_a_selector_that_another_manager_has_too_stays_when_the_first_lets_go(subject: Subject) -> None:
    """So the preview Service, headless from the beginning, comes into the hands of its own manager."""
    full = service(subject, selector={"a": "1"})
    full["spec"]["clusterIP"] = "None"
    live = await subject.cluster.apply(full, APPLY_MANAGER, None)
    live = await subject.cluster.apply(switch(subject, {"a": "1"}, note="x"), PREVIEW_MANAGER, ref(live))
    rest = {**full, "spec": {key: value for key, value in full["spec"].items() if key != "selector"}}
    live = await subject.cluster.apply(rest, APPLY_MANAGER, ref(live))
    assert live["spec"]["selector"] == {"a": "1"}
    live = await subject.cluster.apply(switch(subject, {"a": "2"}, note="x"), PREVIEW_MANAGER, ref(live))
    live = await subject.cluster.apply(rest, APPLY_MANAGER, ref(live))
    assert live["spec"]["selector"] == {"a": "2"}


async def test_of_two_switches_from_the_same_state_one_fails(subject: Subject) -> None:
    made = await subject.cluster.create(service(subject, selector={"a": "1"}), SWITCH_MANAGER)
    await subject.cluster.apply(switch(subject, {"a": "2"}), SWITCH_MANAGER, ref(made))
    with pytest.raises(Conflict):
        await subject.cluster.apply(switch(subject, {"a": "3"}), SWITCH_MANAGER, ref(made))


async def test_after_the_handover_an_apply_leaves_the_selector_alone_and_can_remove_a_port(subject: Subject) -> None:
    made = await subject.cluster.create(service(subject, ports=(80, 81), selector={"a": "1"}), SWITCH_MANAGER)
    assert _needs_handover(subject)
    live = await subject.cluster.apply(service(subject, ports=(80, 81)), APPLY_MANAGER, ref(made))
    live = await subject.cluster.apply(switch(subject, {"a": "1"}, note="x"), SWITCH_MANAGER, ref(live))
    live = await subject.cluster.drop_update_ownership(live, SWITCH_MANAGER)
    assert not _needs_handover(subject)
    live = await subject.cluster.apply(service(subject, ports=(80,)), APPLY_MANAGER, ref(live))
    assert [each["port"] for each in live["spec"]["ports"]] == [80]
    assert live["spec"]["selector"] == {"a": "1"}
    assert live["metadata"]["annotations"]["note"] == "x"


def _needs_handover(subject: Subject) -> bool:
    found = observe(subject.cluster.view(subject.namespace, "my-app"), Strategy("my-app")).front
    assert found is not None
    return found.needs_handover


async def test_a_switch_that_carries_ports_gives_them_back(subject: Subject) -> None:
    made = await subject.cluster.create(service(subject, selector={"a": "1"}), SWITCH_MANAGER)
    live = await subject.cluster.apply(service(subject), APPLY_MANAGER, ref(made))
    live = await subject.cluster.apply(switch(subject, {"a": "1"}), SWITCH_MANAGER, ref(live))
    live = await subject.cluster.drop_update_ownership(live, SWITCH_MANAGER)
    moved = {"name": "p80", "port": 80, "targetPort": 9999}
    carrying = switch(subject, {"a": "2"})
    carrying["spec"]["ports"] = [moved]
    live = await subject.cluster.apply(carrying, SWITCH_MANAGER, ref(live))
    assert [each["targetPort"] for each in live["spec"]["ports"]] == [9999]
    assert _needs_handover(subject)
    rendered = service(subject, ports=(80, 81))
    rendered["spec"]["ports"][0] = moved
    live = await subject.cluster.apply(rendered, APPLY_MANAGER, ref(live))
    live = await subject.cluster.apply(switch(subject, {"a": "2"}), SWITCH_MANAGER, ref(live))
    assert [each["port"] for each in live["spec"]["ports"]] == [80, 81]
    assert not _needs_handover(subject)


async def test_what_others_made_is_found_and_can_be_marked(subject: Subject) -> None:
    """Adoption: only our labels are added, and from then on it is in the view."""
    theirs = config_map(subject, "theirs", a="1")
    theirs["metadata"]["labels"] = {"team": "shop"}
    await subject.put_foreign(theirs)
    assert await subject.cluster.find("ConfigMap", subject.namespace, "nobodys") == []
    [found] = await subject.cluster.find("ConfigMap", subject.namespace, "theirs")
    assert (found["kind"], found["apiVersion"], found["data"]) == ("ConfigMap", "v1", {"a": "1"})
    assert found in await subject.cluster.find("ConfigMap", subject.namespace)
    mark = {**config_map(subject, "theirs"), "metadata": {**theirs["metadata"], "labels": dict(LABELS)}}
    del mark["data"]
    live = await subject.cluster.apply(mark, APPLY_MANAGER, ref(found))
    assert live["data"] == {"a": "1"}
    assert live["metadata"]["labels"] == {"team": "shop", **LABELS}
    assert stored(subject, "ConfigMap") is not None


async def test_ports_are_written_over_whoever_owns_them(subject: Subject) -> None:
    """Applied, a port with another number would be a second one of that name, which the API server refuses."""
    made = await subject.cluster.create(service(subject, selector={"a": "1"}), SWITCH_MANAGER)
    live = await subject.cluster.apply(service(subject), APPLY_MANAGER, ref(made))
    live = await subject.cluster.apply(switch(subject, {"a": "1"}, note="x"), SWITCH_MANAGER, ref(live))
    live = await subject.cluster.drop_update_ownership(live, SWITCH_MANAGER)
    over = switch(subject, {"b": "2"}, note="y")
    over["spec"]["ports"] = [{"name": "p80", "port": 8080, "targetPort": 80}]
    stale = ref(live)
    live = await subject.cluster.overwrite(over, SWITCH_MANAGER, stale)
    assert [(each["name"], each["port"]) for each in live["spec"]["ports"]] == [("p80", 8080)]
    assert live["spec"]["selector"] == {"b": "2"}
    assert live["metadata"]["annotations"]["note"] == "y"
    assert _needs_handover(subject)
    with pytest.raises(Conflict):
        await subject.cluster.overwrite(over, SWITCH_MANAGER, stale)


async def test_a_delete_is_bound_to_the_state_it_was_decided_from(subject: Subject) -> None:
    first = await subject.cluster.apply(config_map(subject, a="1"), APPLY_MANAGER, None)
    second = await subject.cluster.apply(config_map(subject, a="2"), APPLY_MANAGER, ref(first))
    with pytest.raises(Conflict):
        await subject.cluster.delete(subject.namespace, ref(first))
    assert await subject.cluster.delete(subject.namespace, ref(second))
    assert stored(subject, "ConfigMap") is None
    assert not await subject.cluster.delete(subject.namespace, ref(second)), "gone already"


async def test_an_annotation_alone_is_written_by_a_manager_of_its_own(subject: Subject) -> None:
    """As the marks of a deletion are: an apply of the object itself neither knows them nor takes them away."""
    made = await subject.cluster.apply(config_map(subject, a="1"), APPLY_MANAGER, None)
    named = {"name": made["metadata"]["name"], "namespace": subject.namespace}
    mark = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**named, "annotations": {"mark": "x"}}}
    marked = await subject.cluster.apply(mark, "reconciler-removal", ref(made))
    assert marked["data"] == {"a": "1"} and marked["metadata"]["labels"] == LABELS
    with pytest.raises(Conflict):
        await subject.cluster.apply(mark, "reconciler-removal", ref(made))
    applied = await subject.cluster.apply(config_map(subject, a="2"), APPLY_MANAGER, ref(marked))
    assert applied["metadata"]["annotations"]["mark"] == "x"
    assert list(subject.cluster.apps(subject.namespace)) == ["my-app"]
    assert await subject.cluster.delete(subject.namespace, ref(applied))
    assert list(subject.cluster.apps(subject.namespace)) == []


async def test_what_the_api_server_refuses_is_invalid(subject: Subject) -> None:
    with pytest.raises(Invalid):
        await subject.cluster.apply(service(subject, ports=()), APPLY_MANAGER, None)


async def test_others_changes_reach_the_view(subject: Subject) -> None:
    await subject.put_foreign(config_map(subject, "theirs", a="1"))
    await subject.seen(lambda live: any(each["metadata"]["name"] == "theirs" for each in live))


async def test_events_about_a_service_are_accepted(subject: Subject) -> None:
    live = await subject.cluster.create(service(subject, selector={"a": "1"}), SWITCH_MANAGER)
    told = event("retired", app="my-app", namespace=subject.namespace, version="v1", reason="kept warm for 3 s")
    await subject.cluster.post_event(live, told, 1_700_000_000.5)


async def test_ownership_is_dropped_only_in_the_state_that_was_seen(subject: Subject) -> None:
    made = await subject.cluster.create(service(subject, selector={"a": "1"}), SWITCH_MANAGER)
    await subject.cluster.apply(service(subject), APPLY_MANAGER, ref(made))
    with pytest.raises(Conflict):
        await subject.cluster.drop_update_ownership(made, SWITCH_MANAGER)


async def test_a_secret_of_anybody_is_read_as_it_is_now(subject: Subject) -> None:
    with pytest.raises(Blocked) as caught:
        await subject.cluster.secret(subject.namespace, "git")
    assert f"{subject.namespace}/git" in caught.value.where
    meta = {"name": "git", "namespace": subject.namespace}
    data = {"password": base64.b64encode(b"\0s3cret\n").decode()}
    await subject.put_foreign({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
    assert await subject.cluster.secret(subject.namespace, "git") == {"password": b"\0s3cret\n"}
    assert not subject.cluster.view(subject.namespace, "my-app"), "it is none of ours"


POLICY, CRON = "networking.k8s.io/v1/NetworkPolicy", "batch/v1/CronJob"


def further(subject: Subject, resource: str, spec: Any, name: str = "one") -> dict[str, Any]:
    version, _, kind = resource.rpartition("/")
    meta = {"name": name, "namespace": subject.namespace, "labels": dict(LABELS)}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


async def follow(subject: Subject, *wanted: str, known: tuple[str, ...] = ()) -> None:
    await subject.cluster.follow(subject.namespace, "my-app", set(wanted), set(known))


def kinds_in_view(subject: Subject) -> list[str]:
    return sorted(each["kind"] for each in subject.cluster.view(subject.namespace, "my-app"))


async def test_objects_of_a_further_kind_are_applied_seen_and_deleted(subject: Subject) -> None:
    await follow(subject, POLICY)
    manifest = further(subject, POLICY, {"podSelector": {}, "policyTypes": ["Ingress"]})
    first = replace(ref(await subject.cluster.apply(manifest, APPLY_MANAGER, None)), kind=POLICY)
    manifest["spec"]["policyTypes"] = ["Egress"]
    second = replace(ref(await subject.cluster.apply(manifest, APPLY_MANAGER, first)), kind=POLICY)
    live = stored(subject, "NetworkPolicy")
    assert live is not None
    assert live["spec"]["policyTypes"] == ["Egress"]
    with pytest.raises(Conflict):
        await subject.cluster.apply(manifest, APPLY_MANAGER, first)
    with pytest.raises(Conflict):
        await subject.cluster.delete(subject.namespace, first)
    assert await subject.cluster.delete(subject.namespace, second)
    assert kinds_in_view(subject) == []
    assert not await subject.cluster.delete(subject.namespace, second), "gone already"


async def test_an_object_of_a_further_kind_that_somebody_else_made_is_not_merged_into(subject: Subject) -> None:
    account = "v1/ServiceAccount"
    await follow(subject, account)
    meta = {"name": "one", "namespace": subject.namespace}
    await subject.put_foreign({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    manifest = further(subject, account, None)
    del manifest["spec"]
    with pytest.raises(Blocked):
        await subject.cluster.apply(manifest, APPLY_MANAGER, None)


async def test_a_further_kind_is_in_the_view_while_somebody_names_it(subject: Subject) -> None:
    """What was there before is found (a restart), by a kind that discovery finds, and not asked for afterwards."""
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}}}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}}
    await follow(subject, CRON)
    await subject.cluster.apply(further(subject, CRON, spec), APPLY_MANAGER, None)
    await follow(subject)
    assert kinds_in_view(subject) == []
    await follow(subject, known=(CRON,))
    assert kinds_in_view(subject) == ["CronJob"]


async def test_a_kind_that_the_cluster_does_not_have_is_an_error_only_where_it_is_wanted(subject: Subject) -> None:
    for nonsense in ("example.com/v1/Nonsense", "batch/v1/Nonsense", "policy/v0/PodDisruptionBudget"):
        with pytest.raises(Blocked):
            await follow(subject, nonsense)
        await follow(subject, POLICY, known=(nonsense,))


async def test_an_object_without_a_namespace_is_the_apps_like_any_other(subject: Subject) -> None:
    role = "rbac.authorization.k8s.io/v1/ClusterRole"
    await follow(subject, role)
    manifest = {**further(subject, role, None, subject.namespace), "rules": []}
    del manifest["spec"]
    await subject.cluster.check(manifest, APPLY_MANAGER, None)
    live = await subject.cluster.apply(manifest, APPLY_MANAGER, None)
    try:
        assert kinds_in_view(subject) == ["ClusterRole"]
        with pytest.raises(Conflict):
            await subject.cluster.apply(manifest, APPLY_MANAGER, None)
    finally:
        await subject.cluster.delete(subject.namespace, replace(ref(live), kind=role))
    assert kinds_in_view(subject) == []

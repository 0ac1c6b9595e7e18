"""Checks that run a Job, on a real cluster: how it ends is what the check comes to, and no second one is ever made.

Inside the sandbox: `python -m sandbox exec -- pytest tests/contract`. Elsewhere skipped, as no container runs there.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from kubernetes.aio import client

from reconciler.adapters.clock import SystemClock
from reconciler.adapters.cluster import connect
from reconciler.adapters.cluster.jobs import KubernetesJobs
from reconciler.adapters.cluster.kinds import JOB
from reconciler.adapters.cluster.requests import send
from reconciler.adapters.gates.job import JobProber
from reconciler.core.account import Account
from reconciler.core.check import Check, Outcome
from reconciler.core.model import App, Desired, Manifest, Template
from reconciler.core.probe import JobProbe
from reconciler.core.render import render
from reconciler.errors import Blocked
from reconciler.ports import Measurement, Subject
from tests.fakes.rendering import APP, SLOT, release

_RBAC = "rbac.authorization.k8s.io"
_SOON = 30.0
_RULES = (
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
)
"""What README.md says that an account needs for this."""

IMAGE = "sandbox.local/sample-app:latest"
SMOKE = """\
apiVersion: batch/v1
kind: Job
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: smoke
          image: %s
          imagePullPolicy: %s
          args: %s
"""

_ANY_JOB = {
    "metadata": {"generateName": "any-"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "any", "image": IMAGE}]}}},
}


@dataclass
class Bench:
    """A namespace with an account that has the Role, and checks for it."""

    api: client.ApiClient
    app: App

    @property
    def namespace(self) -> str:
        return self.app.namespace

    def subject(
        self, args: str = '["sleep", "0s"]', image: str = IMAGE, pull: str = "IfNotPresent", since: float = 1.0
    ) -> Subject:
        """A revision whose check `smoke` runs the sample app with `args`."""
        jobs = {"gates/smoke.yaml": Template("gates/smoke.yaml", SMOKE % (image, pull, args))}
        return Subject(_rendered(self.app, jobs), {"pod-a": "10.244.0.9"}, since)

    def prober(self) -> JobProber:
        """A daemon's prober; another call is another daemon."""
        return JobProber(lambda app: KubernetesJobs(self.api, app.account), SystemClock())

    async def jobs(self) -> list[Manifest]:
        """All Jobs that are there."""
        return list((await send(self.api, "GET", JOB.path(self.namespace)))["items"])

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Waits for a state of the cluster."""
        async with asyncio.timeout(_SOON):
            while not await holds():
                await asyncio.sleep(0.05)


def _rendered(app: App, jobs: Mapping[str, Template]) -> Desired:
    return render(app, replace(release(), jobs=jobs), SLOT)


def check(timeout: float = 60.0) -> Check:
    return Check("smoke", JobProbe("gates/smoke.yaml"), timeout=timeout)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    if "SANDBOX_NAME" not in os.environ:  # never a developer's own cluster by accident
        pytest.skip("no cluster: run inside the sandbox, `python -m sandbox exec -- pytest tests/contract`")
    api, name = await connect(), f"contract-{uuid.uuid4().hex[:8]}"
    await send(api, "POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    made = Bench(api, replace(APP, namespace=name, service_account="web"))
    try:
        await _grant(made, _RULES)
        yield made
    finally:
        await send(api, "DELETE", f"/api/v1/namespaces/{name}")
        await api.close()  # type: ignore[no-untyped-call]


async def _grant(bench: Bench, rules: tuple[Mapping[str, Any], ...]) -> None:
    """Gives the app's account exactly these rules."""
    space, meta = bench.namespace, {"name": "web"}
    roles = f"/apis/{_RBAC}/v1/namespaces/{space}"
    await send(bench.api, "POST", f"/api/v1/namespaces/{space}/serviceaccounts", body={"metadata": meta})
    await send(bench.api, "POST", f"{roles}/roles", body={"metadata": meta, "rules": list(rules)})
    subjects = [{"kind": "ServiceAccount", "name": "web", "namespace": space}]
    role = {"apiGroup": _RBAC, "kind": "Role", "name": "web"}
    await send(
        bench.api, "POST", f"{roles}/rolebindings", body={"metadata": meta, "subjects": subjects, "roleRef": role}
    )
    await bench.until(lambda: _may_get(bench))


async def _may_get(bench: Bench) -> bool:
    """The API server hears of its own Roles by a watch."""
    asked = {"namespace": bench.namespace, "verb": "get", "group": "batch", "resource": "jobs"}
    user = Account(bench.namespace, "web").user
    body = {"metadata": {"namespace": bench.namespace}, "spec": {"user": user, "resourceAttributes": asked}}
    path = f"/apis/authorization.k8s.io/v1/namespaces/{bench.namespace}/localsubjectaccessreviews"
    return bool((await send(bench.api, "POST", path, body=body))["status"]["allowed"])


async def test_a_job_that_completes_passes_and_is_gone(bench: Bench) -> None:
    found = await bench.prober().measure(check(), bench.subject())
    assert found.outcome is Outcome.PASSED, found
    assert "complete after" in found.measured
    assert await bench.jobs() == []


async def test_a_job_that_fails_tells_the_end_of_its_log_and_stays_for_a_while(bench: Bench) -> None:
    prober, subject = bench.prober(), bench.subject('["smoke", "test"]')
    first = await prober.measure(check(), subject)
    assert first.outcome is Outcome.FAILED, first
    assert first.measured.endswith("its log ends with\nusage: sample-app [sleep DURATION]"), first
    assert "BackoffLimitExceeded" in first.reason and "container smoke: Error, last exit code 2" in first.reason
    [kept] = await bench.jobs()
    assert kept["spec"]["ttlSecondsAfterFinished"] == 3600
    # Another attempt is another Job.
    assert (await prober.measure(check(), subject)).outcome is Outcome.FAILED
    assert [each["metadata"]["name"][-2:] for each in await bench.jobs()] == ["-1", "-2"]


async def test_a_job_that_hangs_fails_in_time_and_is_gone(bench: Bench) -> None:
    found = await bench.prober().measure(check(timeout=20), bench.subject('["sleep", "1h"]'))
    assert found.outcome is Outcome.FAILED
    assert found.reason == "the Job was not complete after 20s"
    assert await bench.jobs() == []


async def test_a_job_that_never_starts_is_inconclusive_and_says_why(bench: Bench) -> None:
    missing = bench.subject(image="sandbox.local/there-is-none:latest", pull="Never")
    found = await bench.prober().measure(check(timeout=15), missing)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "no container of the Job was started within 15s" in found.reason
    assert "container smoke: ErrImageNeverPull" in found.reason, found
    assert "log" not in found.measured
    assert await bench.jobs() == []


async def _killed_while_it_runs(bench: Bench, subject: Subject) -> Manifest:
    """A daemon starts the Job and is no more, so that nothing is cleaned up; returns the Job."""

    async def dead(_seconds: float) -> None:
        raise KeyboardInterrupt

    prober = bench.prober()
    prober.pause = dead
    with pytest.raises(KeyboardInterrupt):
        await prober.measure(check(), subject)
    [job] = await bench.jobs()
    return job


async def test_a_daemon_that_was_killed_goes_on_with_the_job_that_it_started(bench: Bench) -> None:
    subject = bench.subject('["sleep", "3s"]')
    job = await _killed_while_it_runs(bench, subject)

    class NoOther(KubernetesJobs):
        async def create(self, job: Manifest) -> Manifest:
            raise AssertionError(f"a second Job: {job['metadata']['name']}")

    prober = JobProber(lambda app: NoOther(bench.api, app.account), SystemClock())
    found = await prober.measure(check(), subject)
    assert found.outcome is Outcome.PASSED, found
    assert job["metadata"]["name"] in found.measured


async def test_a_daemon_that_was_killed_learns_how_the_job_ended(bench: Bench) -> None:
    subject = bench.subject('["smoke", "test"]')
    job = await _killed_while_it_runs(bench, subject)

    async def failed() -> bool:
        return bool((await bench.jobs())[0].get("status", {}).get("failed"))

    await bench.until(failed)
    found = await bench.prober().measure(check(), subject)
    assert found.outcome is Outcome.FAILED
    assert "usage: sample-app" in found.measured
    assert [each["metadata"]["uid"] for each in await bench.jobs()] == [job["metadata"]["uid"]]


async def test_what_came_of_an_earlier_promotion_is_not_taken_for_this_one(bench: Bench) -> None:
    await _killed_while_it_runs(bench, bench.subject('["sleep", "1h"]'))
    found = await bench.prober().measure(check(timeout=4), bench.subject('["sleep", "1h"]', since=2.0))
    assert "-2 unfinished" in found.measured
    assert [each["metadata"]["name"][-2:] for each in await bench.jobs()] == ["-1"]


async def test_a_check_that_is_called_off_leaves_no_job(bench: Bench) -> None:
    async def waits(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    waiting, prober = asyncio.Event(), bench.prober()
    prober.pause = waits
    task = asyncio.create_task(prober.measure(check(), bench.subject('["sleep", "1h"]')))
    await waiting.wait()
    assert len(await bench.jobs()) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert await bench.jobs() == []


async def test_a_job_that_is_deleted_meanwhile_is_inconclusive(bench: Bench) -> None:
    prober, jobs = bench.prober(), KubernetesJobs(bench.api)

    async def deletes(_seconds: float) -> None:
        for job in await bench.jobs():
            await jobs.delete(job)

    prober.pause = deletes
    found = await prober.measure(check(), bench.subject('["sleep", "1h"]'))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason.endswith("was deleted while it ran")


async def test_what_the_account_may_not_is_named(bench: Bench) -> None:
    other = replace(bench.app, service_account="nobody")
    subject = replace(
        bench.subject(), desired=_rendered(other, {"gates/smoke.yaml": Template("s", SMOKE % (IMAGE, "Never", "[]"))})
    )
    found = await bench.prober().measure(check(), subject)
    assert found.outcome is Outcome.INCONCLUSIVE
    account = f"ServiceAccount {bench.namespace}/nobody"
    assert f"{account} may not get jobs.batch" in found.reason
    assert f"in namespace {bench.namespace}" in found.reason
    assert 'apiGroups: ["batch"], resources: [jobs], verbs: [get]' in found.reason


async def test_what_a_quota_refuses_is_named(bench: Bench) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    path = f"/api/v1/namespaces/{bench.namespace}/resourcequotas"
    await send(bench.api, "POST", path, body=quota)

    async def in_force() -> bool:
        """The quota has been counted, and what admits Jobs has heard of that."""
        try:
            await send(bench.api, "POST", JOB.path(bench.namespace), body=_ANY_JOB, query={"dryRun": "All"})
        except Blocked as error:
            return "exceeded quota" in str(error)
        return False

    await bench.until(in_force)
    found = await bench.prober().measure(check(), bench.subject())
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason.startswith("could not create Job shop-smoke-")
    assert f"in namespace {bench.namespace}" in found.reason and "exceeded quota: none" in found.reason
    assert await bench.jobs() == []


async def test_a_field_that_jobs_have_not_is_named(bench: Bench) -> None:
    text = SMOKE.replace("terminationGracePeriodSeconds", "terminationGracePeriod") % (IMAGE, "Never", "[]")
    subject = replace(bench.subject(), desired=_rendered(bench.app, {"gates/smoke.yaml": Template("s", text)}))
    found = await bench.prober().measure(check(), subject)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert 'unknown field "spec.template.spec.terminationGracePeriod"' in found.reason
    assert await bench.jobs() == []


async def test_a_job_of_somebody_elses_is_left_alone(bench: Bench) -> None:
    subject = bench.subject()
    name = f"shop-smoke-{subject.desired.revision}-1"
    container = {"name": "a", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "args": ["sleep", "1h"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    body = {"metadata": {"name": name}, "spec": {"template": template, "suspend": True}}
    theirs = await send(bench.api, "POST", JOB.path(bench.namespace), body=body)
    found = await bench.prober().measure(check(), subject)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert name in found.reason and "not marked as made by this daemon" in found.reason
    [left] = await bench.jobs()
    assert left["metadata"]["uid"] == theirs["metadata"]["uid"] and left["spec"] == theirs["spec"]


async def test_the_log_may_be_unreadable_and_the_result_stands(bench: Bench) -> None:
    class Deaf(KubernetesJobs):
        async def log(self, namespace: str, pod: str, container: str) -> str:
            return await KubernetesJobs(self.api, Account(namespace, "nobody")).log(namespace, pod, container)

    prober = JobProber(lambda app: Deaf(bench.api, app.account), SystemClock())
    found: Measurement = await prober.measure(check(), bench.subject('["smoke", "test"]'))
    assert found.outcome is Outcome.FAILED
    assert "nobody may not get pods/log" in found.measured


async def test_the_pods_of_a_job_are_none_of_the_apps(bench: Bench) -> None:
    job = await _killed_while_it_runs(bench, bench.subject('["sleep", "1h"]'))
    jobs = KubernetesJobs(bench.api)

    async def started() -> bool:
        return bool(await jobs.pods(job))

    await bench.until(started)
    for each in (job, *(await jobs.pods(job))):
        own = {key: value for key, value in each["metadata"]["labels"].items() if key.startswith("bluegreen")}
        assert own == {"bluegreen.reconciler/gate": "shop"}

"""How a check that runs a Job gets through outages, lost answers and being called off; real ends: tests/contract."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from reconciler.adapters.gates.job import JobProber
from reconciler.core.check import Check, Outcome
from reconciler.core.job import MOST_JOBS
from reconciler.core.model import Template
from reconciler.core.probe import JobProbe
from reconciler.core.render import render
from reconciler.errors import Blocked, Invalid, ReconcilerError, Transient
from reconciler.ports import Measurement, Subject
from tests.fakes.clock import FakeClock
from tests.fakes.jobs import COMPLETE, FAILED, FakeJobs
from tests.fakes.rendering import APP, SLOT, release
from tests.unit.test_job import SMOKE

CHECK = Check("smoke", JobProbe("gates/smoke.yaml"), timeout=30.0)
AWAY = Transient("the API server does not answer")


def subject(since: float = 1.0, template: str = SMOKE) -> Subject:
    jobs = {"gates/smoke.yaml": Template("gates/smoke.yaml", template)}
    return Subject(render(APP, replace(release(), jobs=jobs), SLOT), {"b": "10.0.0.2", "a": "10.0.0.1"}, since)


def prober(jobs: FakeJobs) -> JobProber:
    """For it time passes only while it waits."""
    clock = FakeClock()

    async def passes(seconds: float) -> None:
        clock.time += seconds

    return JobProber(lambda _: jobs, clock, passes)


async def test_the_addresses_reach_the_job_in_the_order_of_the_pods_names() -> None:
    jobs = FakeJobs(FAILED)
    await prober(jobs).measure(CHECK, subject())
    [job] = jobs.there.values()
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["10.0.0.1", "10.0.0.2"]


async def test_an_outage_while_it_runs_is_waited_for() -> None:
    jobs = FakeJobs(COMPLETE, errors=[AWAY, AWAY])
    found = await prober(jobs).measure(CHECK, subject())
    assert found.outcome is Outcome.PASSED
    assert not jobs.there and len(jobs.made) == 1


async def test_a_lasting_outage_is_inconclusive() -> None:
    jobs = FakeJobs(errors=[AWAY] * 1000)
    found = await prober(jobs).measure(CHECK, subject())
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "in namespace web: the API server does not answer" in found.reason


async def test_a_job_whose_creation_was_not_answered_is_no_second_one() -> None:
    jobs = FakeJobs(COMPLETE, lost=[AWAY])
    found = await prober(jobs).measure(CHECK, subject())
    assert found.outcome is Outcome.PASSED
    assert len(jobs.made) == 1


async def test_called_off_while_the_job_is_made_it_leaves_none() -> None:
    jobs = FakeJobs(hold=asyncio.Event())
    task = asyncio.create_task(prober(jobs).measure(CHECK, subject()))
    await jobs.creating.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert jobs.hold is not None
    jobs.hold.set()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert jobs.made and not jobs.there


async def test_each_attempt_is_another_job_and_the_next_daemon_goes_on_with_the_first_untold() -> None:
    jobs = FakeJobs(FAILED)
    first = prober(jobs)
    told = [(await first.measure(CHECK, subject())).measured.split()[1][-2:] for _ in range(3)]
    assert told == ["-1", "-2", "-3"]
    assert len(jobs.made) == 3
    await prober(jobs).measure(CHECK, subject())
    assert len(jobs.made) == 3
    await prober(jobs).measure(CHECK, subject(since=2.0))
    assert len(jobs.made) == 4


async def test_another_template_is_another_job() -> None:
    jobs = FakeJobs(FAILED)
    await prober(jobs).measure(CHECK, subject())
    await prober(jobs).measure(CHECK, subject(template=SMOKE.replace("image: a", "image: b")))
    assert len(jobs.made) == 2


async def test_there_is_an_end_of_jobs() -> None:
    jobs, one = FakeJobs(FAILED), subject()
    daemon = prober(jobs)
    for _ in range(MOST_JOBS):
        await daemon.measure(CHECK, one)
    found = await daemon.measure(CHECK, one)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert f"there are {MOST_JOBS} of this check already" in found.reason


@pytest.mark.parametrize(
    ("started", "outcome", "reason"),
    [
        (True, Outcome.FAILED, "the Job was not complete after 30s"),
        (False, Outcome.INCONCLUSIVE, "no container of the Job was started within 30s"),
    ],
)
async def test_what_hangs_is_ended_in_time(started: bool, outcome: Outcome, reason: str) -> None:
    jobs = FakeJobs(started=started, printed="so far\n")
    daemon = prober(jobs)
    began = daemon.clock.now()
    found = await daemon.measure(CHECK, subject())
    assert (found.outcome, found.reason.split(":")[0]) == (outcome, reason)
    assert ("so far" in found.measured) is started
    assert not jobs.there
    assert daemon.clock.now() - began < CHECK.timeout


@pytest.mark.parametrize("error", [Blocked("admission webhook says no", todo="Ask it"), Invalid("no such field")])
async def test_what_the_api_server_refuses_says_what_was_to_be_done(error: ReconcilerError) -> None:
    class Refusing(FakeJobs):
        async def create(self, job: object) -> object:  # type: ignore[override]
            raise error

    found: Measurement = await prober(Refusing()).measure(CHECK, subject())
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason.startswith("could not create Job shop-smoke-")
    assert error.what in found.reason and error.todo in found.reason


async def test_a_result_stands_though_the_rest_fails() -> None:
    class Deaf(FakeJobs):
        async def pods(self, job: object) -> object:  # type: ignore[override]
            raise Blocked("nobody may list pods")

        async def delete(self, job: object) -> None:
            raise AWAY

    found = await prober(Deaf(COMPLETE)).measure(CHECK, subject())
    assert found.outcome is Outcome.PASSED
    assert "(not to be read: nobody may list pods)" in found.measured
    unknown = await prober(Deaf()).measure(CHECK, subject())
    assert unknown.outcome is Outcome.INCONCLUSIVE
    assert unknown.reason == "the Job was not complete after 30s, and it could not be seen whether it ran at all"


async def test_that_a_job_may_not_be_deleted_is_told_with_its_result() -> None:
    class Kept(FakeJobs):
        async def delete(self, job: object) -> None:
            raise Blocked("nobody may delete jobs.batch")

    found = await prober(Kept(COMPLETE)).measure(CHECK, subject())
    assert found.outcome is Outcome.PASSED
    assert found.measured.endswith("stays: nobody may delete jobs.batch")


async def test_a_job_that_was_not_read_with_the_app_is_inconclusive() -> None:
    other = replace(CHECK, probe=JobProbe("gates/other.yaml"))
    found = await prober(FakeJobs()).measure(other, subject())
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reason == "app shop: gates/other.yaml: the Job's template was not read with the app"

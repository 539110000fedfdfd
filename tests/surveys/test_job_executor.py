"""Job executor: leases, concurrency, outcomes and cleanup, with fake surveys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sarlens.errors import JobFailed, JobsUnavailable, SourceChanged
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import Job, JobStatus
from sarlens.jobs.store import JobStore
from sarlens.surveys import job_executor
from sarlens.surveys.echo import ECHO, Echo
from sarlens.surveys.retry import JobSuspended
from surveys.job_fakes import SPEC, JobHarness, until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    """A store in a file."""
    job_store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    yield job_store
    await job_store.close()


class Blocking:
    """Runs jobs until ``finish`` is set."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.canceled: list[str] = []
        self.finish = asyncio.Event()

    async def __call__(self, job: Job, stopping: asyncio.Event, _: Callable[[], None]) -> None:
        """Run one job."""
        self.running.append(job.id)
        try:
            while not self.finish.is_set():
                if stopping.is_set():
                    raise JobSuspended
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.canceled.append(job.id)
            raise


async def raise_error(error: Exception) -> None:
    """Raise an error."""
    raise error


async def test_a_survey_is_planned_run_and_exported(store: JobStore) -> None:
    """A successful job is planned and exported once, has start and end, and counts in the metrics."""
    async with JobHarness(store) as harness:
        job = await harness.service.wait_until_done((await harness.submit()).id)
    assert job.status is JobStatus.SUCCESSFUL
    assert job.created <= (job.started or 0) <= (job.finished or 0)
    assert harness.planned == [job.id]
    assert harness.exported == [(job.id, SPEC)]
    assert (harness.count("successful"), harness.count("failed")) == (1, 0)


async def test_an_echo_has_neither_plan_nor_export(store: JobStore) -> None:
    """An echo completes after its pause, without a plan."""
    async with JobHarness(store) as harness:
        request = Echo(text="x", pause_s=0.1).model_dump_json()
        job = await harness.service.wait_until_done((await harness.service.enqueue(Job(ECHO, "", request))).id)
    assert (job.finished or 0) - (job.started or 0) >= 0.1
    assert (harness.planned, harness.exported) == ([], [])


async def test_concurrent_jobs_are_limited(store: JobStore) -> None:
    """With a limit of two, the third job starts after one of the others completes."""
    work = Blocking()
    async with JobHarness(store, work) as harness:
        jobs = [await harness.submit() for _ in range(3)]
        await until(lambda: len(work.running) == 2)
        await asyncio.sleep(0.1)
        assert sorted(work.running) == sorted(job.id for job in jobs[:2])
        assert await harness.status(jobs[2]) is JobStatus.ACCEPTED
        work.finish.set()
        assert (await harness.service.wait_until_done(jobs[2].id)).status is JobStatus.SUCCESSFUL


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (JobFailed("16 tiles failed."), "job_failed", "16 tiles failed."),
        (
            SourceChanged("x has version v2 now."),
            "source_changed",
            "x has version v2 now. The survey uses version v1; the answers so far are kept.",
        ),
        (
            ZeroDivisionError("secret"),
            "internal_error",
            "An internal error occurred. The gateway's log has the details.",
        ),
    ],
)
async def test_a_failed_job_has_code_and_message(store: JobStore, error: Exception, code: str, message: str) -> None:
    """A failed job isn't exported, counts in the metrics, and has a message without internal details."""
    async with JobHarness(store, lambda *_: raise_error(error)) as harness:
        job = await harness.service.wait_until_done((await harness.submit()).id)
    assert (job.status, job.code, job.message) == (JobStatus.FAILED, code, message)
    assert job.finished is not None
    assert harness.exported == []
    assert (harness.count("successful"), harness.count("failed")) == (0, 1)


async def test_a_job_that_another_process_completed_is_left_alone(store: JobStore) -> None:
    """JobNotActive changes neither the status nor the metrics."""
    async with JobHarness(store, lambda *_: raise_error(JobNotActive("x"))) as harness:
        job = await harness.submit()
        await until(lambda: bool(harness.planned))
        await asyncio.sleep(0.1)
        assert await harness.status(job) is JobStatus.RUNNING
    assert (harness.count("successful"), harness.count("failed")) == (0, 0)


async def test_a_lease_is_renewed_while_a_job_runs(store: JobStore) -> None:
    """A job that runs for 3 leases isn't claimed by another process."""
    work = Blocking()
    async with JobHarness(store, work, lease_s=1.5) as harness:
        await harness.submit()
        for _ in range(9):
            await asyncio.sleep(0.5)
            assert work.running == [] or await store.leases.claim("other", 60, 5) == []
        work.finish.set()
    assert len(work.running) == 1


async def test_a_job_without_its_lease_is_canceled(store: JobStore) -> None:
    """A job whose lease another process took is canceled, and stays active."""
    work = Blocking()
    async with JobHarness(store, work, lease_s=0.4) as harness:
        job = await harness.submit()
        await until(lambda: work.running == [job.id])
        while not await store.leases.claim("other", 60, 5):
            await store.leases.release(job.id, harness.executor._lease_owner)
        await until(lambda: work.canceled == [job.id])
        assert await harness.status(job) is JobStatus.RUNNING


async def test_a_drained_executor_releases_its_jobs(store: JobStore) -> None:
    """After close, another process can claim a suspended job at once."""
    work = Blocking()
    async with JobHarness(store, work, lease_s=60.0) as harness:
        job = await harness.submit()
        await until(lambda: work.running == [job.id])
    assert work.canceled == []
    assert [claimed.id for claimed in await store.leases.claim("other", 60, 5)] == [job.id]


async def test_a_stuck_job_is_canceled_after_the_grace_period(store: JobStore) -> None:
    """A job that doesn't stop within 0.2 seconds is canceled and released."""
    started = asyncio.Event()

    async def stuck(*_: object) -> None:
        started.set()
        await asyncio.sleep(60)

    async with JobHarness(store, stuck, lease_s=60.0) as harness:
        job = await harness.submit()
        await asyncio.wait_for(started.wait(), 10)
        closing_at = time.monotonic()
    assert 0.2 <= time.monotonic() - closing_at < 5
    assert [claimed.id for claimed in await store.leases.claim("other", 60, 5)] == [job.id]


async def test_expired_jobs_are_deleted(store: JobStore) -> None:
    """Jobs that finished before the retention time are deleted; later ones are kept."""
    now = time.time()
    jobs = [Job("survey", "", "{}", status=JobStatus.FAILED, finished=now - age) for age in (3700, 3500)]
    for job in jobs:
        await store.add(job)
    async with JobHarness(store):
        async with asyncio.timeout(10):
            while await store.find(jobs[0].id) is not None:
                await asyncio.sleep(0.01)
    assert await store.find(jobs[1].id) is not None


async def test_the_cleanup_waits_for_its_interval(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 600 seconds, expired jobs are looked up once."""
    lookups: list[float] = []
    monkeypatch.setattr(store, "expired", lambda retention_s: _no_jobs(lookups, retention_s))
    async with JobHarness(store, lease_s=0.1) as harness:
        await harness.service.wait_until_done((await harness.submit()).id)
        await asyncio.sleep(0.3)
        assert lookups == [3600]
        monkeypatch.setattr(job_executor, "_CLEANUP_INTERVAL_S", 0.0)
        await until(lambda: len(lookups) > 1)


async def _no_jobs(lookups: list[float], retention_s: float) -> list[str]:
    lookups.append(retention_s)
    return []


async def test_an_idle_executor_creates_no_database(tmp_path: Path) -> None:
    """An executor without jobs doesn't create the file."""
    store = JobStore(f"sqlite:///{tmp_path / 'idle.db'}")
    async with JobHarness(store, lease_s=0.1):
        await asyncio.sleep(0.2)
        assert not store.exists
    await store.close()


async def test_a_failing_database_is_a_gauge(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gauge is 0 after a poll that the database fails, and 1 after the next one."""
    errors = [JobsUnavailable("locked")]
    claim = store.leases.claim

    async def failing(*arguments: Any) -> list[Job]:
        if errors:
            raise errors[0]
        return await claim(*arguments)

    await store.add(Job("survey", "", "{}", status=JobStatus.FAILED))
    monkeypatch.setattr(store.leases, "claim", failing)
    async with JobHarness(store, lease_s=0.1) as harness:
        gauge = harness.metrics.job_database_up._value
        await until(lambda: gauge.get() == 0)
        errors.clear()
        await until(lambda: gauge.get() == 1)

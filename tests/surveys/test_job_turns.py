"""Turns of jobs: which job is suspended, and surveys of several owners on few slots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic

import pytest

from sarlens.jobs.leases import OwnerLoad
from sarlens.jobs.models import Job, JobStatus
from sarlens.jobs.owner_limits import OwnerLimits
from sarlens.jobs.store import JobStore
from sarlens.surveys.echo import ECHO, Echo
from sarlens.surveys.job_turns import RunningJob, job_to_suspend
from sarlens.surveys.retry import JobSuspended
from surveys.job_fakes import JobHarness, until

TURN_S = 15.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    """A store in a file."""
    job_store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}", OwnerLimits(1000, 1_000_000))
    yield job_store
    await job_store.close()


def running(*owners: str, seconds: float = 0.0) -> list[RunningJob]:
    """Return running jobs of owners, each a second younger than the one before it."""
    now = monotonic()
    return [RunningJob(Job("survey", owner, "{}"), started_at=now - seconds + age) for age, owner in enumerate(owners)]


def loads(**counts: tuple[int, int]) -> list[OwnerLoad]:
    """Return the loads of owners with running and waiting jobs."""
    return [OwnerLoad(owner, *count) for owner, count in counts.items()]


def test_an_owner_with_two_jobs_more_releases_one_at_once() -> None:
    """Of four jobs of one owner, the one that has run longest stops for an owner without a job."""
    jobs = running("a", "a", "b", "a")
    assert job_to_suspend(jobs, loads(a=(3, 2), b=(1, 0), c=(0, 1)), TURN_S) is jobs[0]
    assert job_to_suspend(jobs, loads(a=(3, 0), b=(1, 1)), TURN_S) is jobs[0]
    assert job_to_suspend(running("a", "a", "b"), loads(a=(2, 0), b=(1, 1)), TURN_S) is None


def test_equal_owners_take_turns() -> None:
    """If each owner runs one job, the longest one stops for another owner after its turn, and not before."""
    waiting = loads(a=(1, 3), b=(1, 0), c=(0, 1))
    assert job_to_suspend(running("b", "a", seconds=TURN_S - 5), waiting, TURN_S) is None
    jobs = running("b", "a", seconds=TURN_S + 5)
    assert job_to_suspend(jobs, waiting, TURN_S) is jobs[0]


def test_a_job_stops_only_for_another_owner() -> None:
    """Without a waiting owner, for an owner with as many jobs, or while another job stops, none is suspended."""
    jobs = running("a", "a", seconds=100)
    assert job_to_suspend(jobs, loads(a=(2, 0)), TURN_S) is None
    assert job_to_suspend(jobs, loads(a=(2, 5)), TURN_S) is None
    assert job_to_suspend(running("a", "b", seconds=100), loads(a=(1, 1), b=(1, 1)), TURN_S) is None
    jobs[1].stopping.set()
    assert job_to_suspend(jobs, loads(a=(2, 5), b=(0, 1)), TURN_S) is None


class LongJobs:
    """Runs the jobs of one owner until they are suspended, and those of others for a moment."""

    def __init__(self) -> None:
        self.started: list[str] = []

    async def __call__(self, job: Job, stopping: asyncio.Event, _: Callable[[], None]) -> None:
        """Run one job."""
        self.started.append(job.owner)
        if job.owner == "large":
            await stopping.wait()
            raise JobSuspended
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("slots", [1, 4])
async def test_large_surveys_do_not_block_another_owner(store: JobStore, slots: int) -> None:
    """While one owner's endless surveys fill all slots, three surveys of another one complete."""
    work = LongJobs()
    async with JobHarness(store, work, max_concurrent_jobs=slots, lease_s=0.4, turn_s=0.05) as harness:
        large = [await harness.submit("large") for _ in range(slots + 2)]
        await until(lambda: len(work.started) == slots)
        small = [await harness.submit("small") for _ in range(3)]
        async with asyncio.timeout(10):
            for job in small:
                assert (await harness.service.wait_until_done(job.id)).status is JobStatus.SUCCESSFUL
        await until(lambda: work.started.count("large") > slots)
        assert {await harness.status(job) for job in large} <= {JobStatus.RUNNING, JobStatus.ACCEPTED}
    assert work.started.count("small") == 3


async def test_echoes_take_no_slot_of_a_survey(store: JobStore) -> None:
    """Forty echoes of a minute leave the slots to a survey, and endless surveys leave theirs to an echo."""
    work = LongJobs()
    async with JobHarness(store, work, max_concurrent_jobs=1, lease_s=0.4) as harness:
        for _ in range(40):
            await harness.service.enqueue(Job(ECHO, "b", Echo(text="x", pause_s=60).model_dump_json()))
        job = await harness.submit("small")
        assert (await asyncio.wait_for(harness.service.wait_until_done(job.id), 10)).status is JobStatus.SUCCESSFUL
        active = [load for load in await store.leases.loads() if load.owner == "b"]
        assert active == [OwnerLoad("b", 16, 24)]


async def test_a_survey_beyond_the_stored_bytes_fails(store: JobStore) -> None:
    """A running survey whose owner reaches the limit fails with too_large; the survey of another owner continues."""

    async def wait(*_: object) -> None:
        await asyncio.sleep(60)

    async with JobHarness(store, wait, lease_s=0.2) as harness:
        jobs = [await harness.submit(owner) for owner in ("large", "small")]
        await until(lambda: len(harness.planned) == 2)
        await store.update_active(jobs[0].id, bytes=1_000_000)
        failed = await asyncio.wait_for(harness.service.wait_until_done(jobs[0].id), 10)
        assert (failed.status, failed.code) == (JobStatus.FAILED, "too_large")
        assert await harness.status(jobs[1]) is JobStatus.RUNNING

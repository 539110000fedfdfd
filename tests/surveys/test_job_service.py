"""Job service: submission, owners, dismissal and streams of answers, with fake surveys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from jobs.conftest import answered
from sarlens.errors import JobNotFound
from sarlens.jobs.models import Job, JobStatus
from sarlens.jobs.store import JobStore
from sarlens.surveys import job_service
from surveys.job_fakes import JobHarness, until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    """A store in a file."""
    job_store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    yield job_store
    await job_store.close()


async def test_a_survey_is_checked_planned_and_stored(store: JobStore) -> None:
    """Submission checks the output first, plans once, and returns the stored job."""
    harness = JobHarness(store)
    job = await harness.submit("gis")
    assert harness.calls == ["check", "plan"]
    assert await store.find(job.id) == job
    assert (job.owner, job.tiles, job.status) == ("gis", 3, JobStatus.ACCEPTED)


async def test_a_job_is_found_by_its_owner(store: JobStore) -> None:
    """An owner finds its jobs, None finds all, and others get JobNotFound with the id."""
    harness = JobHarness(store)
    job = await harness.submit("gis")
    for owner in ("gis", None):
        assert (await harness.service.find(job.id, owner)).id == job.id
    for job_id, owner in ((job.id, "other"), (job.id, ""), ("none", "gis")):
        with pytest.raises(JobNotFound, match=f"^Job '{job_id}' doesn't exist.$"):
            await harness.service.find(job_id, owner)


async def test_an_active_job_is_canceled_and_a_completed_one_deleted(store: JobStore) -> None:
    """The first dismissal ends the job and drops its plan; the second one deletes it."""
    harness = JobHarness(store)
    job = await harness.submit()
    dismissed = await harness.service.dismiss(job)
    assert (dismissed.status, dismissed.message) == (JobStatus.DISMISSED, "Dismissed.")
    assert dismissed.finished is not None
    assert harness.discarded == [job.id]
    assert (await harness.service.dismiss(dismissed)).status is JobStatus.DISMISSED
    assert await store.find(job.id) is None


async def test_a_running_job_is_canceled(store: JobStore) -> None:
    """Dismissal cancels the job in this process, and a request that waits for it returns."""
    running, canceled = asyncio.Event(), asyncio.Event()

    async def work(*_: object) -> None:
        running.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            canceled.set()
            raise

    async with JobHarness(store, work) as harness:
        job = await harness.submit()
        waiting = asyncio.create_task(harness.service.wait_until_done(job.id))
        await asyncio.wait_for(running.wait(), 10)
        await harness.service.dismiss(job)
        assert (await asyncio.wait_for(waiting, 10)).status is JobStatus.DISMISSED
        await asyncio.wait_for(canceled.wait(), 10)
        assert await harness.status(job) is JobStatus.DISMISSED


async def test_answers_are_streamed_as_they_are_committed(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream has every answer once, in the order of the commits, in pages, and ends with the job."""
    monkeypatch.setattr(job_service, "_PAGE_SIZE", 2)
    steps = asyncio.Queue[int]()

    async def work(job: Job, _: asyncio.Event, on_progress: Callable[[], None]) -> None:
        tile = 0
        while count := await steps.get():
            for _tile in range(tile, tile + count):
                await store.write_tile(job.id, answered(job, _tile))
            tile += count
            on_progress()

    async with JobHarness(store, work) as harness:
        job = await harness.submit()
        tiles: list[int] = []
        page_sizes: list[int] = []

        async def read() -> None:
            async for page in harness.service.stream_answers(job.id):
                page_sizes.append(len(page))
                tiles.extend(int(feature.split(".")[1]) for feature in page)

        reading = asyncio.create_task(read())
        await steps.put(1)
        await until(lambda: tiles == [0])
        await steps.put(3)
        await until(lambda: tiles == [0, 1, 2, 3])
        await steps.put(0)
        await asyncio.wait_for(reading, 10)
    assert page_sizes[0] == 1
    assert max(page_sizes) == 2


async def test_a_stream_of_a_completed_job_has_all_answers(store: JobStore) -> None:
    """The stream of a completed job ends after its answers; that of an unknown job is empty."""
    harness = JobHarness(store)
    job = await harness.submit()
    for tile in range(3):
        await store.write_tile(job.id, answered(job, tile))
    await store.update_active(job.id, status=JobStatus.SUCCESSFUL)
    pages = [page async for page in harness.service.stream_answers(job.id)]
    assert [len(page) for page in pages] == [3]
    assert [page async for page in harness.service.stream_answers("none")] == []


async def test_waiting_for_a_job_of_another_process(store: JobStore) -> None:
    """A job that another process completes is noticed at the next poll; a deleted job raises JobNotFound."""
    harness = JobHarness(store)
    job = await harness.submit()
    waiting = asyncio.create_task(harness.service.wait_until_done(job.id))
    await asyncio.sleep(0.05)
    await store.update_active(job.id, status=JobStatus.SUCCESSFUL)
    assert (await asyncio.wait_for(waiting, 2)).status is JobStatus.SUCCESSFUL
    await store.delete([job.id])
    with pytest.raises(JobNotFound):
        await harness.service.wait_until_done(job.id)

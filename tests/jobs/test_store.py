"""Job store in SQLite and in PostgreSQL: jobs, leases, tiles and answers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from jobs.conftest import add_job, answered
from sarlens.errors import JobsUnavailable, OutputExists
from sarlens.jobs.batch_writer import TileResult
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.filters import AnswerFilter, JobFilter
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import Job, JobStatus, TileCounts
from sarlens.jobs.store import JobStore


async def test_a_job_is_stored_with_its_counts(store: JobStore) -> None:
    """A job has the stored fields, the number of tiles by outcome, and its progress in percent."""
    job = await add_job(store, owner="gis", version="v1", model="nano", tiles=3)
    await store.write_tile(job.id, answered(job, 0, (1.0, 2.0, 3.0, 4.0), value=3))
    await store.write_tile(job.id, TileResult(1, "blank", ()))
    stored = await store.find(job.id)
    assert stored is not None
    assert stored.counts == TileCounts(answered=1, blank=1)
    assert (stored.owner, stored.version, stored.model) == ("gis", "v1", "nano")
    assert (stored.status, stored.progress) == (JobStatus.ACCEPTED, 66)
    assert await store.finished_tiles(job.id) == {0, 1}
    assert [feature for _, feature in await store.list_answers(AnswerFilter(job=job.id))] == [
        f'{{"type":"Feature","id":"{job.id}.0.0","geometry":null,"properties":{{"value":3}}}}'
    ]
    assert await store.find("none") is None


async def test_the_first_result_of_a_tile_stays(store: JobStore) -> None:
    """A second result of a tile is ignored, in the same transaction and in a later one."""
    job = await add_job(store)
    await asyncio.gather(*(store.write_tile(job.id, answered(job, 0, value=value)) for value in (1, 2)))
    await store.write_tile(job.id, TileResult(0, "failed", ()))
    ((_, feature),) = await store.list_answers(AnswerFilter(job=job.id))
    assert '"value":1' in feature
    stored = await store.find(job.id)
    assert stored is not None
    assert stored.counts == TileCounts(answered=1)


async def test_one_process_leases_a_job(store: JobStore) -> None:
    """A leased job can't be claimed until the lease expires or is released; a renewal extends the lease."""
    job = await add_job(store)
    assert [claimed.id for claimed in await store.leases.claim("one", 1.0, 5)] == [job.id]
    assert await store.leases.claim("two", 1.0, 5) == []
    await asyncio.sleep(0.6)
    assert await store.leases.renew("one", 1.0, [job.id]) == {job.id}
    await asyncio.sleep(0.6)
    assert await store.leases.claim("two", 1.0, 5) == []
    await asyncio.sleep(0.6)
    assert [claimed.id for claimed in await store.leases.claim("two", 60, 5)] == [job.id]
    assert await store.leases.renew("one", 60, [job.id]) == set()
    await store.leases.release(job.id, "one")
    assert await store.leases.claim("three", 60, 5) == []
    await store.leases.release(job.id, "two")
    assert [claimed.id for claimed in await store.leases.claim("three", 60, 5)] == [job.id]


async def test_the_oldest_jobs_are_claimed_first(store: JobStore) -> None:
    """A claim takes at most the requested number of jobs, by creation time, and no job twice."""
    jobs = [await add_job(store, created=float(second)) for second in (3, 1, 2)]
    assert {job.id for job in await store.leases.claim("one", 60, 2)} == {jobs[1].id, jobs[2].id}
    assert [job.id for job in await store.leases.claim("one", 60, 2)] == [jobs[0].id]
    ids = {job.id for job in jobs}
    assert await store.leases.renew("one", 60, [*ids, "unknown"]) == ids


async def test_concurrent_claims_do_not_overlap(tmp_path: Path) -> None:
    """Two processes that claim 20 jobs at the same time, 7 at a time, get each job once."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    stores = [JobStore(url), JobStore(url)]
    jobs = [await add_job(stores[0]) for _ in range(20)]
    claimed: list[str] = []
    while len(claimed) < len(jobs):
        claims = await asyncio.gather(*(store.leases.claim(str(id(store)), 60, 7) for store in stores))
        assert any(claims)
        claimed += [job.id for claim in claims for job in claim]
    assert sorted(claimed) == sorted(job.id for job in jobs)
    for store in stores:
        await store.close()


async def test_a_completed_job_does_not_change(store: JobStore) -> None:
    """A dismissed job is neither updated nor claimed nor renewed."""
    job = await add_job(store)
    await store.leases.claim("one", 60, 5)
    assert await store.update_active(job.id, status=JobStatus.DISMISSED, finished=time.time())
    assert not await store.update_active(job.id, status=JobStatus.SUCCESSFUL)
    assert await store.leases.renew("one", 60, [job.id]) == set()
    await store.leases.release(job.id, "one")
    assert await store.leases.claim("two", 60, 5) == []
    stored = await store.find(job.id)
    assert stored is not None
    assert stored.status is JobStatus.DISMISSED
    assert stored.updated >= job.updated


async def test_completed_jobs_expire(store: JobStore) -> None:
    """Jobs that finished longer ago than the retention expire; active jobs and later ones don't."""
    old, new, active = [await add_job(store) for _ in range(3)]
    await store.update_active(old.id, status=JobStatus.FAILED, finished=database_time() - 200)
    await store.update_active(new.id, status=JobStatus.SUCCESSFUL, finished=database_time() - 100)
    await store.update_active(active.id, finished=database_time() - 200)
    assert await store.expired(250.0) == []
    assert await store.expired(150.0) == [old.id]
    assert set(await store.expired(50.0)) == {old.id, new.id}


async def test_a_deleted_job_leaves_nothing(store: JobStore) -> None:
    """Deletion removes job, tiles and answers, and keeps those of other jobs."""
    deleted, kept = await add_job(store), await add_job(store)
    for job in (deleted, kept):
        await store.write_tile(job.id, answered(job, 0))
    await store.delete([deleted.id])
    assert await store.find(deleted.id) is None
    assert await store.finished_tiles(deleted.id) == set()
    assert await store.find_answer(f"{deleted.id}.0.0", AnswerFilter()) is None
    assert await store.count_answers(AnswerFilter()) == 1
    assert await store.find_answer(f"{kept.id}.0.0", AnswerFilter(job=kept.id)) is not None
    assert [layer.id for layer in await store.layers.surveys(JobFilter(), limit=9)] == [kept.id]


async def test_tiles_of_inactive_jobs_are_rejected(store: JobStore) -> None:
    """Tiles of dismissed and deleted jobs raise JobNotActive; tiles of active jobs in the same batch are written."""
    dismissed, deleted, active = [await add_job(store) for _ in range(3)]
    for job in (dismissed, deleted):
        await store.update_active(job.id, status=JobStatus.DISMISSED, finished=time.time())
    await store.delete([deleted.id])
    jobs = (dismissed, deleted, active)
    writes = (store.write_tile(job.id, answered(job, 0)) for job in jobs)
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [JobNotActive, JobNotActive, type(None)]
    assert [await store.count_answers(AnswerFilter(job=job.id)) for job in jobs] == [0, 0, 1]
    assert [await store.finished_tiles(job.id) for job in jobs] == [set(), set(), {0}]


async def test_jobs_are_listed_newest_first(store: JobStore) -> None:
    """The limit keeps the newest jobs."""
    jobs = [await add_job(store, created=float(second)) for second in (1, 3, 2)]
    assert [job.created for job in await store.list_jobs(JobFilter(), limit=2)] == [3.0, 2.0]
    assert len(await store.list_jobs(JobFilter(), limit=10)) == len(jobs)


async def test_a_failing_database_is_reported_without_its_path(tmp_path: Path) -> None:
    """A folder in place of the file raises JobsUnavailable with Retry-After, and without the path."""
    (tmp_path / "jobs.db").mkdir()
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    with pytest.raises(JobsUnavailable) as raised:
        await store.find("x")
    assert raised.value.message == "The job database failed: OperationalError. Try again in a moment."
    assert raised.value.retry_after == 5
    await store.close()


async def test_the_file_is_created_by_the_first_job(tmp_path: Path) -> None:
    """A store has no file until its first method call."""
    store = JobStore(f"sqlite:///{tmp_path / 'deep' / 'jobs.db'}")
    assert (store.exists, store.is_writable) == (False, True)
    await store.add(Job("survey", "", "{}"))
    assert store.exists
    assert (tmp_path / "deep" / "jobs.db").exists()
    await store.close()


def test_a_folder_below_a_file_is_not_writable(tmp_path: Path) -> None:
    """A path below a file isn't writable, and the check creates nothing."""
    (tmp_path / "file").touch()
    assert not JobStore(f"sqlite:///{tmp_path / 'file' / 'jobs.db'}").is_writable
    assert JobStore(f"sqlite:///{tmp_path / 'file'}").is_writable
    assert JobStore("postgresql://127.0.0.1:9/jobs").is_writable
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


async def test_a_resumed_job_keeps_its_answers_but_not_its_failures(store: JobStore) -> None:
    """A failed job is active again without its error and its failed tile; another process claims it at once.

    An active and a successful job stay as they are.
    """
    job = await add_job(store, tiles=3)
    await store.leases.claim("one", 60, 5)
    await store.write_tile(job.id, answered(job, 0))
    await store.write_tile(job.id, answered(job, 1, error="timeout")._replace(outcome="failed"))
    assert not await store.resume(job)
    await store.update_active(job.id, status=JobStatus.FAILED, finished=database_time(), code="x", message="y")
    assert await store.resume(job)
    (claimed,) = await store.leases.claim("two", 60, 5)
    assert (claimed.id, claimed.status, claimed.finished, claimed.code, claimed.message) == (
        job.id,
        JobStatus.ACCEPTED,
        None,
        None,
        None,
    )
    assert (claimed.counts.answered, claimed.counts.failed) == (1, 0)
    assert await store.finished_tiles(job.id) == {0}
    assert [feature_id for feature_id in (f"{job.id}.0.0", f"{job.id}.1.0") if await has(store, feature_id)] == [
        f"{job.id}.0.0"
    ]
    await store.write_tile(job.id, answered(job, 1))
    await store.update_active(job.id, status=JobStatus.SUCCESSFUL, finished=database_time())
    assert not await store.resume(job)


async def test_a_job_whose_output_another_one_has_is_not_resumed(store: JobStore) -> None:
    """A dismissed job whose output an active job writes is OutputExists, and can be resumed afterwards."""
    first = await add_job(store, output="s3://b/a")
    await store.update_active(first.id, status=JobStatus.DISMISSED)
    second = await add_job(store, output="s3://b/a")
    with pytest.raises(OutputExists):
        await store.resume(first)
    await store.update_active(second.id, status=JobStatus.SUCCESSFUL)
    assert await store.resume(first)


async def has(store: JobStore, feature_id: str) -> bool:
    """Whether the store has an answer."""
    return await store.find_answer(feature_id, AnswerFilter()) is not None

"""Limits of each owner in the job database, and the fair order of claims."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jobs.conftest import add_job, answered
from sarlens.errors import OutputExists, PayloadTooLarge, QuotaExceeded
from sarlens.jobs.leases import OwnerLoad
from sarlens.jobs.models import JobStatus
from sarlens.jobs.owner_limits import OwnerLimits
from sarlens.jobs.store import JobStore


async def test_unfinished_jobs_are_limited_per_owner(tmp_path: Path) -> None:
    """The third unfinished job of an owner is rejected, until one of the two completes; another owner isn't limited."""
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}", OwnerLimits(2, 10**9))
    jobs = [await add_job(store, owner="gis") for _ in range(2)]
    await add_job(store, owner="other")
    for attempt in (store.check_owner("gis"), add_job(store, owner="gis")):
        with pytest.raises(QuotaExceeded, match=r"^Unfinished jobs of the caller: 2; the limit is 2") as raised:
            await attempt
        assert raised.value.retry_after == 30
    await store.update_active(jobs[0].id, status=JobStatus.SUCCESSFUL)
    await store.check_owner("gis")
    await add_job(store, owner="gis")
    await store.close()


async def test_stored_bytes_are_limited_per_owner(tmp_path: Path) -> None:
    """Requests and answers count, 1024 bytes a job in addition, and a deleted job counts no longer."""
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}", OwnerLimits(100, 6000))
    first = await add_job(store, owner="gis", request="x" * 1000)
    await add_job(store, owner="gis")
    await add_job(store, owner="other", request="x" * 9000)
    assert await store.owners_over_limit(["gis", "other"]) == {"other"}
    await store.write_tile(first.id, answered(first, 0, text="x" * 3000))
    with pytest.raises(PayloadTooLarge, match=r"limit of 6000 bytes\. Delete finished jobs"):
        await add_job(store, owner="gis")
    assert await store.owners_over_limit(["gis", "other", "none"]) == {"gis", "other"}
    await store.delete([first.id])
    await add_job(store, owner="gis")
    await store.close()


async def test_owners_take_turns(store: JobStore) -> None:
    """The owner with the fewest leased jobs comes first, then the lowest priority number, then the longest wait."""
    jobs = {
        f"{owner}{number}": await add_job(store, owner=owner, created=float(created), priority=priority)
        for owner, number, created, priority in (
            *(("a", number, number, 0) for number in range(5)),
            ("b", 0, 10, 5),
            ("b", 1, 11, -5),
            ("c", 0, 12, 0),
        )
    }
    names = {job.id: name for name, job in jobs.items()}
    order = [names[job.id] for _ in range(8) for job in await store.leases.claim("one", 60, 1)]
    assert order == ["b1", "a0", "c0", "a1", "b0", "a2", "a3", "a4"]
    for job_id in names:
        await store.leases.release(job_id, "one")
        await asyncio.sleep(0.002)  # SQLite's clock counts milliseconds, and equal times are in the order of the ids
    assert {names[job.id] for job in await store.leases.claim("one", 60, 5)} == {"b1", "a0", "c0", "a1", "b0"}
    assert sorted(await store.leases.loads()) == [OwnerLoad("a", 2, 3), OwnerLoad("b", 2, 0), OwnerLoad("c", 1, 0)]


async def test_a_released_job_waits_behind_the_others(store: JobStore) -> None:
    """A job that is released is claimed after a job of the same owner that waited meanwhile."""
    first, second = [await add_job(store, created=float(created)) for created in (1, 2)]
    assert [job.id for job in await store.leases.claim("one", 60, 1)] == [first.id]
    await store.leases.release(first.id, "one")
    assert [job.id for job in await store.leases.claim("one", 60, 1)] == [second.id]


async def test_active_jobs_have_distinct_outputs(store: JobStore) -> None:
    """A second active job with an output is rejected; a completed job doesn't reserve its output."""
    first = await add_job(store, output="s3://results/x")
    await add_job(store, output="s3://results/y")
    with pytest.raises(OutputExists, match="Another survey writes to the output s3://results/x") as raised:
        await add_job(store, output="s3://results/x")
    assert raised.value.param == "output"
    await store.update_active(first.id, status=JobStatus.FAILED)
    await add_job(store, output="s3://results/x")

"""Filters of jobs and answers, in SQLite and in PostgreSQL."""

from __future__ import annotations

import time
from typing import Any

import pytest

from jobs.conftest import add_job, answered
from sarlens.jobs.filters import AnswerFilter, JobFilter
from sarlens.jobs.models import JobStatus
from sarlens.jobs.store import JobStore

Box = tuple[float, float, float, float]
BOUNDS: list[Box] = [(1.0, 1.0, 2.0, 2.0), (179.0, 0.0, 181.0, 1.0), (-30.0, -30.0, -29.0, -29.0)]


@pytest.mark.parametrize(
    ("bbox", "tiles"),
    [
        ((0, 0, 1.5, 1.5), [0]),
        ((-180, 0, -179.5, 1), [1]),
        ((178, 0, -170, 1), [1]),
        ((-180, -90, 180, 90), [0, 1, 2]),
        ((10, 10, 20, 20), []),
        ((2, 2, 3, 3), [0]),
        ((2.01, 2, 3, 3), []),
        ((-31, -29, -28, -28), [2]),
        ((-31, -28.99, -28, -28), []),
        ((170, 0, 178.99, 1), []),
    ],
)
async def test_answers_are_selected_by_bbox(store: JobStore, bbox: Box, tiles: list[int]) -> None:
    """A bbox selects the answers whose bounds touch it, also across the antimeridian."""
    job = await add_job(store)
    for tile, bounds in enumerate(BOUNDS):
        await store.write_tile(job.id, answered(job, tile, bounds))
    await store.write_tile(job.id, answered(job, 3, None))
    answers = await store.list_answers(AnswerFilter(bbox=bbox))
    assert [int(feature.split(".")[1]) for _, feature in answers] == tiles


async def test_answers_are_selected_by_owner_and_job(store: JobStore) -> None:
    """An owner has only the answers of its own jobs."""
    mine, other = await add_job(store, owner="me"), await add_job(store, owner="you")
    for job, tiles in ((mine, 3), (other, 2)):
        for tile in range(tiles):
            await store.write_tile(job.id, answered(job, tile))
    assert await store.count_answers(AnswerFilter(owner="me")) == 3
    assert await store.count_answers(AnswerFilter(owner="you")) == 2
    assert await store.count_answers(AnswerFilter(owner="me", job=other.id)) == 0
    assert await store.count_answers(AnswerFilter()) == 5


async def test_answers_are_paged(store: JobStore) -> None:
    """Number, offset and limit select pages in the order of the commits; the count ignores offset and limit."""
    job = await add_job(store)
    for tile in (3, 1, 2, 0):
        await store.write_tile(job.id, answered(job, tile))

    async def tiles(**fields: Any) -> list[int]:
        answers = await store.list_answers(AnswerFilter(job=job.id, **fields))
        return [int(feature.split(".")[1]) for _, feature in answers]

    numbers = [number for number, _ in await store.list_answers(AnswerFilter())]
    assert numbers == sorted(numbers)
    assert await tiles() == [3, 1, 2, 0]
    assert await tiles(after=numbers[1]) == [2, 0]
    assert await tiles(offset=1, limit=2) == [1, 2]
    assert await store.count_answers(AnswerFilter(offset=1, limit=2)) == 4
    assert await store.count_answers(AnswerFilter(after=numbers[1])) == 2


async def test_answers_are_selected_by_time(store: JobStore) -> None:
    """An interval includes the time of the commit."""
    job, before = await add_job(store), time.time()
    await store.write_tile(job.id, answered(job, 0))
    after = time.time()
    for since, until, count in ((before, after, 1), (None, before, 0), (after, None, 0), (before, None, 1)):
        assert await store.count_answers(AnswerFilter(since=since, until=until)) == count


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, [30, 20, 10]),
        ({"owner": "me"}, [20, 10]),
        ({"processes": ["echo"]}, [30]),
        ({"statuses": ["successful", "failed"]}, [20, 10]),
        ({"statuses": ["accepted"]}, [30]),
        ({"since": 20.0}, [30, 20]),
        ({"until": 20.0}, [20, 10]),
        ({"since": 11.0, "until": 29.0}, [20]),
        ({"min_duration_s": 5.0}, [20, 10]),
        ({"min_duration_s": 5.1}, [20]),
        ({"max_duration_s": 5.0}, [10]),
        ({"owner": "me", "statuses": ["failed"]}, [20]),
    ],
)
async def test_jobs_are_selected(store: JobStore, fields: dict[str, Any], seconds: list[int]) -> None:
    """Owner, process, status, creation time and duration select jobs; a job without a start has no duration."""
    first = await add_job(store, owner="me", created=10.0, started=100.0)
    await store.update_active(first.id, status=JobStatus.SUCCESSFUL, finished=105.0)
    second = await add_job(store, owner="me", created=20.0, started=100.0)
    await store.update_active(second.id, status=JobStatus.FAILED, finished=107.0)
    await add_job(store, process="echo", owner="you", created=30.0)
    assert [job.created for job in await store.list_jobs(JobFilter(**fields), limit=10)] == seconds


async def test_a_running_job_has_a_duration(store: JobStore) -> None:
    """The duration of a running job is the time since its start."""
    await add_job(store, started=time.time() - 60)
    assert len(await store.list_jobs(JobFilter(min_duration_s=59.0, max_duration_s=90.0), limit=10)) == 1
    assert await store.list_jobs(JobFilter(min_duration_s=90.0), limit=10) == []

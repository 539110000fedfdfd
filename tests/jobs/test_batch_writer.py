"""Group commit of tile results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Connection

from jobs.conftest import add_job, answered
from sarlens.errors import JobsUnavailable
from sarlens.jobs.batch_writer import TileBatchWriter
from sarlens.jobs.filters import AnswerFilter
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import Job, JobStatus
from sarlens.jobs.store import JobStore


@dataclass
class Transactions:
    """Runs transactions of a store, and holds them back until ``open`` is set."""

    store: JobStore
    open: asyncio.Event = field(default_factory=asyncio.Event)
    started: int = 0
    errors: list[Exception] = field(default_factory=list)
    """Errors of the next transactions."""

    async def run(self, work: Callable[[Connection], set[str]]) -> set[str]:
        """Run one transaction."""
        self.started += 1
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        return await self.store._database.write(work)


@pytest.fixture
async def transactions(tmp_path: Path) -> AsyncIterator[Transactions]:
    """Transactions of a store in a file."""
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    yield Transactions(store)
    await store.close()


async def stored_tiles(transactions: Transactions, job: Job) -> list[int]:
    """Return the tiles with an answer, in the order of the commits."""
    answers = await transactions.store.list_answers(AnswerFilter(job=job.id))
    return [int(feature.split(".")[1]) for _, feature in answers]


async def start_writes(writer: TileBatchWriter, job: Job, tiles: range) -> list[asyncio.Task[None]]:
    """Start one write per tile, and let each reach its transaction."""
    writes = [asyncio.create_task(writer.write(job.id, answered(job, tile))) for tile in tiles]
    await asyncio.sleep(0.01)
    return writes


async def test_results_during_a_transaction_share_the_next_one(transactions: Transactions) -> None:
    """One result and 300 results that arrive during its transaction are two transactions, in the order of arrival."""
    job, writer = await add_job(transactions.store), TileBatchWriter(transactions.run)
    writes = await start_writes(writer, job, range(1))
    writes += await start_writes(writer, job, range(1, 301))
    assert transactions.started == 1
    assert not any(write.done() for write in writes)
    transactions.open.set()
    await asyncio.gather(*writes)
    assert transactions.started == 2
    assert await stored_tiles(transactions, job) == list(range(301))


async def test_a_write_returns_after_its_commit(transactions: Transactions) -> None:
    """A write returns only when its answer is readable."""
    job, writer = await add_job(transactions.store), TileBatchWriter(transactions.run)
    transactions.open.set()
    for tile in range(3):
        await writer.write(job.id, answered(job, tile))
        assert await stored_tiles(transactions, job) == list(range(tile + 1))
    assert transactions.started == 3


async def test_a_failed_transaction_fails_its_writes_only(transactions: Transactions) -> None:
    """The writes of a failed transaction get its error, and the next transaction succeeds."""
    job, writer = await add_job(transactions.store), TileBatchWriter(transactions.run)
    transactions.errors = [JobsUnavailable("The disk is full.")]
    first = await start_writes(writer, job, range(1))
    second = await start_writes(writer, job, range(1, 3))
    transactions.open.set()
    results = await asyncio.gather(*first, *second, return_exceptions=True)
    assert [str(result) for result in results] == ["The disk is full.", "None", "None"]
    assert await stored_tiles(transactions, job) == [1, 2]


async def test_an_unexpected_error_reaches_every_write(transactions: Transactions) -> None:
    """An error other than JobsUnavailable is raised by all writes of the transaction, and later writes succeed."""
    job, writer = await add_job(transactions.store), TileBatchWriter(transactions.run)
    transactions.errors = [TypeError("not JSON")]
    writes = await start_writes(writer, job, range(2))
    transactions.open.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [TypeError, TypeError]
    await writer.write(job.id, answered(job, 2))
    assert await stored_tiles(transactions, job) == [2]


async def test_a_canceled_write_does_not_stop_the_others(transactions: Transactions) -> None:
    """A canceled write is committed with its transaction, and the others return."""
    job, writer = await add_job(transactions.store), TileBatchWriter(transactions.run)
    writes = await start_writes(writer, job, range(3))
    writes[1].cancel()
    transactions.open.set()
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
    assert await stored_tiles(transactions, job) == [0, 1, 2]


async def test_close_commits_pending_results(transactions: Transactions) -> None:
    """Close returns after the transaction in progress and the results that wait for the next one."""
    job, writer = await add_job(transactions.store), TileBatchWriter(transactions.run)
    writes = await start_writes(writer, job, range(1))
    writes += await start_writes(writer, job, range(1, 4))
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    transactions.open.set()
    await closing
    assert await stored_tiles(transactions, job) == [0, 1, 2, 3]
    await asyncio.gather(*writes)
    await TileBatchWriter(transactions.run).close()


async def test_a_batch_can_have_several_jobs(transactions: Transactions) -> None:
    """One transaction writes the tiles of active jobs, and rejects those of a failed job by its id."""
    active, other, failed = [await add_job(transactions.store) for _ in range(3)]
    await transactions.store.update_active(failed.id, status=JobStatus.FAILED)
    writer = TileBatchWriter(transactions.run)
    writes = [asyncio.create_task(writer.write(job.id, answered(job, 0))) for job in (active, failed, other)]
    transactions.open.set()
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert transactions.started == 1
    assert [type(result) for result in results] == [type(None), JobNotActive, type(None)]
    assert str(results[1]) == failed.id
    assert [await stored_tiles(transactions, job) for job in (active, failed, other)] == [[0], [], [0]]


async def test_a_commit_updates_the_time_of_its_jobs(transactions: Transactions) -> None:
    """A tile sets the update time of its job, and not that of other jobs."""
    job = await add_job(transactions.store, updated=1.0)
    other = await add_job(transactions.store, updated=1.0)
    transactions.open.set()
    await TileBatchWriter(transactions.run).write(job.id, answered(job, 0))
    stored = [await transactions.store.find(stored_job.id) for stored_job in (job, other)]
    assert [stored_job.updated > 1.0 for stored_job in stored if stored_job] == [True, False]

"""Job database: passing failures, time limits, readers next to the writer, and the clock of leases."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from sqlalchemy import Connection, select

from jobs.conftest import add_job, answered
from sarlens.errors import BadRequest, JobsUnavailable
from sarlens.jobs import database
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import JOBS
from sarlens.jobs.engine import open_engine
from sarlens.jobs.filters import AnswerFilter
from sarlens.jobs.store import JobStore


@asynccontextmanager
async def locked(store: JobStore) -> AsyncIterator[None]:
    """Lock the database against writes of other connections."""
    engine = open_engine(store._database._url)
    with engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_sqlite else "LOCK TABLE sarlens_jobs IN EXCLUSIVE MODE")
        yield
        connection.rollback()
    engine.dispose()


async def test_writes_to_a_locked_database_end_in_time(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten writes to a locked database fail together after their limit, reads succeed, and later writes too."""
    job = await add_job(store)
    monkeypatch.setattr(database, "WRITE_TIMEOUT_S", 0.3)
    async with locked(store):
        started_at = monotonic()
        writes = (store.update_active(job.id, model=str(number)) for number in range(10))
        errors = await asyncio.gather(*writes, return_exceptions=True)
        assert {type(error) for error in errors} == {JobsUnavailable}
        assert monotonic() - started_at < 10 * 0.3  # one after the other, they would take this long
        assert await store.find(job.id) == job
        with pytest.raises(JobsUnavailable) as raised:
            await store.write_tile(job.id, answered(job, 0))
        assert raised.value.retry_after == 5
    monkeypatch.setattr(database, "WRITE_TIMEOUT_S", 10.0)
    await store.write_tile(job.id, answered(job, 0))
    assert await store.finished_tiles(job.id) == {0}


async def test_a_database_that_hangs_is_not_waited_for(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller gets JobsUnavailable after the limit, though the transaction still runs in its thread."""
    await add_job(store)
    monkeypatch.setattr(database, "WRITE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(database, "_GRACE_S", 0.1)
    released = threading.Event()
    with pytest.raises(JobsUnavailable, match="TimeoutError"):
        await store._database.write(lambda _: released.wait(30))
    released.set()


async def test_readers_do_not_delay_commits(store: JobStore) -> None:
    """While four reads hold their connections, 20 tiles are committed one after the other."""
    job = await add_job(store)
    reading, finish = threading.Semaphore(0), threading.Event()

    def read(db: Connection) -> int:
        rows = db.execute(select(JOBS.c.id))
        rows.fetchone()
        reading.release()
        finish.wait(30)
        return len(rows.fetchall())

    reads = [asyncio.create_task(store._database.read(read)) for _ in range(4)]
    for _ in reads:
        await asyncio.to_thread(reading.acquire)
    for tile in range(20):
        await store.write_tile(job.id, answered(job, tile))
    assert not any(task.done() for task in reads)
    finish.set()
    assert await asyncio.gather(*reads) == [0] * 4
    assert await store.count_answers(AnswerFilter(job=job.id)) == 20


async def test_leases_ignore_the_clock_of_the_host(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose clock is an hour ahead or behind claims no leased job, and expires no finished one."""
    job, done = await add_job(store), await add_job(store)
    await store.update_active(done.id, status="successful", finished=database_time())
    assert len(await store.leases.claim("one", 60, 5)) == 1
    real_time = time.time
    for offset_s in (-3600, 3600):
        monkeypatch.setattr(time, "time", lambda offset_s=offset_s: real_time() + offset_s)
        assert await store.leases.claim("two", 60, 5) == []
        assert await store.expired(600) == []
        assert await store.leases.renew("one", 60, [job.id]) == {job.id}
    await store.leases.release(job.id, "one")
    assert len(await store.leases.claim("two", 60, 5)) == 1


async def test_times_come_from_the_clock_of_the_database(store: JobStore) -> None:
    """The time of the database is in seconds since 1970, to the millisecond."""
    before = time.time()
    now = await store._database.read(lambda db: db.execute(select(database_time())).scalar_one())
    assert before - 0.002 <= now <= time.time() + 0.002


async def test_a_large_job_is_deleted_in_parts(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of 25 answers is deleted in transactions of ten rows, and the answers of another job stay."""
    monkeypatch.setattr("sarlens.jobs.store._DELETED_AT_ONCE", 10)
    job, other = await add_job(store), await add_job(store)
    await asyncio.gather(*(store.write_tile(job.id, answered(job, tile)) for tile in range(25)))
    await store.write_tile(other.id, answered(other, 0))
    deleted: list[int] = []
    write = store._database.write

    async def count(work):  # type: ignore[no-untyped-def]
        rows = await write(work)
        deleted.append(rows if isinstance(rows, int) else rows.rowcount)
        return rows

    monkeypatch.setattr(store._database, "write", count)
    await store.delete([job.id])
    assert [rows for rows in deleted if rows] == [10, 10, 5, 10, 10, 5, 1, 1]
    assert await store.finished_tiles(other.id) == {0}


async def test_a_value_that_the_database_cannot_hold_is_a_bad_request(store: JobStore) -> None:
    """PostgreSQL has no texts with NUL, so an id with one is a 400 there; SQLite finds no such answer."""
    if store._database._url.get_backend_name() == "sqlite":
        assert await store.find_answer("a\0b", AnswerFilter()) is None
        return
    with pytest.raises(BadRequest, match="can't hold"):
        await store.find_answer("a\0b", AnswerFilter())

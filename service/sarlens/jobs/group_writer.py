"""Group commit: results that arrive during one transaction share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, and_, case, update

from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import JOBS
from sarlens.jobs.models import ACTIVE_STATUSES

ResultT = TypeVar("ResultT")

Transact = Callable[[Callable[[Connection], set[str]]], Coroutine[Any, Any, set[str]]]
"""Runs a function in a transaction, commits, and returns the result of the function."""
Insert = Callable[[Connection, Sequence[tuple[str, ResultT]]], set[str]]
"""Inserts results of jobs, and returns the ids of the active jobs, whose results it inserted."""


class JobNotActive(Exception):
    """The job is complete, dismissed or deleted, so the store rejects its results."""


class _Pending(NamedTuple, Generic[ResultT]):
    """A result that waits for its transaction."""

    job_id: str
    result: ResultT
    committed: asyncio.Future[None]

    def resolve(self, error: Exception | None) -> None:
        """Wake the caller, unless it is canceled."""
        if self.committed.done():
            return
        if error is None:
            self.committed.set_result(None)
        else:
            self.committed.set_exception(error)


class GroupWriter(Generic[ResultT]):
    """Writes results of jobs through ``transact``, one transaction at a time."""

    def __init__(self, transact: Transact, insert: Insert[ResultT]) -> None:
        self._transact = transact
        self._insert = insert
        self._pending: list[_Pending[ResultT]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, job_id: str, result: ResultT) -> None:
        """Write a result, and return after the commit.

        Raises:
            JobNotActive: the job is complete, dismissed or deleted.
            JobsUnavailable: the database fails.
        """
        pending = _Pending(job_id, result, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await pending.committed

    async def close(self) -> None:
        """Wait until all pending results are committed."""
        if self._flushing is not None:
            await asyncio.gather(self._flushing, return_exceptions=True)

    async def _flush(self) -> None:
        while self._pending:
            group, self._pending = self._pending, []
            results = [(pending.job_id, pending.result) for pending in group]
            try:
                active = await self._transact(lambda db, results=results: self._insert(db, results))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001  a caller without a result would wait forever
                for pending in group:
                    pending.resolve(error)
            else:
                for pending in group:
                    pending.resolve(None if pending.job_id in active else JobNotActive(pending.job_id))


def grow_active_jobs(db: Connection, job_ids: Collection[str], sizes: dict[str, int]) -> dict[str, float]:
    """Add ``sizes`` in bytes to those of the jobs that are active, and return the time of the update by job.

    Call it before the results are inserted: it locks the jobs, so that no other process completes or deletes them
    before the commit.
    """
    is_active = and_(JOBS.c.id.in_(sorted(job_ids)), JOBS.c.status.in_(ACTIVE_STATUSES))
    touch = (
        update(JOBS)
        .where(is_active)
        .values(updated=database_time(), bytes=JOBS.c.bytes + case(sizes, value=JOBS.c.id, else_=0))
    )
    return {row.id: row.updated for row in db.execute(touch.returning(JOBS.c.id, JOBS.c.updated))}

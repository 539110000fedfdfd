"""Batches: jobs whose lines are requests, with the results of their lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, tuple_, update

from sarlens.errors import JobNotFound
from sarlens.jobs.database import JobDatabase
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import BATCHES, JOBS, LINES
from sarlens.jobs.group_writer import GroupWriter, grow_active_jobs
from sarlens.jobs.models import ACTIVE_STATUSES, Job, JobStatus
from sarlens.jobs.owner_limits import OwnerLimits
from sarlens.jobs.pages import Page, select_page
from sarlens.jobs.rows import job_row
from sarlens.jobs.upsert import insert_missing

BATCH = "batch"
"""Process of the jobs that are batches."""
_DELETED_AT_ONCE = 5000
_JOB_COLUMNS = (
    JOBS.c.owner,
    JOBS.c.request,
    JOBS.c.status,
    JOBS.c.created,
    JOBS.c.finished,
    JOBS.c.code,
    JOBS.c.message,
)
_IS_ACTIVE = JOBS.c.status.in_(ACTIVE_STATUSES)
_IS_LEASED = JOBS.c.lease_expires >= database_time()


class LineResult(NamedTuple):
    """Result of a line."""

    line: int
    """Index of the line in the input, from 0."""
    failed: bool
    document: str
    """The line of the output file or the error file, as JSON."""


class LineCounts(NamedTuple):
    """Number of lines of a batch with a result."""

    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the database has it. Times are in seconds since 1970."""

    job: str
    """Id of its job."""
    owner: str
    request: str
    """Parameters of the batch as JSON."""
    status: JobStatus
    created: float
    finished: float | None
    code: str | None
    """Error code of a job that failed."""
    message: str | None
    input: str
    """Id of the input file; empty for another input."""
    expires: float
    """Time at which lines without a result expire."""
    total: int | None
    """Number of lines; None until they are validated."""
    validated: float | None
    canceling: float | None
    """Time of the request to cancel the batch."""
    finalizing: float | None
    """Time at which the last line had a result."""
    ended: str | None
    """Final status."""
    errors: str | None
    """Errors of the input, or of the whole batch, as a JSON array."""
    completed: int
    failed: int
    output_file: str | None
    error_file: str | None


class BatchTable:
    """Batches in the job database.

    Every method commits before it returns, and raises ``JobsUnavailable`` if the database fails.
    """

    def __init__(self, database: JobDatabase) -> None:
        self._database = database
        self._writer: GroupWriter[LineResult] = GroupWriter(database.write, _insert_lines)

    async def add(self, job: Job, limits: OwnerLimits, *, input_file: str, expires: float) -> None:
        """Insert a batch; raises as ``OwnerLimits.check``."""

        def add(db: Connection) -> None:
            limits.check(db, job.owner)
            db.execute(insert(JOBS).values(job_row(job)))
            db.execute(insert(BATCHES).values(job=job.id, input=input_file, expires=expires))

        await self._database.write(add)

    async def find(self, job_id: str, owner: str | None = None) -> Batch:
        """Return a batch of an owner, or of any owner if ``owner`` is None.

        Raises:
            JobNotFound: the owner has no such batch.
        """
        found = await self._select(Page(limit=1), JOBS.c.id == job_id, owner) if self._database.exists else []
        if not found:
            raise _not_found(job_id)
        return found[0]

    async def stop_times(self, job_id: str) -> tuple[float | None, float]:
        """Return the time of the request to cancel a batch, or None, and the time at which it expires.

        Raises:
            JobNotFound: there is no such batch.
        """
        query = select(BATCHES.c.canceling, BATCHES.c.expires).where(BATCHES.c.job == job_id)
        row = await self._database.read(lambda db: db.execute(query).one_or_none())
        if row is None:
            raise _not_found(job_id)
        return row.canceling, row.expires

    async def list_batches(self, owner: str | None, page: Page) -> list[Batch]:
        """Return a page of the batches of an owner, or of all owners if ``owner`` is None.

        Raises:
            BadRequest: the page is after a batch that isn't one of them.
        """
        return await self._select(page, JOBS.c.process == BATCH, owner) if self._database.exists else []

    async def uses_file(self, file_id: str) -> bool:
        """Whether an active batch has the file as its input."""
        query = (
            select(BATCHES.c.job).join(JOBS, JOBS.c.id == BATCHES.c.job).where(BATCHES.c.input == file_id, _IS_ACTIVE)
        )
        return await self._database.read(lambda db: db.execute(query.limit(1)).first() is not None)

    async def update(self, job_id: str, **values: Any) -> None:
        """Set columns of a batch. A value can be an expression such as ``database_time()``."""
        change = update(BATCHES).where(BATCHES.c.job == job_id).values(**values)
        await self._database.write(lambda db: db.execute(change))

    async def cancel(self, job_id: str) -> None:
        """Request that an active batch is canceled. One that no process runs, and without results, is canceled now."""
        has_lines = select(LINES.c.line).where(LINES.c.job == job_id).exists()
        is_idle = and_(JOBS.c.id == job_id, _IS_ACTIVE, ~_IS_LEASED, ~has_lines)
        end = update(JOBS).where(is_idle).values(status=JobStatus.DISMISSED, finished=database_time())
        active = select(JOBS.c.id).where(JOBS.c.id == job_id, _IS_ACTIVE)
        mark = update(BATCHES).where(BATCHES.c.job.in_(active), BATCHES.c.canceling.is_(None))

        def cancel(db: Connection) -> None:
            db.execute(mark.values(canceling=database_time()))
            if db.execute(end).rowcount:
                db.execute(update(BATCHES).where(BATCHES.c.job == job_id).values(ended="cancelled"))

        await self._database.write(cancel)

    async def finished_lines(self, job_id: str) -> set[int]:
        """Return the indexes of the lines with a result."""
        query = select(LINES.c.line).where(LINES.c.job == job_id)
        return await self._database.read(lambda db: set(db.execute(query).scalars()))

    async def write_line(self, job_id: str, result: LineResult) -> None:
        """Write the result of a line. A second result of the same line is ignored.

        Raises:
            JobNotActive: the batch has ended.
        """
        await self._writer.write(job_id, result)

    async def list_results(self, job_id: str, *, failed: bool, after: int, limit: int) -> list[tuple[int, str]]:
        """Return lines and their documents, in the order of the input, after a line."""
        query = (
            select(LINES.c.line, LINES.c.document)
            .where(LINES.c.job == job_id, LINES.c.failed.is_(failed), LINES.c.line > after)
            .order_by(LINES.c.line)
            .limit(limit)
        )
        return await self._database.read(lambda db: [tuple(row) for row in db.execute(query)])

    async def end(self, job_id: str, ended: str, **values: Any) -> None:
        """Write the final status, the counts and the results' places, and then delete the lines.

        The bytes of the lines no longer count for the owner.
        """

        def end(db: Connection) -> None:
            counts = _count_lines(db, [job_id]).get(job_id, LineCounts())
            columns = {"ended": ended, **counts._asdict(), **values}
            db.execute(update(BATCHES).where(BATCHES.c.job == job_id).values(columns))
            db.execute(update(JOBS).where(JOBS.c.id == job_id).values(bytes=func.length(JOBS.c.request)))

        await self._database.write(end)
        await self.delete_lines(job_id)

    async def delete_lines(self, job_id: str) -> None:
        """Delete the results of a batch, in transactions of bounded size."""
        some = select(LINES.c.job, LINES.c.line).where(LINES.c.job == job_id).limit(_DELETED_AT_ONCE)
        remove = delete(LINES).where(tuple_(LINES.c.job, LINES.c.line).in_(some))
        while await self._database.write(lambda db: db.execute(remove).rowcount):
            pass

    async def close(self) -> None:
        """Commit pending results."""
        await self._writer.close()

    async def _select(self, page: Page, condition: ColumnElement[bool], owner: str | None) -> list[Batch]:
        conditions = [condition] if owner is None else [condition, JOBS.c.owner == owner]
        query = select(BATCHES, *_JOB_COLUMNS).join(JOBS, JOBS.c.id == BATCHES.c.job)

        def select_batches(db: Connection) -> list[Batch]:
            paged = select_page(db, query, (JOBS.c.created, JOBS.c.id), page, *conditions)
            rows = db.execute(paged).mappings().all()
            counts = _count_lines(db, [row["job"] for row in rows if row["ended"] is None])
            return [
                Batch(**{**row, "status": JobStatus(row["status"]), **counts.get(row["job"], LineCounts())._asdict()})
                if row["ended"] is None
                else Batch(**{**row, "status": JobStatus(row["status"])})
                for row in rows
            ]

        return await self._database.read(select_batches)


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"Batch {f'batch_{job_id[:64]}'!r} doesn't exist.")


def _count_lines(db: Connection, job_ids: Sequence[str]) -> dict[str, LineCounts]:
    columns = (LINES.c.job, LINES.c.failed)
    query = select(*columns, func.count()).where(LINES.c.job.in_(job_ids)).group_by(*columns)
    counts: dict[str, LineCounts] = {}
    for job, failed, lines in db.execute(query):
        counts[job] = counts.get(job, LineCounts())._replace(**{"failed" if failed else "completed": lines})
    return counts


def _insert_lines(db: Connection, results: Sequence[tuple[str, LineResult]]) -> set[str]:
    sizes: dict[str, int] = {}
    for job_id, result in results:
        sizes[job_id] = sizes.get(job_id, 0) + len(result.document)
    active = grow_active_jobs(db, sizes, sizes)
    insert_missing(db, LINES, [{"job": job_id, **result._asdict()} for job_id, result in results if job_id in active])
    return set(active)

"""Job store: durable jobs, finished tiles and answers in SQLite or PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from sarlens.errors import OutputExists
from sarlens.jobs.batch_writer import TileBatchWriter, TileResult
from sarlens.jobs.batches import BatchTable
from sarlens.jobs.database import JobDatabase
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import ANSWERS, BATCHES, CANDIDATES, JOBS, LAYERS, LINES, OBJECTS, TILES
from sarlens.jobs.files import FileTable
from sarlens.jobs.filters import AnswerFilter, JobFilter
from sarlens.jobs.layers import AnswerLayers
from sarlens.jobs.leases import JobLeases
from sarlens.jobs.models import ACTIVE_STATUSES, ActiveJobs, Job
from sarlens.jobs.objects import ObjectStore
from sarlens.jobs.owner_limits import OwnerLimits
from sarlens.jobs.responses import ResponseTable
from sarlens.jobs.resumption import activate, delete_failed_tiles
from sarlens.jobs.rows import job_row, select_jobs

_NO_LIMITS = OwnerLimits(sys.maxsize, sys.maxsize)
_DELETED_AT_ONCE = 5000
"""Rows per transaction of a deletion, so that other writes wait for milliseconds."""
_EXPIRED_AT_ONCE = 1000


class JobStore:
    """Jobs, their results, and files in one database.

    Every method commits before it returns, and raises ``JobsUnavailable`` if the database fails.
    """

    def __init__(self, url: str, limits: OwnerLimits = _NO_LIMITS) -> None:
        self.limits = limits
        self._database = JobDatabase(url)
        self._batch_writer = TileBatchWriter(self._database.write)
        self.leases = JobLeases(self._database)
        self.layers = AnswerLayers(self._database)
        self.objects = ObjectStore(self._database)
        self.batches = BatchTable(self._database)
        self.files = FileTable(self._database)
        self.responses = ResponseTable(self._database)

    @property
    def exists(self) -> bool:
        """Whether the database can have jobs: false until the SQLite file is created."""
        return self._database.exists

    @property
    def is_writable(self) -> bool:
        """Whether the process can write or create the SQLite file. True for PostgreSQL."""
        return self._database.is_writable

    async def add(self, job: Job) -> None:
        """Insert a job.

        Raises:
            OutputExists: an active job has the same output.
            QuotaExceeded, PayloadTooLarge: as ``check_owner``.
        """

        def add(db: Connection) -> None:
            self.limits.check(db, job.owner)
            try:
                db.execute(insert(JOBS).values(job_row(job)))
            except IntegrityError:
                message = f"Another survey writes to the output {job.output}. Choose another one, or wait for it."
                raise OutputExists(message, param="output") from None

        await self._database.write(add)

    async def check_owner(self, owner: str) -> None:
        """Check that an owner may add a job.

        Raises:
            QuotaExceeded: the owner has too many unfinished jobs.
            PayloadTooLarge: the jobs of the owner are too large.
        """
        if self.exists:
            await self._database.read(lambda db: self.limits.check(db, owner))

    async def owners_over_limit(self, owners: Collection[str]) -> set[str]:
        """Return those of the owners whose jobs are too large."""
        return await self._database.read(lambda db: self.limits.over_limit(db, owners))

    async def find(self, job_id: str) -> Job | None:
        """Return a job, or None if the id is unknown."""
        jobs = await self._database.read(lambda db: select_jobs(db, JOBS.c.id == job_id, 1))
        return jobs[0] if jobs else None

    async def list_jobs(self, job_filter: JobFilter, *, limit: int) -> list[Job]:
        """Return up to ``limit`` matching jobs, newest first."""
        return await self._database.read(lambda db: select_jobs(db, job_filter.condition(), limit))

    async def count_active(self) -> dict[tuple[str, str], ActiveJobs]:
        """Return the active jobs by process and status."""
        columns = (JOBS.c.process, JOBS.c.status)
        age = database_time() - func.min(JOBS.c.created)
        query = select(*columns, func.count(), age).where(JOBS.c.status.in_(ACTIVE_STATUSES)).group_by(*columns)
        return await self._database.read(
            lambda db: {(row[0], row[1]): ActiveJobs(row[2], max(0.0, float(row[3]))) for row in db.execute(query)}
        )

    async def update_active(self, job_id: str, **values: Any) -> bool:
        """Set columns of a job, and return True; return False if the job isn't active.

        A value can be an expression such as ``database_time()``.
        """
        values |= {"updated": database_time()}
        is_active = and_(JOBS.c.id == job_id, JOBS.c.status.in_(ACTIVE_STATUSES))
        change = update(JOBS).where(is_active).values(**values)
        return await self._database.write(lambda db: db.execute(change).rowcount == 1)

    async def resume(self, job: Job) -> bool:
        """Make a failed or dismissed job active, and return True; return False if the job isn't one.

        Results of failed tiles are deleted, so that these tiles are asked about again.

        Raises:
            OutputExists: another active job has the same output.
            QuotaExceeded, PayloadTooLarge: as ``check_owner``.
        """
        await self.check_owner(job.owner)
        while await self._database.write(lambda db: delete_failed_tiles(db, job.id)):
            pass

        def resume(db: Connection) -> bool:
            self.limits.check(db, job.owner)
            return activate(db, job.id)

        return await self._database.write(resume)

    async def delete(self, job_ids: Collection[str]) -> None:
        """Delete jobs with their tiles and answers, in transactions of bounded size."""
        for table, column in (
            (ANSWERS, ANSWERS.c.number),
            (OBJECTS, OBJECTS.c.number),
            (CANDIDATES, CANDIDATES.c.tile),
            (TILES, TILES.c.tile),
            (LAYERS, LAYERS.c.question),
            (LINES, LINES.c.line),
            (BATCHES, BATCHES.c.input),
        ):
            some = select(table.c.job, column).where(table.c.job.in_(job_ids)).limit(_DELETED_AT_ONCE)
            remove = delete(table).where(tuple_(table.c.job, column).in_(some))
            while await self._database.write(lambda db, remove=remove: db.execute(remove).rowcount):  # type: ignore[misc]
                pass
        await self._database.write(lambda db: db.execute(delete(JOBS).where(JOBS.c.id.in_(job_ids))))

    async def expired(self, retention_s: float) -> list[str]:
        """Return the ids of jobs that finished more than ``retention_s`` seconds ago."""
        is_expired = and_(JOBS.c.finished < database_time() - retention_s, JOBS.c.status.not_in(ACTIVE_STATUSES))
        query = select(JOBS.c.id).where(is_expired).limit(_EXPIRED_AT_ONCE)
        return await self._database.read(lambda db: list(db.execute(query).scalars()))

    async def finished_tiles(self, job_id: str) -> set[int]:
        """Return the indexes of the tiles with a result."""
        query = select(TILES.c.tile).where(TILES.c.job == job_id)
        return await self._database.read(lambda db: set(db.execute(query).scalars()))

    async def write_tile(self, job_id: str, result: TileResult) -> None:
        """Write the result of a tile.

        Raises:
            JobNotActive: the job is complete, dismissed or deleted.
        """
        await self._batch_writer.write(job_id, result)

    async def list_answers(self, answer_filter: AnswerFilter) -> list[tuple[int, str]]:
        """Return the numbers and GeoJSON features of the matching answers, in the order of their commits."""
        columns = answer_filter.table.c
        query = (
            select(columns.number, columns.feature)
            .where(answer_filter.condition())
            .order_by(columns.number)
            .limit(answer_filter.limit)
            .offset(answer_filter.offset)
        )
        return await self._database.read(lambda db: [(row.number, row.feature) for row in db.execute(query)])

    async def count_answers(self, answer_filter: AnswerFilter) -> int:
        """Return the number of matching answers. Offset and limit are ignored."""
        query = select(func.count()).select_from(answer_filter.table).where(answer_filter.condition())
        return await self._database.read(lambda db: int(db.execute(query).scalar_one()))

    async def find_answer(self, feature_id: str, answer_filter: AnswerFilter) -> str | None:
        """Return the GeoJSON of one feature, or None if the filter selects no feature with this id."""
        columns = answer_filter.table.c
        query = select(columns.feature).where(columns.id == feature_id, answer_filter.condition())
        return await self._database.read(lambda db: db.execute(query).scalar_one_or_none())

    async def close(self) -> None:
        """Commit pending results and close the connections."""
        await self._batch_writer.close()
        await self.batches.close()
        await self._database.close()

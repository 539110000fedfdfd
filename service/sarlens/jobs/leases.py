"""Leases: which process runs which job, in an order that is fair to the owners."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, and_, case, func, select, update

from sarlens.jobs.database import JobDatabase
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import JOBS
from sarlens.jobs.filters import JobFilter
from sarlens.jobs.models import ACTIVE_STATUSES, Job
from sarlens.jobs.rows import select_jobs

_ALL = JobFilter()
_IS_ACTIVE = JOBS.c.status.in_(ACTIVE_STATUSES)
_IS_FREE = and_(_IS_ACTIVE, JOBS.c.lease_expires < database_time())
_IS_LEASED = and_(_IS_ACTIVE, JOBS.c.lease_expires >= database_time())


class OwnerLoad(NamedTuple):
    """Number of jobs of an owner, in all processes."""

    owner: str
    running: int
    """Jobs with a lease."""
    waiting: int
    """Active jobs without a lease."""


class JobLeases:
    """Leases of active jobs, by the clock of the database, so that the clocks of the gateways may differ."""

    def __init__(self, database: JobDatabase) -> None:
        self._database = database

    async def claim(self, lease_owner: str, lease_s: float, max_jobs: int, kind: JobFilter = _ALL) -> list[Job]:
        """Lease up to ``max_jobs`` active jobs of a kind that have no lease, for ``lease_s`` seconds.

        The owner with the fewest leased jobs comes first, then the lowest priority number, then the longest wait.
        """
        is_kind = kind.condition()
        leased = select(JOBS.c.owner, func.count().label("jobs")).where(_IS_LEASED, is_kind).group_by(JOBS.c.owner)
        running = leased.subquery()
        order = (JOBS.c.priority, JOBS.c.queued, JOBS.c.id)
        turn = func.row_number().over(partition_by=JOBS.c.owner, order_by=order)
        free = select(JOBS.c.id, JOBS.c.owner, JOBS.c.priority, JOBS.c.queued, turn.label("turn"))
        waiting = free.where(_IS_FREE, is_kind).subquery()
        share = func.coalesce(running.c.jobs, 0) + waiting.c.turn
        candidates = (
            select(waiting.c.id)
            .outerjoin(running, running.c.owner == waiting.c.owner)
            .order_by(share, waiting.c.priority, waiting.c.queued, waiting.c.id)
            .limit(max_jobs)
        )
        lease = update(JOBS).values(lease_owner=lease_owner, lease_expires=database_time() + lease_s)

        def claim(db: Connection) -> list[Job]:
            ids = db.execute(candidates).scalars().all()
            claimed = [id_ for id_ in ids if db.execute(lease.where(JOBS.c.id == id_, _IS_FREE)).rowcount == 1]
            return select_jobs(db, JOBS.c.id.in_(claimed), max_jobs)

        return await self._database.write(claim)

    async def renew(self, lease_owner: str, lease_s: float, job_ids: Collection[str]) -> set[str]:
        """Extend the leases of the owner's active jobs to ``lease_s`` seconds from now, and return the ids."""
        is_owned = and_(JOBS.c.id.in_(job_ids), JOBS.c.lease_owner == lease_owner, _IS_ACTIVE)
        renew = update(JOBS).where(is_owned).values(lease_expires=database_time() + lease_s).returning(JOBS.c.id)
        return await self._database.write(lambda db: set(db.execute(renew).scalars()))

    async def release(self, job_id: str, lease_owner: str) -> None:
        """End a lease, so that any process can claim the job, after the jobs that wait already."""
        is_owned = and_(JOBS.c.id == job_id, JOBS.c.lease_owner == lease_owner)
        release = update(JOBS).where(is_owned).values(lease_expires=0.0, queued=database_time())
        await self._database.write(lambda db: db.execute(release))

    async def loads(self, kind: JobFilter = _ALL) -> list[OwnerLoad]:
        """Return the loads of all owners with active jobs of a kind."""
        counts = [func.sum(case((condition, 1), else_=0)) for condition in (_IS_LEASED, _IS_FREE)]
        query = select(JOBS.c.owner, *counts).where(_IS_ACTIVE, kind.condition()).group_by(JOBS.c.owner)
        return await self._database.read(lambda db: [OwnerLoad(*row) for row in db.execute(query)])

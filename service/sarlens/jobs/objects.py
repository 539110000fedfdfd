"""Objects of surveys in the job database: the candidates of each tile, and the objects merged from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, and_, delete, func, insert, select, tuple_, update

from sarlens.jobs.batch_writer import Feature
from sarlens.jobs.database import JobDatabase
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import CANDIDATES, JOBS, OBJECTS
from sarlens.jobs.extent import Bounds
from sarlens.jobs.group_writer import JobNotActive
from sarlens.jobs.models import ACTIVE_STATUSES

_WRITTEN_AT_ONCE = 2000
"""Rows per transaction, so that other writes wait for milliseconds."""


class ObjectStore:
    """Reads and writes the objects of jobs. Every method raises ``JobsUnavailable`` if the database fails."""

    def __init__(self, database: JobDatabase) -> None:
        self._database = database

    async def list_candidates(self, job_id: str, *, after: tuple[int, int], limit: int) -> list[tuple[int, int, str]]:
        """Return tile, question and candidates as JSON, in this order, after a question of a tile."""
        keys = tuple_(CANDIDATES.c.tile, CANDIDATES.c.question)
        query = (
            select(CANDIDATES.c.tile, CANDIDATES.c.question, CANDIDATES.c.candidates)
            .where(CANDIDATES.c.job == job_id, keys > tuple_(*after))
            .order_by(CANDIDATES.c.tile, CANDIDATES.c.question)
            .limit(limit)
        )
        return await self._database.read(lambda db: [tuple(row) for row in db.execute(query)])

    async def replace(self, job_id: str, objects: Sequence[tuple[int, Feature, Bounds]]) -> None:
        """Write the objects of an active job, each with the index of its question, in place of all earlier ones.

        Raises:
            JobNotActive: the job is complete, dismissed or deleted.
        """
        rows = [_row(job_id, *found) for found in objects]
        await self._database.write(lambda db: _clear(db, job_id))
        for start in range(0, len(rows), _WRITTEN_AT_ONCE):
            part = rows[start : start + _WRITTEN_AT_ONCE]
            await self._database.write(lambda db, part=part: _add(db, job_id, part))  # type: ignore[misc]


def _clear(db: Connection, job_id: str) -> None:
    size = select(func.coalesce(func.sum(func.length(OBJECTS.c.feature)), 0)).where(OBJECTS.c.job == job_id)
    _grow(db, job_id, -db.execute(size).scalar_one())
    db.execute(delete(OBJECTS).where(OBJECTS.c.job == job_id))


def _add(db: Connection, job_id: str, rows: Sequence[dict[str, Any]]) -> None:
    time = _grow(db, job_id, sum(len(row["feature"]) for row in rows))
    db.execute(insert(OBJECTS), [row | {"time": time} for row in rows])


def _grow(db: Connection, job_id: str, size: int) -> float:
    """Change the size of an active job, which locks its row, and return the time."""
    is_active = and_(JOBS.c.id == job_id, JOBS.c.status.in_(ACTIVE_STATUSES))
    change = update(JOBS).where(is_active).values(updated=database_time(), bytes=JOBS.c.bytes + size)
    updated: float | None = db.execute(change.returning(JOBS.c.updated)).scalar_one_or_none()
    if updated is None:
        raise JobNotActive(job_id)
    return updated


def _row(job_id: str, question: int, feature: Feature, bounds: Bounds) -> dict[str, Any]:
    columns = dict(zip(("west", "south", "east", "north"), bounds, strict=True))
    text = orjson.dumps(feature).decode()
    return {"job": job_id, "id": feature["id"], "question": question, "feature": text} | columns

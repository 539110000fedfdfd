"""Rows of the job tables as jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from sarlens.jobs.db_schema import JOBS, TILES
from sarlens.jobs.models import Job, JobStatus, TileCounts

_INTERNAL_COLUMNS = frozenset({"lease_owner", "lease_expires", "queued", "bytes"})
_JOB_COLUMNS = [column for column in JOBS.columns if column.name not in _INTERNAL_COLUMNS]
_ROW_BYTES = 1024
"""Bytes that a job counts for, in addition to its request and its answers."""


def job_row(job: Job) -> dict[str, Any]:
    """Return the row of a new job."""
    row = {name: value for name, value in asdict(job).items() if name != "counts"}
    return row | {"queued": job.created, "bytes": _ROW_BYTES + len(job.request)}


def select_jobs(db: Connection, condition: ColumnElement[bool], limit: int) -> list[Job]:
    """Return up to ``limit`` jobs with their counts, newest first."""
    query = select(*_JOB_COLUMNS).where(condition).order_by(JOBS.c.created.desc(), JOBS.c.id).limit(limit)
    rows = db.execute(query).mappings().all()
    columns = (TILES.c.job, TILES.c.outcome)
    tiles = select(*columns, func.count().label("tiles")).where(TILES.c.job.in_([row["id"] for row in rows]))
    counts: dict[str, dict[str, int]] = {}
    for row in db.execute(tiles.group_by(*columns)):
        counts.setdefault(row.job, {})[row.outcome] = row.tiles
    return [
        Job(**{**row, "status": JobStatus(row["status"]), "counts": TileCounts(**counts.get(row["id"], {}))})
        for row in rows
    ]

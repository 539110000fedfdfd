"""Resumption of failed and dismissed jobs: they become active again, and their failed tiles have no result."""

from __future__ import annotations

from sqlalchemy import Connection, String, and_, cast, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from sarlens.errors import OutputExists
from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import ANSWERS, CANDIDATES, JOBS, LAYERS, TILES
from sarlens.jobs.models import JobStatus

_TILES_AT_ONCE = 500
_RESUMABLE = (JobStatus.FAILED, JobStatus.DISMISSED)


def delete_failed_tiles(db: Connection, job_id: str) -> int:
    """Delete the results of up to 500 failed tiles of a failed or dismissed job, and return the number of tiles."""
    is_resumable = select(JOBS.c.id).where(JOBS.c.id == job_id, JOBS.c.status.in_(_RESUMABLE))
    failed = select(TILES.c.tile).where(TILES.c.job.in_(is_resumable), TILES.c.outcome == "failed")
    tiles = db.execute(failed.limit(_TILES_AT_ONCE)).scalars().all()
    if not tiles:
        return 0
    name = TILES.c.job + "." + cast(TILES.c.tile, String) + "." + cast(LAYERS.c.question, String)
    both = TILES.join(LAYERS, LAYERS.c.job == TILES.c.job)
    named = select(name).select_from(both).where(TILES.c.job == job_id, TILES.c.tile.in_(tiles))
    answers = and_(ANSWERS.c.job == job_id, ANSWERS.c.id.in_(named))
    size = db.execute(select(func.coalesce(func.sum(func.length(ANSWERS.c.feature)), 0)).where(answers)).scalar_one()
    db.execute(delete(ANSWERS).where(answers))
    for table in (CANDIDATES, TILES):
        db.execute(delete(table).where(table.c.job == job_id, table.c.tile.in_(tiles)))
    db.execute(update(JOBS).where(JOBS.c.id == job_id).values(bytes=JOBS.c.bytes - size))
    return len(tiles)


def activate(db: Connection, job_id: str) -> bool:
    """Let any process claim a failed or dismissed job, and return True; return False if the job isn't one.

    Raises:
        OutputExists: another active job has the same output.
    """
    is_resumable = and_(JOBS.c.id == job_id, JOBS.c.status.in_(_RESUMABLE))
    values = {"status": JobStatus.ACCEPTED, "finished": None, "code": None, "message": None, "lease_expires": 0.0}
    now = database_time()
    change = update(JOBS).where(is_resumable).values(**values, updated=now, queued=now)
    try:
        return db.execute(change).rowcount == 1
    except IntegrityError:
        raise OutputExists("Another survey writes to the output of this one. Wait for it.", param="output") from None

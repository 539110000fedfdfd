"""Layers: the answers of a job to one question, with their extent in space and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, true, update

from sarlens.jobs.database import JobDatabase
from sarlens.jobs.db_schema import JOBS, LAYERS
from sarlens.jobs.extent import Bounds, union
from sarlens.jobs.filters import JobFilter
from sarlens.jobs.upsert import insert_missing

_BOUNDS = (LAYERS.c.west, LAYERS.c.south, LAYERS.c.east, LAYERS.c.north)
_CHANGE = (
    update(LAYERS)
    .where(LAYERS.c.job == bindparam("of_job"), LAYERS.c.question == bindparam("of_question"))
    .values({column: bindparam(column.name) for column in (*_BOUNDS, LAYERS.c.first, LAYERS.c.last)})
)
_MAX_ROWS = 100_000
"""Layers whose extents are united for one extent."""


class Extent(NamedTuple):
    """Extent of answers."""

    bounds: Bounds | None = None
    """None without a georeference, or without answers."""
    first: float | None = None
    """Time of the first answer, in seconds since 1970."""
    last: float | None = None
    """Time of the last answer, in seconds since 1970."""

    def joined(self, other: Extent) -> Extent:
        """Return the extent of both."""
        times = [time for time in (self.first, other.first, self.last, other.last) if time is not None]
        bounds = union(self.bounds, other.bounds)
        return Extent(bounds, min(times), max(times)) if times else Extent(bounds)

    @classmethod
    def around(cls, extents: Iterable[Extent]) -> Extent:
        """Return the extent of all."""
        return reduce(cls.joined, extents, cls())


class Survey(NamedTuple):
    """A job and the extents of its answers."""

    id: str
    request: str
    """Parameters of the job as JSON."""
    extents: Mapping[int, Extent]
    """Extent by the index of the question, for questions with answers."""


class AnswerLayers:
    """Reads the extents of answers."""

    def __init__(self, database: JobDatabase) -> None:
        self._database = database

    async def surveys(self, job_filter: JobFilter, *, limit: int, offset: int = 0) -> list[Survey]:
        """Return up to ``limit`` jobs with the extents of their answers, newest first."""
        jobs = (
            select(JOBS.c.id, JOBS.c.request).where(job_filter.condition()).order_by(JOBS.c.created.desc(), JOBS.c.id)
        )

        def read(db: Connection) -> list[Survey]:
            found = db.execute(jobs.limit(limit).offset(offset)).all()
            extents: dict[str, dict[int, Extent]] = {row.id: {} for row in found}
            for row in db.execute(select(LAYERS).where(LAYERS.c.job.in_(extents)).order_by(LAYERS.c.question)):
                extents[row.job][row.question] = _extent(row)
            return [Survey(row.id, row.request, extents[row.id]) for row in found]

        return await self._database.read(read)

    async def extent(self, owner: str | None) -> Extent:
        """Return the extent of the answers of an owner, or of all owners."""
        of_owner = LAYERS.c.job.in_(select(JOBS.c.id).where(JOBS.c.owner == owner)) if owner is not None else true()
        rows = select(*_BOUNDS, LAYERS.c.first, LAYERS.c.last).where(of_owner).limit(_MAX_ROWS)
        return await self._database.read(lambda db: Extent.around(map(_extent, db.execute(rows))))


def _extent(row: Any) -> Extent:
    bounds = None if row.west is None else (row.west, row.south, row.east, row.north)
    return Extent(bounds, row.first, row.last)


def extend_layers(db: Connection, answers: Sequence[Mapping[str, Any]]) -> None:
    """Extend the layers of a transaction by its rows of ``ANSWERS``; a layer without a row gets one."""
    grown: dict[tuple[str, int], Extent] = {}
    texts: dict[tuple[str, int], dict[str, Any]] = {}
    for answer in answers:
        key = (answer["job"], answer["question"])
        bounds = None if answer["west"] is None else (answer["west"], answer["south"], answer["east"], answer["north"])
        grown[key] = grown.get(key, Extent()).joined(Extent(bounds, answer["time"], answer["time"]))
        texts.setdefault(key, {"text": answer["text"], "image": answer["image"]})
    if not grown:
        return
    insert_missing(db, LAYERS, [{"job": job, "question": index} | texts[job, index] for job, index in grown])
    stored = select(LAYERS).where(LAYERS.c.job.in_({job for job, _ in grown}))
    changes = []
    for row in db.execute(stored):
        if (key := (row.job, row.question)) in grown:
            bounds, first, last = _extent(row).joined(grown[key])
            values = dict(zip(("west", "south", "east", "north"), bounds or (None,) * 4, strict=True))
            changes.append({"of_job": row.job, "of_question": row.question, "first": first, "last": last} | values)
    db.execute(_CHANGE, changes)

"""Filters of jobs and answers, and their SQL conditions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Table, and_, func, or_, select, tuple_

from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import ANSWERS, JOBS, LAYERS, OBJECTS
from sarlens.jobs.extent import Bounds


class JobFilter(NamedTuple):
    """Selects jobs. None and an empty collection match all."""

    owner: str | None = None
    processes: Collection[str] = ()
    other_processes: Collection[str] = ()
    """Processes whose jobs don't match."""
    statuses: Collection[str] = ()
    since: float | None = None
    """Earliest creation time, in seconds since 1970."""
    until: float | None = None
    """Latest creation time, in seconds since 1970."""
    min_duration_s: float | None = None
    """Minimum time from the start to the end, or to now. Jobs that haven't started don't match."""
    max_duration_s: float | None = None
    ids: Collection[str] = ()

    def condition(self) -> ColumnElement[bool]:
        """Return the SQL condition on the jobs table."""
        duration = func.coalesce(JOBS.c.finished, database_time()) - JOBS.c.started
        conditions: list[tuple[Any, Callable[[Any], ColumnElement[bool]]]] = [
            (self.owner, JOBS.c.owner.__eq__),
            (self.ids or None, JOBS.c.id.in_),
            (self.processes or None, JOBS.c.process.in_),
            (self.other_processes or None, JOBS.c.process.not_in),
            (self.statuses or None, JOBS.c.status.in_),
            (self.since, JOBS.c.created.__ge__),
            (self.until, JOBS.c.created.__le__),
            (self.min_duration_s, duration.__ge__),
            (self.max_duration_s, duration.__le__),
        ]
        return and_(True, *(condition(value) for value, condition in conditions if value is not None))


class AnswerFilter(NamedTuple):
    """Selects answers, or the objects of surveys. None matches all."""

    owner: str | None = None
    job: str | None = None
    question: int | None = None
    """Index of the question in its job."""
    text: str | None = None
    """Text of the question."""
    image: str | None = None
    """Name of the image."""
    bbox: Bounds | None = None
    """West, south, east, north in degrees. A west above the east crosses the antimeridian."""
    since: float | None = None
    """Earliest time of the answer, in seconds since 1970."""
    until: float | None = None
    """Latest time of the answer, in seconds since 1970."""
    after: int = 0
    """Number of the last answer to leave out."""
    offset: int = 0
    limit: int = 1000
    objects: bool = False
    """Whether objects are selected in place of answers."""

    @property
    def table(self) -> Table:
        """Table of the answers, or of the objects, which have the same columns."""
        return OBJECTS if self.objects else ANSWERS

    def condition(self) -> ColumnElement[bool]:
        """Return the SQL condition on ``table``, without offset and limit."""
        columns = self.table.c
        conditions: list[tuple[Any, Callable[[Any], ColumnElement[bool]]]] = [
            (self.after or None, columns.number.__gt__),
            (self.job, columns.job.__eq__),
            (self.owner, lambda owner: columns.job.in_(_jobs_of(owner))),
            (self.question, columns.question.__eq__),
            (self._layers(), tuple_(columns.job, columns.question).in_),
            (self.since, columns.time.__ge__),
            (self.until, columns.time.__le__),
            (self.bbox, partial(_intersects, columns)),
        ]
        return and_(True, *(condition(value) for value, condition in conditions if value is not None))

    def _layers(self) -> Select[Any] | None:
        """Return the jobs and questions with the text and the image, or None for all."""
        columns = ((LAYERS.c.text, self.text), (LAYERS.c.image, self.image))
        conditions = [column == text for column, text in columns if text is not None]
        if not conditions:
            return None
        if self.owner is not None:
            conditions.append(LAYERS.c.job.in_(_jobs_of(self.owner)))
        return select(LAYERS.c.job, LAYERS.c.question).where(*conditions)


def _jobs_of(owner: str) -> Select[Any]:
    return select(JOBS.c.id).where(JOBS.c.owner == owner)


def _intersects(columns: Any, bbox: Bounds) -> ColumnElement[bool]:
    west, south, east, north = bbox
    east += 360 if west > east else 0
    turns = [and_(columns.west <= east + turn, columns.east >= west + turn) for turn in (-360, 0, 360)]
    return and_(or_(*turns), columns.south <= north, columns.north >= south)

"""Tiles as they end: those that end together are committed together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, and_, update
from sqlalchemy.dialects import postgresql, sqlite

from sarlens.errors import JobsUnavailable
from sarlens.survey.job import UNFINISHED
from sarlens.survey.tables import ANSWERS, JOBS, TILES

Feature = dict[str, Any]
Bounds = tuple[float, float, float, float]
Transact = Callable[[Callable[[Connection], set[str]]], Coroutine[Any, Any, set[str]]]


class Ended(NamedTuple):
    """A tile that needs no more work: how it ended, and the features that came of it."""

    tile: int
    ended: str
    features: Sequence[tuple[Feature, Bounds | None]]


class JobOver(Exception):
    """The job has ended or is forgotten, maybe by another process; nothing more is written down of it."""


class _Entry(NamedTuple):
    """A tile that waits to be written down, and who is told of it."""

    job: str
    ended: Ended
    done: asyncio.Future[None]

    def tell(self, error: Exception | None) -> None:
        if self.done.done():  # who waited has gone
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class Ledger:
    """Writes tiles down, by way of ``transact``, which commits what a function does to the database."""

    def __init__(self, transact: Transact) -> None:
        self._transact = transact
        self._waiting: list[_Entry] = []
        self._writing: asyncio.Task[None] | None = None

    async def end(self, job: str, ended: Ended) -> None:
        """Write down how a tile ended; it is on disk when this returns.

        Raises:
            JobOver: it is not wanted any more.
            JobsUnavailable: the database fails.
        """
        entry = _Entry(job, ended, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await entry.done

    async def close(self) -> None:
        """Finish what is being written."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        while self._waiting:
            entries, self._waiting = self._waiting, []
            try:
                alive = await self._transact(lambda db, entries=entries: _write_down(db, entries))  # type: ignore[misc]
            except JobsUnavailable as error:
                for entry in entries:
                    entry.tell(error)
            else:
                for entry in entries:
                    entry.tell(None if entry.job in alive else JobOver(entry.job))


def _write_down(db: Connection, entries: Sequence[_Entry]) -> set[str]:
    """Write down the tiles of unfinished jobs, and return these jobs. A tile that has come to an end keeps it.

    The jobs are changed first, so that nobody else ends or forgets them before the tiles are committed.
    """
    named = and_(JOBS.c.id.in_(sorted({entry.job for entry in entries})), JOBS.c.status.in_(UNFINISHED))
    alive = set(db.execute(update(JOBS).where(named).values(updated=time.time()).returning(JOBS.c.id)).scalars())
    tiles, answers = [], []
    for job, ended, _ in entries:
        if job in alive:
            tiles.append({"job": job, "tile": ended.tile, "ended": ended.ended})
            answers += [_row(job, *feature) for feature in ended.features]
    fresh = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
    for table, rows in ((TILES, tiles), (ANSWERS, answers)):
        if rows:
            db.execute(fresh(table).on_conflict_do_nothing(), rows)
    return alive


def _row(job: str, feature: Feature, bounds: Bounds | None) -> dict[str, Any]:
    place = dict(zip(("west", "south", "east", "north"), bounds or (None,) * 4, strict=True))
    row = {"job": job, "id": feature["id"], "time": time.time(), "feature": orjson.dumps(feature).decode()}
    return row | place

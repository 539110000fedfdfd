"""Group commit: results of tiles that finish during one transaction share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, and_, case, update

from sarlens.jobs.db_clock import database_time
from sarlens.jobs.db_schema import ANSWERS, CANDIDATES, JOBS, TILES
from sarlens.jobs.extent import Bounds
from sarlens.jobs.layers import extend_layers
from sarlens.jobs.models import ACTIVE_STATUSES
from sarlens.jobs.upsert import insert_missing

Feature = dict[str, Any]
"""GeoJSON Feature (RFC 7946)."""
Transact = Callable[[Callable[[Connection], set[str]]], Coroutine[Any, Any, set[str]]]
"""Runs a function in a transaction, commits, and returns the result of the function."""


class TileResult(NamedTuple):
    """Result of a finished tile."""

    tile: int
    """Index of the tile in the survey plan."""
    outcome: str
    """``answered``, ``blank`` or ``failed``."""
    features: Sequence[tuple[Feature, Bounds | None]]
    """One feature per question, with its bounds."""
    candidates: Sequence[tuple[int, Sequence[Mapping[str, Any]]]] = ()
    """Objects that the tile shows, by the index of the question."""


class JobNotActive(Exception):
    """The job is complete, dismissed or deleted, so the store rejects its tiles."""


class _PendingTile(NamedTuple):
    """A result that waits for its transaction."""

    job_id: str
    result: TileResult
    committed: asyncio.Future[None]

    def resolve(self, error: Exception | None) -> None:
        """Wake the caller, unless it is canceled."""
        if self.committed.done():
            return
        if error is None:
            self.committed.set_result(None)
        else:
            self.committed.set_exception(error)


class TileBatchWriter:
    """Writes results of tiles through ``transact``, one transaction at a time."""

    def __init__(self, transact: Transact) -> None:
        self._transact = transact
        self._pending: list[_PendingTile] = []
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, job_id: str, result: TileResult) -> None:
        """Write the result of a tile, and return after the commit.

        A second result of the same tile is ignored.

        Raises:
            JobNotActive: the job is complete, dismissed or deleted.
            JobsUnavailable: the database fails.
        """
        pending = _PendingTile(job_id, result, asyncio.get_running_loop().create_future())
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
            batch, self._pending = self._pending, []
            try:
                active = await self._transact(lambda db, batch=batch: _insert_results(db, batch))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001  a caller without a result would wait forever
                for pending in batch:
                    pending.resolve(error)
            else:
                for pending in batch:
                    pending.resolve(None if pending.job_id in active else JobNotActive(pending.job_id))


def _insert_results(db: Connection, batch: Sequence[_PendingTile]) -> set[str]:
    """Insert the results of active jobs, and return the ids of these jobs.

    The update of the jobs comes first: it locks them, so that no other process completes or deletes them before the
    commit.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for job_id, result, _ in batch:
        rows.setdefault(job_id, []).extend(_answer_row(job_id, feature, bounds) for feature, bounds in result.features)
    candidates = [
        _candidates_row(job_id, result.tile, *found) for job_id, result, _ in batch for found in result.candidates
    ]
    sizes = {job_id: sum(len(row["feature"]) for row in answers) for job_id, answers in rows.items()}
    for row in candidates:
        sizes[row["job"]] += len(row["candidates"])
    is_active = and_(JOBS.c.id.in_(sorted(rows)), JOBS.c.status.in_(ACTIVE_STATUSES))
    touch = (
        update(JOBS)
        .where(is_active)
        .values(updated=database_time(), bytes=JOBS.c.bytes + case(sizes, value=JOBS.c.id, else_=0))
    )
    times = {row.id: row.updated for row in db.execute(touch.returning(JOBS.c.id, JOBS.c.updated))}
    tiles = [
        {"job": job_id, "tile": result.tile, "outcome": result.outcome}
        for job_id, result, _ in batch
        if job_id in times
    ]
    answers = [row | {"time": times[job_id]} for job_id in times for row in rows[job_id]]
    insert_missing(db, TILES, tiles)
    insert_missing(db, ANSWERS, [{name: row[name] for name in row if name in ANSWERS.c} for row in answers])
    extend_layers(db, answers)
    insert_missing(db, CANDIDATES, [row for row in candidates if row["job"] in times])
    return set(times)


def _answer_row(job_id: str, feature: Feature, bounds: Bounds | None) -> dict[str, Any]:
    """Return a row of ``ANSWERS``, and what its layer needs: the text of the question and the image."""
    columns = dict(zip(("west", "south", "east", "north"), bounds or (None,) * 4, strict=True))
    properties, question = feature["properties"], int(feature["id"].rpartition(".")[2])
    layer = {"text": properties.get("question", ""), "image": properties.get("image", "")}
    text = orjson.dumps(feature).decode()
    return {"job": job_id, "id": feature["id"], "question": question, "feature": text} | columns | layer


def _candidates_row(job_id: str, tile: int, question: int, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"job": job_id, "tile": tile, "question": question, "candidates": orjson.dumps(found).decode()}

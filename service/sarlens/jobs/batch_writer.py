"""Results of the tiles of surveys, written in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from sarlens.jobs.db_schema import ANSWERS, CANDIDATES, TILES
from sarlens.jobs.extent import Bounds
from sarlens.jobs.group_writer import GroupWriter, Transact, grow_active_jobs
from sarlens.jobs.layers import extend_layers
from sarlens.jobs.upsert import insert_missing

Feature = dict[str, Any]
"""GeoJSON Feature (RFC 7946)."""


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


class TileBatchWriter(GroupWriter[TileResult]):
    """Writes results of tiles. A second result of the same tile is ignored."""

    def __init__(self, transact: Transact) -> None:
        super().__init__(transact, _insert_results)


def _insert_results(db: Connection, batch: Sequence[tuple[str, TileResult]]) -> set[str]:
    """Insert the results of active jobs, and return the ids of these jobs."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for job_id, result in batch:
        rows.setdefault(job_id, []).extend(_answer_row(job_id, feature, bounds) for feature, bounds in result.features)
    candidates = [
        _candidates_row(job_id, result.tile, *found) for job_id, result in batch for found in result.candidates
    ]
    sizes = {job_id: sum(len(row["feature"]) for row in answers) for job_id, answers in rows.items()}
    for row in candidates:
        sizes[row["job"]] += len(row["candidates"])
    times = grow_active_jobs(db, rows, sizes)
    tiles = [
        {"job": job_id, "tile": result.tile, "outcome": result.outcome} for job_id, result in batch if job_id in times
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

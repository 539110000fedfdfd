"""Answers as GeoJSON features, and their totals."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sarlens.errors import NotGeoreferenced, SarlensError
from sarlens.imagery.core.turn import NO_TURN
from sarlens.imagery.geo.polygons import Ring, to_geojson
from sarlens.inference.sar_tasks import Task, TaskAnswer
from sarlens.jobs.batch_writer import Feature
from sarlens.jobs.extent import Bounds
from sarlens.prompts.answer_types import Value
from sarlens.prompts.normalize import move_cell
from sarlens.surveys.columns import value_columns, value_of
from sarlens.surveys.objects.evidence import TileEvidence
from sarlens.surveys.objects.totals import ObjectTotal, located_beyond
from sarlens.surveys.plan import SurveyPlan
from sarlens.surveys.regions import to_geometries
from sarlens.types.window import Window

NO_EVIDENCE = TileEvidence()


def tile_feature(
    plan: SurveyPlan,
    job_id: str,
    tile: int,
    question_index: int,
    task: Task,
    result: TaskAnswer | SarlensError,
    evidence: TileEvidence = NO_EVIDENCE,
) -> tuple[Feature, Bounds | None]:
    """Return the GeoJSON feature (RFC 7946) of one answer about one tile, and its bounds in degrees.

    The geometry is the footprint of the tile in CRS84, or null if the tile has no position. The properties are
    those of ``answer_columns``; the optional ones are left out if they have no value.
    """
    window = plan.tiles[tile]
    geometry, bounds = _footprint(plan, window)
    properties: dict[str, Any] = {"tile": tile, "reduction": round(plan.reduction(tile), 3)}
    properties["core_share"] = round(plan.core_share(tile), 6)
    properties |= dict(zip(("col", "row", "width", "height"), window or (None,) * 4, strict=True))
    properties |= {"question": task.question, "application": task.application, **_answer(plan, task, result)}
    if task.id is not None:
        properties["question_id"] = task.id
    boxes = plan.boxes(tile)
    if isinstance(result, TaskAnswer) and window is not None and boxes is not None:
        geometries = to_geometries(boxes.in_image(result.text), window, plan.georeference)
        properties |= {"boxes": geometries} if geometries else {}
    properties |= evidence.columns
    properties |= {"model": plan.model, "answered_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    if plan.spec.acquisition is not None:
        properties |= plan.spec.acquisition.as_flat_columns
    properties |= {"image": plan.name, "image_version": plan.version, "survey": job_id}
    properties["radiometry"] = plan.render.radiometry
    feature_id = f"{job_id}.{tile}.{question_index}"
    return {"type": "Feature", "id": feature_id, "geometry": geometry, "properties": properties}, bounds


def _footprint(plan: SurveyPlan, window: Window | None) -> tuple[dict[str, Any] | None, Bounds | None]:
    """Return the geometry and the bounds of a window; both None if it reaches beyond the area of the CRS."""
    if plan.georeference is None or window is None:
        return None, None
    try:
        footprint = plan.georeference.boundary(window)
    except NotGeoreferenced:
        return None, None
    return to_geojson(footprint), _bounds(footprint)


def _answer(plan: SurveyPlan, task: Task, result: TaskAnswer | SarlensError) -> dict[str, Any]:
    answer_type = task.answer_type.type
    if isinstance(result, SarlensError):
        columns = value_columns(answer_type, None) | {"position_on_map": None}
        failure = {"answer": None, "type": answer_type, **columns, "confidence": None, "finish_reason": None}
        return failure | {"error": result.code, "error_message": result.message}
    columns = value_columns(answer_type, result.value(task.answer_type))
    columns["position_on_map"] = _position_on_map(plan, columns["position"])
    answer: dict[str, Any] = {"answer": result.text, "type": answer_type, **columns, "confidence": result.confidence}
    answer["finish_reason"] = result.finish_reason
    return answer | ({} if result.refusal is None else {"refusal": result.refusal})


def _position_on_map(plan: SurveyPlan, position: Value) -> str | None:
    """Return a position in the picture as one on a map with north up; None without a georeference."""
    if not isinstance(position, str) or plan.georeference is None:
        return None
    turn = plan.turn_to_north if plan.render.orient == "image" else NO_TURN
    return None if turn is None else move_cell(position, turn.cell)


def _bounds(footprint: Ring) -> Bounds:
    """West, south, east, north; the west is at least -180 and below 180."""
    west, south = footprint.min(axis=0)
    east, north = footprint.max(axis=0)
    shift = 360 * np.floor((west + 180) / 360)
    return float(west - shift), float(south), float(east - shift), float(north)


def _counted(properties: dict[str, Any]) -> Value:
    """Return the value that totals count: a position is that on the map, if it has one."""
    if properties["type"] == "text":
        return None
    return properties.get("position_on_map") or value_of(properties)


class Totals:
    """Totals of the answers to each question."""

    def __init__(self) -> None:
        self._values: dict[str, Counter[Any]] = {}
        self._types: dict[str, str] = {}
        self._failed: Counter[str] = Counter()
        self._estimates: Counter[str] = Counter()
        self._has_overlap = False
        self._objects: dict[str, ObjectTotal] = {}

    def add(self, feature: Feature) -> None:
        """Count one feature."""
        properties = feature["properties"]
        question = str(properties["question"])
        self._types[question] = str(properties["type"])
        values = self._values.setdefault(question, Counter())
        if "error" in properties:
            self._failed[question] += 1
            return
        value, share = value_of(properties), properties["core_share"]
        self._has_overlap |= share < 1
        values[_counted(properties)] += 1
        if properties["type"] == "integer" and isinstance(value, int):
            self._estimates[question] += share * value
        if "objects" in properties:
            total = self._objects.setdefault(question, ObjectTotal())
            total.unlocated += located_beyond(value, properties["objects"])
            total.unconfirmed += max(0, properties.get("cfar_targets", 0) - properties["objects"])

    def add_object(self, feature: Feature) -> None:
        """Count one object, if the model confirms it."""
        properties = feature["properties"]
        if properties["source"] != "cfar":
            self._objects.setdefault(str(properties["question"]), ObjectTotal()).add(properties["score"])

    def as_list(self) -> list[dict[str, Any]]:
        """Return one object per question.

        If tiles overlap, objects in the overlap are in the counts of two tiles. The sum of counts is then an estimate:
        each count is weighted with the share of its tile's area that no other tile has.
        """
        return [self._total(question, answer_type) for question, answer_type in self._types.items()]

    def _total(self, question: str, answer_type: str) -> dict[str, Any]:
        values = self._values[question]
        total: dict[str, Any] = {"question": question, "type": answer_type, "answers": values.total()}
        if self._failed[question]:
            total["failed"] = self._failed[question]
        tiles_by_value = {value: tiles for value, tiles in values.items() if value is not None}
        match answer_type:
            case "integer":
                if self._has_overlap:
                    total["estimate"] = round(self._estimates[question], 1)
                else:
                    total["sum"] = sum(value * tiles for value, tiles in tiles_by_value.items())
                total["highest"] = max(tiles_by_value, default=None)
                total["tiles_above_zero"] = sum(tiles for value, tiles in tiles_by_value.items() if value)
            case "boolean":
                total |= {"yes": tiles_by_value.get(True, 0), "no": tiles_by_value.get(False, 0)}
            case "class" | "position":
                total["tiles_by_value"] = dict(sorted(tiles_by_value.items()))
        if question in self._objects:
            total |= self._objects[question].as_dict()
        return total

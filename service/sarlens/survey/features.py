"""Answers as GeoJSON features, and what they come to together."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sarlens.errors import SarlensError
from sarlens.imagery.rings import geometry
from sarlens.request import radiometry
from sarlens.survey.boxes import on_map
from sarlens.survey.ledger import Bounds, Feature
from sarlens.survey.plan import Plan
from sarlens.tasks import Finding, Task


def feature_of(
    plan: Plan, job: str, tile: int, number: int, task: Task, result: Finding | SarlensError
) -> tuple[Feature, Bounds | None]:
    """The feature of one answer about one tile, RFC 7946, and its envelope in degrees.

    Its geometry is the tile's footprint in CRS84, None where nobody knows where the image lies. Properties are flat.
    """
    window = plan.tiles[tile]
    shape, bounds = None, None
    if plan.place is not None and window is not None:
        outline = plan.place.boundary(window)
        shape, bounds = geometry(outline), _envelope(outline)
    properties: dict[str, Any] = {"tile": tile}
    properties |= dict(zip(("col", "row", "width", "height"), window or (None,) * 4, strict=True))
    properties |= {"question": task.question, "application": task.application, **_answer(task, result)}
    if task.id is not None:
        properties["question_id"] = task.id
    if (
        isinstance(result, Finding)
        and window is not None
        and (boxes := on_map(result.text, window, plan.shrink(tile), plan.place))
    ):
        properties["boxes"] = boxes
    properties |= {"model": plan.model, "answered_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    if plan.commission.acquisition is not None:
        properties |= plan.commission.acquisition.columns
    properties |= {"image": plan.name, "image_version": plan.version, "survey": job}
    properties["radiometry"] = radiometry(plan.render.calibration)
    feature = {"type": "Feature", "id": f"{job}.{tile}.{number}", "geometry": shape, "properties": properties}
    return feature, bounds


def _answer(task: Task, result: Finding | SarlensError) -> dict[str, Any]:
    found: dict[str, Any] = {"answer": None, "type": task.form.type, "value": None, "confidence": None}
    if isinstance(result, SarlensError):
        return found | {"error": result.code, "error_message": result.message}
    return found | {"answer": result.text, "value": task.form.read(result.text), "confidence": result.confidence}


def _envelope(outline: Any) -> Bounds:
    """West, south, east, north; the west lies between -180 and 180."""
    west, south = outline.min(axis=0)
    east, north = outline.max(axis=0)
    turn = 360 * np.floor((west + 180) / 360)
    return float(west - turn), float(south), float(east - turn), float(north)


class Totals:
    """What the answers to each question come to: how often each was given, and the sum of counts."""

    def __init__(self) -> None:
        self._values: dict[str, Counter[Any]] = {}
        self._types: dict[str, str] = {}
        self._failed: Counter[str] = Counter()

    def add(self, feature: Feature) -> None:
        """Count one more feature."""
        said = feature["properties"]
        question = str(said["question"])
        self._types[question] = str(said["type"])
        values = self._values.setdefault(question, Counter())
        if "error" in said:
            self._failed[question] += 1
        else:
            values[said["value"] if said["type"] != "text" else None] += 1

    def document(self) -> list[dict[str, Any]]:
        """One object for each question. Where tiles overlap, what lies in two of them is counted twice."""
        return [self._of(question, kind) for question, kind in self._types.items()]

    def _of(self, question: str, kind: str) -> dict[str, Any]:
        values = self._values[question]
        total: dict[str, Any] = {"question": question, "type": kind, "answers": values.total()}
        if self._failed[question]:
            total["failed"] = self._failed[question]
        known = {value: tiles for value, tiles in values.items() if value is not None}
        match kind:
            case "integer":
                total |= {
                    "sum": sum(value * tiles for value, tiles in known.items()),
                    "highest": max(known, default=None),
                }
                total["tiles_above_zero"] = sum(tiles for value, tiles in known.items() if value)
            case "boolean":
                total |= {"yes": known.get(True, 0), "no": known.get(False, 0)}
            case "class" | "position":
                total["tiles_by_value"] = dict(sorted(known.items()))
        return total

"""Columns of answers: one type each, the same in GeoJSON, files for GIS and OGC API - Features."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from sarlens.prompts.answer_types import Value
from sarlens.stac import Acquisition

ColumnType = Literal["integer", "number", "boolean", "string", "array"]


class Column(NamedTuple):
    """A property of every answer."""

    name: str
    type: ColumnType
    """Type in JSON. A column without a value is null."""
    description: str
    format: str | None = None
    """Format of JSON Schema, such as ``date-time``."""


VALUE_COLUMNS = {
    "integer": "count",
    "boolean": "yes",
    "class": "class",
    "position": "position",
    "text": "text",
}
"""Column of the value by answer type."""

_ANSWER = (
    Column("tile", "integer", "Index of the tile in the survey."),
    Column("reduction", "number", "Pixels of the full resolution per pixel of the picture; above 1 is reduced."),
    Column("core_share", "number", "Share of the tile's area that no neighboring tile has; overlaps count by halves."),
    Column("col", "integer", "First column of the tile, in pixels of the full resolution."),
    Column("row", "integer", "First row of the tile, in pixels of the full resolution."),
    Column("width", "integer", "Width of the tile, in pixels of the full resolution."),
    Column("height", "integer", "Height of the tile, in pixels of the full resolution."),
    Column("question", "string", "Question."),
    Column("application", "string", "SARLANG-1M application of the question."),
    Column("answer", "string", "Text of the model."),
    Column("type", "string", "Type of the answer: boolean, integer, class, position or text."),
    Column("count", "integer", "Number, if the answer is one."),
    Column("yes", "boolean", "True for yes, false for no, if the answer is one of them."),
    Column("class", "string", "Class, if the question lists classes."),
    Column("position", "string", "Position in the picture, such as top left, if the question requests one."),
    Column("text", "string", "Text, if the answer has no other type."),
    Column("position_on_map", "string", "Position with north up, if the image is georeferenced."),
    Column("confidence", "number", "Probability of the tokens of the answer, from 0 to 1."),
    Column("finish_reason", "string", "Why the text ends: stop; length if it is cut off, without a value."),
    Column("refusal", "string", "Text with which the model refused to answer, if it did."),
    Column("cfar_targets", "integer", "Targets of the CFAR detector in the tile, if the request uses it."),
    Column("cfar_agrees", "boolean", "Whether the answer agrees with the number of targets."),
    Column("objects", "integer", "Objects that the survey locates in the tile, if the request has objects."),
    Column("error", "string", "Error code, if the tile failed."),
    Column("error_message", "string", "Error message, if the tile failed."),
    Column("question_id", "string", "Identifier of the question, if the request has one."),
)
_BOXES = Column("boxes", "array", "GeoJSON geometries of the regions in the answer.")
_MODEL = (
    Column("model", "string", "Name of the model."),
    Column("answered_at", "string", "Time of the answer.", "date-time"),
)
_IMAGE = (
    Column("image", "string", "Image or STAC Item."),
    Column("image_version", "string", "Version of the image."),
    Column("survey", "string", "Id of the job."),
    Column("radiometry", "string", "Backscatter coefficient of the picture, or relative."),
)
_OF_NUMBERS = {"relative_orbit": "integer", "pixel_spacing_range": "number", "pixel_spacing_azimuth": "number"}

_OBJECT = (
    Column("class", "string", "Class of the object, such as ship."),
    Column("score", "number", "Probability of the object by the model, from 0 to 1."),
    Column(
        "source",
        "string",
        "both: the model confirms a target of the detector; model: a box of the model; cfar: "
        "a target that the model doesn't confirm.",
    ),
    Column("contrast_db", "number", "Peak over clutter in dB, if the detector found the object."),
    Column("col", "number", "Column of the center, in pixels of the full resolution."),
    Column("row", "number", "Row of the center, in pixels of the full resolution."),
    Column("width", "number", "Width of the box, in pixels of the full resolution."),
    Column("height", "number", "Height of the box, in pixels of the full resolution."),
    Column("length_m", "number", "Longer side of the box in meters."),
    Column("tile", "integer", "Index of the tile whose picture shows the object."),
    Column("image_id", "string", "Id of this picture."),
    Column("question", "string", "Question."),
    Column("question_id", "string", "Identifier of the question, if the request has one."),
    Column("model", "string", "Name of the model."),
)


def _acquisition_column(name: str) -> Column:
    words = name.replace("_", " ")
    kind: Any = _OF_NUMBERS.get(name, "string")
    return Column(name, kind, f"Acquisition: {words}.", "date-time" if name.endswith("datetime") else None)


ACQUISITION_COLUMNS = tuple(_acquisition_column(name) for name in Acquisition.model_fields)
"""Columns of answers about an image that a STAC Item describes."""


def answer_columns(*, acquisition: bool = True) -> tuple[Column, ...]:
    """Return the columns of answers in order, with or without those of the acquisition."""
    return (*_ANSWER, _BOXES, *_MODEL, *(ACQUISITION_COLUMNS if acquisition else ()), *_IMAGE)


def object_columns(*, acquisition: bool = True) -> tuple[Column, ...]:
    """Return the columns of objects in order, with or without those of the acquisition."""
    return (*_OBJECT, *(ACQUISITION_COLUMNS if acquisition else ()), *_IMAGE)


def value_columns(answer_type: str, value: Value) -> dict[str, Value]:
    """Return the value in the column of its type, and null in the columns of the other types."""
    return dict.fromkeys(VALUE_COLUMNS.values()) | {VALUE_COLUMNS[answer_type]: value}


def value_of(properties: dict[str, Any]) -> Value:
    """Return the value of an answer from the column of its type."""
    value: Value = properties[VALUE_COLUMNS[properties["type"]]]
    return value

"""Arguments of the tools that have no body in REST, and the schemas of all results."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from sarlens.api.common.schemas import ImageField, ModelName
from sarlens.validation import BoundedModel

Schema = dict[str, Any]


class LookArguments(BoundedModel):
    """An image to look at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Annotated[
        ImageField, Field(description="Image: a URL or a STAC Item, or an object with one of them and `sar`.")
    ]
    model: ModelName = None


class SurveyArguments(BoundedModel):
    """A survey."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=100, description="Id of the survey.")]
    action: Annotated[
        Literal["get", "cancel"], Field(description="`cancel` ends an active survey, and deletes a complete one.")
    ] = "get"


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 0}
_ERROR = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": _TEXT, "message": _TEXT},
}
_ANSWER = {
    "type": "object",
    "required": ["type", "value"],
    "properties": {
        "type": {"enum": ["boolean", "integer", "class", "position", "text"]},
        "value": {
            "type": ["boolean", "integer", "string", "null"],
            "description": "The value that the text has; null if it has none of the type.",
        },
    },
}
RESULT_SCHEMA: Schema = {
    "type": "object",
    "required": ["question", "model", "image"],
    "properties": {
        "question": _TEXT,
        "model": _TEXT,
        "text": {"type": "string", "description": "Answer of the model."},
        "answer": _ANSWER,
        "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "error": _ERROR,
        "image": {"type": "object", "required": ["id", "radiometry"]},
    },
}
"""The answer to one question, or its error."""
RESULTS_SCHEMA: Schema = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "array", "items": RESULT_SCHEMA}},
}
"""One answer per question, in the order of the questions."""
PICTURE_SCHEMA: Schema = {
    "type": "object",
    "required": ["id", "width", "height", "window", "bounds", "radiometry"],
    "properties": {
        "id": _TEXT,
        "width": {**_NUMBER, "description": "Pixels in a row of the picture."},
        "height": {**_NUMBER, "description": "Pixels in a column of the picture."},
        "window": {
            "type": ["array", "null"],
            "description": "col, row, width and height in pixels of the image; null, the whole image.",
            "items": {"type": "integer"},
        },
        "bounds": {
            "type": ["array", "null"],
            "description": "west, south, east and north in degrees; null if the image isn't georeferenced. The west is "
            "greater than the east across the antimeridian.",
            "items": {"type": "number"},
        },
        "radiometry": {"type": "string", "description": "`relative`, or the backscatter coefficient of the values."},
    },
}
"""A picture and where it is."""
SURVEY_SCHEMA: Schema = {
    "type": "object",
    "required": ["id", "status", "progress", "tiles", "answered", "url", "features"],
    "properties": {
        "id": _TEXT,
        "status": {"enum": ["accepted", "running", "successful", "failed", "dismissed"]},
        "progress": {"type": "integer", "minimum": 0, "maximum": 100, "description": "Percent of the tiles."},
        "tiles": _NUMBER,
        "answered": _NUMBER,
        "blank": _NUMBER,
        "failed": _NUMBER,
        "url": {"type": "string", "description": "Path of the survey in the REST API."},
        "features": {"type": "string", "description": "Path of its answers as GeoJSON."},
        "error": _ERROR,
    },
}
"""The status of a survey."""

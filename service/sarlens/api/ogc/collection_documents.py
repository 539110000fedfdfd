"""Collections of OGC API - Features: all answers, those of a survey or one of its questions, and its objects."""

from __future__ import annotations

import re
from math import ceil
from typing import Any, NamedTuple

import orjson

from sarlens.api.jobs.responses import GEOJSON, rfc3339
from sarlens.api.ogc.negotiation import SCHEMA, Document, link
from sarlens.errors import NotFound
from sarlens.jobs.layers import Extent, Survey
from sarlens.surveys.layer_file import ANSWERS_LAYER, OBJECTS_LAYER, Layer

ANSWERS = "answers"
"""Id of the collection of all answers."""
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_SCHEMA_REL = "http://www.opengis.net/def/rel/ogc/1.0/schema"
_ID = re.compile(r"([0-9a-f]{32})(?:-([0-9]{1,4}))?(-objects)?")
_MAX_LISTED_QUESTIONS = 16
"""Questions of a survey with collections of their own in the list."""
_MAX_TITLE_CHARS = 200


class CollectionId(NamedTuple):
    """Id of a collection: ``answers``, the id of a job, or that with a hyphen and the index of a question.

    ``-objects`` follows the id of a collection of objects.
    """

    job: str | None = None
    """None for the answers of all jobs."""
    question: int | None = None
    """None for the answers to all questions."""
    objects: bool = False
    """Whether the collection has objects in place of answers."""

    @classmethod
    def parse(cls, text: str) -> CollectionId:
        """Parse an id.

        Raises:
            NotFound: no collection has such an id.
        """
        if text == ANSWERS:
            return cls()
        parts = _ID.fullmatch(text)
        if parts is None:
            raise no_such_collection(text)
        return cls(parts[1], None if parts[2] is None else int(parts[2]), parts[3] is not None)

    def __str__(self) -> str:
        """Return the text of the id."""
        suffix = "-objects" if self.objects else ""
        return (self.job or ANSWERS) + ("" if self.question is None else f"-{self.question}") + suffix


def no_such_collection(text: str) -> NotFound:
    """Return the error for a collection that doesn't exist, or that another key owns."""
    return NotFound(f"Collection {text[:64]!r} doesn't exist. /collections lists the collections of the caller.")


class Collection(NamedTuple):
    """A collection of answers or objects."""

    id: CollectionId
    title: str
    description: str
    extent: Extent
    acquisition: bool = True
    """Whether the features can have columns of the acquisition."""

    @property
    def layer(self) -> Layer:
        """Columns and geometry of the features."""
        return OBJECTS_LAYER if self.id.objects else ANSWERS_LAYER

    def document(self, base: str) -> Document:
        """Return the collection as OGC 17-069r4 describes it. An unknown extent is left out."""
        url = f"{base}/collections/{self.id}"
        # GDAL derives columns from the first schema of the features with the relation that it knows: describedBy up to
        # version 3.6, and the registered spelling later.
        geojson_schema = f"{url}/schemas/feature"
        links = [
            link(url, "self", self.title),
            link(f"{url}/items", "items", self.title, GEOJSON),
            link(geojson_schema, "describedBy", "Schema of the features", SCHEMA),
            link(geojson_schema, "describedby", "Schema of the features", SCHEMA),
            link(f"{url}/schema", "describedby", "Schema of the properties", SCHEMA),
            link(f"{url}/schema", _SCHEMA_REL, "Schema of the properties", SCHEMA),
        ]
        document: Document = {"id": str(self.id), "title": self.title, "description": self.description}
        document |= {"itemType": "feature", "crs": [_CRS84]}
        extent = _extent_document(self.extent)
        return document | ({"extent": extent} if extent else {}) | {"links": links}


def _extent_document(extent: Extent) -> Document:
    document: Document = {}
    if extent.bounds is not None:
        west, south, east, north = extent.bounds
        # Across the antimeridian, the west of a bbox is more than its east.
        east -= 360 if east > 180 else 0
        document["spatial"] = {"bbox": [[west, south, east, north]], "crs": _CRS84}
    if extent.first is not None and extent.last is not None:
        # Milliseconds, rounded outward.
        last = ceil(1000 * extent.last) / 1000
        document["temporal"] = {"interval": [[rfc3339(extent.first), rfc3339(last)]]}
    return document


def all_answers(extent: Extent) -> Collection:
    """Return the collection of all answers of a caller."""
    description = "Answers of vision-language models about windows and tiles of radar images."
    return Collection(CollectionId(), "Answers", description, extent)


def survey_collections(survey: Survey) -> list[Collection]:
    """Return the collection of a survey, one per question if it has several, and that of its objects if it has any."""
    questions = _questions(survey)
    indexes = range(len(questions)) if 1 < len(questions) <= _MAX_LISTED_QUESTIONS else ()
    ids = [CollectionId(survey.id), *(CollectionId(survey.id, index) for index in indexes)]
    ids += [CollectionId(survey.id, objects=True)] if orjson.loads(survey.request).get("objects") else []
    return [survey_collection(survey, collection_id) for collection_id in ids]


def survey_collection(survey: Survey, collection_id: CollectionId) -> Collection:
    """Return a collection of a survey.

    Raises:
        NotFound: the survey has no such question, or no objects.
    """
    spec, questions, question = orjson.loads(survey.request), _questions(survey), collection_id.question
    if (question is not None and question >= len(questions)) or (collection_id.objects and not spec.get("objects")):
        raise no_such_collection(str(collection_id))
    image = image_name(spec["url"])
    acquisition = spec.get("acquisition") is not None
    title = f"Objects of {image}" if collection_id.objects else f"Survey of {image}"
    if question is None:
        extent = Extent.around(survey.extents.values())
        return Collection(collection_id, _title(title), _title(*questions), extent, acquisition)
    extent = survey.extents.get(question, Extent())
    return Collection(collection_id, _title(questions[question]), _title(title), extent, acquisition)


def image_name(location: Any) -> str:
    """Return the name of the image of a specification in JSON: its URL, the id of its STAC Item, or all its URLs."""
    if isinstance(location, list):
        return ", ".join(location)
    return str(location if isinstance(location, str) else location["id"])


def _questions(survey: Survey) -> list[str]:
    return [question["question"] for question in orjson.loads(survey.request).get("questions", ())]


def _title(*texts: str) -> str:
    text = " ".join(texts)
    return text if len(text) <= _MAX_TITLE_CHARS else text[: _MAX_TITLE_CHARS - 1] + "…"

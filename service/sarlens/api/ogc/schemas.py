"""Schemas of answers: JSON Schema of the properties, and of the GeoJSON features."""

from __future__ import annotations

from sarlens.api.ogc.negotiation import Document
from sarlens.surveys.columns import Column, answer_columns

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_POLYGON = {"format": "geometry-polygon-or-multipolygon", "x-ogc-role": "primary-geometry"}


def property_schema(url: str, title: str, *, acquisition: bool) -> Document:
    """Return the logical schema of a collection (OGC 23-058r2), with the geometry among the properties."""
    columns = answer_columns(acquisition=acquisition)
    properties: Document = {"geometry": {**_POLYGON, "description": "Footprint of the tile.", "x-ogc-propertySeq": 1}}
    for number, column in enumerate(columns, start=2):
        properties[column.name] = _property(column) | {"x-ogc-propertySeq": number}
    properties["answered_at"]["x-ogc-role"] = "primary-instant"
    return {"$schema": _DRAFT, "$id": url, "type": "object", "title": title, "properties": properties}


def feature_schema(url: str, title: str, *, acquisition: bool) -> Document:
    """Return the schema of the GeoJSON features of a collection.

    Each property has one type, as clients that derive columns require. A property without a value is null.
    """
    columns = {column.name: _property(column) for column in answer_columns(acquisition=acquisition)}
    members: Document = {
        "type": {"type": "string", "enum": ["Feature"]},
        "id": {"type": "string"},
        "geometry": {"type": "object", "description": "Polygon or MultiPolygon; null without a georeference."},
        "properties": {"type": "object", "properties": columns},
    }
    schema: Document = {"$schema": _DRAFT, "$id": url, "type": "object", "title": title}
    return schema | {"required": ["type", "geometry", "properties"], "properties": members}


def _property(column: Column) -> Document:
    document: Document = {"type": column.type, "description": column.description}
    if column.format is not None:
        document["format"] = column.format
    return document | ({"items": {"type": "object"}} if column.type == "array" else {})

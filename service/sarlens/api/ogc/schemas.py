"""Schemas of answers and objects: JSON Schema of the properties, and of the GeoJSON features."""

from __future__ import annotations

from sarlens.api.ogc.negotiation import Document
from sarlens.surveys.columns import Column
from sarlens.surveys.layer_file import OBJECTS_LAYER, Layer

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_POLYGON = {"format": "geometry-polygon-or-multipolygon", "description": "Footprint of the tile."}
_POINT = {"format": "geometry-point", "description": "Center of the object."}

_GEOJSON_GEOMETRY = {False: "Polygon or MultiPolygon; null without a georeference.", True: "Point."}


def property_schema(url: str, title: str, layer: Layer, *, acquisition: bool) -> Document:
    """Return the logical schema of a collection (OGC 23-058r2), with the geometry among the properties."""
    columns = layer.columns(acquisition=acquisition)
    geometry = _POINT if layer is OBJECTS_LAYER else _POLYGON
    properties: Document = {"geometry": {**geometry, "x-ogc-role": "primary-geometry", "x-ogc-propertySeq": 1}}
    for number, column in enumerate(columns, start=2):
        properties[column.name] = _property(column) | {"x-ogc-propertySeq": number}
    if "answered_at" in properties:
        properties["answered_at"]["x-ogc-role"] = "primary-instant"
    return {"$schema": _DRAFT, "$id": url, "type": "object", "title": title, "properties": properties}


def feature_schema(url: str, title: str, layer: Layer, *, acquisition: bool) -> Document:
    """Return the schema of the GeoJSON features of a collection.

    Each property has one type, as clients that derive columns require. A property without a value is null.
    """
    columns = {column.name: _property(column) for column in layer.columns(acquisition=acquisition)}
    members: Document = {
        "type": {"type": "string", "enum": ["Feature"]},
        "id": {"type": "string"},
        "geometry": {"type": "object", "description": _GEOJSON_GEOMETRY[layer is OBJECTS_LAYER]},
        "properties": {"type": "object", "properties": columns},
    }
    schema: Document = {"$schema": _DRAFT, "$id": url, "type": "object", "title": title}
    return schema | {"required": ["type", "geometry", "properties"], "properties": members}


def _property(column: Column) -> Document:
    document: Document = {"type": column.type, "description": column.description}
    if column.format is not None:
        document["format"] = column.format
    return document | ({"items": {"type": "object"}} if column.type == "array" else {})

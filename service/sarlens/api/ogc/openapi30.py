"""Process inputs as OpenAPI 3.0 schemas without references, as OGC process descriptions require."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_NULL = {"type": "null"}
_UNSUPPORTED = frozenset({"$ref", "$defs", "prefixItems", "const"})
"""Keywords of JSON Schema that OpenAPI 3.0 doesn't have."""


def input_descriptions(model_cls: type[BaseModel]) -> Schema:
    """Return the input descriptions of a model by the names of its fields."""
    model_schema = model_cls.model_json_schema()
    definitions = model_schema.get("$defs", {})
    descriptions = {}
    for name, field in model_cls.model_fields.items():
        schema = _convert(model_schema["properties"][name], definitions)
        schema.pop("title", None)
        descriptions[name] = {
            "title": name,
            "description": schema.pop("description", ""),
            "minOccurs": int(field.is_required()),
            "maxOccurs": schema.pop("maxOccurs", 1),
            "schema": schema,
        }
    return descriptions


def _convert(value: Any, definitions: Schema) -> Any:
    """Convert a JSON Schema, or a part of one, to OpenAPI 3.0."""
    if isinstance(value, list):
        return [_convert(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    schema = _convert_keywords(value, definitions)
    return {name: _convert(member, definitions) for name, member in schema.items() if name not in _UNSUPPORTED}


def _convert_keywords(schema: Schema, definitions: Schema) -> Schema:
    """Resolve references, drop null from optional values, and replace tuples and constants."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]] | schema
    if _NULL in schema.get("anyOf", ()):
        options = [option for option in schema["anyOf"] if option != _NULL]
        rest = {name: member for name, member in schema.items() if name not in {"anyOf", "default"}}
        return _convert_keywords(options[0] | rest, definitions) if len(options) == 1 else rest | {"anyOf": options}
    if "prefixItems" in schema:
        schema = schema | {"items": schema["prefixItems"][0]}
    if "const" in schema:
        schema = schema | {"enum": [schema["const"]]}
    return schema

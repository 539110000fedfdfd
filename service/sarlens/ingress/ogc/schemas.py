"""Inputs as the description of a process has them: schemas of OpenAPI 3.0, whole, each on its own."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_NULL = {"type": "null"}
_UNKNOWN = frozenset({"$ref", "$defs", "prefixItems", "const"})
"""Words of JSON Schema that OpenAPI 3.0 does not know."""


def described(kind: type[BaseModel]) -> Schema:
    """The inputs that a model of them takes, by name."""
    whole = kind.model_json_schema()
    told = {}
    for name, field in kind.model_fields.items():
        schema = _plain(whole["properties"][name], whole.get("$defs", {}))
        schema.pop("title", None)
        meaning, most = schema.pop("description", ""), schema.pop("maxOccurs", 1)
        told[name] = {"title": name, "description": meaning, "schema": schema}
        told[name] |= {"minOccurs": int(field.is_required()), "maxOccurs": most}
    return told


def _plain(value: Any, named: Schema) -> Any:
    """A schema, or a part of one, in the words of OpenAPI 3.0."""
    if isinstance(value, list):
        return [_plain(each, named) for each in value]
    if not isinstance(value, dict):
        return value
    said = _translated(value, named)
    return {name: _plain(each, named) for name, each in said.items() if name not in _UNKNOWN}


def _translated(schema: Schema, named: Schema) -> Schema:
    """What a reference names; a value that may be null as one that may be left out; tuples; constants."""
    if "$ref" in schema:
        schema = named[schema["$ref"].rpartition("/")[2]] | schema
    if _NULL in schema.get("anyOf", ()):
        others = [each for each in schema["anyOf"] if each != _NULL]
        rest = {name: each for name, each in schema.items() if name not in {"anyOf", "default"}}
        return _translated(others[0] | rest, named) if len(others) == 1 else rest | {"anyOf": others}
    if "prefixItems" in schema:
        schema = schema | {"items": schema["prefixItems"][0]}
    if "const" in schema:
        schema = schema | {"enum": [schema["const"]]}
    return schema

"""REST reference page, from the OpenAPI document and the stored examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from _generate.api_document import METHODS
from _generate.markdown import example_block, table

TITLES = {
    "completions": "OpenAI completions",
    "models": "Models",
    "usage": "Usage",
    "images": "Rendered images",
    "scenes": "Scenes",
    "tasks": "Tasks",
    "surveys": "Surveys",
    "files": "Files",
    "batches": "Batches",
    "OGC API": "OGC API",
    "OGC API Processes": "OGC API Processes",
    "OGC API Features": "OGC API Features",
    "OGC API Tiles": "OGC API Tiles",
    "open inference protocol": "Open Inference Protocol",
    "health": "Health and metrics",
}
"""Heading of each tag, in the order of the page."""

_INTRODUCTION = """\
# REST API

<!-- Written by docs/generate.py from docs/openapi.json and docs/reference/examples.toml. Don't edit. -->

{description}
The document of this page is [openapi.json](../openapi.json). A gateway serves the same document at `/openapi.json`, and
as an interactive page at `/docs`. The examples use a [local stack](../how-to/install.md); some of them need `jq`.

Errors have the fields of [the table of errors](errors.md). Every response has the header `X-Request-Id`.
With the request header `Sarlens-Route: 1`, the response states its [route](../explanation/routing.md#route-receipt).
"""


def rest_page(document: dict[str, Any], examples: dict[str, dict[str, str]]) -> str:
    """Return the page."""
    document = _with_enumerations(document, document["components"]["schemas"])
    sections: dict[str, list[str]] = {tag: [] for tag in TITLES}
    for method, path, operation in _operations(document):
        sections[operation["tags"][0]].append("\n".join(_section(method, path, operation, document, examples)))
    parts = [_INTRODUCTION.format(description=document["info"]["description"])]
    for tag, title in TITLES.items():
        parts += [f"## {title}\n", *sections[tag]]
    return "\n".join([*parts, "## Objects\n", *_objects(document)])


def _with_enumerations(part: Any, schemas: dict[str, Any]) -> Any:
    """Replace references to enumerations by their values, which have no section of their own."""
    if isinstance(part, list):
        return [_with_enumerations(each, schemas) for each in part]
    if not isinstance(part, dict):
        return part
    target = schemas.get(str(part.get("$ref", "")).rpartition("/")[2], {})
    if "enum" in target:
        return {"enum": target["enum"]}
    return {name: _with_enumerations(each, schemas) for name, each in part.items()}


def routes(document: dict[str, Any]) -> set[str]:
    """Return the routes that have a section of their own."""
    return {route_of(method, path) for method, path, _ in _operations(document)}


def route_of(method: str, path: str) -> str:
    """Return a route as the examples name it, with ``{}`` for a path parameter."""
    return f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}"


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        if "/versions/" not in path:
            yield from ((method, path, item[method]) for method in METHODS if method in item)


def _section(
    method: str, path: str, operation: dict[str, Any], document: dict[str, Any], examples: dict[str, dict[str, str]]
) -> Iterator[str]:
    yield f"### {method.upper()} {path}\n"
    yield operation["description"].rstrip() + "\n"
    versioned = re.sub(r"(\{model\})", r"\1/versions/1", path, count=1)
    if versioned in document["paths"] and versioned != path:
        yield f"`{versioned}` is the same route.\n"
    parameters = [each for each in operation.get("parameters", ()) if each["in"] != "path" or "description" in each]
    if parameters:
        rows = [
            (f"`{each['name']}`", each["in"], *_type_and_default(each["schema"], required=each.get("required", False)))
            for each in parameters
        ]
        meanings = [each.get("description", "") for each in parameters]
        yield table(
            ("parameter", "in", "type", "default", "meaning"),
            [(*row, meaning) for row, meaning in zip(rows, meanings, strict=True)],
        )
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Request body, `{media_type}`:\n"
        yield _fields_of(content["schema"], document)
    yield _responses(operation)
    yield example_block(examples[route_of(method, path)])


def _responses(operation: dict[str, Any]) -> str:
    content = operation["responses"]["200"].get("content", {})
    text = " or ".join(f"`{media_type}`" for media_type in content) or "no content"
    others = [status for status in ("201", "400", "503") if status in operation["responses"]]
    more = "".join(f" {status}: {operation['responses'][status]['description']}" for status in others)
    return f"Response: 200, {text}.{more}\n"


def _fields_of(schema: dict[str, Any], document: dict[str, Any]) -> str:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "properties" not in schema:
        return (
            f"The fields of the OpenAI API and of vLLM. `sar` is {_type(document['components']['schemas']['sar'])}.\n"
        )
    return table(("field", "type", "default", "meaning"), list(_rows(schema)))


def _rows(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, ...]]:
    for name, field in schema["properties"].items():
        required = name in schema.get("required", ())
        yield (f"`{prefix}{name}`", *_type_and_default(field, required=required), field.get("description", ""))
        if "properties" in field:
            yield from _rows(field, f"{prefix}{name}.")


def _objects(document: dict[str, Any]) -> Iterator[str]:
    bodies = {name for name in document["components"]["schemas"] if name.endswith(("Body", "Request"))}
    for name, schema in sorted(document["components"]["schemas"].items()):
        if name in bodies or "properties" not in schema:
            continue
        yield f"### {name}\n"
        yield schema.get("description", "").replace("``", "`") + "\n"
        yield table(("field", "type", "default", "meaning"), list(_rows(schema)))


def _type_and_default(schema: dict[str, Any], *, required: bool) -> tuple[str, str]:
    default = schema.get("default")
    if required:
        return _type(schema), "required"
    if default is None or default in ({}, []):
        return _type(schema), ""
    return _type(schema), f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any")
    if kind == "array":
        return _array(schema)
    if isinstance(kind, list):
        kind = " or ".join(name for name in kind if name != "null")
    return str(schema.get("title") if schema.get("title") == "STAC Item" else kind) + _range(schema)


def _array(schema: dict[str, Any]) -> str:
    if "prefixItems" in schema:
        parts = schema["prefixItems"]
        return f"array of {len(parts)}: {_type(parts[0])}"
    return f"array of {_type(schema['items'])}" if schema.get("items") else "array"


def _range(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None or high is None or abs(low) > 2**31:
        return "" if schema.get("maxLength") is None else f", up to {schema['maxLength']:,} characters"
    return f", {low:,} to {high:,}" if high >= 10_000 or low <= -10_000 else f", {low} to {high}"

"""OpenAPI document that the gateway serves, and the routes and fields that it promises."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import httpx

from sarlens.bootstrap.gateway import open_gateway
from sarlens.settings import Settings

METHODS = ("get", "post", "put", "patch", "delete")


def served_document() -> dict[str, Any]:
    """Return the OpenAPI document of a gateway with default settings, without workers."""
    return asyncio.run(_fetch())


async def _fetch() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        survey, grpc = {"database": f"sqlite:///{folder}/jobs.db"}, {"port": None}
        async with open_gateway(Settings.model_validate({"survey": survey, "grpc": grpc})) as app:
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")
            async with client:
                return dict((await client.get("/openapi.json")).raise_for_status().json())


def promises(document: dict[str, Any]) -> set[str]:
    """Return what clients rely on: routes, parameters, body fields, values of enumerations, and media types.

    Names of path parameters and of schemas aren't among them: a client sends neither.
    """
    found: set[str] = set()
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                route = f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}"
                found.add(route)
                found.update(f"{route}: {promise}" for promise in _of_operation(item[method], document))
    return found


def _of_operation(operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] != "path":
            yield f"{parameter['in']} parameter {parameter['name']}"
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"request {media_type}"
        for field in _fields(content["schema"], document, (), ()):
            yield f"field {field}"
    for status, response in operation["responses"].items():
        yield f"status {status}"
        for media_type in response.get("content", ()):
            yield f"response {media_type}"


def _fields(
    schema: dict[str, Any], document: dict[str, Any], path: tuple[str, ...], parents: tuple[str, ...]
) -> Iterator[str]:
    reference = schema.get("$ref")
    if reference in parents:
        return
    if reference is not None:
        name = reference.rpartition("/")[2]
        yield from _fields(document["components"]["schemas"][name], document, path, (*parents, reference))
    for value in schema.get("enum", ()):
        yield f"{'.'.join(path)} = {value}"
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _fields(part, document, path, parents)
    if isinstance(schema.get("items"), dict):
        yield from _fields(schema["items"], document, path, parents)
    for name, part in schema.get("properties", {}).items():
        yield ".".join((*path, name))
        yield from _fields(part, document, (*path, name), parents)

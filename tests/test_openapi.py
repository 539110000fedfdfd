"""The OpenAPI document and the pages that follow from it are those of the code, and no promise is lost silently."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import generate
from _generate.api_document import METHODS, promises

COMMITTED: dict[str, Any] = json.loads(generate.DOCUMENT.read_text())


@pytest.fixture(scope="module")
def files() -> dict[Path, str]:
    """Content of each generated file, from the code."""
    return generate.generated_files()


async def test_the_committed_document_is_the_served_one(url: str) -> None:
    """docs/openapi.json equals what a gateway with a worker serves."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/openapi.json") as response:
        assert await response.json() == COMMITTED


@pytest.mark.parametrize(
    "name", ["openapi.json", "reference/rest.md", "reference/cli.md", "explanation/architecture.md"]
)
def test_generated_pages_are_up_to_date(files: dict[Path, str], name: str) -> None:
    """`python docs/generate.py` would change nothing."""
    path = generate.DOCS / name
    assert generate.difference(path, files[path]) == ""


def test_no_route_or_field_is_lost(files: dict[Path, str]) -> None:
    """Everything that the committed document promises is in the document of the code."""
    assert generate.removed(files[generate.DOCUMENT]) == []


def test_promises_name_routes_parameters_fields_and_values() -> None:
    """A promise of each kind is found, nested fields and values of enumerations included."""
    kept = promises(COMMITTED)
    assert {
        "GET /v1/models/{}",
        "GET /metrics",
        "POST /v1/chat/completions: response text/event-stream",
        "POST /v1/sar/vqa: field questions.application = instance_counting",
        "POST /v1/sar/vqa: field image.sar.polygon.coordinates",
        "POST /v1/sar/surveys: header parameter Prefer",
        "POST /v1/sar/surveys: status 201",
        "POST /v2/models/{}/infer: field inputs.datatype",
        "GET /v1/sar/picture: query parameter bbox_crs",
    } <= kept


@pytest.mark.parametrize(
    ("where", "lost"),
    [
        (("paths", "/v1/sar/captions"), "POST /v1/sar/captions"),
        (("paths", "/v1/sar/surveys", "get"), "GET /v1/sar/surveys"),
        (("components", "schemas", "VqaBody", "properties", "seed"), "POST /v1/sar/vqa: field seed"),
        (
            ("components", "schemas", "RenderParams", "properties", "looks"),
            "POST /v1/sar/captions: field image.sar.looks",
        ),
        (
            ("paths", "/v1/sar/vqa", "post", "responses", "200", "content", "application/x-ndjson"),
            "POST /v1/sar/vqa: response application/x-ndjson",
        ),
    ],
)
def test_what_is_removed_is_named(where: tuple[str, ...], lost: str) -> None:
    """A removed route, operation, field or media type is listed, however deep it is."""
    document = copy.deepcopy(COMMITTED)
    part = document
    for key in where[:-1]:
        part = part[key]
    del part[where[-1]]
    assert lost in generate.removed(json.dumps(document))


def test_a_renamed_schema_or_path_parameter_loses_nothing() -> None:
    """Clients send neither, so that the code may rename both."""
    text = json.dumps(COMMITTED).replace("VqaBody", "VqaRequest").replace("{feature}", "{feature_id}")
    assert generate.removed(text) == []


def test_a_stale_page_is_shown_as_a_diff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The diff names the file, and has the old line and the new one."""
    monkeypatch.setattr(generate, "DOCS", tmp_path / "pages")
    page = tmp_path / "pages" / "page.md"
    page.parent.mkdir()
    page.write_text("same\nold\n")
    assert generate.difference(page, "same\nold\n") == ""
    diff = generate.difference(page, "same\nnew\n").splitlines()
    assert diff[0] == "--- pages/page.md"
    assert diff[-2:] == ["-old", "+new"]


def test_operation_ids_are_unique() -> None:
    """Generated clients name a method after each operation."""
    ids = [item[method]["operationId"] for item in COMMITTED["paths"].values() for method in METHODS if method in item]
    assert len(ids) == len(set(ids))


def test_every_field_and_parameter_says_what_it_means() -> None:
    """No parameter but those of paths, and no field of a body, is without a description."""
    silent = [
        f"{method} {path} {parameter['name']}"
        for path, item in COMMITTED["paths"].items()
        for method in METHODS
        for parameter in item.get(method, {}).get("parameters", ())
        if parameter["in"] != "path" and not parameter.get("description")
    ]
    silent += [
        f"{name}.{field}"
        for name, schema in COMMITTED["components"]["schemas"].items()
        for field, part in schema.get("properties", {}).items()
        if name not in {"Polygon", "MultiPolygon"} and not part.get("description")
    ]
    assert silent == []

"""Collections of surveys and of their questions: extents, schemas, and columns as clients read them."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas
import jsonschema
import pytest

from ogc.client import HOW_MANY, REL, SCENE, SURVEY, call, submit, wait_until_done
from sarlens.surveys.columns import VALUE_COLUMNS
from support.workers.fake_worker import FakeWorker

QUESTIONS = {
    "yes": "Are there any ships in the image?",
    "text": "What type of area is mostly visible?",
    "count": HOW_MANY,
    "position": "Where are most ships positioned within the image?",
}
"""Question by the column of its value."""
REPLIES = {"yes": "Yes", "text": "Open sea", "count": "5", "position": "top left"}
VALUES: dict[str, Any] = {"yes": True, "text": "Open sea", "count": 5, "position": "top left"}
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


@pytest.fixture
def typed_worker(base: str, worker: FakeWorker) -> FakeWorker:
    """The worker, with a reply of the right type for each question."""
    worker.says = lambda body: next(REPLIES[name] for name, text in QUESTIONS.items() if text in str(body))
    return worker


async def run_survey(base: str, *columns: str) -> str:
    """Run a survey with 12 tiles and the questions of some columns, and return the id of its job."""
    questions = [QUESTIONS[column] for column in columns]
    job_id = await submit(base, "survey", {"inputs": SURVEY["inputs"] | {"question": questions}})
    assert (await wait_until_done(base, job_id))["status"] == "successful"
    return job_id


async def run(*command: str) -> str:
    """Run a client in a separate process, and return its output."""
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def links(document: dict[str, Any], rel: str) -> list[str]:
    """Return the links of a relation."""
    return [link["href"] for link in document["links"] if link["rel"] == rel]


async def test_a_survey_is_a_collection(base: str, typed_worker: FakeWorker) -> None:
    """Collections are all answers, each survey, and each question of a survey with several, with their own items."""
    one = await run_survey(base, "count")
    two = await run_survey(base, "yes", "text")
    _, document, _ = await call("GET", f"{base}/collections")
    assert [collection["id"] for collection in document["collections"]] == ["answers", two, f"{two}-0", f"{two}-1", one]
    titles = [collection["title"] for collection in document["collections"]]
    assert titles[1:] == [f"Survey of {SCENE}", QUESTIONS["yes"], QUESTIONS["text"], f"Survey of {SCENE}"]
    for name, matched in (("answers", 36), (one, 12), (two, 24), (f"{two}-1", 12), (f"{one}-0", 12)):
        _, page, _ = await call("GET", f"{base}/collections/{name}/items?limit=100")
        assert (page["numberMatched"], len(page["features"])) == (matched, matched)
        assert links(page, "collection") == [f"{base}/collections/{name}"]
    assert {feature["properties"]["question"] for feature in page["features"]} == {HOW_MANY}
    _, page, _ = await call("GET", f"{base}/collections/{two}-1/items?limit=5&offset=5")
    assert {feature["properties"]["text"] for feature in page["features"]} == {"Open sea"}
    assert links(page, "next")[0].startswith(f"{base}/collections/{two}-1/items?")
    own, other = f"{two}.3.1", f"{two}.3.0"
    assert (await call("GET", f"{base}/collections/{two}-1/items/{own}"))[1]["id"] == own
    assert (await call("GET", f"{base}/collections/{two}-1/items/{other}"))[0] == 404
    assert (await call("GET", f"{base}/collections/{one}/items?job={two}"))[1]["numberMatched"] == 0
    assert (await call("GET", f"{base}/collections/{two}-2"))[0] == 404


async def test_a_collection_has_its_extent(base: str, typed_worker: FakeWorker) -> None:
    """The bbox is that of the footprints, and the interval is from the first to the last answer."""
    job_id = await run_survey(base, "count")
    _, page, _ = await call("GET", f"{base}/collections/{job_id}/items?limit=100")
    corners = [corner for feature in page["features"] for corner in feature["geometry"]["coordinates"][0]]
    longitudes, latitudes = zip(*corners, strict=True)
    hull = [min(longitudes), min(latitudes), max(longitudes), max(latitudes)]
    for name in ("answers", job_id, f"{job_id}-0"):
        _, document, _ = await call("GET", f"{base}/collections/{name}")
        extent = document["extent"]
        assert extent["spatial"]["crs"] == CRS84
        assert extent["spatial"]["bbox"][0] == pytest.approx(hull, abs=1e-9)
        first, last = extent["temporal"]["interval"][0]
        assert first <= last
        _, within, _ = await call("GET", f"{base}/collections/{name}/items?datetime={first}/{last}".replace("+", "%2B"))
        assert within["numberMatched"] == 12


async def test_collections_without_answers_have_no_extent(base: str) -> None:
    """Without answers, the list has the collection of all answers, without an extent."""
    _, document, _ = await call("GET", f"{base}/collections")
    (collection,) = document["collections"]
    assert collection["id"] == "answers"
    assert "extent" not in collection


async def test_collections_are_paged(base: str, typed_worker: FakeWorker) -> None:
    """A page has as many surveys as its limit, and a link to the next one."""
    jobs = [await run_survey(base, "count") for _ in range(3)]
    ids: list[str] = []
    url = f"{base}/collections?limit=2"
    while url:
        _, document, _ = await call("GET", url)
        ids += [collection["id"] for collection in document["collections"]]
        url = next(iter(links(document, "next")), "")
    assert ids == ["answers", *reversed(jobs)]


async def test_a_collection_has_schemas(base: str, typed_worker: FakeWorker) -> None:
    """The schema of the properties has one type per column; features are valid against the schema of features."""
    job_id = await run_survey(base, "count")
    _, collection, _ = await call("GET", f"{base}/collections/{job_id}")
    url = f"{base}/collections/{job_id}/schema"
    assert links(collection, f"{REL}schema") == [url]
    assert url in links(collection, "describedby")
    status, schema, headers = await call("GET", url, headers={"Accept": "application/schema+json"})
    assert (status, headers["content-type"]) == (200, "application/schema+json")
    types = {name: schema["properties"][name].get("type") for name in ("count", "yes", "text", "position", "class")}
    assert types == {"count": "integer", "yes": "boolean", "text": "string", "position": "string", "class": "string"}
    assert schema["properties"]["answered_at"] == {
        "type": "string",
        "format": "date-time",
        "description": "Time of the answer.",
        "x-ogc-propertySeq": schema["properties"]["model"]["x-ogc-propertySeq"] + 1,
        "x-ogc-role": "primary-instant",
    }
    assert schema["properties"]["geometry"]["x-ogc-role"] == "primary-geometry"
    assert "platform" not in schema["properties"]
    _, feature_schema, _ = await call("GET", f"{base}/collections/{job_id}/schemas/feature")
    jsonschema.Draft202012Validator.check_schema(feature_schema)
    _, page, _ = await call("GET", f"{base}/collections/{job_id}/items?limit=100")
    for feature in page["features"]:
        properties = {name: value for name, value in feature["properties"].items() if value is not None}
        jsonschema.validate(feature | {"properties": properties}, feature_schema)
        assert set(feature["properties"]) <= set(schema["properties"])


_READ = """
import json, sys, geopandas
base, layer = sys.argv[1:]
frame = geopandas.read_file(f"OAPIF:{base}", layer=layer)
columns = {name: frame[name].dropna().unique().tolist() for name in ("yes", "text", "count", "position")}
print(json.dumps({"rows": len(frame), "dtypes": {name: str(frame[name].dtype) for name in frame}, "values": columns}))
"""


@pytest.mark.parametrize("order", [("yes", "text", "count"), ("text", "count", "yes")], ids=["yes first", "text first"])
@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed (Debian: gdal-bin)")
async def test_columns_do_not_depend_on_the_first_survey(
    base: str, typed_worker: FakeWorker, tmp_path: Path, order: tuple[str, ...]
) -> None:
    """ogr2ogr and geopandas read each value in a column of its type, in whichever order surveys were run."""
    for column in order:
        await run_survey(base, column)
    out = str(tmp_path / "answers.gpkg")
    # A page of ten answers shows the client the answers of the first survey only.
    await run("ogr2ogr", "-f", "GPKG", out, f"OAPIF:{base}", "answers", "-oo", "PAGE_SIZE=10")
    layer = await run("ogrinfo", "-so", out, "answers")
    assert "Feature Count: 36" in layer
    for line in ("count: Integer (0.0)", "yes: Integer(Boolean) (0.0)", "text: String (0.0)", "answered_at: DateTime"):
        assert line in layer
    by_gdal = json.loads(await run(sys.executable, "-c", _READ, base, "answers"))
    assert by_gdal["rows"] == 36
    for column in order:
        assert by_gdal["values"][column] == [VALUES[column]], column
    query = "SELECT count, yes, text, COUNT(*) AS n FROM answers GROUP BY count, yes, text ORDER BY n, count, yes"
    rows = await run("ogrinfo", "-q", out, "-dialect", "SQLITE", "-sql", query)
    assert "count (Integer) = 5" in rows
    assert "yes (Integer(Boolean)) = 1" in rows
    assert "text (String) = Open sea" in rows
    assert rows.count("n (Integer) = 12") == 3


@pytest.mark.parametrize("columns", [("yes", "text", "count", "position"), ("position", "count", "text", "yes")])
async def test_formats_have_the_same_columns(
    base: str, typed_worker: FakeWorker, tmp_path: Path, columns: tuple[str, ...]
) -> None:
    """The values of one survey with four types are the same in GeoJSON, GeoPackage, GeoParquet and OGC API."""
    job_id = await run_survey(base, *columns)
    url = f"{base}/v1/sar/surveys/{job_id}/features"
    for file_format in ("geojson", "gpkg", "parquet"):
        file = tmp_path / f"answers.{file_format}"
        await run("curl", "-sf", "-o", str(file), f"{url}?format={file_format}")
        frame = geopandas.read_parquet(file) if file_format == "parquet" else geopandas.read_file(file)
        values = {name: frame[name].dropna().unique().tolist() for name in columns}
        assert values == {name: [VALUES[name]] for name in columns}, file_format
        assert frame["class"].isna().all()
    for index, column in enumerate(columns):
        read = json.loads(await run(sys.executable, "-c", _READ, base, f"{job_id}-{index}"))
        assert (read["rows"], read["values"][column]) == (12, [VALUES[column]])
    assert set(VALUE_COLUMNS.values()) >= set(columns)

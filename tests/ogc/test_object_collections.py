"""Objects of surveys as a process input and as collections of OGC API - Features."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from pyproj import Transformer

from ogc.client import HOW_MANY, SURVEY, call, submit, wait_until_done
from ogc.conftest import SHIPS
from support.georeferenced_scenes import AFFINE

TO_UTM = Transformer.from_crs("OGC:CRS84", "EPSG:32631", always_xy=True)


async def run_survey(base: str, **inputs: object) -> str:
    """Run the survey with more inputs, and return the id of its job."""
    job_id = await submit(base, "survey", {"inputs": SURVEY["inputs"] | inputs})
    assert (await wait_until_done(base, job_id))["status"] == "successful"
    return job_id


async def test_objects_are_a_collection(base: str) -> None:
    """A survey with ``objects`` has a collection of points at its ships, which ``bbox``, pages and ids select."""
    job_id = await run_survey(base, objects="confirmed")
    _, document, _ = await call("GET", f"{base}/collections")
    assert [collection["id"] for collection in document["collections"]] == ["answers", job_id, f"{job_id}-objects"]
    url = f"{base}/collections/{job_id}-objects"
    _, page, _ = await call("GET", f"{url}/items")
    assert page["numberMatched"] == len(SHIPS)
    points = [TO_UTM.transform(*feature["geometry"]["coordinates"]) for feature in page["features"]]
    np.testing.assert_allclose(sorted(~AFFINE @ point for point in points), sorted(SHIPS.tolist()), atol=0.5)
    lon, lat = page["features"][0]["geometry"]["coordinates"]
    _, near, _ = await call("GET", f"{url}/items?bbox={lon - 1e-4},{lat - 1e-4},{lon + 1e-4},{lat + 1e-4}")
    assert [feature["id"] for feature in near["features"]] == [page["features"][0]["id"]]
    _, second, _ = await call("GET", f"{url}/items?limit=1&offset=1")
    assert [feature["id"] for feature in second["features"]] == [page["features"][1]["id"]]
    assert (await call("GET", f"{url}/items/{page['features'][2]['id']}"))[1]["properties"]["class"] == "ship"
    assert (await call("GET", f"{base}/collections/{job_id}-0-objects/items"))[1]["numberMatched"] == len(SHIPS)
    assert (await call("GET", f"{url}/items?question=another"))[1]["numberMatched"] == 0


async def test_the_schema_describes_objects(base: str) -> None:
    """The schemas have the columns of objects and a point, and the features match them."""
    job_id = await run_survey(base, objects="all", second_opinion="cfar", cfar={"pfa": 1e-7})
    url = f"{base}/collections/{job_id}-objects"
    _, schema, _ = await call("GET", f"{url}/schema")
    assert schema["properties"]["geometry"]["format"] == "geometry-point"
    assert schema["properties"]["score"]["type"] == "number"
    _, feature_schema, _ = await call("GET", f"{url}/schemas/feature")
    _, page, _ = await call("GET", f"{url}/items")
    for feature in page["features"]:
        present = {name: value for name, value in feature["properties"].items() if value is not None}
        jsonschema.validate(feature | {"properties": present}, feature_schema)
        assert set(feature["properties"]) <= set(feature_schema["properties"]["properties"]["properties"])


@pytest.mark.parametrize("suffix", ["-objects", "-7-objects"])
async def test_a_survey_without_objects_has_no_such_collection(base: str, suffix: str) -> None:
    """The collection of objects of a survey that was submitted without ``objects`` is 404."""
    job_id = await run_survey(base)
    assert (await call("GET", f"{base}/collections/{job_id}{suffix}"))[0] == 404
    assert (await call("GET", f"{base}/collections/{job_id}{suffix}/items"))[0] == 404


async def test_objects_are_in_the_result_of_the_process(base: str) -> None:
    """A synchronous execution with the gate returns answers and objects, and an unsuitable question is 400."""
    body = {"inputs": SURVEY["inputs"] | {"objects": "confirmed", "gate": "cfar"}}
    status, document, _ = await call("POST", f"{base}/processes/survey/execution", body)
    assert status == 200, document
    assert len(document["objects"]["features"]) == len(SHIPS)
    assert document["survey"]["skipped"] > 0
    body = {"inputs": SURVEY["inputs"] | {"objects": "confirmed", "question": "What does the image show?"}}
    status, document, _ = await call("POST", f"{base}/processes/survey/execution", body)
    assert status == 400, document


async def test_gdal_reads_objects_as_points(base: str, tmp_path: Path) -> None:
    """GDAL's OAPIF driver reads the collection as a layer of points with typed columns."""
    ogr2ogr = shutil.which("ogr2ogr")
    if ogr2ogr is None:
        pytest.skip("needs ogr2ogr")
    job_id = await run_survey(base, objects="confirmed")
    out = tmp_path / "objects.geojson"
    command = [ogr2ogr, "-f", "GeoJSON", str(out), f"OAPIF:{base}", f"{job_id}-objects"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    features = json.loads(out.read_text())["features"]
    assert len(features) == len(SHIPS)
    assert {feature["geometry"]["type"] for feature in features} == {"Point"}
    assert all(isinstance(feature["properties"]["contrast_db"], float) for feature in features)
    assert {feature["properties"]["question"] for feature in features} == {HOW_MANY}

"""Objects of a survey over REST: a real store, the fake worker, and ships at known positions."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from pyproj import Transformer

from sarlens.settings import Settings
from support.gateway import gateway
from support.georeferenced_scenes import AFFINE, bright_spots, geotiff, sea
from support.s3 import S3Server
from support.workers.fake_openai_server import prompt
from support.workers.fake_worker import FakeWorker
from surveys.client import HOW_MANY, SURVEYS, call, survey_body, wait_until_done

SCENE = "s3://scenes/objects.tif"
SHIPS = np.array([(100, 100), (130, 140), (256, 300), (700, 512), (640, 400), (30, 600)])
"""Column and row of each ship of 6 x 6 pixels. Two of them lie across edges of tiles of 256 pixels."""
TO_UTM = Transformer.from_crs("OGC:CRS84", "EPSG:32631", always_xy=True)
ANY = "Is there a ship in the image?"


@pytest.fixture(scope="module")
def scene(s3: S3Server) -> str:
    """URL of a scene with six ships."""
    s3.client().put_object(Bucket="scenes", Key="objects.tif", Body=geotiff(sea(768, 768, SHIPS)))
    return SCENE


@pytest.fixture
async def base(settings: Settings, worker: FakeWorker) -> AsyncIterator[str]:
    """Base URL of a gateway whose worker counts bright spots."""
    worker.says = answer
    async with gateway(settings) as url:
        yield url


def answer(body: dict[str, Any]) -> str:
    """Return the number of bright spots, or whether there are any."""
    count = bright_spots(body)
    return str(count) if "How many" in prompt(body) else "Yes" if count else "No"


async def survey(base: str, scene: str, **fields: Any) -> dict[str, Any]:
    """Return the result of a survey."""
    status, document, _ = await call("POST", base + SURVEYS, survey_body(scene, **fields))
    assert status == 200, document
    return dict(document)


def positions(features: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return the columns and rows of objects by their coordinates, with pyproj."""
    points = (TO_UTM.transform(*feature["geometry"]["coordinates"]) for feature in features)
    return sorted(~AFFINE @ point for point in points)


async def test_a_survey_has_one_point_per_ship(base: str, scene: str) -> None:
    """Each ship is one point within half a pixel of its center, also across the edges of tiles; the total is six."""
    document = await survey(base, scene, objects="confirmed")
    objects = document["objects"]["features"]
    np.testing.assert_allclose(positions(objects), sorted(SHIPS.tolist()), atol=0.5)
    assert {feature["properties"]["source"] for feature in objects} == {"both"}
    assert {feature["properties"]["class"] for feature in objects} == {"ship"}
    for feature in objects:
        properties = feature["properties"]
        col, row = next((col, row) for col, row in SHIPS if abs(col - properties["col"]) < 1)
        assert (properties["col"], properties["row"]) == pytest.approx((col, row), abs=0.5)
        assert (properties["width"], properties["height"]) == pytest.approx((6, 6), abs=1)
        assert properties["length_m"] == pytest.approx(10 * max(properties["width"], properties["height"]), rel=0.01)
        assert re.fullmatch(r"[0-9a-f]{64}", properties["image_id"])
        assert properties["contrast_db"] > 20
    (total,) = document["survey"]["totals"]
    assert (total["objects"], total["unlocated"], total["interval"][1]) == (6, 0, 6)


async def test_overlapping_tiles_count_each_ship_once(base: str, scene: str) -> None:
    """With an overlap of 64 pixels, tiles count more ships than there are, and the objects are the six ships."""
    document = await survey(base, scene, objects="confirmed", overlap=64)
    (total,) = document["survey"]["totals"]
    assert sum(feature["properties"]["count"] for feature in document["features"]) > len(SHIPS)
    assert total["objects"] == len(document["objects"]["features"]) == len(SHIPS)
    np.testing.assert_allclose(positions(document["objects"]["features"]), sorted(SHIPS.tolist()), atol=0.5)


async def test_the_model_rejects_targets(base: str, scene: str, worker: FakeWorker) -> None:
    """Where the model sees no ship, a target is no object, unless the request has ``all``."""
    worker.says = lambda body: "0"
    document = await survey(base, scene, objects="confirmed")
    assert document["objects"]["features"] == []
    (total,) = document["survey"]["totals"]
    assert (total["objects"], total["interval"], total["unlocated"]) == (0, [0, 0], 0)
    document = await survey(base, scene, objects="all")
    assert {feature["properties"]["source"] for feature in document["objects"]["features"]} == {"cfar"}
    np.testing.assert_allclose(positions(document["objects"]["features"]), sorted(SHIPS.tolist()), atol=0.5)
    (total,) = document["survey"]["totals"]
    assert (total["objects"], total["unconfirmed"]) == (0, 8)  # two ships are in two tiles each


async def test_an_answer_confirms_the_targets_in_its_tile(base: str, scene: str, worker: FakeWorker) -> None:
    """If the model counts one ship in a tile with two targets, both are objects; nine ships leave seven unlocated."""
    worker.says = lambda body: "1" if bright_spots(body) == 2 else "0"
    part = {"window": [0, 0, 256, 256]}
    document = await survey(base, scene, objects="confirmed", sar=part)
    assert [feature["properties"]["source"] for feature in document["objects"]["features"]] == ["both", "both"]
    worker.says = lambda body: "9"
    document = await survey(base, scene, objects="confirmed", sar=part)
    (total,) = document["survey"]["totals"]
    assert (total["objects"], total["unlocated"], total["interval"][1]) == (2, 7, 9)


async def test_boxes_of_the_model_are_objects(base: str, scene: str, worker: FakeWorker) -> None:
    """Boxes in an answer are objects in place of the targets; those without a target have the source ``model``."""
    worker.says = lambda body: "[40, 40, 20, 12]" if bright_spots(body) == 2 else "no ship"
    question = {"question": "Where are the ships in the image?", "application": "object_positioning"}
    document = await survey(base, scene, objects="confirmed", questions=[question], sar={"window": [0, 0, 256, 256]})
    (found,) = document["objects"]["features"]
    properties = found["properties"]
    assert properties["source"] == "model"
    assert (properties["col"], properties["row"], properties["width"], properties["height"]) == (50, 46, 20, 12)
    assert properties["contrast_db"] is None


async def test_the_gate_skips_tiles_without_targets(base: str, scene: str, worker: FakeWorker) -> None:
    """Tiles without a target are neither rendered nor asked about; the others are all those with a ship."""
    asked = len(worker.requests)
    document = await survey(base, scene, gate="cfar", objects="confirmed")
    summary = document["survey"]
    tiles = {(feature["properties"]["col"], feature["properties"]["row"]) for feature in document["features"]}
    with_ships = {
        (int(col + across) // 256 * 256, int(row + down) // 256 * 256)
        for col, row in SHIPS
        for across in (-3, 2)
        for down in (-3, 2)
    }
    assert tiles == with_ships
    assert (summary["tiles"], summary["answered"], summary["skipped"]) == (9, len(tiles), 9 - len(tiles))
    assert len(document["objects"]["features"]) == len(SHIPS)
    assert len(worker.requests) - asked == len(tiles)


async def test_a_second_opinion_is_beside_each_answer(base: str, scene: str) -> None:
    """Each answer has the number of targets in its tile, and whether it agrees; without the option it has neither."""
    document = await survey(base, scene, second_opinion="cfar", questions=[HOW_MANY, ANY])
    seen = {}
    for feature in document["features"]:
        properties = feature["properties"]
        seen[properties["col"], properties["row"], properties["type"]] = properties
        expected = {"integer": properties["count"] == properties["cfar_targets"]}
        expected["boolean"] = properties["yes"] == (properties["cfar_targets"] > 0)
        assert properties["cfar_agrees"] is expected[properties["type"]]
        assert "objects" not in properties
    assert seen[0, 0, "integer"]["cfar_targets"] == 2
    assert seen[0, 0, "integer"]["cfar_agrees"] is True
    assert seen[0, 256, "boolean"]["cfar_targets"] == 1  # the ship across the edge of column 256
    plain = await survey(base, scene)
    assert not any("cfar_targets" in feature["properties"] for feature in plain["features"])


@pytest.mark.parametrize("file_format", ["geojson", "gpkg", "parquet"])
async def test_objects_are_a_layer_of_their_own(base: str, scene: str, tmp_path: Path, file_format: str) -> None:
    """``/objects`` returns each format with typed columns, and a GeoPackage of answers has the objects as a layer."""
    import geopandas  # noqa: PLC0415

    status, job, _ = await call(
        "POST", base + SURVEYS, survey_body(scene, objects="confirmed"), {"Prefer": "respond-async"}
    )
    assert status == 201
    async with aiohttp.ClientSession() as session:
        assert (await wait_until_done(base, job["id"]))["status"] == "successful"
        async with session.get(base + job["objects"], params={"format": file_format}) as response:
            assert response.status == 200
            file = tmp_path / f"objects.{file_format}"
            file.write_bytes(await response.read())
        async with session.get(base + job["features"], params={"format": "gpkg"}) as response:
            answers = tmp_path / "answers.gpkg"
            answers.write_bytes(await response.read())
    read = geopandas.read_parquet if file_format == "parquet" else geopandas.read_file
    frame = read(file)
    assert len(frame) == len(SHIPS)
    assert set(frame.geometry.geom_type) == {"Point"}
    assert frame["contrast_db"].dtype.kind == "f"
    assert set(geopandas.list_layers(answers)["name"]) == {"answers", "objects", "layer_styles"}
    assert len(geopandas.read_file(answers, layer="objects")) == len(SHIPS)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"objects": "confirmed", "questions": ["What does the image show?"]}, "objects"),
        ({"gate": "cfar", "questions": [HOW_MANY, "Is there a bridge in the image?"]}, "gate"),
        ({"objects": "some"}, "objects"),
        ({"cfar": {"guard": 40}}, "cfar"),
        ({"cfar": {"guard": 41, "training": 43}}, "cfar"),
        ({"cfar": {"pfa": 0.5}}, "cfar.pfa"),
        ({"cfar": {"windows": 3}}, "cfar.windows"),
    ],
)
async def test_impossible_options_are_rejected(base: str, scene: str, fields: dict[str, Any], param: str) -> None:
    """Options that don't suit the questions, and detectors that don't exist, are 400 and name the field."""
    status, document, _ = await call("POST", base + SURVEYS, survey_body(scene, **fields))
    assert (status, document["error"]["param"]) == (400, param), document


async def test_a_survey_without_objects_has_no_objects(base: str, scene: str) -> None:
    """``/objects`` of a survey that was submitted without ``objects`` is 404."""
    document = await survey(base, scene)
    assert "objects" not in document
    status, error, _ = await call("GET", f"{base}{SURVEYS}/{document['survey']['id']}/objects")
    assert (status, error["error"]["code"]) == (404, "not_found")


async def test_a_failed_question_confirms_nothing(base: str, scene: str, worker: FakeWorker) -> None:
    """If the worker answers nonsense, its targets have the source ``cfar`` and no score."""
    worker.says = lambda body: json.dumps({})
    document = await survey(base, scene, objects="all")
    found = [feature["properties"] for feature in document["objects"]["features"]]
    assert {(properties["source"], properties["score"]) for properties in found} == {("cfar", None)}
    assert len(found) == len(SHIPS)
    assert document["survey"]["answered"] == 9

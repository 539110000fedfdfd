"""Surveys through the gateway: a scene in S3, a worker that counts ships, features on the map."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import numpy as np
import pytest
from rasterio.transform import Affine
from rasterio.warp import transform

from sarlens.settings import LimitSettings, Settings
from stack.fake_worker import FakeWorker
from stack.gateway import gateway
from stack.s3 import S3Server
from stack.scenes import AFFINE, UTM, geotiff, sea
from survey.conftest import SHIPS, TILE

SURVEYS = "/v1/sar/surveys"
HOW_MANY = "How many ships are in the image?"
SEQUENCE = {"Accept": "application/geo+json-seq"}
ASYNC = {"Prefer": "respond-async"}


def body(scene: str, **more: Any) -> dict[str, Any]:
    """A survey of the scene for ships."""
    sar = {"filter": "none", "stretch": [2, 100]} | more.pop("sar", {})
    return {"image": {"url": scene, "sar": sar}, "questions": [HOW_MANY], "tile": TILE, **more}


async def call(
    method: str, url: str, json_body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, Any]:
    """Status, document and headers of an answer."""
    async with aiohttp.ClientSession() as session, session.request(method, url, json=json_body, headers=headers) as got:
        return got.status, json.loads(await got.read()), got.headers


async def over(base: str, name: str) -> dict[str, Any]:
    """A survey when it is over."""
    async with asyncio.timeout(60):
        while True:
            _, told, _ = await call("GET", f"{base}{SURVEYS}/{name}")
            if told["status"] not in {"accepted", "running"}:
                return dict(told)
            await asyncio.sleep(0.05)


def truth(feature: dict[str, Any]) -> int:
    """The ships in a feature's window."""
    at = feature["properties"]
    left, top = at["col"], at["row"]
    inside = ((left, top) <= SHIPS) & ((left + at["width"], top + at["height"]) > SHIPS)
    return int(inside.all(axis=1).sum())


def footprint(col: int, row: int, width: int, height: int) -> np.ndarray[Any, Any]:
    """The corners of a window in degrees, by GDAL alone."""
    cols, rows = np.array([[col, row], [col, row + height], [col + width, row + height], [col + width, row]]).T
    xs, ys = AFFINE.a * cols + AFFINE.c, AFFINE.e * rows + AFFINE.f
    return np.column_stack(transform(UTM, "EPSG:4326", xs, ys))


async def test_every_tile_becomes_a_feature(base: str, scene: str) -> None:
    """A survey gives one feature a tile with its count, at its place on Earth; tiles without data give none."""
    status, found, _ = await call("POST", base + SURVEYS, body(scene))
    assert status == 200, found
    assert found["type"] == "FeatureCollection"
    features = found["features"]
    assert len(features) == 6 * 5 - 1
    for feature in features:
        at = feature["properties"]
        assert at["value"] == truth(feature), at
        assert (at["question"], at["type"], at["answer"]) == (HOW_MANY, "integer", str(at["value"]))
        assert (at["model"], at["image"]) == ("sarlens-nano", scene)
        ring = np.array(feature["geometry"]["coordinates"][0])
        for corner in footprint(at["col"], at["row"], at["width"], at["height"]):
            metres = np.abs(ring - corner).max(axis=1).min() * 111_000
            assert metres < 5, (corner, metres)
    survey = found["survey"]
    assert (survey["tiles"], survey["answered"], survey["blank"], survey["failed"]) == (30, 29, 1, 0)
    total = {"question": HOW_MANY, "type": "integer", "answers": 29, "sum": 5, "highest": 2, "tiles_above_zero": 4}
    assert survey["totals"] == [total]


async def test_features_stream_as_they_come(settings: Settings, scene: str, worker: FakeWorker) -> None:
    """A text sequence brings features while others are still asked, and says beforehand how many tiles there are."""
    worker.pause_s = 0.02
    few = settings.model_copy(update={"survey": settings.survey.model_copy(update={"at_once": 4})})
    async with (
        gateway(few) as base,
        aiohttp.ClientSession() as session,
        session.post(base + SURVEYS, json=body(scene), headers=SEQUENCE) as got,
    ):
        assert got.status == 200
        assert got.content_type == "application/geo+json-seq"
        assert got.headers["sarlens-tiles"] == "30"
        first = await got.content.readuntil(b"\n")
        assert len(worker.bodies) < 29
        records = (first + await got.read()).split(b"\x1e")[1:]
    assert len(records) == 29
    assert all(json.loads(record)["type"] == "Feature" for record in records)


async def test_a_polygon_is_surveyed_alone(base: str, scene: str) -> None:
    """Only tiles that share ground with the polygon are asked about, and none that lies in its hole."""
    outer, inner = footprint(0, 0, 1300, 1000), footprint(252, 252, 520, 520)
    rings = [[*map(list, ring), list(ring[0])] for ring in (outer, inner)]
    polygon = {"type": "Polygon", "coordinates": rings}
    status, found, _ = await call("POST", base + SURVEYS, body(scene, sar={"polygon": polygon}))
    assert status == 200, found
    tiles = {(each["properties"]["col"], each["properties"]["row"]) for each in found["features"]}
    assert (0, 0) in tiles
    assert (1280, 768) in tiles
    assert (1280, 1024) not in tiles
    assert (512, 512) not in tiles
    assert found["survey"]["tiles"] == 6 * 4 - 4


async def test_a_scene_across_the_antimeridian_is_surveyed(base: str, s3: S3Server) -> None:
    """Tiles on both sides of 180 degrees are found by a bbox whose west is greater than its east; the footprint of one
    that lies across is in two parts, and all are where a map has them."""
    degrees = Affine(0.001, 0, 179.5, 0, -0.001, 10)
    data = geotiff(sea(1024, 512, SHIPS[:2]), crs="EPSG:4326", transform=degrees)
    s3.client().put_object(Bucket="scenes", Key="dateline.tif", Body=data)
    asked = body("s3://scenes/dateline.tif", sar={"bbox": [179.9, 9.6, -179.95, 9.9]})
    status, found, _ = await call("POST", base + SURVEYS, asked)
    assert status == 200, found
    shapes = {(each["properties"]["col"], each["properties"]["row"]): each["geometry"] for each in found["features"]}
    assert shapes.keys() == {(256, 0), (512, 0), (256, 256), (512, 256)}
    assert shapes[512, 0]["type"] == "Polygon"
    rings = [np.array(part[0]) for part in shapes[256, 0]["coordinates"]]
    spans = sorted((float(ring[:, 0].min()), float(ring[:, 0].max())) for ring in rings)
    np.testing.assert_allclose(spans, [(-180, -179.988), (179.756, 180)], atol=1e-9)


async def test_blocks_are_fetched_once(base: str, s3: S3Server, worker: FakeWorker) -> None:
    """A survey with overlap moves hardly more bytes than the scene has."""
    data = geotiff(sea(2048, 2048, SHIPS, seed=3))
    s3.client().put_object(Bucket="scenes", Key="once.tif", Body=data)
    status, _, _ = await call("POST", base + SURVEYS, body("s3://scenes/once.tif", overlap=64))
    assert status == 200
    async with aiohttp.ClientSession() as session, session.get(f"{base}/metrics") as got:
        lines = (await got.text()).splitlines()
    name = 'sarlens_fetched_bytes_total{scheme="s3"'
    moved = next(float(line.split()[-1]) for line in lines if line.startswith(name))
    assert moved <= 1.1 * len(data)


async def test_tiles_are_the_pictures_that_others_see(
    base: str, settings: Settings, scene: str, worker: FakeWorker
) -> None:
    """A tile of a survey is, byte for byte and by its id, the picture of the same window asked for alone."""
    await call("POST", base + SURVEYS, body(scene))
    parts = [part for asked in worker.requests for part in asked["messages"][0]["content"]]
    shown = {part["uuid"]: part["image_url"]["url"] for part in parts if "uuid" in part}
    sar = body(scene)["image"]["sar"] | {"window": [512, 256, 256, 256]}
    async with gateway(settings) as alone:
        worker.known.clear()
        asked = {"image": {"url": scene, "sar": sar}, "questions": [HOW_MANY]}
        status, found, _ = await call("POST", f"{alone}/v1/sar/vqa", asked)
    assert status == 200, found
    part = worker.requests[-1]["messages"][0]["content"][0]
    assert part["uuid"] == found["data"][0]["image"]["id"]
    assert part["image_url"]["url"] == shown[part["uuid"]]


async def test_a_job_goes_on_without_its_caller(base: str, scene: str) -> None:
    """A survey asked for as a job answers 201 at once, can be watched, read in part and in the end whole."""
    status, told, headers = await call("POST", base + SURVEYS, body(scene), ASYNC)
    assert status == 201
    assert headers["location"] == f"{SURVEYS}/{told['id']}"
    done = await over(base, told["id"])
    assert (done["status"], done["progress"], done["answered"]) == ("successful", 100, 29)
    _, found, _ = await call("GET", f"{base}{SURVEYS}/{told['id']}/features")
    assert len(found["features"]) == 29
    _, listed, _ = await call("GET", base + SURVEYS)
    assert listed["data"][0]["id"] == told["id"]


async def test_results_are_files_for_a_gis(base: str, scene: str, s3: S3Server, tmp_path: Any) -> None:
    """GeoJSON, GeoPackage and GeoParquet hold the same features, by download and in S3."""
    geopandas = pytest.importorskip("geopandas")
    frames, read = [], {"parquet": geopandas.read_parquet}
    for kind in ("geojson", "gpkg", "parquet"):
        output = f"s3://scenes/results/ships.{kind}"
        _, told, _ = await call("POST", base + SURVEYS, body(scene, output=output, format=kind), ASYNC)
        done = await over(base, told["id"])
        assert done["status"] == "successful", done
        written = tmp_path / f"s3.{kind}"
        written.write_bytes(s3.client().get_object(Bucket="scenes", Key=f"results/ships.{kind}")["Body"].read())
        frames.append(read.get(kind, geopandas.read_file)(written))
    for kind in ("gpkg", "parquet"):
        url = f"{base}{SURVEYS}/{told['id']}/features?format={kind}"
        async with aiohttp.ClientSession() as session, session.get(url) as got:
            assert got.status == 200
            (tmp_path / f"x.{kind}").write_bytes(await got.read())
        frames.append(read.get(kind, geopandas.read_file)(tmp_path / f"x.{kind}"))
    assert len(frames) == 5
    for frame in frames:
        assert len(frame) == 29
        assert int(frame["value"].sum()) == 5
        assert frame.crs.to_authority() in {("OGC", "CRS84"), ("EPSG", "4326")}


def _ring(*places: tuple[float, float]) -> dict[str, Any]:
    """A GeoJSON polygon."""
    return {"type": "Polygon", "coordinates": [[*map(list, places), list(places[0])]]}


BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no tif": ({"scene": "s3://scenes/ready"}, 400, "not_georeferenced"),
    "no place": ({"scene": "s3://scenes/nowhere.tif"}, 400, "not_georeferenced"),
    "not there": ({"scene": "s3://scenes/missing.tif"}, 404, "image_not_found"),
    "elsewhere": ({"sar": {"bbox": [100, 0, 101, 1]}}, 400, "window_outside"),
    "unknown CRS": ({"sar": {"bbox": [1, 2, 3, 4], "bbox_crs": "EPSG:999999"}}, 400, "bad_request"),
    "crosses itself": (
        {"sar": {"polygon": _ring((3.0, 45.0), (3.1, 45.1), (3.1, 45.0), (3.0, 45.1))}},
        400,
        "bad_request",
    ),
    "around the world": ({"sar": {"polygon": _ring((179, 45), (-179, 45), (-179, 46))}}, 400, "bad_request"),
    "too many tiles": ({"tile": 64, "overlap": 32}, 413, "too_large"),
    "overlap": ({"tile": 64, "overlap": 33}, 400, "bad_request"),
    "data": ({"scene": "data:image/png;base64,AAAA"}, 400, "bad_request"),
    "output elsewhere": ({"output": "s3://scenes/other/x.geojson"}, 400, "source_refused"),
    "output above": ({"output": "s3://scenes/results/../x.geojson"}, 400, "source_refused"),
    "model": ({"model": "nobody"}, 404, "model_not_found"),
    "region in no tile": ({"questions": ["What is the object in the region [250, 250, 20, 20]?"]}, 400, "bad_request"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_surveyed_is_refused_at_once(
    name: str, settings: Settings, scene: str, s3: S3Server
) -> None:
    """Each bad request has its own clear 4xx, and leaves no job behind."""
    more, status, code = BAD[name]
    nowhere = geotiff(sea(64, 64, SHIPS[:0]), crs=None, transform=None)
    s3.client().put_object(Bucket="scenes", Key="nowhere.tif", Body=nowhere)
    limited = settings.model_copy(update={"survey": settings.survey.model_copy(update={"tiles": 500})})
    async with gateway(limited) as base:
        more = dict(more)
        got, refused, _ = await call("POST", base + SURVEYS, body(more.pop("scene", scene), **more))
        assert (got, refused["error"]["code"]) == (status, code), refused
        _, listed, _ = await call("GET", base + SURVEYS)
        assert listed["data"] == []
        if name == "too many tiles":
            said = refused["error"]["message"]
            assert all(words in said for words in ("1564", "500", '"bbox"', '"polygon"', 'larger "tile"', '"overlap"'))


async def test_a_region_is_asked_where_it_lies(base: str, scene: str, worker: FakeWorker) -> None:
    """A question about a region in pixels of the scene goes to the tile that holds it, in pixels of its picture; a
    region in the answer comes back as a place on the map."""
    worker.says = lambda _: "A ship at [10, 20, 30, 40]"
    question = "What shape has the object in the region [700, 300, 20, 10]?"
    status, found, _ = await call("POST", base + SURVEYS, body(scene, questions=[question], sar={"size": 128}))
    assert status == 200, found
    (feature,) = found["features"]
    assert (feature["properties"]["col"], feature["properties"]["row"]) == (512, 256)
    prompt = worker.requests[-1]["messages"][0]["content"][1]["text"]
    assert "[94.0, 22.0, 10.0, 5.0]" in prompt
    (box,) = feature["properties"]["boxes"]
    expected = footprint(512 + 20, 256 + 40, 60, 80)
    assert np.abs(np.array(box["coordinates"][0])[:4] - expected).max() * 111_000 < 5


async def test_limits_hold_for_surveys(settings: Settings, scene: str) -> None:
    """A survey may hold as many questions as any request."""
    async with gateway(settings.model_copy(update={"limit": LimitSettings(questions=1)})) as base:
        status, refused, _ = await call("POST", base + SURVEYS, body(scene, questions=[HOW_MANY, HOW_MANY]))
        assert (status, refused["error"]["param"]) == (400, "questions")

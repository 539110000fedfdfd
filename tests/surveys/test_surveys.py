"""Surveys over REST: a scene in S3, a worker that counts ships, and features on the map."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import numpy as np
import pytest
from rasterio.transform import Affine
from rasterio.warp import transform

from sarlens.jobs.store import JobStore
from sarlens.settings import AdmissionSettings, LimitSettings, Settings
from sarlens.surveys.exporter import ResultExporter
from support.gateway import gateway
from support.georeferenced_scenes import AFFINE, UTM, geotiff, sea
from support.s3 import S3Server
from support.workers.fake_worker import BATCH_PATH, FakeWorker
from surveys.client import (
    ASYNC,
    HOW_MANY,
    SEQUENCE,
    SURVEYS,
    call,
    submit,
    survey_body,
    survey_features,
    wait_until_done,
)
from surveys.conftest import SHIPS


def count_ships(properties: dict[str, Any]) -> int:
    """Count the ships of the scene in the tile of a feature."""
    left, top = properties["col"], properties["row"]
    inside = ((left, top) <= SHIPS) & ((left + properties["width"], top + properties["height"]) > SHIPS)
    return int(inside.all(axis=1).sum())


def footprint(col: int, row: int, width: int, height: int) -> np.ndarray[Any, Any]:
    """Compute the corners of a window in degrees with GDAL."""
    cols, rows = np.array([[col, row], [col, row + height], [col + width, row + height], [col + width, row]]).T
    xs, ys = AFFINE.a * cols + AFFINE.c, AFFINE.e * rows + AFFINE.f
    return np.column_stack(transform(UTM, "EPSG:4326", xs, ys))


async def test_the_questions_of_a_tile_are_a_batch(base: str, scene: str, worker: FakeWorker) -> None:
    """Two counts are one request per tile, and each becomes a feature with its own tokens."""
    worker.says = lambda chat: "2" if "How many cars" in json.dumps(chat) else "1"
    questions = [HOW_MANY, "How many cars are in the image?"]
    status, document, _ = await call("POST", base + SURVEYS, survey_body(scene, questions=questions))
    assert status == 200, document
    assert sorted(feature["properties"]["count"] for feature in document["features"]) == [1] * 29 + [2] * 29
    assert worker.paths == [BATCH_PATH] * 29
    assert all(len(request["messages"]) == 2 for request in worker.requests)


async def test_every_tile_becomes_a_feature(base: str, scene: str) -> None:
    """A survey returns 29 features with counts and footprints, and none for the tile without data."""
    status, document, _ = await call("POST", base + SURVEYS, survey_body(scene))
    assert status == 200, document
    assert document["type"] == "FeatureCollection"
    features = document["features"]
    assert len(features) == 6 * 5 - 1
    for feature in features:
        properties = feature["properties"]
        count = count_ships(properties)
        assert properties["count"] == count, properties
        assert (properties["question"], properties["type"], properties["answer"]) == (HOW_MANY, "integer", str(count))
        assert (properties["model"], properties["image"]) == ("sarlens-nano", scene)
        ring = np.array(feature["geometry"]["coordinates"][0])
        for corner in footprint(properties["col"], properties["row"], properties["width"], properties["height"]):
            meters = np.abs(ring - corner).max(axis=1).min() * 111_000
            assert meters < 5, (corner, meters)
    survey = document["survey"]
    assert (survey["status"], survey["progress"]) == ("successful", 100)
    assert (survey["tiles"], survey["answered"], survey["blank"], survey["failed"]) == (30, 29, 1, 0)
    total = {"question": HOW_MANY, "type": "integer", "answers": 29, "highest": 2, "tiles_above_zero": 6}
    # The last row overlaps the row before: its two ships are in two tiles each.
    total["estimate"] = 5.5
    assert survey["totals"] == [total]


async def test_features_stream_as_tiles_complete(settings: Settings, scene: str, worker: FakeWorker) -> None:
    """A text sequence has its first feature before all tiles are sent, and a header with the number of tiles."""
    worker.pause_s = 0.02
    few = settings.model_copy(update={"survey": settings.survey.model_copy(update={"max_concurrent_tiles": 4})})
    async with (
        gateway(few) as base,
        aiohttp.ClientSession() as session,
        session.post(base + SURVEYS, json=survey_body(scene), headers=SEQUENCE) as response,
    ):
        assert response.status == 200
        assert response.content_type == "application/geo+json-seq"
        assert response.headers["sarlens-tiles"] == "30"
        first = await response.content.readuntil(b"\n")
        assert len(worker.bodies) < 29
        records = (first + await response.read()).split(b"\x1e")[1:]
    assert len(records) == 29
    assert all(json.loads(record)["type"] == "Feature" for record in records)


async def test_features_are_paged(base: str, scene: str) -> None:
    """A page has its part of the answers and their number; a page of a file or a sequence is a 400."""
    _, whole, _ = await call("POST", base + SURVEYS, survey_body(scene))
    url = f"{base}{SURVEYS}/{whole['survey']['id']}/features"
    pages = [(await call("GET", f"{url}?limit=12&offset={offset}"))[1] for offset in (0, 12, 24, 36)]
    assert [page["numberReturned"] for page in pages] == [12, 12, 5, 0]
    assert {page["numberMatched"] for page in pages} == {29}
    assert [feature for page in pages for feature in page["features"]] == whole["features"]
    assert len((await call("GET", f"{url}?offset=27"))[1]["features"]) == 2
    assert len((await call("GET", f"{url}?limit=99999"))[1]["features"]) == 29
    for query, headers in (("format=gpkg&limit=1", {}), ("offset=1", SEQUENCE)):
        status, document, _ = await call("GET", f"{url}?{query}", headers=headers)
        assert (status, document["error"]["param"]) == (400, "limit")


async def test_a_failed_stream_ends_with_the_error(base: str, scene: str, worker: FakeWorker) -> None:
    """The last record of a failed survey has no geometry, and the code and message of the error."""
    worker.says = lambda _: ""
    async with (
        aiohttp.ClientSession() as session,
        session.post(base + SURVEYS, json=survey_body(scene), headers=SEQUENCE) as response,
    ):
        last = json.loads((await response.read()).split(b"\x1e")[-1])
    assert last["geometry"] is None
    assert (last["properties"]["status"], last["properties"]["error"]) == ("failed", "bad_request")
    assert "This cannot be answered." in last["properties"]["error_message"]


async def test_several_areas_are_one_survey(base: str, scene: str) -> None:
    """A FeatureCollection of two polygons surveys the tiles of both, and no tile between them."""
    corners = (footprint(10, 10, 100, 100), footprint(1300, 800, 100, 100))
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[*map(list, ring), list(ring[0])]]}}
        for ring in corners
    ]
    area = {"type": "FeatureCollection", "features": features}
    status, document, _ = await call("POST", base + SURVEYS, survey_body(scene, sar={"polygon": area}))
    assert status == 200, document
    tiles = {(feature["properties"]["col"], feature["properties"]["row"]) for feature in document["features"]}
    assert tiles == {(0, 0), (1244, 768)}


async def test_a_polygon_selects_its_tiles(base: str, scene: str) -> None:
    """A survey of a polygon has 20 tiles: those that share area with it, without the 4 in its hole."""
    outer, inner = footprint(0, 0, 1300, 1000), footprint(252, 252, 520, 520)
    rings = [[*map(list, ring), list(ring[0])] for ring in (outer, inner)]
    polygon = {"type": "Polygon", "coordinates": rings}
    status, document, _ = await call("POST", base + SURVEYS, survey_body(scene, sar={"polygon": polygon}))
    assert status == 200, document
    tiles = {(feature["properties"]["col"], feature["properties"]["row"]) for feature in document["features"]}
    assert (0, 0) in tiles
    assert (1244, 768) in tiles
    assert (1244, 844) not in tiles
    assert (512, 512) not in tiles
    assert document["survey"]["tiles"] == 6 * 4 - 4


async def test_a_scene_across_the_antimeridian_is_surveyed(base: str, s3: S3Server) -> None:
    """A bbox across 180 degrees selects tiles on both sides; a footprint across 180 degrees has two parts."""
    degrees = Affine(0.001, 0, 179.5, 0, -0.001, 10)
    data = geotiff(sea(1024, 512, SHIPS[:2]), crs="EPSG:4326", transform=degrees)
    s3.client().put_object(Bucket="scenes", Key="dateline.tif", Body=data)
    body = survey_body("s3://scenes/dateline.tif", sar={"bbox": [179.9, 9.6, -179.95, 9.9]})
    status, document, _ = await call("POST", base + SURVEYS, body)
    assert status == 200, document
    geometries = {
        (feature["properties"]["col"], feature["properties"]["row"]): feature["geometry"]
        for feature in document["features"]
    }
    assert geometries.keys() == {(256, 0), (512, 0), (256, 256), (512, 256)}
    assert geometries[512, 0]["type"] == "Polygon"
    rings = [np.array(part[0]) for part in geometries[256, 0]["coordinates"]]
    spans = sorted((float(ring[:, 0].min()), float(ring[:, 0].max())) for ring in rings)
    np.testing.assert_allclose(spans, [(-180, -179.988), (179.756, 180)], atol=1e-9)


async def test_blocks_are_fetched_once(base: str, s3: S3Server) -> None:
    """A survey with overlap fetches at most 1.1 times the bytes of the scene."""
    data = geotiff(sea(2048, 2048, SHIPS, seed=3))
    s3.client().put_object(Bucket="scenes", Key="once.tif", Body=data)
    status, _, _ = await call("POST", base + SURVEYS, survey_body("s3://scenes/once.tif", overlap=64))
    assert status == 200
    async with aiohttp.ClientSession() as session, session.get(f"{base}/metrics") as response:
        lines = (await response.text()).splitlines()
    metric = 'sarlens_fetched_bytes_total{scheme="s3"'
    fetched = next(float(line.split()[-1]) for line in lines if line.startswith(metric))
    assert 0.9 * len(data) <= fetched <= 1.1 * len(data)


async def test_tiles_are_the_rendered_images_of_vqa(
    base: str, settings: Settings, scene: str, worker: FakeWorker
) -> None:
    """A tile has the same bytes and id at the worker as the same window in /v1/sar/vqa of another gateway."""
    await call("POST", base + SURVEYS, survey_body(scene))
    parts = [part for request in worker.requests for part in request["messages"][0]["content"]]
    images = {part["uuid"]: part["image_url"]["url"] for part in parts if "uuid" in part}
    sar = survey_body(scene)["image"]["sar"] | {"window": [512, 256, 256, 256]}
    async with gateway(settings) as other:
        worker.known.clear()
        body = {"image": {"url": scene, "sar": sar}, "questions": [HOW_MANY]}
        status, document, _ = await call("POST", f"{other}/v1/sar/vqa", body)
    assert status == 200, document
    part = worker.requests[-1]["messages"][0]["content"][0]
    assert part["uuid"] != document["data"][0]["image"]["id"]
    assert part["image_url"]["url"] == images[part["uuid"]]


async def test_a_job_continues_without_its_client(base: str, scene: str) -> None:
    """A survey with respond-async is 201 with a location, a status, a list entry, and 29 features in the end."""
    status, document, headers = await call("POST", base + SURVEYS, survey_body(scene), ASYNC)
    assert status == 201
    assert headers["location"] == f"{SURVEYS}/{document['id']}"
    assert headers["preference-applied"] == "respond-async"
    done = await wait_until_done(base, document["id"])
    assert (done["status"], done["progress"], done["answered"]) == ("successful", 100, 29)
    assert len(await survey_features(base, document["id"])) == 29
    _, surveys, _ = await call("GET", base + SURVEYS)
    assert [survey["id"] for survey in surveys["data"]] == [document["id"]]


async def test_results_are_files_for_a_gis(base: str, scene: str, s3: S3Server, tmp_path: Any) -> None:
    """GeoJSON, GeoPackage and GeoParquet files have the same 29 features, as downloads and in S3."""
    geopandas = pytest.importorskip("geopandas")
    frames, readers = [], {"parquet": geopandas.read_parquet}
    for file_format in ("geojson", "gpkg", "parquet"):
        output = f"s3://scenes/results/ships.{file_format}"
        job_id = await submit(base, survey_body(scene, output=output, format=file_format, overwrite=True))
        done = await wait_until_done(base, job_id)
        assert done["status"] == "successful", done
        file = tmp_path / f"s3.{file_format}"
        key = f"results/ships.{file_format}"
        file.write_bytes(s3.client().get_object(Bucket="scenes", Key=key)["Body"].read())
        frames.append(readers.get(file_format, geopandas.read_file)(file))
    for file_format in ("gpkg", "parquet"):
        url = f"{base}{SURVEYS}/{job_id}/features?format={file_format}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 200
            file = tmp_path / f"download.{file_format}"
            file.write_bytes(await response.read())
        frames.append(readers.get(file_format, geopandas.read_file)(file))
    assert len(frames) == 5
    for frame in frames:
        assert len(frame) == 29
        assert int(frame["count"].sum()) == 7
        assert sum(frame["count"] * frame["core_share"]) == pytest.approx(5.5, abs=0.05)
        assert frame.crs.to_authority() in {("OGC", "CRS84"), ("EPSG", "4326")}


async def test_a_region_belongs_to_one_tile(base: str, scene: str, worker: FakeWorker) -> None:
    """A question about a region goes to one tile, in its pixels; a region in the answer becomes a map geometry."""
    worker.says = lambda _: "A ship at [10, 20, 30, 40]"
    question = "What shape has the object in the region [700, 300, 20, 10]?"
    body = survey_body(scene, questions=[question], sar={"size": 128})
    status, document, _ = await call("POST", base + SURVEYS, body)
    assert status == 200, document
    (feature,) = document["features"]
    assert (feature["properties"]["col"], feature["properties"]["row"]) == (512, 256)
    prompt = worker.requests[-1]["messages"][0]["content"][1]["text"]
    assert "[94.0, 22.0, 10.0, 5.0]" in prompt
    (box,) = feature["properties"]["boxes"]
    expected = footprint(512 + 20, 256 + 40, 60, 80)
    assert np.abs(np.array(box["coordinates"][0])[:4] - expected).max() * 111_000 < 5


async def test_a_survey_waits_for_a_worker(settings: Settings, worker: FakeWorker, scene: str) -> None:
    """A survey that is submitted while no worker is ready waits in the queue, and is accepted when one is."""
    worker.health_status = 503
    probing = settings.worker.model_copy(update={"probe_interval_s": 0.05})
    async with gateway(settings.model_copy(update={"worker": probing}), ready=False) as base:
        submitting = asyncio.create_task(call("POST", base + SURVEYS, survey_body(scene), ASYNC))
        await asyncio.wait({submitting}, timeout=0.3)
        assert not submitting.done()
        worker.health_status = 200
        status, document, _ = await submitting
        assert status == 201, document
        assert (await wait_until_done(base, document["id"]))["status"] == "successful"


@pytest.mark.parametrize("path", [SURVEYS, "/processes/survey/execution"])
async def test_the_body_of_a_synchronous_survey_counts_until_its_response(
    settings: Settings, worker: FakeWorker, scene: str, path: str
) -> None:
    """While a survey with a body of 60 kB waits for its tiles, a second such body exceeds a memory of 100 kB."""
    worker.hangs = True
    memory = AdmissionSettings(max_body_bytes=100_000, max_client_body_ratio=1)
    limits = {"admission": memory, "limit": LimitSettings(max_body_bytes=100_000)}
    document = survey_body(scene)
    if path != SURVEYS:
        document = {"inputs": {"image": {"href": scene}, "question": HOW_MANY}}
    body = json.dumps(document).encode().ljust(60_000)
    async with gateway(settings.model_copy(update=limits)) as base, aiohttp.ClientSession() as http:
        waiting = asyncio.create_task(http.post(base + path, data=body))
        async with asyncio.timeout(30):
            while not worker.running:
                await asyncio.sleep(0.01)
        async with http.post(base + path, data=body, headers=ASYNC) as response:
            assert response.status == 503
            assert "use up the memory for request bodies" in await response.text()
        waiting.cancel()


@pytest.mark.parametrize(
    ("path", "headers", "media_type"),
    [
        ("{surveys}/{job}/features", {}, "application/geo+json"),
        ("{surveys}/{job}/features", SEQUENCE, "application/geo+json-seq"),
        ("{surveys}/{job}/features?format=gpkg", {}, "application/geopackage+sqlite3"),
        ("/jobs/{job}/results", {}, "application/geo+json"),
    ],
)
async def test_head_makes_no_document(
    base: str, scene: str, path: str, headers: dict[str, str], media_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEAD on the results of a survey returns the headers of GET, and neither reads an answer nor writes a file."""
    job_id = await submit(base, survey_body(scene))
    await wait_until_done(base, job_id)
    url = base + path.format(surveys=SURVEYS, job=job_id)
    async with aiohttp.ClientSession() as http:
        async with http.get(url, headers=headers) as got:
            assert await got.read()

        def unused(*_: object) -> None:
            raise AssertionError

        monkeypatch.setattr(ResultExporter, "file", unused)
        monkeypatch.setattr(JobStore, "list_answers", unused)
        async with http.head(url, headers=headers) as response:
            assert (response.status, response.content_type, await response.read()) == (200, media_type, b"")
            changing = {"date", "content-length", "transfer-encoding", "x-request-id", "last-modified", "etag"}
            names = {name.lower() for name in got.headers} - changing - {"accept-ranges"}
            assert {name: response.headers.get(name) for name in names} == {name: got.headers[name] for name in names}

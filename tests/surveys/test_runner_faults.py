"""Surveys with failing workers, stores and tiles, and with scenes that change."""

from __future__ import annotations

import asyncio

from rasterio.io import MemoryFile

from sarlens.settings import S3Settings, Settings
from support.gateway import gateway
from support.georeferenced_scenes import geotiff, sea
from support.s3 import S3Server
from support.tcp_proxy import wire
from support.workers.fake_worker import FakeWorker
from surveys.client import SURVEYS, call, submit, survey_body, survey_features, survey_status, wait_until_done
from surveys.conftest import HEIGHT, SHIPS, WIDTH


async def test_tiles_are_retried_while_workers_fail(base: str, scene: str, worker: FakeWorker) -> None:
    """A survey whose worker answers 503 for half a second completes with all 29 tiles answered."""
    worker.fails_with = (503, '{"error":{"message":"full","type":"x","code":503}}')
    job_id = await submit(base, survey_body(scene))
    await asyncio.sleep(0.5)
    assert (await survey_status(base, job_id))["answered"] == 0
    worker.fails_with = None
    status = await wait_until_done(base, job_id)
    assert (status["status"], status["answered"], status["blank"], status["failed"]) == ("successful", 29, 1, 0)


async def test_rows_are_retried_while_the_store_fails(
    settings: Settings, scene: str, s3: S3Server, worker: FakeWorker
) -> None:
    """A survey whose store is silent for 3 seconds completes with 29 answered tiles and a blank one."""
    worker.pause_s = 0.05
    async with wire(s3.endpoint) as line:
        s3_settings = S3Settings(endpoint=line.url, request_timeout_s=2.0)
        slow = settings.survey.model_copy(update={"max_concurrent_tiles": 2, "retry_timeout_s": 30.0})
        async with gateway(settings.model_copy(update={"s3": s3_settings, "survey": slow})) as base:
            job_id = await submit(base, survey_body(scene))
            async with asyncio.timeout(30):
                while not worker.bodies:
                    await asyncio.sleep(0.01)
            line.silent = True
            await asyncio.sleep(3.0)
            meanwhile = await survey_status(base, job_id)
            line.silent = False
            status = await wait_until_done(base, job_id)
    assert meanwhile["status"] == "running"
    assert (status["status"], status["answered"], status["blank"]) == ("successful", 29, 1)


async def test_a_damaged_block_fails_only_its_tiles(base: str, s3: S3Server) -> None:
    """The four tiles on a damaged block of 512 x 512 pixels fail with unsupported_image, and 26 others are answered."""
    data = bytearray(geotiff(sea(WIDTH, HEIGHT, SHIPS)))
    with MemoryFile(bytes(data)) as file, file.open() as dataset:
        start, length = (int(dataset.get_tag_item(f"BLOCK_{tag}_1_1", "TIFF", bidx=1)) for tag in ("OFFSET", "SIZE"))
    data[start : start + length] = b"\xff" * length
    s3.client().put_object(Bucket="scenes", Key="damaged.tif", Body=bytes(data))
    status, document, _ = await call("POST", base + SURVEYS, survey_body("s3://scenes/damaged.tif"))
    assert status == 200, document
    failed = [feature["properties"] for feature in document["features"] if "error" in feature["properties"]]
    tiles = {(properties["col"], properties["row"]) for properties in failed}
    assert tiles == {(512, 512), (768, 512), (512, 768), (768, 768), (512, 844), (768, 844)}
    assert {properties["error"] for properties in failed} == {"unsupported_image"}
    assert (document["survey"]["answered"], document["survey"]["failed"]) == (24, 6)
    assert document["survey"]["totals"][0]["failed"] == 6


async def test_a_survey_without_an_answer_fails(base: str, scene: str, worker: FakeWorker) -> None:
    """If the worker rejects every tile, the survey fails after 16 tiles, with the worker's message."""
    worker.says = lambda _: ""
    status = await wait_until_done(base, await submit(base, survey_body(scene)))
    assert (status["status"], status["error"]["code"]) == ("failed", "bad_request")
    assert status["error"]["message"].startswith("16 tiles failed and none was answered. ")
    assert "This cannot be answered." in status["error"]["message"]


async def test_a_changed_scene_fails_the_survey(base: str, s3: S3Server, worker: FakeWorker) -> None:
    """A survey whose scene is replaced fails with source_changed and the old version, and keeps its answers."""
    worker.pause_s = 0.05
    pixels = sea(3000, 3000, SHIPS, seed=5)
    s3.client().put_object(Bucket="scenes", Key="moving.tif", Body=geotiff(pixels))
    job_id = await submit(base, survey_body("s3://scenes/moving.tif", tile=128))
    async with asyncio.timeout(30):
        while not (await survey_status(base, job_id))["answered"]:
            await asyncio.sleep(0.05)
    s3.client().put_object(Bucket="scenes", Key="moving.tif", Body=geotiff(pixels + 1))
    status = await wait_until_done(base, job_id)
    assert status["status"] == "failed", status
    assert status["error"]["code"] == "source_changed"
    assert status["image_version"] in status["error"]["message"]
    assert 0 < status["answered"] < status["tiles"] == 576
    assert len(await survey_features(base, job_id)) == status["answered"]

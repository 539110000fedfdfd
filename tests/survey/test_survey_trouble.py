"""Surveys that are dismissed, and those whose workers, store or scene fail them."""

from __future__ import annotations

import asyncio

from rasterio.io import MemoryFile

from sarlens.settings import S3Settings, Settings
from stack.fake_worker import FakeWorker
from stack.gateway import gateway
from stack.s3 import S3Server
from stack.scenes import geotiff, sea
from stack.wire import wire
from survey.conftest import HEIGHT, SHIPS, WIDTH
from survey.test_surveys import ASYNC, SURVEYS, body, call, over


async def test_dismissing_stops_the_work(base: str, scene: str, worker: FakeWorker) -> None:
    """After DELETE no more tiles are asked about; what is over is forgotten by a second one."""
    worker.pause_s = 0.1
    small = body(scene, tile=64)
    _, told, _ = await call("POST", base + SURVEYS, small, ASYNC)
    await asyncio.sleep(0.3)
    status, gone, _ = await call("DELETE", f"{base}{SURVEYS}/{told['id']}")
    assert (status, gone["status"]) == (200, "dismissed")
    async with asyncio.timeout(30):
        while worker.running:
            await asyncio.sleep(0.02)
    asked = len(worker.bodies)
    assert asked < 300
    await asyncio.sleep(0.7)
    assert (len(worker.bodies), worker.running) == (asked, 0)
    await call("DELETE", f"{base}{SURVEYS}/{told['id']}")
    status, refused, _ = await call("GET", f"{base}{SURVEYS}/{told['id']}")
    assert (status, refused["error"]["code"]) == (404, "job_not_found")


async def test_another_gateway_can_dismiss(settings: Settings, scene: str, worker: FakeWorker) -> None:
    """A survey that one gateway works on stops at its next tile when another one on the same database dismisses it."""
    worker.pause_s = 0.1
    async with gateway(settings) as one, gateway(settings) as other:
        _, told, _ = await call("POST", one + SURVEYS, body(scene, tile=64), ASYNC)
        async with asyncio.timeout(30):
            while worker.running < settings.survey.at_once:
                await asyncio.sleep(0.02)
        await call("DELETE", f"{other}{SURVEYS}/{told['id']}")
        asked = len(worker.bodies)
        async with asyncio.timeout(30):
            while worker.running:
                await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        assert len(worker.bodies) <= asked + settings.survey.at_once < 432


async def test_a_caller_who_leaves_ends_the_survey(base: str, scene: str, worker: FakeWorker) -> None:
    """Who waits for a survey and goes away is not asked for any more."""
    worker.pause_s = 0.1
    waiting = asyncio.create_task(call("POST", base + SURVEYS, body(scene, tile=64)))
    async with asyncio.timeout(30):
        while not worker.bodies:
            await asyncio.sleep(0.05)
    waiting.cancel()
    _, listed, _ = await call("GET", base + SURVEYS)
    async with asyncio.timeout(30):
        while listed["data"][0]["status"] != "dismissed":
            await asyncio.sleep(0.05)
            _, listed, _ = await call("GET", base + SURVEYS)


async def test_workers_that_fail_for_a_while_cost_nothing(base: str, scene: str, worker: FakeWorker) -> None:
    """Tiles that no worker can answer now are asked again, and the survey is whole in the end."""
    worker.fails_with = (503, '{"error":{"message":"full","type":"x","code":503}}')
    _, told, _ = await call("POST", base + SURVEYS, body(scene), ASYNC)
    await asyncio.sleep(0.5)
    worker.fails_with = None
    done = await over(base, told["id"])
    assert (done["status"], done["answered"]) == ("successful", 29)


async def test_a_store_that_fails_for_a_while_costs_nothing(
    settings: Settings, scene: str, s3: S3Server, worker: FakeWorker
) -> None:
    """Strips that cannot be read now are read again, and the survey is whole in the end."""
    worker.pause_s = 0.05
    async with wire(s3.endpoint) as line:
        impatient = S3Settings(endpoint=line.url, timeout_s=2.0)
        slow = settings.survey.model_copy(update={"at_once": 2, "patience_s": 30.0})
        async with gateway(settings.model_copy(update={"s3": impatient, "survey": slow})) as base:
            _, told, _ = await call("POST", base + SURVEYS, body(scene), ASYNC)
            async with asyncio.timeout(30):
                while not worker.bodies:
                    await asyncio.sleep(0.01)
            line.silent = True
            await asyncio.sleep(3.0)
            _, meanwhile, _ = await call("GET", f"{base}{SURVEYS}/{told['id']}")
            line.silent = False
            done = await over(base, told["id"])
    assert meanwhile["status"] == "running"
    assert (done["status"], done["answered"], done["blank"]) == ("successful", 29, 1)


async def test_a_damaged_block_costs_its_tiles_alone(base: str, s3: S3Server) -> None:
    """Where a block of the scene is damaged, the tiles on it fail and say so; all others are answered."""
    data = bytearray(geotiff(sea(WIDTH, HEIGHT, SHIPS)))
    with MemoryFile(bytes(data)) as held, held.open() as dataset:
        at, length = (int(dataset.get_tag_item(f"BLOCK_{what}_1_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    data[at : at + length] = b"\xff" * length
    s3.client().put_object(Bucket="scenes", Key="damaged.tif", Body=bytes(data))
    status, found, _ = await call("POST", base + SURVEYS, body("s3://scenes/damaged.tif"))
    assert status == 200, found
    failed = [each["properties"] for each in found["features"] if "error" in each["properties"]]
    assert {(at["col"], at["row"]) for at in failed} == {(512, 512), (768, 512), (512, 768), (768, 768)}
    assert {at["error"] for at in failed} == {"unsupported_image"}
    assert found["survey"]["answered"] == 30 - 4


async def test_a_survey_that_nobody_can_answer_fails(base: str, scene: str, worker: FakeWorker) -> None:
    """Where the worker refuses every tile, the survey fails and says why in the worker's words."""
    worker.says = lambda _: ""
    _, told, _ = await call("POST", base + SURVEYS, body(scene), ASYNC)
    done = await over(base, told["id"])
    assert done["status"] == "failed"
    assert "This cannot be answered." in done["error"]["message"]


async def test_an_object_that_changes_fails_the_survey(base: str, s3: S3Server, worker: FakeWorker) -> None:
    """A scene that is replaced during its survey ends it: the version is named, what was answered is kept."""
    worker.pause_s = 0.05
    pixels = sea(3000, 3000, SHIPS, seed=5)
    s3.client().put_object(Bucket="scenes", Key="moving.tif", Body=geotiff(pixels))
    asked = body("s3://scenes/moving.tif", tile=128)
    _, told, _ = await call("POST", base + SURVEYS, asked, ASYNC)
    async with asyncio.timeout(30):
        while not (await call("GET", f"{base}{SURVEYS}/{told['id']}"))[1]["answered"]:
            await asyncio.sleep(0.05)
    s3.client().put_object(Bucket="scenes", Key="moving.tif", Body=geotiff(pixels + 1))
    done = await over(base, told["id"])
    assert done["status"] == "failed", done
    assert done["error"]["code"] == "source_changed"
    assert done["image_version"] in done["error"]["message"]
    assert 0 < done["answered"] < done["tiles"]
    _, found, _ = await call("GET", f"{base}{SURVEYS}/{told['id']}/features")
    assert len(found["features"]) == done["answered"]

"""Surveys of the client, against a gateway with a fake worker and a real store."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sarlens.client import AsyncClient, GatewayError
from sarlens.client.surveys import write_objects
from support.workers.fake_worker import FakeWorker

SCENE = "s3://scenes/client.tif"
QUESTIONS = ["How many ships are in the image?"]


async def test_a_survey_is_written_to_a_file(client: AsyncClient, ship_counter: FakeWorker, tmp_path: Path) -> None:
    """The file holds a feature per tile, and the result the totals; no partial file stays."""
    out = tmp_path / "ships.geojson"
    result = await client.survey(SCENE, QUESTIONS, out, tile=256, filter="none", stretch=(0, 100))
    assert (result.tiles, result.answered, result.blank, result.failed) == (12, 12, 0, 0)
    assert (result.path, result.features) == (out, None)
    (total,) = result.totals
    assert (total["question"], total["sum"], total["tiles_above_zero"]) == (QUESTIONS[0], 5, 4)
    features = json.loads(out.read_text())["features"]
    assert len(features) == 12
    assert sum(feature["properties"]["count"] for feature in features) == 5
    assert not out.with_name(".ships.geojson.part").exists()


@pytest.mark.parametrize("suffix", ["gpkg", "parquet"])
async def test_a_survey_is_written_for_a_gis(
    client: AsyncClient, ship_counter: FakeWorker, tmp_path: Path, suffix: str
) -> None:
    """GeoPackage and GeoParquet hold the same features as GeoJSON."""
    geopandas = pytest.importorskip("geopandas")
    out = tmp_path / f"ships.{suffix}"
    await client.survey(SCENE, QUESTIONS, out, tile=512, filter="none", stretch=(0, 100))
    frame = geopandas.read_parquet(out) if suffix == "parquet" else geopandas.read_file(out)
    assert (len(frame), frame["count"].sum()) == (4, 6)
    style = out.with_suffix(".qml")
    assert style.exists() is (suffix != "gpkg")  # which has its style inside
    if suffix != "gpkg":
        style.write_text("mine")
        write_objects([], out)
        assert style.read_text() == "mine"


async def test_part_of_a_scene_is_surveyed(client: AsyncClient, ship_counter: FakeWorker) -> None:
    """A window limits the tiles; two questions are two features per tile."""
    result = await client.survey(SCENE, [*QUESTIONS, "Is there a ship?"], tile=256, window=(0, 0, 256, 256))
    assert result.tiles == 1
    assert result.features is not None
    assert len(result.features) == 2


async def test_a_tile_of_no_pixels_is_an_error_of_the_gateway(client: AsyncClient) -> None:
    """The client sends the tile that it is given, also 0: only None has the size that the model sees."""
    with pytest.raises(GatewayError, match="tile") as error:
        await client.submit_survey(SCENE, QUESTIONS, tile=0)
    assert error.value.status == 400


async def test_a_submitted_survey_continues_without_the_client(client: AsyncClient, ship_counter: FakeWorker) -> None:
    """`submit_survey` returns at once; the job's state is available until it has finished."""
    job = await client.submit_survey(SCENE, QUESTIONS, tile=256, filter="none", stretch=(0, 100))
    assert job.tiles == 12
    assert job.url == f"/v1/sar/surveys/{job.id}"
    async with asyncio.timeout(30):
        while (await job.status())["status"] != "successful":
            await asyncio.sleep(0.05)


async def test_a_canceled_task_cancels_the_survey(client: AsyncClient, worker: FakeWorker, tmp_path: Path) -> None:
    """Canceling the task dismisses the job at the gateway, and no file appears."""
    worker.pause_s = 0.5
    job = await client.submit_survey(SCENE, QUESTIONS, tile=64, filter="none")
    task = asyncio.create_task(job.collect(tmp_path / "out.geojson", None))
    async with asyncio.timeout(30):
        while not worker.running:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await job.status())["status"] == "dismissed"
    assert not (tmp_path / "out.geojson").exists()


async def test_a_failed_survey_is_an_error_that_names_the_file(
    client: AsyncClient, worker: FakeWorker, tmp_path: Path
) -> None:
    """A job that is dismissed by another client is an error; the file holds the answers up to then."""
    worker.pause_s = 0.2
    out = tmp_path / "out.geojson"
    job = await client.submit_survey(SCENE, QUESTIONS, tile=64, filter="none")
    task = asyncio.create_task(job.collect(out, None))
    async with asyncio.timeout(30):
        while not (await job.status())["answered"]:
            await asyncio.sleep(0.05)
        await job.cancel()
        with pytest.raises(GatewayError, match=rf"The answers up to then are in {out}"):
            await task
    assert 0 < len(json.loads(out.read_text())["features"]) < job.tiles


async def test_outputs_are_checked_before_the_survey() -> None:
    """A suffix without a format and a missing directory are errors without a request."""
    async with AsyncClient("http://127.0.0.1:9") as client:
        for out, message in (("ships.doc", "the suffix of the file"), ("/missing/ships.gpkg", "doesn't exist")):
            with pytest.raises(GatewayError, match=message):
                await client.survey(SCENE, QUESTIONS, out)

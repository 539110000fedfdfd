"""Surveys across restarts: kill -9, SIGTERM, and a STAC Item that is deleted."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from sarlens.devstack.ports import free_port
from support.s3 import S3Server
from support.stac import CONTEXT, NAME, item
from support.workers.fake_worker import FakeWorker
from surveys.client import submit, survey_body, survey_features, survey_status, wait_until_done
from surveys.conftest import SURVIVAL_URL
from surveys.gateway_process import gateway_process

TILES = 529


def small_tiles() -> dict[str, Any]:
    """Return the body of a survey with 529 tiles."""
    return survey_body(SURVIVAL_URL, tile=64)


async def wait_for_answers(base: str, job_id: str, min_answered: int) -> None:
    """Wait until a number of tiles is answered."""
    async with asyncio.timeout(60):
        while (await survey_status(base, job_id))["answered"] < min_answered:
            await asyncio.sleep(0.02)


def count_stored_tiles(environment: Mapping[str, str]) -> int:
    """Count the finished tiles in the database file."""
    file = environment["SARLENS_SURVEY__DATABASE"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("select count(*) from sarlens_tiles").fetchone()[0])


async def test_a_killed_survey_continues(environment: dict[str, str], worker: FakeWorker) -> None:
    """After kill -9 and a restart, only the tiles without a stored result are sent, at most 8 of them again.

    The features that a client read before the restart stay the same.
    """
    worker.pause_s = 0.01
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with gateway_process(environment, port) as process:
        job_id = await submit(base, small_tiles())
        await wait_for_answers(base, job_id, 100)
        features_before = await survey_features(base, job_id)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
    await asyncio.sleep(0.3)  # the last requests of the killed process arrive
    sent, stored = len(worker.bodies), count_stored_tiles(environment)
    async with gateway_process(environment, port):
        status = await wait_until_done(base, job_id)
        features = await survey_features(base, job_id)
    assert (status["status"], status["answered"], status["tiles"]) == ("successful", TILES, TILES)
    assert sorted(feature["properties"]["tile"] for feature in features) == list(range(TILES))
    assert sum(feature["properties"]["count"] for feature in features) == 3
    assert 100 <= len(features_before) <= stored <= sent < TILES
    assert features[: len(features_before)] == features_before
    assert len(worker.bodies) - sent == TILES - stored
    assert sent - stored <= 8


async def test_a_survey_does_not_read_its_stac_item_again(
    environment: dict[str, str], worker: FakeWorker, s3: S3Server
) -> None:
    """A restarted survey uses the stored asset URL and acquisition metadata, so its STAC Item can be deleted."""
    worker.pause_s = 0.2
    document = json.dumps(item({"vv": "survival.tif", "vh": "gone.tif"}))
    s3.client().put_object(Bucket="scenes", Key="survival.json", Body=document.encode())
    body = survey_body("s3://scenes/survival.json", sar={"bands": ["VV"]}, context=True)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with gateway_process(environment, port) as process:
        job_id = await submit(base, body)
        await wait_for_answers(base, job_id, 6)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
    s3.client().delete_object(Bucket="scenes", Key="survival.json")
    async with gateway_process(environment, port):
        status = await wait_until_done(base, job_id)
        features = await survey_features(base, job_id)
    assert (status["status"], status["answered"], status["tiles"]) == ("successful", 36, 36)
    assert {feature["properties"]["item"] for feature in features} == {NAME}
    assert {feature["properties"]["polarizations"] for feature in features} == {"VV"}
    assert sum(feature["properties"]["count"] for feature in features) == 3
    assert all(CONTEXT in request["messages"][0]["content"][1]["text"] for request in worker.requests)


async def test_a_drained_survey_sends_no_tile_twice(environment: dict[str, str], worker: FakeWorker) -> None:
    """After SIGTERM, the next process continues the survey at once; the worker gets each of the 529 tiles once."""
    worker.pause_s = 0.01
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with gateway_process(environment, port) as process:
        job_id = await submit(base, small_tiles())
        await wait_for_answers(base, job_id, 50)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
    async with gateway_process(environment, port):
        status = await wait_until_done(base, job_id)
    assert (status["status"], status["answered"]) == ("successful", TILES)
    assert len(worker.bodies) == TILES

"""Dismissed surveys: by request, by another gateway, and by a client that disconnects."""

from __future__ import annotations

import asyncio

from sarlens.settings import Settings
from support.gateway import gateway
from support.workers.fake_worker import FakeWorker
from surveys.client import SURVEYS, call, submit, survey_body, survey_features, survey_status, wait_until_done


async def test_a_dismissed_job_sends_no_more_tiles(base: str, scene: str, worker: FakeWorker) -> None:
    """DELETE cancels the tiles in progress and sends no others; a second DELETE deletes the job."""
    worker.pause_s = 0.1
    job_id = await submit(base, survey_body(scene, tile=64))
    await asyncio.sleep(0.3)
    status, document, _ = await call("DELETE", f"{base}{SURVEYS}/{job_id}")
    assert (status, document["status"]) == (200, "dismissed")
    async with asyncio.timeout(30):
        while worker.running:
            await asyncio.sleep(0.02)
    sent = len(worker.bodies)
    assert sent < 300
    await asyncio.sleep(0.7)
    assert (len(worker.bodies), worker.running) == (sent, 0)
    await call("DELETE", f"{base}{SURVEYS}/{job_id}")
    status, document, _ = await call("GET", f"{base}{SURVEYS}/{job_id}")
    assert (status, document["error"]["code"]) == (404, "job_not_found")


async def test_a_canceled_survey_is_resumed(base: str, scene: str, worker: FakeWorker) -> None:
    """A resumed survey keeps its answers and asks about the other tiles; a resume of a successful one is 400."""
    worker.pause_s = 0.05
    body = survey_body(scene, sar={"window": [640, 0, 640, 640]}, tile=64)
    job_id = await submit(base, body)
    async with asyncio.timeout(30):
        while (await survey_status(base, job_id))["answered"] < 5:
            await asyncio.sleep(0.02)
    await call("DELETE", f"{base}{SURVEYS}/{job_id}")
    kept = {feature["id"]: feature for feature in await survey_features(base, job_id)}
    assert 5 <= len(kept) < 100
    worker.pause_s = 0
    status, document, _ = await call("POST", f"{base}{SURVEYS}/{job_id}/resume")
    assert (status, document["image"], document["tiles"]) == (200, scene, 100)
    done = await wait_until_done(base, job_id)
    assert (done["status"], done["answered"], done["failed"]) == ("successful", 100, 0)
    features = {feature["id"]: feature for feature in await survey_features(base, job_id)}
    assert len(features) == 100
    assert {name: features[name] for name in kept} == kept
    status, document, _ = await call("POST", f"{base}{SURVEYS}/{job_id}/resume")
    assert (status, document["error"]["code"]) == (400, "bad_request")


async def test_another_gateway_can_dismiss_a_job(settings: Settings, scene: str, worker: FakeWorker) -> None:
    """A survey that another gateway on the same database dismisses sends at most its concurrent tiles after that."""
    worker.pause_s = 0.1
    async with gateway(settings) as one, gateway(settings) as other:
        job_id = await submit(one, survey_body(scene, tile=64))
        async with asyncio.timeout(30):
            while worker.running < settings.survey.max_concurrent_tiles:
                await asyncio.sleep(0.02)
        await call("DELETE", f"{other}{SURVEYS}/{job_id}")
        sent = len(worker.bodies)
        async with asyncio.timeout(30):
            while worker.running:
                await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        assert len(worker.bodies) <= sent + settings.survey.max_concurrent_tiles < 432


async def test_a_disconnected_client_dismisses_its_survey(base: str, scene: str, worker: FakeWorker) -> None:
    """The gateway dismisses a synchronous survey if the client disconnects."""
    worker.pause_s = 0.1
    request = asyncio.create_task(call("POST", base + SURVEYS, survey_body(scene, tile=64)))
    async with asyncio.timeout(30):
        while not worker.bodies:
            await asyncio.sleep(0.05)
    request.cancel()
    _, surveys, _ = await call("GET", base + SURVEYS)
    (survey,) = surveys["data"]
    assert (await wait_until_done(base, survey["id"]))["status"] == "dismissed"
    assert (await survey_status(base, survey["id"]))["answered"] < 432

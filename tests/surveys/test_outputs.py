"""Outputs of surveys: one tenant never overwrites another, and an output is checked before the first tile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import KeysSettings, Settings
from sarlens.surveys.layer_style import ANSWERS_STYLE, to_qml
from support.gateway import gateway
from support.s3 import S3Server
from support.workers.fake_worker import FakeWorker
from surveys.client import ASYNC, SURVEYS, call, survey_body

SECRETS = {name: generate_api_key() for name in ("port", "coast", "shared")}


@pytest.fixture
async def base(settings: Settings, tmp_path: Path) -> AsyncIterator[str]:
    """Base URL of a gateway with three keys; the last one may write below all outputs."""
    entries = [{"name": name, "sha256": digest} for name, (_, digest) in SECRETS.items()]
    entries[-1]["outputs"] = ["s3://scenes/results"]  # type: ignore[assignment]
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(entries))
    async with gateway(settings.model_copy(update={"keys": KeysSettings(file=file)})) as url:
        yield url


async def survey(base: str, key: str, output: str, scene: str, **fields: Any) -> tuple[int, Any, Any]:
    """Submit a survey of four tiles."""
    body = survey_body(scene, output=output, sar={"window": [0, 0, 512, 512]}, **fields)
    return await call("POST", base + SURVEYS, body, ASYNC | {"Authorization": f"Bearer {SECRETS[key][0]}"})


async def wait(base: str, key: str, job_id: str) -> dict[str, Any]:
    """Wait until a survey is complete, and return its status."""
    headers = {"Authorization": f"Bearer {SECRETS[key][0]}"}
    async with asyncio.timeout(30):
        while True:
            _, document, _ = await call("GET", f"{base}{SURVEYS}/{job_id}", None, headers)
            if document["status"] not in {"accepted", "running"}:
                return dict(document)
            await asyncio.sleep(0.05)


def stored_survey(s3: S3Server, output: str) -> str:
    """Return the id of the survey that an object holds."""
    body = s3.client().get_object(Bucket="scenes", Key=output.removeprefix("s3://scenes/"))["Body"].read()
    return str(json.loads(body)["survey"]["id"])


async def test_a_key_never_overwrites_the_output_of_another(
    base: str, scene: str, s3: S3Server, worker: FakeWorker
) -> None:
    """Another key gets 403, a shared one gets 409 without overwrite, and neither sends a tile to the worker."""
    output = "s3://scenes/results/port/r.geojson"
    status, document, _ = await survey(base, "port", output, scene, overwrite=True)
    assert status == 201, document
    assert (await wait(base, "port", document["id"]))["status"] == "successful"
    sent = len(worker.bodies)
    for key, overwrite, expected in (
        ("coast", True, (403, "not_allowed")),
        ("shared", False, (409, "output_exists")),
        ("port", False, (409, "output_exists")),
    ):
        status, refused, _ = await survey(base, key, output, scene, overwrite=overwrite)
        assert (status, refused["error"]["code"], refused["error"]["param"]) == (*expected, "output")
    assert len(worker.bodies) == sent
    assert stored_survey(s3, output) == document["id"]
    _, again, _ = await survey(base, "port", output, scene, overwrite=True)
    assert (await wait(base, "port", again["id"]))["status"] == "successful"
    assert stored_survey(s3, output) == again["id"]


async def test_a_style_is_beside_the_output(base: str, scene: str, s3: S3Server, worker: FakeWorker) -> None:
    """QGIS finds a .qml with the name of the GeoJSON; one that the user has put there stays without overwrite."""
    client, written = s3.client(), {}
    client.put_object(Bucket="scenes", Key="results/port/own.qml", Body=b"mine")
    for name in ("styled", "own"):
        client.delete_object(Bucket="scenes", Key=f"results/port/{name}.geojson")
        _, document, _ = await survey(base, "port", f"s3://scenes/results/port/{name}.geojson", scene)
        assert (await wait(base, "port", document["id"]))["status"] == "successful"
        written[name] = client.get_object(Bucket="scenes", Key=f"results/port/{name}.qml")["Body"].read()
    assert written == {"styled": to_qml(ANSWERS_STYLE).encode(), "own": b"mine"}
    headers = {"Authorization": f"Bearer {SECRETS['port'][0]}"}
    url = f"{base}{SURVEYS}/{document['id']}"
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.get(f"{url}/features/style") as response:
            assert (response.status, await response.read()) == (200, written["styled"])
        async with http.get(f"{url}/stac") as response:
            item = await response.json(content_type="application/geo+json")
        assert (response.status, item["id"]) == (200, document["id"])
        assert item["assets"]["features-style"]["href"] == f"{url}/features/style"
        async with http.get(item["assets"]["features"]["href"]) as response:
            assert len((await response.json(content_type=None))["features"]) == 4
    other = {"Authorization": f"Bearer {SECRETS['coast'][0]}"}
    for path in ("stac", "features/style"):
        assert (await call("GET", f"{url}/{path}", None, other))[0] == 404


async def test_one_of_two_concurrent_surveys_writes(base: str, scene: str, s3: S3Server, worker: FakeWorker) -> None:
    """While a survey is active, a second one with the same object is a 409, in any spelling of its URL."""
    worker.pause_s = 0.2
    output = "s3://scenes/results/port/twice.geojson"
    s3.client().delete_object(Bucket="scenes", Key="results/port/twice.geojson")
    responses = [
        await survey(base, "port", spelling, scene, overwrite=overwrite)
        for spelling, overwrite in ((output, False), (output.replace("twice", "%74wice"), True))
    ]
    assert [status for status, _, _ in responses] == [201, 409]
    assert responses[1][1]["error"]["message"].startswith(f"Another survey writes to the output {output}.")
    assert (await wait(base, "port", responses[0][1]["id"]))["status"] == "successful"
    assert stored_survey(s3, output) == responses[0][1]["id"]


async def test_an_output_that_appears_meanwhile_is_kept(
    base: str, scene: str, s3: S3Server, worker: FakeWorker
) -> None:
    """If the object appears during the survey, it stays, and the survey fails with output_exists and its answers."""
    worker.pause_s = 0.3
    output = "s3://scenes/results/port/late.geojson"
    s3.client().delete_object(Bucket="scenes", Key="results/port/late.geojson")
    _, document, _ = await survey(base, "port", output, scene)
    s3.client().put_object(Bucket="scenes", Key="results/port/late.geojson", Body=b'{"survey":{"id":"foreign"}}')
    done = await wait(base, "port", document["id"])
    assert (done["status"], done["error"]["code"], done["answered"]) == ("failed", "output_exists", 4)
    assert stored_survey(s3, output) == "foreign"

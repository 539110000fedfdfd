"""Batches whose lines are surveys, and batches that read from and write to a real S3 store."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from sarlens.settings import FilesSettings, Settings
from support.batches import create, ended, jsonl, lines_of, upload
from support.gateway import gateway
from support.s3 import S3Server
from support.workers.fake_worker import MODEL, FakeWorker
from surveys.client import survey_body
from surveys.conftest import SCENE

SURVEYS, CHAT = "/v1/sar/surveys", "/v1/chat/completions"
FILES = f"files-{secrets.token_hex(4)}"
"""Folder of the files, which no earlier run of the tests had."""
SURVEY = survey_body(SCENE)


@pytest.fixture
async def sdk(settings: Settings, s3: S3Server) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK in front of a gateway whose files are in S3."""
    in_s3 = settings.model_copy(update={"files": FilesSettings(location=f"s3://scenes/{FILES}")})
    async with (
        gateway(in_s3) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def keys(s3: S3Server, prefix: str) -> set[str]:
    """Keys of the objects below a prefix."""
    listed = s3.client().list_objects_v2(Bucket="scenes", Prefix=prefix).get("Contents", [])
    return {item["Key"] for item in listed}


def chats(*texts: str) -> dict[str, Any]:
    """A chat for each text."""
    return {text: {"model": MODEL, "messages": [{"role": "user", "content": text}]} for text in texts}


async def test_a_line_can_be_a_survey(scene: str, sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """The result of a line is the status of its ended survey, with the link of its features; a bad line is an error."""
    bad = SURVEY | {"image": "s3://scenes/none.tif"}
    batch = await ended(sdk, (await create(sdk, SURVEYS, {"port": SURVEY, "bad": bad})).id)
    (line,) = await lines_of(sdk, batch.output_file_id)
    survey = line["response"]["body"]
    assert (survey["status"], survey["answered"], survey["blank"], survey["tiles"]) == ("successful", 29, 1, 30)
    features: Any = await sdk.get(survey["features"].removeprefix("/v1"), cast_to=object)
    assert len(features["features"]) == 29
    assert {feature["properties"]["survey"] for feature in features["features"]} == {survey["id"]}
    (error,) = await lines_of(sdk, batch.error_file_id)
    assert (error["custom_id"], error["response"]["body"]["error"]["code"]) == ("bad", "image_not_found")


async def test_a_canceled_batch_cancels_its_surveys(scene: str, sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """Cancellation of a batch dismisses the surveys that its lines wait for."""
    worker.hangs = True
    batch = await create(sdk, SURVEYS, {"port": SURVEY})
    async with asyncio.timeout(30):
        while not worker.running:
            await asyncio.sleep(0.02)
    await sdk.batches.cancel(batch.id)
    assert (await ended(sdk, batch.id)).status == "cancelled"
    surveys: Any = await sdk.get("/sar/surveys", cast_to=object)
    assert [survey["status"] for survey in surveys["data"]] == ["dismissed"]


async def test_inputs_and_results_in_s3(sdk: openai.AsyncOpenAI, s3: S3Server, worker: FakeWorker) -> None:
    """A batch reads an object, writes its results below the output, and leaves no copy; files are in S3 as well."""
    worker.says = lambda body: body["messages"][0]["content"].removeprefix("-")
    before = keys(s3, FILES)
    s3.client().put_object(Bucket="scenes", Key="in.jsonl", Body=jsonl(CHAT, chats("a", "-")))
    body: Any = {"input_file_id": "s3://scenes/in.jsonl", "endpoint": CHAT, "completion_window": "24h"}
    created: Any = await sdk.post("/batches", body=body | {"output": "s3://scenes/results/night"}, cast_to=object)
    batch = await ended(sdk, created["id"])
    name = f"results/night/{batch.id}"
    assert (batch.status, batch.input_file_id) == ("completed", "s3://scenes/in.jsonl")
    assert (batch.output_file_id, batch.error_file_id) == (
        f"s3://scenes/{name}_output.jsonl",
        f"s3://scenes/{name}_error.jsonl",
    )
    written = s3.client().get_object(Bucket="scenes", Key=f"{name}_output.jsonl")["Body"].read()
    assert [json.loads(line)["custom_id"] for line in written.splitlines()] == ["a"]
    assert keys(s3, FILES) == before
    file = await upload(sdk, b"content")
    assert keys(s3, FILES) == before | {f"{FILES}/{file.id}"}
    assert (await sdk.files.content(file.id)).content == b"content"
    await sdk.files.delete(file.id)
    assert keys(s3, FILES) == before


async def test_an_input_that_can_not_be_read_fails_the_batch(sdk: openai.AsyncOpenAI, s3: S3Server) -> None:
    """A missing object is an error of the batch, with the code of the store's answer."""
    body: Any = {"input_file_id": "s3://scenes/none.jsonl", "endpoint": CHAT, "completion_window": "24h"}
    created: Any = await sdk.post("/batches", body=body, cast_to=object)
    batch = await ended(sdk, created["id"])
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(error.code, error.param) for error in batch.errors.data or ()] == [("image_not_found", "input_file_id")]

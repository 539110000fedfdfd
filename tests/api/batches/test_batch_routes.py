"""Files and batches by OpenAI's SDK, in front of a fake worker."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import SecretStr

from sarlens.settings import FilesSettings, GrpcSettings, Settings, SurveySettings, WorkerSettings
from support.batches import create, ended, jsonl, lines_of, upload
from support.gateway import gateway
from support.pictures import DATA_URL
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker

CHAT = "/v1/chat/completions"
BAD = {"image": 1, "input": 1, "temperature": -1}
"""A body that is invalid at every endpoint."""
VQA = {"image": DATA_URL, "questions": ["How many ships are in the image?"]}


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK in front of a gateway for all tests whose batches don't run."""
    folder = tmp_path_factory.mktemp("gateway")
    async with fake_worker() as fake:
        settings = Settings(
            worker=WorkerSettings(urls=(fake.url,), image_id_secret=SecretStr("x" * 16)),
            survey=SurveySettings(database=SecretStr(f"sqlite:///{folder / 'jobs.db'}")),
            files=FilesSettings(location=str(folder / "files")),
            grpc=GrpcSettings(port=None),
        )
        async with (
            gateway(settings) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
        ):
            yield client
        assert fake.bodies == []


def chat(text: str, **fields: Any) -> dict[str, Any]:
    """The body of a chat."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


async def test_a_batch_of_chats(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """The SDK uploads a file, creates a batch, and downloads answers in the order of the file and errors apart."""
    worker.says = lambda body: body["messages"][0]["content"].removeprefix("say ")
    content = jsonl(CHAT, {"a": chat("say 1"), "b": chat("say "), "c": chat("say 3"), "d": chat("x", stream=True)})
    file = await upload(sdk, content)
    assert (file.purpose, file.bytes, file.filename) == ("batch", len(content), "in.jsonl")
    batch = await sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"run": "7"}
    )
    assert (batch.status, batch.metadata, batch.expires_at) == ("validating", {"run": "7"}, batch.created_at + 86400)
    batch = await ended(sdk, batch.id)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.to_dict()) == ("completed", {"total": 4, "completed": 2, "failed": 2})
    assert batch.created_at <= (batch.in_progress_at or 0) <= (batch.completed_at or 0)
    output = await lines_of(sdk, batch.output_file_id)
    assert [line["custom_id"] for line in output] == ["a", "c"]
    assert [line["response"]["body"]["choices"][0]["message"]["content"] for line in output] == ["1", "3"]
    assert [line["response"]["status_code"] for line in output] == [200, 200]
    rejected, streamed = await lines_of(sdk, batch.error_file_id)
    assert (rejected["custom_id"], rejected["response"]["status_code"], rejected["error"]) == ("b", 400, None)
    assert rejected["response"]["body"]["error"]["message"] == "This cannot be answered."
    assert (streamed["custom_id"], streamed["response"]["body"]["error"]["param"]) == ("d", "stream")
    assert len(worker.bodies) == 3


@pytest.mark.parametrize(
    ("endpoint", "body", "path", "value"),
    [
        ("/v1/responses", {"model": MODEL, "input": "Ships?"}, ("output", 0, "content", 0, "text"), "3"),
        ("/v1/completions", {"model": MODEL, "prompt": "Ships"}, ("choices", 0, "text"), "3"),
        ("/v1/sar/vqa", VQA, ("data", 0, "answer", "value"), 3),
        ("/v1/sar/captions", {"image": DATA_URL}, ("text",), "3"),
    ],
)
async def test_lines_have_the_responses_of_their_route(
    sdk: openai.AsyncOpenAI, worker: FakeWorker, endpoint: str, body: dict[str, Any], path: tuple[Any, ...], value: Any
) -> None:
    """A line has the body that the route would respond with, and an invalid one its error."""
    worker.says = lambda _: "3"
    batch = await ended(sdk, (await create(sdk, endpoint, {"good": body, "bad": BAD})).id)
    (line,) = await lines_of(sdk, batch.output_file_id)
    found = line["response"]["body"]
    for step in path:
        found = found[step]
    assert (line["custom_id"], found) == ("good", value)
    (error,) = await lines_of(sdk, batch.error_file_id)
    assert (error["custom_id"], error["response"]["status_code"]) == ("bad", 400)
    assert error["response"]["body"]["error"]["request_id"] == error["response"]["request_id"]


LINE = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {}}


@pytest.mark.parametrize(
    ("content", "code", "param", "line"),
    [
        (b"\n \n", "empty_file", None, None),
        (json.dumps(LINE).encode() + b"\n{", "invalid_line", None, 2),
        (b"[]", "invalid_line", None, 1),
        (json.dumps({**LINE, "url": "/v1/embeddings"}).encode(), "invalid_line", "url", 1),
        (json.dumps({**LINE, "method": "GET"}).encode(), "invalid_line", "method", 1),
        (json.dumps({**LINE, "custom_id": 7}).encode(), "invalid_line", "custom_id", 1),
        (b"\n" + json.dumps(LINE).encode() + b"\n" + json.dumps(LINE).encode(), "duplicate_custom_id", "custom_id", 3),
        (json.dumps({**LINE, "body": "x" * 9 * 2**20}).encode(), "line_too_long", None, 1),
    ],
)
async def test_an_invalid_input_ends_the_batch(
    shared: openai.AsyncOpenAI, content: bytes, code: str, param: str | None, line: int | None
) -> None:
    """The batch fails before a line runs, and its errors have code, field and number of the line."""
    file = await upload(shared, content)
    batch = await shared.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    batch = await ended(shared, batch.id)
    assert batch.status == "failed"
    assert batch.errors is not None
    (error,) = batch.errors.data or []
    assert (error.code, error.param, error.line) == (code, param, line)
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


async def wait_for(sdk: openai.AsyncOpenAI, batch_id: str, completed: int) -> None:
    """Wait until a number of lines is complete."""
    async with asyncio.timeout(30):
        while True:
            counts = (await sdk.batches.retrieve(batch_id)).request_counts
            if counts is not None and counts.completed >= completed:
                return
            await asyncio.sleep(0.02)


async def test_cancellation_keeps_the_results_so_far(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """A canceled batch aborts its requests, and its output has the lines that were complete."""
    worker.hangs_on = "slow"
    batch = await create(sdk, CHAT, {"a": chat("fast"), "b": chat("slow"), "c": chat("slow")})
    await wait_for(sdk, batch.id, 1)
    canceled = await sdk.batches.cancel(batch.id)
    assert canceled.status == "cancelling"
    batch = await ended(sdk, batch.id)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.to_dict()) == ("cancelled", {"total": 3, "completed": 1, "failed": 0})
    assert [line["custom_id"] for line in await lines_of(sdk, batch.output_file_id)] == ["a"]
    assert (batch.cancelled_at or 0) >= (canceled.cancelling_at or 0) > 0
    async with asyncio.timeout(10):
        while worker.running:
            await asyncio.sleep(0.01)
    assert worker.aborted == 2
    assert (await sdk.batches.cancel(batch.id)).status == "cancelled"


async def test_lines_expire_with_their_batch(sdk: openai.AsyncOpenAI, worker: FakeWorker, tmp_path: Path) -> None:
    """After its window, a batch ends as expired: lines without a result are errors with the code batch_expired."""
    worker.hangs_on = "slow"
    batch = await create(sdk, CHAT, {"a": chat("fast"), "b": chat("slow")})
    await wait_for(sdk, batch.id, 1)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        database.execute("update sarlens_batches set expires = 1")
        database.commit()
    batch = await ended(sdk, batch.id)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.to_dict()) == ("expired", {"total": 2, "completed": 1, "failed": 1})
    (error,) = await lines_of(sdk, batch.error_file_id)
    assert (error["custom_id"], error["response"], error["error"]["code"]) == ("b", None, "batch_expired")


async def test_files_expire_as_their_upload_says(sdk: openai.AsyncOpenAI) -> None:
    """A file expires after 30 days, or when its upload says; results when the batch says. Other times are rejected."""
    hour: Any = {"anchor": "created_at", "seconds": 3600}
    minute: Any = {"anchor": "created_at", "seconds": 60}
    content = jsonl(CHAT, {"a": chat("x")})
    file = await sdk.files.create(file=("in.jsonl", content), purpose="batch", expires_after=hour)
    kept = await upload(sdk, content)
    lifetimes = [(found.expires_at or 0) - found.created_at for found in (file, kept)]
    assert lifetimes == [pytest.approx(3600, abs=1), pytest.approx(2_592_000, abs=1)]
    batch = await sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", output_expires_after=hour
    )
    batch = await ended(sdk, batch.id)
    output = await sdk.files.retrieve(batch.output_file_id or "")
    assert (output.expires_at or 0) - output.created_at == pytest.approx(3600, abs=1)
    assert (output.purpose, output.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    with pytest.raises(openai.BadRequestError, match="seconds"):
        await sdk.files.create(file=("x", b"x"), purpose="batch", expires_after=minute)
    with pytest.raises(openai.BadRequestError, match="purpose"):
        await sdk.files.create(file=("x", b"x"), purpose="fine-tune")


async def test_lists_have_pages(sdk: openai.AsyncOpenAI) -> None:
    """The SDK pages through files and batches, newest first, and a purpose selects files."""
    files = [(await upload(sdk, b"{}", purpose)).id for purpose in ("batch", "vision", "batch")]
    assert [file.id async for file in sdk.files.list(limit=2)] == files[::-1]
    assert [file.id async for file in sdk.files.list(limit=1, order="asc")] == files
    assert [file.id async for file in sdk.files.list(purpose="vision")] == files[1:2]
    batches = [(await create(sdk, CHAT, {"a": chat("x")})).id for _ in range(3)]
    page = await sdk.batches.list(limit=2)
    assert ([batch.id for batch in page.data], page.has_more) == (batches[:0:-1], True)
    assert [batch.id async for batch in sdk.batches.list(limit=1)] == batches[::-1]
    with pytest.raises(openai.BadRequestError, match="after must be the id"):
        await sdk.files.list(after="file-none")


async def test_a_file_is_deleted_unless_a_batch_reads_it(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """A file that an active batch reads stays; a deleted file is 404, and its content is gone from the disk."""
    worker.hangs = True
    batch = await create(sdk, CHAT, {"a": chat("x")})
    with pytest.raises(openai.BadRequestError, match="Cancel the batch first"):
        await sdk.files.delete(batch.input_file_id)
    await sdk.batches.cancel(batch.id)
    assert (await ended(sdk, batch.id)).status == "cancelled"
    assert (await sdk.files.delete(batch.input_file_id)).deleted
    for request in (sdk.files.retrieve, sdk.files.content, sdk.files.delete):
        with pytest.raises(openai.NotFoundError, match="doesn't exist"):
            await request(batch.input_file_id)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_file_id": "file-none"}, "File 'file-none' doesn't exist"),
        ({"endpoint": "/v1/models"}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"output": "s3://elsewhere/x"}, "doesn't write results to this output"),
        ({"unknown": 1}, "unknown"),
    ],
)
async def test_a_batch_that_is_not_possible_is_rejected(
    shared: openai.AsyncOpenAI, fields: dict[str, Any], message: str
) -> None:
    """A batch with an unknown file or an invalid field isn't created."""
    file = await upload(shared, b"{}")
    body: Any = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"} | fields
    with pytest.raises(openai.APIStatusError, match=message) as raised:
        await shared.post("/batches", body=body, cast_to=object)
    assert raised.value.status_code in {400, 404}
    assert file.id not in [batch.input_file_id async for batch in shared.batches.list()]

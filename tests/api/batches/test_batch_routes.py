"""Files and batches by OpenAI's SDK, in front of a fake worker."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import pytest

from support.batches import ended, jsonl, upload
from support.workers.fake_worker import MODEL, FakeWorker

CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat(text: str, **fields: Any) -> dict[str, Any]:
    """The body of a chat."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


async def test_a_batch_of_chats(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """The SDK uploads a file, creates a batch, and downloads answers in the order of the file and errors apart."""
    worker.says = lambda body: body["messages"][0]["content"].removeprefix("say ")
    lines = jsonl(CHAT, {"a": chat("say 1"), "b": chat("say "), "c": chat("say 3")})
    file = await upload(sdk, lines)
    assert (file.purpose, file.bytes, file.filename) == ("batch", len(lines), "in.jsonl")
    batch = await sdk.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"run": "7"}
    )
    assert (batch.status, batch.metadata) == ("validating", {"run": "7"})
    batch = await ended(sdk, batch.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 3, "completed": 2, "failed": 1}
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    output = [json.loads(line) for line in (await sdk.files.content(batch.output_file_id)).text.splitlines()]
    assert [line["custom_id"] for line in output] == ["a", "c"]
    assert [line["response"]["body"]["choices"][0]["message"]["content"] for line in output] == ["1", "3"]
    assert {line["response"]["status_code"] for line in output} == {200}
    (error,) = [json.loads(line) for line in (await sdk.files.content(batch.error_file_id)).text.splitlines()]
    assert (error["custom_id"], error["response"]["status_code"]) == ("b", 400)
    assert error["response"]["body"]["error"]["message"] == "This cannot be answered."

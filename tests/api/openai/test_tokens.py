"""Tokens of texts and chats over HTTP, in front of fake workers; ``test_worker_contract`` has those of real vLLM."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import anthropic
import pytest
from PIL import Image

from support.pictures import DATA_URL
from support.tenants import CHAT, tenants
from support.workers.fake_worker import MODEL, FakeWorker


def chat(url: str = DATA_URL, **fields: Any) -> dict[str, Any]:
    """A chat about an image that is rendered 32 pixels wide."""
    image = {"type": "image_url", "image_url": {"url": url, "sar": {"size": 32}}}
    content = [image, {"type": "text", "text": "How many ships?"}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


def width(body: dict[str, Any]) -> int:
    """Width of the image that a worker got as data."""
    url = body["messages"][0]["content"][0]["image_url"]["url"]
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return picture.width


async def test_a_text_passes_unchanged(tmp_path: Path, worker: FakeWorker) -> None:
    """A text has the worker's tokens, and tokens its text again; no body is changed, and a stream isn't one."""
    async with tenants(tmp_path, [worker], {"a": {}}) as gateway:
        body = {"model": MODEL, "prompt": "Radar", "stream": True, "stream_options": {"include_usage": False}}
        status, answer, _ = await gateway.post("a", body, "/tokenize")
        assert (status, answer["count"], answer["tokens"]) == (200, 5, [82, 97, 100, 97, 114])
        status, answer, _ = await gateway.post("a", {"tokens": answer["tokens"]}, "/detokenize")
        assert (status, answer) == (200, {"prompt": "Radar"})
    assert worker.requests == [body, {"tokens": [82, 97, 100, 97, 114]}]
    assert worker.paths == ["/tokenize", "/detokenize"]


async def test_images_of_a_chat_bypass_the_cache(tmp_path: Path, worker: FakeWorker) -> None:
    """vLLM counts without its cache: an image that it holds goes there as data, and a chat still names it by id."""
    async with tenants(tmp_path, [worker], {"a": {}}) as gateway:
        for path in (CHAT, "/tokenize", "/tokenize", CHAT):
            assert (await gateway.post("a", chat(), path))[0] == 200
    first, *counted, last = worker.requests
    assert [width(body) for body in (first, *counted)] == [32, 32, 32]
    assert last["messages"][0]["content"][0]["image_url"] is None
    assert len(worker.known) == 1


async def test_a_key_limits_the_routes_of_tokens(tmp_path: Path, worker: FakeWorker) -> None:
    """Models, images and fields are those that the key allows; a request counts as one, and costs no tokens."""
    keys: dict[str, dict[str, Any]] = {
        "other": {"models": ["other-*"]},
        "open": {"images": ["data:"], "tokens_per_minute": 100, "requests_per_minute": 3},
    }
    async with tenants(tmp_path, [worker], keys) as gateway:
        for path in ("/tokenize", "/detokenize"):
            assert (await gateway.post("other", chat(), path))[0] == 404
        status, answer, _ = await gateway.post("open", chat("s3://secret/port.tif"), "/tokenize")
        assert (status, answer["error"]["code"]) == (403, "not_allowed")
        asked = [await gateway.post("open", chat(chat_template="{{ 1 }}"), "/tokenize") for _ in range(4)]
        usage = json.loads((await gateway.get("open", "/v1/usage"))[1])
        assert (await gateway.get(None, "/tokenize"))[0] == 401
    assert [status for status, *_ in asked] == [200, 200, 200, 429]
    assert asked[0][2]["Sarlens-Ignored-Fields"] == "chat_template"
    assert "chat_template" not in worker.requests[0]
    assert (usage["requests"], usage["tokens"]) == (3, 0)


async def test_a_caller_that_leaves_is_charged_no_tokens(tmp_path: Path, worker: FakeWorker) -> None:
    """The worker's request ends with that of the caller, and the key has spent one request and no tokens."""
    worker.hangs = True
    async with tenants(tmp_path, [worker], {"a": {}}) as gateway:
        asking = asyncio.create_task(gateway.post("a", chat(), "/tokenize"))
        async with asyncio.timeout(30):
            while not worker.running:
                await asyncio.sleep(0.01)
            asking.cancel()
            while worker.running:
                await asyncio.sleep(0.01)
        usage = json.loads((await gateway.get("a", "/v1/usage"))[1])
    assert (usage["requests"], usage["tokens"]) == (1, 0)


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
async def test_a_worker_without_the_route_is_named(tmp_path: Path, worker: FakeWorker, path: str) -> None:
    """The 404 of a worker that isn't vLLM says which route it lacks, in place of "Not Found"."""
    worker.has_token_routes = False
    async with tenants(tmp_path, [worker], {"a": {}}) as gateway:
        status, answer, _ = await gateway.post("a", {"prompt": "Radar", "tokens": [82]}, path)
    assert (status, answer["error"]["message"]) == (404, f"The worker of this model has no route {path}.")


async def test_the_sdk_counts_the_tokens_of_a_conversation(url: str, worker: FakeWorker) -> None:
    """Anthropic's SDK gets the count of the worker, which gets system, image and tools, and no choice among them."""
    source = {"type": "url", "url": DATA_URL}
    content: Any = [{"type": "image", "source": source, "sar": {"size": 32}}, {"type": "text", "text": "Ships?"}]
    tool: Any = {"name": "zoom", "input_schema": {"type": "object"}}
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as sdk:
        counted = await sdk.messages.count_tokens(
            model=MODEL,
            system="Count.",
            messages=[{"role": "user", "content": content}],
            tools=[tool],
            tool_choice={"type": "any"},
        )
        assert counted.input_tokens == 70
        worker.has_token_routes = False
        with pytest.raises(anthropic.NotFoundError, match="has no route /tokenize"):
            await sdk.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "Ships?"}])
        with pytest.raises(anthropic.BadRequestError, match=r"tool_choice\.name is missing"):
            await sdk.messages.count_tokens(
                model=MODEL,
                messages=[],
                tools=[tool],
                tool_choice={"type": "tool"},  # type: ignore[arg-type]
            )
    (request,) = worker.requests
    assert worker.paths == ["/tokenize"]
    assert request.keys() == {"model", "messages", "tools"}
    assert request["messages"][0] == {"role": "system", "content": "Count."}
    assert width({"messages": request["messages"][1:]}) == 32


@pytest.mark.parametrize("reply", ['{"tokens": []}', '{"count": "many"}', "[]", "data: {}\n\n"])
async def test_a_count_that_a_worker_does_not_state_is_its_failure(url: str, worker: FakeWorker, reply: str) -> None:
    """A response without a number is a 502 of the worker."""
    worker.fails_with = (200, reply)
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as sdk:
        with pytest.raises(anthropic.APIStatusError) as failed:
            await sdk.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "Ships?"}])
    assert (failed.value.status_code, failed.value.body["error"]["type"]) == (502, "api_error")  # type: ignore[index]

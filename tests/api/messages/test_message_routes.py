"""The Messages API by Anthropic's SDK, in front of a fake worker."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import pytest
from PIL import Image

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import KeysSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.pictures import DATA_URL, PNG
from support.workers.chat_replies import completion, cut_stream, stream
from support.workers.fake_worker import MODEL, FakeWorker

QUESTION: Any = [{"role": "user", "content": "How many ships?"}]


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Anthropic's SDK."""
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


async def test_the_sdk_gets_a_message(sdk: anthropic.AsyncAnthropic, worker: FakeWorker) -> None:
    """The SDK reads the text, why the model stopped and the usage; the system message comes first at the worker."""
    message = await sdk.messages.create(model=MODEL, max_tokens=9, system="Count.", messages=QUESTION)
    (block,) = message.content
    assert (block.type, block.text) == ("text", "There are 3 ships.")  # type: ignore[union-attr]
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 4)
    (request,) = worker.requests
    assert request["messages"] == [{"role": "system", "content": "Count."}, *QUESTION]
    assert request["max_completion_tokens"] == 9


@pytest.mark.parametrize("by_url", [False, True])
async def test_an_image_reaches_the_worker(sdk: anthropic.AsyncAnthropic, worker: FakeWorker, by_url: bool) -> None:
    """An image in base64 or by URL is rendered with its ``sar`` parameters: the worker gets it 32 pixels wide."""
    bytes_of_image = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    source = {"type": "url", "url": DATA_URL} if by_url else bytes_of_image
    content: Any = [{"type": "image", "source": source, "sar": {"size": 32}}, {"type": "text", "text": "Ships?"}]
    await sdk.messages.create(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": content}])
    (request,) = worker.requests
    first, second = request["messages"][0]["content"]
    assert second == {"type": "text", "text": "Ships?"}
    with Image.open(io.BytesIO(base64.b64decode(first["image_url"]["url"].partition(",")[2]))) as picture:
        assert picture.size == (32, 24)


async def test_the_sdk_reads_a_stream(sdk: anthropic.AsyncAnthropic) -> None:
    """The SDK's own accumulator makes the same message of a stream: text, reason and usage."""
    async with sdk.messages.stream(model=MODEL, max_tokens=9, messages=QUESTION) as events:
        texts = [text async for text in events.text_stream]
        message = await events.get_final_message()
    assert len(texts) == 4
    assert message.content[0].text == "".join(texts) == "There are 3 ships."  # type: ignore[union-attr]
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 4)


async def test_tools_pass_through(sdk: anthropic.AsyncAnthropic, worker: FakeWorker) -> None:
    """A tool, its use and its result go to the worker as chat tools, and a call of the model comes back."""
    call = {"id": "call_2", "type": "function", "function": {"name": "zoom", "arguments": '{"x": 1}'}}
    worker.fails_with = completion({"content": "Look.", "tool_calls": [call]}, "tool_calls")
    use = {"type": "tool_use", "id": "call_1", "name": "zoom", "input": {"x": 0}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "nothing"}]}
    messages: Any = [
        *QUESTION,
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": ""}, use]},
        {"role": "user", "content": [result, {"type": "text", "text": "Again."}]},
    ]
    tool: Any = {"name": "zoom", "description": "Zoom in.", "input_schema": {"type": "object"}}
    message = await sdk.messages.create(
        model=MODEL, max_tokens=9, messages=messages, tools=[tool], tool_choice={"type": "any"}
    )
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert message.content[1].input == {"x": 1}  # type: ignore[union-attr]
    assert message.stop_reason == "tool_use"
    (request,) = worker.requests
    first = {"id": "call_1", "type": "function", "function": {"name": "zoom", "arguments": '{"x":0}'}}
    assert request["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [first]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "nothing"}]},
        {"role": "user", "content": [{"type": "text", "text": "Again."}]},
    ]
    assert request["tool_choice"] == "required"
    assert request["tools"][0]["function"] == {
        "name": "zoom",
        "description": "Zoom in.",
        "parameters": {"type": "object"},
    }


async def test_a_stream_has_a_block_for_each_part(sdk: anthropic.AsyncAnthropic, worker: FakeWorker) -> None:
    """Reasoning, text and two calls are four blocks, whose deltas the SDK joins."""
    calls = [
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "zoom", "arguments": '{"x":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "pan", "arguments": "{}"}}]},
    ]
    worker.replies = stream({"reasoning": "Hm."}, {"content": "Look."}, *calls, finish_reason="tool_calls")
    async with sdk.messages.stream(model=MODEL, max_tokens=9, messages=QUESTION) as events:
        message = await events.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [(block.id, block.input) for block in message.content[2:]] == [("a", {"x": 1}), ("b", {})]  # type: ignore[union-attr]
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("finish_reason", "more", "expected"),
    [
        ("length", {}, ("max_tokens", None)),
        ("content_filter", {}, ("refusal", None)),
        ("stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ("stop", {"stop_reason": 7}, ("end_turn", None)),
    ],
)
async def test_the_reason_of_the_end_is_named(
    sdk: anthropic.AsyncAnthropic,
    worker: FakeWorker,
    finish_reason: str,
    more: dict[str, object],
    expected: tuple[str, str | None],
) -> None:
    """A finish reason of the worker has Anthropic's name, and a stop sequence is returned; a stop token isn't one."""
    worker.fails_with = completion({"content": "There"}, finish_reason, **more)
    message = await sdk.messages.create(model=MODEL, max_tokens=9, messages=QUESTION, stop_sequences=["END"])
    assert (message.stop_reason, message.stop_sequence) == expected
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (5, 4)
    assert worker.requests[0]["stop"] == ["END"]


async def test_a_stream_that_breaks_ends_with_an_error(sdk: anthropic.AsyncAnthropic, worker: FakeWorker) -> None:
    """A worker that ends a stream early makes the last event an error, which the SDK raises."""
    worker.replies = cut_stream({"content": "There "})
    with pytest.raises(anthropic.APIError, match="before the answer was complete"):
        async with sdk.messages.stream(model=MODEL, max_tokens=9, messages=QUESTION) as events:
            await events.get_final_message()


async def test_errors_have_the_format_of_the_api(url: str, sdk: anthropic.AsyncAnthropic, worker: FakeWorker) -> None:
    """Errors have Anthropic's types, also those of the body and of the worker, and the id of the request."""
    with pytest.raises(anthropic.NotFoundError) as unknown:
        await sdk.messages.create(model="claude", max_tokens=9, messages=QUESTION)
    assert unknown.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    worker.fails_with = (400, '{"error": {"message": "Too long.", "type": "invalid_request_error", "code": 400}}')
    with pytest.raises(anthropic.BadRequestError, match=r"Too long\."):
        await sdk.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/messages", json={"model": MODEL, "messages": QUESTION}) as response,
    ):
        document = await response.json()
    assert (response.status, document["type"], document["error"]["param"]) == (400, "error", "max_tokens")
    assert document["request_id"] == response.headers["X-Request-Id"]


async def test_a_key_in_the_header_of_the_sdk_is_accepted(worker: FakeWorker, tmp_path: Path) -> None:
    """The SDK sends the key as ``x-api-key``; a wrong one is an authentication error of the API."""
    secret, digest = generate_api_key()
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([{"name": "analyst", "sha256": digest}]))
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), keys=KeysSettings(file=file))
    async with gateway(settings) as url:
        async with anthropic.AsyncAnthropic(base_url=url, api_key=secret) as sdk:
            message = await sdk.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)
        assert message.stop_reason == "end_turn"
        async with anthropic.AsyncAnthropic(base_url=url, api_key="wrong", max_retries=0) as sdk:
            with pytest.raises(anthropic.AuthenticationError) as error:
                await sdk.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)
    assert error.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]

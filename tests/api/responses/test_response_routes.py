"""The Responses API by OpenAI's SDK, in front of a fake worker."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from PIL import Image

from support.pictures import DATA_URL
from support.workers.chat_replies import SSE, completion, cut_stream, stream
from support.workers.fake_worker import MODEL, FakeWorker, RawReply


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_the_sdk_gets_a_response(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """The SDK reads the text and the usage, and the gateway says that it stored nothing, also if it was asked to."""
    response: Any = await sdk.responses.create(model=MODEL, input="How many ships?", instructions="Count.", store=True)
    assert (response.output_text, response.status, response.store) == ("There are 3 ships.", "completed", False)
    assert response.usage.output_tokens == 4
    assert response.usage.total_tokens == response.usage.input_tokens + 4
    (request,) = worker.requests
    assert request["messages"] == [
        {"role": "system", "content": "Count."},
        {"role": "user", "content": "How many ships?"},
    ]


async def test_an_image_reaches_the_worker(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """An image is rendered with its ``sar`` parameters: the worker gets it 32 pixels wide, before the question."""
    image: Any = {"type": "input_image", "image_url": DATA_URL, "sar": {"size": 32}, "uuid": "stolen"}
    content = [{"type": "input_text", "text": "How many ships?"}, image]
    await sdk.responses.create(model=MODEL, input=[{"role": "user", "content": content}])
    (request,) = worker.requests
    first, second = request["messages"][0]["content"]
    assert (first["type"], second) == ("image_url", {"type": "text", "text": "How many ships?"})
    head, data = first["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (32, 24)
    assert first.get("uuid") != "stolen"


async def test_the_sdk_reads_a_stream(sdk: openai.AsyncOpenAI) -> None:
    """A stream has every event of a text in order, with numbers from 0, and its last event has the whole response."""
    events = [event async for event in await sdk.responses.create(model=MODEL, input="?", stream=True)]
    names = [event.type.removeprefix("response.") for event in events]
    assert names[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert set(names[4:-4]) == {"output_text.delta"}
    assert names[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(getattr(event, "delta", "") for event in events) == "There are 3 ships."
    last: Any = events[-1]
    assert (last.response.output_text, last.response.usage.output_tokens) == ("There are 3 ships.", 4)


async def test_tools_pass_through(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """A function, its call and its result go to the worker as chat tools, and a call of the model comes back."""
    call = {"id": "call_2", "type": "function", "function": {"name": "zoom", "arguments": '{"x": 1}'}}
    worker.fails_with = completion({"content": None, "tool_calls": [call]}, "tool_calls")
    tool: Any = {"type": "function", "name": "zoom", "parameters": {"type": "object"}, "strict": True}
    items: Any = [
        {"role": "user", "content": "Where?"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "call_1", "name": "zoom", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "nothing"},
    ]
    response = await sdk.responses.create(
        model=MODEL, input=items, tools=[tool], tool_choice={"type": "function", "name": "zoom"}
    )
    (item,) = response.output
    assert (item.type, item.call_id, item.arguments) == ("function_call", "call_2", '{"x": 1}')  # type: ignore[union-attr]
    (request,) = worker.requests
    first = {"id": "call_1", "type": "function", "function": {"name": "zoom", "arguments": "{}"}}
    assert request["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [first]},
        {"role": "tool", "tool_call_id": "call_1", "content": "nothing"},
    ]
    function = {"name": "zoom", "parameters": {"type": "object"}, "strict": True}
    assert request["tools"] == [{"type": "function", "function": function}]
    assert request["tool_choice"] == {"type": "function", "function": {"name": "zoom"}}


async def test_a_streamed_call_follows_the_reasoning(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """Reasoning, text and a call are three items, and the deltas of the call's arguments join to its arguments."""
    start = {"index": 0, "id": "call_1", "function": {"name": "zoom", "arguments": ""}}
    parts = [{"index": 0, "function": {"arguments": text}} for text in ('{"x":', " 1}")]
    calls = [{"tool_calls": [part]} for part in (start, *parts)]
    worker.replies = stream({"reasoning": "Hm."}, {"content": "Look."}, *calls, finish_reason="tool_calls")
    events: list[Any] = [event async for event in await sdk.responses.create(model=MODEL, input="?", stream=True)]
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.type for item in done] == ["reasoning", "message", "function_call"]
    assert done[0].content[0].text == "Hm."
    deltas = [event for event in events if event.type == "response.function_call_arguments.delta"]
    assert "".join(event.delta for event in deltas) == done[2].arguments == '{"x": 1}'
    assert {event.output_index for event in deltas} == {2}
    assert [item.id for item in events[-1].response.output] == [item.id for item in done]


async def test_a_structured_output_is_a_response_format(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """A schema reaches the worker under its name."""
    schema = {"type": "object", "properties": {"count": {"type": "integer"}}}
    text: Any = {"format": {"type": "json_schema", "name": "ships", "schema": schema, "strict": True}}
    response = await sdk.responses.create(model=MODEL, input="?", text=text, max_output_tokens=7)
    (request,) = worker.requests
    expected = {"type": "json_schema", "json_schema": {"name": "ships", "schema": schema, "strict": True}}
    assert (request["response_format"], request["max_completion_tokens"]) == (expected, 7)
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.type == "json_schema"


@pytest.mark.parametrize("streams", [False, True])
async def test_a_response_that_is_cut_off_is_incomplete(
    sdk: openai.AsyncOpenAI, worker: FakeWorker, streams: bool
) -> None:
    """An answer at the token limit has the status incomplete and the reason."""
    response: Any
    if streams:
        worker.replies = stream({"content": "There"}, finish_reason="length")
        events: list[Any] = [event async for event in await sdk.responses.create(model=MODEL, input="?", stream=True)]
        assert events[-1].type == "response.incomplete"
        response = events[-1].response
    else:
        worker.fails_with = completion({"content": "There"}, "length")
        response = await sdk.responses.create(model=MODEL, input="?")
        assert response.usage.input_tokens_details.cached_tokens == 4
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (response.output[0].status, response.output_text) == ("incomplete", "There")


async def test_a_stream_that_breaks_ends_with_a_failure(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """A worker that ends a stream early makes the last event a failure with a code of the gateway."""
    worker.replies = cut_stream({"content": "There "}, {"content": "are "})
    events: list[Any] = [event async for event in await sdk.responses.create(model=MODEL, input="?", stream=True)]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code
    assert events[-1].response.output_text == "There are "


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": 5}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input.0.content.0.text"),
        ({"input": [{"type": "function_call", "name": "x", "arguments": 5}]}, "input.0.call_id"),
        ({"input": [{"role": "robot", "content": "?"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
async def test_an_invalid_request_names_its_field(
    url: str, worker: FakeWorker, fields: dict[str, Any], param: str
) -> None:
    """A request that the gateway can't serve is a 400 whose ``param`` is the field, and reaches no worker."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/responses", json={"model": MODEL, "input": "?", **fields}) as response,
    ):
        error = (await response.json())["error"]
    assert (response.status, error["param"]) == (400, param)
    assert not worker.bodies


async def test_without_a_store_no_response_is_stored(sdk: openai.AsyncOpenAI) -> None:
    """Without the setting, the routes of stored responses answer 404 and name the setting; a missing file is 404."""
    for request in (sdk.responses.retrieve, sdk.responses.delete, sdk.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match="SARLENS_RESPONSES__STORE"):
            await request("resp_1")
    image: Any = {"type": "input_image", "file_id": "file-1", "detail": "auto"}
    with pytest.raises(openai.NotFoundError, match="File 'file-1' doesn't exist"):
        await sdk.responses.create(model=MODEL, input=[{"role": "user", "content": [image]}])


async def test_a_rejection_keeps_its_status(sdk: openai.AsyncOpenAI, worker: FakeWorker) -> None:
    """An unknown model is 404, and a worker's rejection keeps its status and words."""
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.create(model="gpt-5", input="?")
    worker.fails_with = (400, '{"error": {"message": "Too long.", "type": "BadRequestError", "code": 400}}')
    with pytest.raises(openai.BadRequestError, match="Too long"):
        await sdk.responses.create(model=MODEL, input="?")
    worker.fails_with = (200, '{"choices": []}')
    with pytest.raises(openai.InternalServerError):
        await sdk.responses.create(model=MODEL, input="?")


@pytest.mark.parametrize(
    "chunk", ['{"choices": [5]}', '{"choices": {"a": 1}}', '{"choices": [{"delta": {"tool_calls": [7]}}]}']
)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
async def test_a_malformed_stream_is_a_failure_of_the_worker(
    url: str, worker: FakeWorker, path: str, chunk: str
) -> None:
    """Chunks that aren't those of a chat completion end the stream with an error of the worker."""
    worker.replies = RawReply([f"data: {chunk}\n\n".encode(), b"data: [DONE]\n\n"], headers=SSE)
    body = {"model": MODEL, "input": "?", "messages": [{"role": "user", "content": "?"}], "max_tokens": 1}
    async with aiohttp.ClientSession() as http, http.post(url + path, json={**body, "stream": True}) as response:
        text = await response.text()
    assert "worker_failed" in text.strip().splitlines()[-1]


async def test_fields_of_operators_are_removed_and_named(url: str, worker: FakeWorker) -> None:
    """A field that only an operator may set doesn't reach the worker, and a header names it."""
    body = {"model": MODEL, "input": "?", "cache_salt": "stolen", "seed": 3}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/responses", json=body) as response:
        assert response.headers["Sarlens-Ignored-Fields"] == "cache_salt"
    (request,) = worker.requests
    assert "cache_salt" not in request
    assert request["seed"] == 3

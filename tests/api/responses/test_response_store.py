"""Stored responses by OpenAI's SDK: conversations, deletion, expiry, tenants, and files as images."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

from sarlens.admission.api_keys import generate_api_key
from sarlens.settings import KeysSettings, ResponsesSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.pictures import PNG
from support.workers.chat_replies import completion
from support.workers.fake_worker import MODEL, FakeWorker


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test opens."""
    async with AsyncExitStack() as open_stack:
        yield open_stack


async def open_sdks(
    stack: AsyncExitStack, folder: Path, worker: FakeWorker, **settings: Any
) -> list[openai.AsyncOpenAI]:
    """Start a gateway with two keys that stores responses, and return the SDK with each key."""
    secrets = [generate_api_key() for _ in "ab"]
    path = folder / "keys.json"
    path.write_text(json.dumps([{"name": name, "sha256": secrets[i][1]} for i, name in enumerate("ab")]))
    url = await stack.enter_async_context(
        gateway(
            Settings(
                worker=WorkerSettings(urls=(worker.url,)),
                keys=KeysSettings(file=path),
                responses=ResponsesSettings(store=True, **settings),
            )
        )
    )
    sdks = [openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0) for secret, _ in secrets]
    for sdk in sdks:
        stack.push_async_callback(sdk.close)
    return sdks


def roles_and_texts(worker: FakeWorker) -> list[tuple[str, Any]]:
    """Role and content of each message of the last request to the worker."""
    return [(message["role"], message.get("content")) for message in worker.requests[-1]["messages"]]


async def last_response(sdk: openai.AsyncOpenAI, **body: Any) -> Any:
    """Stream a response, and return it from the last event."""
    events: list[Any] = [event async for event in await sdk.responses.create(model=MODEL, stream=True, **body)]
    return events[-1].response


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_conversation_continues(
    stack: AsyncExitStack,
    tmp_path: Path,
    worker: FakeWorker,
    streamed: bool,
) -> None:
    """The worker gets all earlier turns, and the instructions of the last request only."""
    sdk, _ = await open_sdks(stack, tmp_path, worker)
    create: Any = last_response if streamed else (lambda sdk, **body: sdk.responses.create(model=MODEL, **body))
    first = await create(sdk, input="How many ships?", instructions="Count.")
    second = await create(sdk, input=[{"role": "user", "content": "Where?"}], previous_response_id=first.id)
    third = await create(sdk, input="Why?", previous_response_id=second.id, instructions="Explain.", store=False)
    assert (first.store, second.store, third.store) == (True, True, False)
    assert (second.previous_response_id, third.previous_response_id) == (first.id, second.id)
    answer = "There are 3 ships."
    assert [(role, text if isinstance(text, str) else text[0]["text"]) for role, text in roles_and_texts(worker)] == [
        ("system", "Explain."),
        ("user", "How many ships?"),
        ("assistant", answer),
        ("user", "Where?"),
        ("assistant", answer),
        ("user", "Why?"),
    ]
    stored: Any = await sdk.responses.retrieve(second.id)
    assert (stored.to_dict(), stored.output_text) == (second.to_dict(), answer)
    (item,) = (await sdk.responses.input_items.list(second.id)).data
    assert (item.type, item.to_dict()["content"]) == ("message", [{"type": "input_text", "text": "Where?"}])
    with pytest.raises(openai.NotFoundError, match="doesn't exist"):
        await sdk.responses.retrieve(third.id)


async def test_functions_continue(stack: AsyncExitStack, tmp_path: Path, worker: FakeWorker) -> None:
    """The result of a function follows the stored call, and pages of items have the order of the request."""
    sdk, _ = await open_sdks(stack, tmp_path, worker)
    call = {"id": "call_2", "type": "function", "function": {"name": "zoom", "arguments": '{"x": 1}'}}
    worker.fails_with = completion({"content": None, "tool_calls": [call]}, "tool_calls")
    tool: Any = {"type": "function", "name": "zoom", "parameters": {"type": "object"}, "strict": True}
    first = await sdk.responses.create(model=MODEL, input="Where?", tools=[tool])
    worker.fails_with = None
    items: Any = [
        {"type": "function_call_output", "call_id": "call_2", "output": "nothing"},
        {"role": "user", "content": "So?"},
    ]
    second = await sdk.responses.create(model=MODEL, input=items, previous_response_id=first.id)
    assert [role for role, _ in roles_and_texts(worker)] == ["user", "assistant", "tool", "user"]
    assert worker.requests[-1]["messages"][1]["tool_calls"] == [call]
    listed = [item.type async for item in sdk.responses.input_items.list(second.id, limit=1, order="asc")]
    assert listed == ["function_call_output", "message"]


async def test_responses_of_another_key_do_not_exist(stack: AsyncExitStack, tmp_path: Path, worker: FakeWorker) -> None:
    """Another key can't read, delete or continue a response; after its deletion, its own key can't either."""
    owner, other = await open_sdks(stack, tmp_path, worker)
    first = await owner.responses.create(model=MODEL, input="a")
    second = await owner.responses.create(model=MODEL, input="b", previous_response_id=first.id)
    for request in (other.responses.retrieve, other.responses.delete, other.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match="doesn't exist"):
            await request(first.id)
    with pytest.raises(openai.BadRequestError, match="doesn't exist") as raised:
        await other.responses.create(model=MODEL, input="c", previous_response_id=second.id)
    assert raised.value.param == "previous_response_id"
    await owner.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError, match="one that it continues, doesn't exist"):
        await owner.responses.create(model=MODEL, input="c", previous_response_id=second.id)
    assert len(worker.bodies) == 2


async def test_a_conversation_in_use_does_not_expire(stack: AsyncExitStack, tmp_path: Path, worker: FakeWorker) -> None:
    """A response that is continued expires with the one that continues it; an expired one doesn't exist."""
    sdk, _ = await open_sdks(stack, tmp_path, worker)
    first = await sdk.responses.create(model=MODEL, input="a")
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        database.execute("update sarlens_responses set expires = expires - 2591990")
        database.commit()
        second = await sdk.responses.create(model=MODEL, input="b", previous_response_id=first.id)
        expiries = [row[0] for row in database.execute("select expires from sarlens_responses").fetchall()]
        assert max(expiries) - min(expiries) < 1
        database.execute("update sarlens_responses set expires = 1")
        database.commit()
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(second.id)


async def test_new_responses_replace_the_oldest(stack: AsyncExitStack, tmp_path: Path, worker: FakeWorker) -> None:
    """The responses of a key have a limit: the oldest go first, those of other keys stay, a larger one isn't stored."""
    sdk, other = await open_sdks(stack, tmp_path, worker, max_stored_bytes_per_key=10_000)
    kept = await other.responses.create(model=MODEL, input="a")
    ids = [(await sdk.responses.create(model=MODEL, input=f"{index}")).id for index in range(80)]
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        rows = database.execute("select id, bytes from sarlens_responses where owner = 'a' order by created").fetchall()
    assert [id_ for id_, _ in rows] == ids[-len(rows) :]
    assert 1 <= len(rows) < 10
    assert sum(size for _, size in rows) <= 10_000
    await other.responses.retrieve(kept.id)
    large = await sdk.responses.create(model=MODEL, input="x" * 10_000)
    assert (large.output_text, large.to_dict()["store"]) == ("There are 3 ships.", False)


async def test_a_file_is_an_image(stack: AsyncExitStack, tmp_path: Path, worker: FakeWorker) -> None:
    """An uploaded image is rendered as an image of the request, also in a later turn; another key has no such file."""
    sdk, other = await open_sdks(stack, tmp_path, worker)
    file = await sdk.files.create(file=("scene.png", PNG), purpose="vision")
    image: Any = {"type": "input_image", "file_id": file.id, "sar": {"size": 32}, "detail": "auto"}
    content = [image, {"type": "input_text", "text": "How many ships?"}]
    first = await sdk.responses.create(model=MODEL, input=[{"role": "user", "content": content}])
    await sdk.responses.create(model=MODEL, input="Where?", previous_response_id=first.id)
    for request in worker.requests:
        part = request["messages"][0]["content"][0]
        data = part["image_url"] or worker.known[part["uuid"]]
        with Image.open(io.BytesIO(base64.b64decode(data["url"].split(",")[1]))) as picture:
            assert picture.size == (32, 24)
    (item,) = (await sdk.responses.input_items.list(first.id)).data
    content_of: Any = item.to_dict()["content"]
    assert content_of[0] == image
    with pytest.raises(openai.NotFoundError, match="doesn't exist"):
        await other.responses.create(model=MODEL, input=[{"role": "user", "content": content}])

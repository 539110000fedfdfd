"""The OpenAI surface, before a fake worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarlens.chat import parse_ask
from sarlens.errors import SarlensError
from sarlens.settings import LimitSettings, Settings, WorkerSettings
from stack.fake_worker import MODEL, FakeWorker, fake_worker
from stack.gateway import gateway

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's own client."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_the_sdk_gets_an_answer(sdk: openai.AsyncOpenAI) -> None:
    """OpenAI's SDK asks and is answered, with the usage that the worker states."""
    answer = await sdk.chat.completions.create(**CHAT)  # type: ignore[call-overload]
    assert answer.choices[0].message.content == "There are 3 ships."
    assert answer.usage.completion_tokens == 4


async def test_the_sdk_gets_a_stream(sdk: openai.AsyncOpenAI) -> None:
    """OpenAI's SDK reads a stream to its end and finds the usage that it asked for."""
    stream = await sdk.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})  # type: ignore[call-overload]
    events = [event async for event in stream]
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == "There are 3 ships."
    assert events[-1].usage.completion_tokens == 4


async def test_text_completions_pass(sdk: openai.AsyncOpenAI) -> None:
    """The older completions route answers too."""
    answer = await sdk.completions.create(model=MODEL, prompt="Radar")
    assert answer.choices[0].text == "There are 3 ships."


async def test_models_are_listed(sdk: openai.AsyncOpenAI) -> None:
    """The models are those of the workers, with every field of the worker's card."""
    listed = await sdk.models.list()
    assert [model.id for model in listed.data] == [MODEL]
    one = await sdk.models.retrieve(MODEL)
    assert one.model_dump()["max_model_len"] == 2048


async def test_the_models_of_all_workers_are_one_list() -> None:
    """Two workers with different models serve both names, and each request reaches its own worker."""
    async with fake_worker(model="a") as first, fake_worker(model="b") as second:
        settings = Settings(worker=WorkerSettings(urls=(first.url, second.url)))
        async with gateway(settings) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
            async with asyncio.timeout(30):
                while len((await client.models.list()).data) < 2:
                    await asyncio.sleep(0.02)
            await client.chat.completions.create(model="b", messages=[{"role": "user", "content": "x"}])
    assert (len(first.bodies), len(second.bodies)) == (0, 1)


async def test_a_body_without_images_passes_byte_for_byte(
    url: str, worker: FakeWorker, http: aiohttp.ClientSession
) -> None:
    """White space, field order, unknown fields and number spellings all reach the worker as they came."""
    body = (
        b'{ "seed": 1.0, "unknown":{"x":[1e2]},"model":"sarlens-nano","n":2,"tools":[],"structured_outputs":'
        b'{"choice":["Yes","No"]}, "messages":[{"role":"user","content":"\\u0041"}]}  '
    )
    async with http.post(f"{url}/v1/chat/completions", data=body) as response:
        assert response.status == 200
    assert worker.bodies == [body]


async def test_the_answer_passes_byte_for_byte(url: str, worker: FakeWorker, http: aiohttp.ClientSession) -> None:
    """Fields of an answer that nobody here knows reach the caller."""
    worker.fails_with = (200, '{"id": "x",  "new_field": 1.50}')
    async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
        assert await response.text() == '{"id": "x",  "new_field": 1.50}'


async def test_the_request_id_walks_through(url: str, worker: FakeWorker, http: aiohttp.ClientSession) -> None:
    """A caller's request id reaches the worker and comes back; a strange one is replaced."""
    for sent, kept in (("scene-42", True), ("a b\\n", False), ("x" * 200, False)):
        async with http.post(f"{url}/v1/chat/completions", json=CHAT, headers={"X-Request-Id": sent}) as response:
            returned = response.headers["X-Request-Id"]
        assert (returned == sent) is kept
        assert worker.headers[-1]["X-Request-Id"] == returned


async def _error(http: aiohttp.ClientSession, url: str, body: bytes | dict[str, Any]) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with http.post(f"{url}/v1/chat/completions", data=data) as response:
        error = (await response.json())["error"]
        assert error["request_id"] == response.headers["X-Request-Id"]
        assert error["message"]
        return response.status, error


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_request"),
        (b"", 400, "bad_request"),
        (b"[]", 400, "bad_request"),
        (b"\xff\xfe", 400, "bad_request"),
        (b"[" * 100_000, 400, "bad_request"),
        ({**CHAT, "model": 5}, 400, "bad_request"),
        ({**CHAT, "model": "gpt-5"}, 404, "model_not_found"),
    ],
)
async def test_bad_bodies_are_refused(
    url: str, http: aiohttp.ClientSession, body: bytes | dict[str, Any], status: int, code: str
) -> None:
    """What is no request is told so, with a code and a request id, and the next request works."""
    answered, error = await _error(http, url, body)
    assert (answered, error["code"]) == (status, code)
    async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
        assert response.status == 200


def _image(image: object, **part: object) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": image, **part}, {"type": "text", "text": "?"}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("image", "code", "field"),
    [
        (None, "bad_request", "image_url"),
        ({}, "bad_request", "image_url"),
        ({"url": 5}, "bad_request", "image_url"),
        ({"url": "ftp://x/y.tif"}, "source_refused", None),
        ({"url": "file:///etc/passwd"}, "source_refused", None),
        ({"url": "/etc/passwd"}, "source_refused", None),
        ({"url": "https://example.com/a.png"}, "source_refused", None),
        ({"url": "data:image/png;base64,AAAA"}, "unsupported_image", None),
        ({"url": "s3://b/k", "sar": 1}, "bad_request", "sar"),
        ({"url": "s3://b/k", "sar": {"filter": "median"}}, "bad_request", "sar.filter"),
        ({"url": "s3://b/k", "sar": {"window": [0, 0, 1]}}, "bad_request", "sar.window"),
        ({"url": "s3://b/k", "sar": {"stretch": [98, 2]}}, "bad_request", "sar"),
        ({"url": "s3://b/k", "sar": {"size": 1e9}}, "bad_request", "sar.size"),
        ({"url": "s3://b/k", "sar": {"colour": "red"}}, "bad_request", "sar.colour"),
        ({"url": "s3://b/k", "sar": {"bands": []}}, "bad_request", "sar.bands"),
    ],
)
async def test_bad_images_are_refused(
    url: str, http: aiohttp.ClientSession, worker: FakeWorker, image: object, code: str, field: str | None
) -> None:
    """An image part that cannot be understood or may not be fetched is named, and no worker hears of it."""
    status, error = await _error(http, url, _image(image))
    assert (status, error["code"]) == (400, code)
    assert field is None or field in error["param"]
    assert not worker.bodies


@pytest.mark.parametrize("key", ["video_url", "audio_url"])
async def test_workers_are_never_made_to_fetch(
    url: str, http: aiohttp.ClientSession, worker: FakeWorker, key: str
) -> None:
    """A URL that a worker would open by itself, inside the network, is refused."""
    part = {"type": key, key: {"url": "http://169.254.169.254/latest"}}
    status, error = await _error(http, url, {"model": MODEL, "messages": [{"role": "user", "content": [part]}]})
    assert (status, error["code"]) == (400, "source_refused")
    assert not worker.bodies


async def test_too_many_images_are_refused(url: str, http: aiohttp.ClientSession) -> None:
    """A request with more images than the limit is refused before any is opened."""
    many = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "s3://b/k"}}] * 17}
    status, error = await _error(http, url, {"model": MODEL, "messages": [many]})
    assert (status, error["code"]) == (413, "too_large")


async def test_a_body_over_the_limit_is_refused(worker: FakeWorker, http: aiohttp.ClientSession) -> None:
    """A body over the limit is refused, whether its length is announced or not."""
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), limit=LimitSettings(body_bytes=1000))
    async with gateway(settings) as url:
        status, error = await _error(http, url, b" " * 1001)
        assert (status, error["code"]) == (413, "too_large")

        async def unannounced() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b" " * 400

        async with http.post(f"{url}/v1/chat/completions", data=unannounced()) as response:
            assert response.status == 413


async def test_a_workers_error_reaches_the_caller(url: str, http: aiohttp.ClientSession) -> None:
    """What a worker refuses is told in its own words, with the request id added."""
    status, error = await _error(http, url, {**CHAT, "temperature": -1})
    assert (status, error["param"]) == (400, "temperature")


async def test_a_workers_nonsense_is_a_bad_gateway(url: str, worker: FakeWorker, http: aiohttp.ClientSession) -> None:
    """A worker that fails without an error object is a 502."""
    worker.fails_with = (500, "<html>")
    status, error = await _error(http, url, CHAT)
    assert (status, error["code"]) == (502, "worker_failed")


async def test_a_dead_worker_costs_nothing_while_another_lives(http: aiohttp.ClientSession) -> None:
    """A worker that dies before its first byte costs the caller nothing."""
    async with fake_worker() as first:
        async with fake_worker() as second:
            settings = Settings(worker=WorkerSettings(urls=(first.url, second.url), probe_s=60))
            gate = gateway(settings)
            url = await gate.__aenter__()
        for _ in range(4):
            async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
                assert response.status == 200
        await gate.__aexit__(None, None, None)
    assert len(first.bodies) == 4


async def test_no_worker_is_said_at_once(http: aiohttp.ClientSession) -> None:
    """A gateway whose only worker is away starts, is not ready, and says so with a time to try again."""
    settings = Settings(worker=WorkerSettings(urls=("http://127.0.0.1:9",)))
    async with gateway(settings, ready=False) as url:
        status, error = await _error(http, url, CHAT)
        assert (status, error["code"]) == (503, "no_worker")
        for page in ("readyz", "health"):
            async with http.get(f"{url}/{page}") as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "2")
        async with http.get(f"{url}/healthz") as response:
            assert response.status == 200


async def test_a_cut_stream_ends_with_an_error_event(url: str, worker: FakeWorker, sdk: openai.AsyncOpenAI) -> None:
    """A stream that breaks midway ends with an error that OpenAI's SDK raises, never with silence."""
    worker.dies_after = 2
    stream = await sdk.chat.completions.create(**CHAT, stream=True)  # type: ignore[call-overload]
    with pytest.raises(openai.APIError, match="broke off"):
        async for _ in stream:
            pass


@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_who_leaves_ends_the_generation(
    url: str, worker: FakeWorker, http: aiohttp.ClientSession, stream: bool
) -> None:
    """When the caller goes away the worker's generation is aborted."""
    worker.pause_s = 20.0
    asking = asyncio.create_task(_read(http, f"{url}/v1/chat/completions", {**CHAT, "stream": stream}))
    async with asyncio.timeout(30):
        while not worker.running:
            await asyncio.sleep(0.01)
    asking.cancel()
    async with asyncio.timeout(30):
        while worker.running:
            await asyncio.sleep(0.01)
    assert worker.aborted == 1


async def _read(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> bytes:
    async with http.post(url, json=body) as response:
        return await response.read()


async def test_unknown_pages_are_openai_errors(url: str, http: aiohttp.ClientSession) -> None:
    """A path or method that is not served is answered in the same form as every other error."""
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/v1/chat/completions", 405),
        ("PUT", "/readyz", 405),
    ):
        async with http.request(method, url + path) as response:
            assert response.status == status
            assert (await response.json())["error"]["request_id"] == response.headers["X-Request-Id"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["messages", "content", "image_url", "url", "sar", "window", "bands", "type", "model", "uuid"]
                ),
                x,
            )
        ),
    )
)
def test_no_json_breaks_the_parser(document: object) -> None:
    """Whatever JSON comes, it is parsed or refused with one of our own errors."""
    try:
        ask = parse_ask("/v1/chat/completions", json.dumps(document).encode(), "id", max_images=4)
    except SarlensError:
        return
    assert len(ask.images) <= 4


@given(st.binary())
def test_no_bytes_break_the_parser(body: bytes) -> None:
    """Whatever bytes come, they are parsed or refused with one of our own errors."""
    try:
        parse_ask("/v1/completions", body, "id", max_images=4)
    except SarlensError as error:
        assert error.status == 400

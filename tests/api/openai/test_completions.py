"""OpenAI's completions, chat completions and models, in front of a fake worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest

import sarlens
from sarlens.settings import LimitSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_the_sdk_gets_an_answer(sdk: openai.AsyncOpenAI) -> None:
    """OpenAI's SDK gets an answer with the usage that the worker states."""
    answer = await sdk.chat.completions.create(**CHAT)  # type: ignore[call-overload]
    assert answer.choices[0].message.content == "There are 3 ships."
    assert answer.usage.completion_tokens == 4


async def test_the_sdk_gets_a_stream(sdk: openai.AsyncOpenAI) -> None:
    """OpenAI's SDK reads a stream to its end, and its last event has the usage."""
    stream = await sdk.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})  # type: ignore[call-overload]
    events = [event async for event in stream]
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == "There are 3 ships."
    assert events[-1].usage.completion_tokens == 4


async def test_text_completions_are_answered(sdk: openai.AsyncOpenAI) -> None:
    """The route for completions without a chat answers too."""
    answer = await sdk.completions.create(model=MODEL, prompt="Radar")
    assert answer.choices[0].text == "There are 3 ships."


async def test_models_are_those_of_the_workers(sdk: openai.AsyncOpenAI) -> None:
    """Each model of the list has every field of the worker's card."""
    listed = await sdk.models.list()
    assert [model.id for model in listed.data] == [MODEL]
    one = await sdk.models.retrieve(MODEL)
    assert one.model_dump()["max_model_len"] == 2048


async def test_each_request_goes_to_a_worker_with_its_model() -> None:
    """Two workers with different models are one list, and a request goes to the worker that serves its model."""
    async with fake_worker(model="a") as first, fake_worker(model="b") as second:
        settings = Settings(worker=WorkerSettings(urls=(first.url, second.url)))
        async with gateway(settings) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
            async with asyncio.timeout(30):
                while len((await client.models.list()).data) < 2:
                    await asyncio.sleep(0.02)
            await client.chat.completions.create(model="b", messages=[{"role": "user", "content": "x"}])
    assert (len(first.bodies), len(second.bodies)) == (0, 1)


async def test_a_body_without_images_is_forwarded_unchanged(
    url: str, worker: FakeWorker, http: aiohttp.ClientSession
) -> None:
    """White space, field order, unknown fields and the spelling of numbers reach the worker byte for byte."""
    body = (
        b'{ "seed": 1.0, "unknown":{"x":[1e2]},"model":"sarlens-nano","n":2,"tools":[],"structured_outputs":'
        b'{"choice":["Yes","No"]}, "messages":[{"role":"user","content":"\\u0041"}]}  '
    )
    async with http.post(f"{url}/v1/chat/completions", data=body) as response:
        assert response.status == 200
    assert worker.bodies == [body]


async def test_a_response_is_forwarded_unchanged(url: str, worker: FakeWorker, http: aiohttp.ClientSession) -> None:
    """Unknown fields of a response, and its white space, reach the client byte for byte."""
    worker.fails_with = (200, '{"id": "x",  "new_field": 1.50}')
    async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
        assert await response.text() == '{"id": "x",  "new_field": 1.50}'


async def test_the_request_id_reaches_worker_and_client(
    url: str, worker: FakeWorker, http: aiohttp.ClientSession
) -> None:
    """A valid request id reaches the worker and comes back; an invalid one is replaced in both."""
    for sent, valid in (("scene-42", True), ("a b\\n", False), ("x" * 200, False)):
        async with http.post(f"{url}/v1/chat/completions", json=CHAT, headers={"X-Request-Id": sent}) as response:
            returned = response.headers["X-Request-Id"]
        assert (returned == sent) is valid
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
async def test_an_invalid_body_is_rejected(
    url: str, http: aiohttp.ClientSession, body: bytes | dict[str, Any], status: int, code: str
) -> None:
    """An invalid body gets its status, code and request id, and the next request is answered."""
    received, error = await _error(http, url, body)
    assert (received, error["code"]) == (status, code)
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
async def test_an_invalid_image_is_rejected(
    url: str, http: aiohttp.ClientSession, worker: FakeWorker, image: object, code: str, field: str | None
) -> None:
    """An invalid or forbidden image is rejected with the name of its field, and no worker gets the request."""
    status, error = await _error(http, url, _image(image))
    assert (status, error["code"]) == (400, code)
    assert field is None or field in error["param"]
    assert not worker.bodies


@pytest.mark.parametrize("key", ["video_url", "audio_url"])
async def test_workers_fetch_nothing(url: str, http: aiohttp.ClientSession, worker: FakeWorker, key: str) -> None:
    """A URL that a worker would open itself, inside the network, is rejected."""
    part = {"type": key, key: {"url": "http://169.254.169.254/latest"}}
    status, error = await _error(http, url, {"model": MODEL, "messages": [{"role": "user", "content": [part]}]})
    assert (status, error["code"]) == (400, "source_refused")
    assert not worker.bodies


async def test_too_many_images_are_rejected(url: str, http: aiohttp.ClientSession) -> None:
    """A request with more images than the limit is 413 before any of them is opened."""
    many = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "s3://b/k"}}] * 17}
    status, error = await _error(http, url, {"model": MODEL, "messages": [many]})
    assert (status, error["code"]) == (413, "too_large")


async def test_a_body_over_the_limit_is_rejected(worker: FakeWorker, http: aiohttp.ClientSession) -> None:
    """A body over the limit is 413, with or without a Content-Length."""
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), limit=LimitSettings(max_body_bytes=1000))
    async with gateway(settings) as url:
        status, error = await _error(http, url, b" " * 1001)
        assert (status, error["code"]) == (413, "too_large")

        async def unannounced() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b" " * 400

        async with http.post(f"{url}/v1/chat/completions", data=unannounced()) as response:
            assert response.status == 413


async def test_a_workers_error_reaches_the_client(url: str, http: aiohttp.ClientSession) -> None:
    """A worker's error has its own words and parameter, and the request id."""
    status, error = await _error(http, url, {**CHAT, "temperature": -1})
    assert (status, error["param"], error["message"]) == (400, "temperature", "temperature must be non-negative")


async def test_a_worker_that_fails_without_a_message_is_a_bad_gateway(
    url: str, worker: FakeWorker, http: aiohttp.ClientSession
) -> None:
    """A worker's error that isn't an error object is 502, and its text isn't forwarded."""
    worker.fails_with = (500, "<html>")
    status, error = await _error(http, url, CHAT)
    assert (status, error["code"]) == (502, "worker_failed")
    assert "html" not in error["message"]


async def test_another_worker_answers_for_a_dead_one(http: aiohttp.ClientSession) -> None:
    """Requests to a worker that ended are answered by the other one."""
    async with fake_worker() as first:
        async with fake_worker() as second:
            settings = Settings(worker=WorkerSettings(urls=(first.url, second.url), probe_interval_s=60))
            gate = gateway(settings)
            url = await gate.__aenter__()
        for _ in range(4):
            async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
                assert response.status == 200
        await gate.__aexit__(None, None, None)
    assert len(first.bodies) == 4


async def test_without_a_worker_the_gateway_is_not_ready(http: aiohttp.ClientSession) -> None:
    """Without a worker the gateway has its version and accepts requests, which are 503 with Retry-After 2.

    /readyz stays 200, so that a load balancer leads requests to the error that says why; /health is 503.
    """
    settings = Settings(worker=WorkerSettings(urls=("http://127.0.0.1:9",)), admission={"queue_timeout_s": 0.2})
    async with gateway(settings, ready=False) as url:
        async with http.post(f"{url}/v1/chat/completions", json=CHAT) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "2")
            assert (await response.json())["error"]["code"] == "no_worker"
        async with http.get(f"{url}/health") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "2")
            why = (await response.json())["error"]["message"]
        assert why == "No worker is ready: 1 of 1 haven't passed a health check yet, and 0 are lost."
        async with http.get(f"{url}/readyz") as response:
            assert (response.status, await response.json()) == (200, {"status": "ready", "models": [], "detail": why})
        async with http.get(f"{url}/metrics") as response:
            page = await response.text()
        assert 'sarlens_requests_total{outcome="failed",route="/v1/chat/completions",status="503"} 1.0' in page
        async with http.get(f"{url}/healthz") as response:
            assert response.status == 200
        async with http.get(f"{url}/version") as response:
            assert (response.status, await response.json()) == (200, {"version": sarlens.__version__})


async def test_a_stream_that_breaks_off_ends_with_an_error(
    url: str, worker: FakeWorker, sdk: openai.AsyncOpenAI
) -> None:
    """If a worker breaks off, the stream ends with an error event, which OpenAI's SDK raises."""
    worker.dies_after = 2
    stream = await sdk.chat.completions.create(**CHAT, stream=True)  # type: ignore[call-overload]
    with pytest.raises(openai.APIError, match="closed the connection in the middle"):
        async for _ in stream:
            pass


@pytest.mark.parametrize("stream", [True, False])
async def test_a_disconnect_aborts_the_generation(
    url: str, worker: FakeWorker, http: aiohttp.ClientSession, stream: bool
) -> None:
    """If the client disconnects, the gateway aborts the worker's generation."""
    worker.pause_s = 20.0
    request = asyncio.create_task(_read(http, f"{url}/v1/chat/completions", {**CHAT, "stream": stream}))
    async with asyncio.timeout(30):
        while not worker.running:
            await asyncio.sleep(0.01)
    request.cancel()
    async with asyncio.timeout(30):
        while worker.running:
            await asyncio.sleep(0.01)
    assert worker.aborted == 1


async def _read(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> bytes:
    async with http.post(url, json=body) as response:
        return await response.read()


async def test_unknown_paths_are_openai_errors(url: str, http: aiohttp.ClientSession) -> None:
    """An unknown path or method gets an error object with the request id."""
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/v1/chat/completions", 405),
        ("PUT", "/readyz", 405),
    ):
        async with http.request(method, url + path) as response:
            assert response.status == status
            assert (await response.json())["error"]["request_id"] == response.headers["X-Request-Id"]

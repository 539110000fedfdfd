"""The worker contract: the same cases run against the fake workers and against real vLLM."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from PIL import Image

from sarlens.devstack.ports import free_port
from sarlens.runtime.child_process import run_process
from sarlens.settings import Settings, WorkerSettings
from sarlens.workers.clients.base import HealthCheck
from sarlens.workers.clients.http1.pool import http_connections
from sarlens.workers.clients.http_probe import HttpProbe
from support.fleet import metric
from support.gateway import gateway, until_it_answers
from support.pictures import DATA_URL
from support.vllm import vllm_worker
from support.workers.fake_worker import BATCH_PATH, MODEL, fake_worker

WORKERS = ["fake", pytest.param("vllm", marks=pytest.mark.slow)]
CHAT: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "How many ships are in the image?"}],
    "max_tokens": 4,
    "ignore_eos": True,
}


@pytest.fixture(params=WORKERS)
async def base(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Start a gateway with each kind of worker."""
    if request.param == "vllm":
        settings = Settings(worker=WorkerSettings(urls=(request.getfixturevalue("vllm_url"),)))
        async with gateway(settings) as url:
            yield url
    else:
        async with fake_worker() as worker, gateway(Settings(worker=WorkerSettings(urls=(worker.url,)))) as url:
            yield url


async def _post(base: str, body: dict[str, Any], path: str = "/v1/chat/completions") -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(base + path, json=body) as response:
        return response.status, await response.json()


async def test_the_shape_of_a_completion(base: str) -> None:
    """A chat completion has a message, a finish reason and a usage that adds up."""
    status, answer = await _post(base, CHAT)
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert isinstance(answer["choices"][0]["message"]["content"], str)
    assert answer["choices"][0]["finish_reason"] in {"stop", "length"}
    usage = answer["usage"]
    assert usage["completion_tokens"] == 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_the_shape_of_a_stream(base: str) -> None:
    """A stream has one JSON object per event: the role first, the usage last if requested, then [DONE]."""
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    async with aiohttp.ClientSession() as session, session.post(f"{base}/v1/chat/completions", json=body) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = [line async for line in response.content if line.strip()]
    assert lines[-1] == b"data: [DONE]\n"
    events = [json.loads(line.removeprefix(b"data: ")) for line in lines[:-1]]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 4
    assert b'"usage":{' in lines[-2]


async def test_text_is_completed(base: str) -> None:
    """The text completions route returns text."""
    status, answer = await _post(base, {"model": MODEL, "prompt": "Radar", "max_tokens": 4}, "/v1/completions")
    assert status == 200
    assert isinstance(answer["choices"][0]["text"], str)


async def test_an_image_in_a_data_url_is_answered(base: str) -> None:
    """A request with an inline image gets an answer."""
    buffer = io.BytesIO()
    Image.effect_noise((300, 200), 60).save(buffer, "png")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    content = [{"type": "text", "text": "Ships?"}, {"type": "image_url", "image_url": {"url": url}}]
    status, answer = await _post(base, {**CHAT, "messages": [{"role": "user", "content": content}]})
    assert status == 200, answer
    assert answer["usage"]["prompt_tokens"] > 64


async def test_the_tokens_of_a_chat_are_those_of_its_prompt(base: str) -> None:
    """The count of a chat with an image is the prompt of its completion; a text has its tokens, and they its text."""
    image = {"type": "image_url", "image_url": {"url": DATA_URL}}
    content = [image, {"type": "text", "text": "How many ships are in the image?"}]
    body = {**CHAT, "messages": [{"role": "user", "content": content}]}
    _, answer = await _post(base, body)
    for _ in range(2):
        status, counted = await _post(base, {name: body[name] for name in ("model", "messages")}, "/tokenize")
        assert (status, counted["count"], len(counted["tokens"])) == (
            200,
            answer["usage"]["prompt_tokens"],
            counted["count"],
        )
    _, tokens = await _post(base, {"prompt": "Radar", "add_special_tokens": False}, "/tokenize")
    assert (await _post(base, {"tokens": tokens["tokens"]}, "/detokenize")) == (200, {"prompt": "Radar"})
    assert (await _post(base, {"model": "unknown", "prompt": "Radar"}, "/tokenize"))[0] == 404


@pytest.fixture(params=WORKERS)
async def embedding_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Start a gateway with each kind of worker that embeds."""
    async with AsyncExitStack() as stack:
        if request.param == "vllm":
            worker_url = stack.enter_context(vllm_worker(tmp_path, "--runner", "pooling", "--convert", "embed"))
        else:
            worker_url = (await stack.enter_async_context(fake_worker())).url
        settings = Settings(worker=WorkerSettings(urls=(worker_url,), forward_paths=("/v1/score",)))
        yield await stack.enter_async_context(gateway(settings))


async def test_texts_and_images_are_embedded(embedding_url: str) -> None:
    """OpenAI's SDK gets a vector per text and one per radar image, base64 or not, and a forwarded route has scores."""
    image = {"type": "image_url", "image_url": {"url": DATA_URL, "sar": {"size": 64}}}
    messages: Any = [{"role": "user", "content": [image, {"type": "text", "text": "Represent the image."}]}]
    async with openai.AsyncOpenAI(base_url=f"{embedding_url}/v1", api_key="none", max_retries=0) as sdk:
        texts = await sdk.embeddings.create(model=MODEL, input=["Radar", "two ships"])
        plain = await sdk.embeddings.create(model=MODEL, input=["Radar", "two ships"], encoding_format="float")
        pictures = [await sdk.embeddings.create(model=MODEL, input=messages) for _ in range(2)]
        with pytest.raises(openai.BadRequestError, match="isn't JSON"):
            await sdk.embeddings.create(model=MODEL, input="Radar", encoding_format="bytes")  # type: ignore[arg-type]
    for encoded, numbers in zip(texts.data, plain.data, strict=True):
        assert encoded.embedding == pytest.approx(numbers.embedding, abs=1e-3)
    assert pictures[0].data[0].embedding == pytest.approx(pictures[1].data[0].embedding, abs=1e-3)
    assert len(pictures[0].data) == 1
    assert len(texts.data[0].embedding) == len(pictures[0].data[0].embedding) > 1
    assert texts.usage.total_tokens == texts.usage.prompt_tokens > 0
    status, scores = await _post(embedding_url, {"model": MODEL, "text_1": "Radar", "text_2": ["ships"]}, "/v1/score")
    assert (status, len(scores["data"])) == (200, 1)


MOCK_WORKER = Path(__file__).parents[2] / "support/workers/mock_worker.py"


@pytest.fixture(params=[*WORKERS, "mock"])
async def bare(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Start each kind of worker without a gateway, including that of the load tests."""
    if request.param == "vllm":
        yield request.getfixturevalue("vllm_url")
    elif request.param == "mock":
        port = free_port()
        with run_process("mock", [sys.executable, str(MOCK_WORKER), str(port)], {}, tmp_path / "log"):
            await until_it_answers(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
    else:
        async with fake_worker() as worker:
            yield worker.url


@pytest.mark.parametrize("stream", [False, True])
async def test_a_worker_caches_images_by_id(bare: str, stream: bool) -> None:
    """A worker knows an image by its uuid after the first request; an unknown uuid is a 400 cache miss."""
    buffer = io.BytesIO()
    Image.effect_noise((256, 256), 60).save(buffer, "png")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    async def ask(name: str, image: dict[str, str] | None) -> tuple[int, str]:
        content = [{"type": "image_url", "image_url": image, "uuid": name}, {"type": "text", "text": "Ships?"}]
        body = {**CHAT, "messages": [{"role": "user", "content": content}], "stream": stream}
        async with aiohttp.ClientSession() as session, session.post(f"{bare}/v1/chat/completions", json=body) as reply:
            return reply.status, await reply.text()

    name = f"picture-{stream}"
    status, said = await ask(name, None)
    assert status == 400
    assert "Cache miss for image at index 0 but data is not provided." in said
    assert (await ask(name, {"url": url}))[0] == 200
    assert (await ask(name, None))[0] == 200


@pytest.fixture(params=WORKERS)
async def batch_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Start each kind of worker that has the batch route, and return the URL of the route."""
    if request.param == "vllm":
        yield request.getfixturevalue("vllm_url") + BATCH_PATH
    else:
        async with fake_worker() as worker:
            yield worker.url + BATCH_PATH


async def _post_batch(url: str, *chats: Any, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"model": MODEL, "messages": chats, "max_tokens": 4, "temperature": 0, "return_token_ids": True, **fields}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return response.status, await response.json()


def _chat(text: str, image_id: str, image: dict[str, str] | None) -> list[dict[str, Any]]:
    content = [{"type": "image_url", "image_url": image, "uuid": image_id}, {"type": "text", "text": text}]
    return [{"role": "user", "content": content}]


async def test_a_batch_has_a_choice_for_each_chat(batch_url: str) -> None:
    """The first chat gives the image to the others; a choice has the index of its chat and its tokens.

    The usage is that of all chats, and the response is JSON even if a stream is requested.
    """
    buffer = io.BytesIO()
    Image.effect_noise((256, 256), 60).save(buffer, "png")
    image = {"url": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"}
    chats = [_chat(f"Ships {n}?", "batch-a", None if n else image) for n in range(3)]
    status, answer = await _post_batch(batch_url, *chats, ignore_eos=True, logprobs=True, stream=True)
    assert status == 200, answer
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert all(isinstance(choice["message"]["content"], str) for choice in answer["choices"])
    tokens = sum(len(choice["token_ids"]) for choice in answer["choices"])
    assert answer["usage"]["completion_tokens"] == tokens > 0
    assert answer["usage"]["prompt_tokens"] >= 3 * 64
    assert (await _post_batch(batch_url, _chat("Cars?", "batch-a", None)))[0] == 200


async def test_a_batch_fails_as_a_whole(batch_url: str) -> None:
    """One chat with an image that the cache has lost makes the whole batch a 400, without a word about which it is."""
    buffer = io.BytesIO()
    Image.effect_noise((256, 256), 60).save(buffer, "png")
    image = {"url": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"}
    status, answer = await _post_batch(batch_url, _chat("Ships?", "batch-b", image), _chat("Cars?", "lost", None))
    assert (status, answer["error"]["message"]) == (
        400,
        "Cache miss for image at index 0 but data is not provided.",
    )


@pytest.mark.parametrize("chats", [[], [{"role": "user", "content": "Ships?"}], [[]]])
async def test_a_batch_has_at_least_one_chat_with_a_message(batch_url: str, chats: list[Any]) -> None:
    """No chats, an empty one, and messages that aren't in a chat are a 400."""
    assert (await _post_batch(batch_url, *chats))[0] == 400


@pytest.mark.slow
async def test_a_batch_through_the_gateway_to_vllm(vllm_url: str) -> None:
    """Eight questions are one batch, whose answers have their types, and the usages add up to those of vLLM."""
    async with gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)))) as base:
        kinds = ("ships", "cars", "tanks", "bridges", "harbors", "aircraft", "buildings", "ports")
        questions = [f"Are there any {kind} in the image?" for kind in kinds]
        status, answer = await _post(base, {"image": DATA_URL, "questions": questions}, "/v1/sar/vqa")
        async with aiohttp.ClientSession() as session:
            counted = await metric(session, base, 'sarlens_batch_questions_sum{result="answered"}')
            tokens = await metric(session, base, "sarlens_tokens_total")
    assert status == 200, answer
    assert [item["answer"]["value"] in {True, False} for item in answer["data"]] == [True] * 8
    assert counted == 8
    assert sum(item["usage"]["total_tokens"] for item in answer["data"]) == tokens > 8 * 64


async def test_a_disconnect_stops_a_batch(vllm_url: str) -> None:
    """After a disconnect from the batch route, vLLM generates none of the answers any more."""
    async with aiohttp.ClientSession() as session:
        body = {"model": MODEL, "messages": [CHAT["messages"]] * 3, "max_tokens": 3500, "min_tokens": 3500}
        asking = asyncio.create_task(session.post(vllm_url + BATCH_PATH, json=body))
        async with asyncio.timeout(60):
            while await _running(session, vllm_url) < 3:
                await asyncio.sleep(0.05)
            asking.cancel()
            while await _running(session, vllm_url):
                await asyncio.sleep(0.05)


async def test_the_shape_of_an_error(base: str) -> None:
    """A rejected request is a 400 with an OpenAI error object."""
    status, answer = await _post(base, {**CHAT, "temperature": -1})
    assert status == 400
    assert {"message", "type", "param", "code", "request_id"} <= answer["error"].keys()


async def test_the_models_are_cards(base: str) -> None:
    """A model card has the id and the context length."""
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="none") as client:
        card = (await client.models.list()).data[0].model_dump()
    assert card["id"] == MODEL
    assert card["max_model_len"] >= 2048


@pytest.mark.slow
async def test_vllm_reports_its_load_and_its_start(vllm_url: str) -> None:
    """The metrics of an idle vLLM worker have a load of 0, and the start time of a process of this test run."""
    async with http_connections(connect_timeout_s=2, keepalive_timeout_s=4) as connections:
        probe = HttpProbe(connections.pool(vllm_url, {}), HealthCheck(timeout_s=30))
        async with asyncio.timeout(60):
            while (status := await probe.run()).load != 0.0:
                await asyncio.sleep(0.1)
    assert list(status.models) == [MODEL]
    assert status.process_start_time is not None
    assert time.time() - 86_400 < status.process_start_time < time.time()


async def test_a_disconnect_stops_vllm(vllm_url: str) -> None:
    """After a disconnect vLLM stops generating: its number of running requests falls to 0."""
    long = {**CHAT, "max_tokens": 3500, "stream": True}
    async with (
        gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)))) as base,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(f"{base}/v1/chat/completions", json=long) as response:
            await response.content.readline()
            assert await _running(session, vllm_url) == 1
        async with asyncio.timeout(3):
            while await _running(session, vllm_url):
                await asyncio.sleep(0.05)


async def _running(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(f"{url}/metrics") as response:
        page = await response.text()
    return sum(
        int(float(line.split()[-1])) for line in page.splitlines() if line.startswith("vllm:num_requests_running")
    )


@pytest.mark.slow
async def test_structured_outputs_reach_vllm(vllm_url: str) -> None:
    """vLLM's own request fields take effect through the gateway."""
    async with gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)))) as base:
        body = {**CHAT, "structured_outputs": {"choice": ["Yes", "No"]}, "ignore_eos": False, "logprobs": True}
        body |= {"n": 2, "temperature": 1.0}
        status, answer = await _post(base, body)
    assert status == 200
    assert len(answer["choices"]) == 2
    for choice in answer["choices"]:
        assert choice["message"]["content"] in {"Yes", "No"}
        assert choice["logprobs"]["content"]

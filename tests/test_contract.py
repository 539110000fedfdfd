"""The same cases against the fake worker and against real vLLM: what holds for the one holds for the other."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from PIL import Image

from sarlens.child import child
from sarlens.seaweed import free_port
from sarlens.settings import Settings, WorkerSettings
from stack.fake_worker import MODEL, fake_worker
from stack.gateway import gateway, until_it_answers

WORKERS = ["fake", pytest.param("vllm", marks=pytest.mark.slow)]
CHAT: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "How many ships are in the image?"}],
    "max_tokens": 4,
    "ignore_eos": True,
}


@pytest.fixture(params=WORKERS)
async def base(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A gateway before each kind of worker."""
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


async def test_an_answer_has_this_shape(base: str) -> None:
    """A chat answer holds a message, a reason to stop and a usage that adds up."""
    status, answer = await _post(base, CHAT)
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert isinstance(answer["choices"][0]["message"]["content"], str)
    assert answer["choices"][0]["finish_reason"] in {"stop", "length"}
    usage = answer["usage"]
    assert usage["completion_tokens"] == 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_a_stream_has_this_shape(base: str) -> None:
    """A stream is events of one JSON object each, the role first, the usage last where asked for, then [DONE]."""
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
    """The older route answers with text."""
    status, answer = await _post(base, {"model": MODEL, "prompt": "Radar", "max_tokens": 4}, "/v1/completions")
    assert status == 200
    assert isinstance(answer["choices"][0]["text"], str)


async def test_a_picture_in_a_data_url_is_seen(base: str) -> None:
    """A picture sent inline is answered."""
    buffer = io.BytesIO()
    Image.effect_noise((300, 200), 60).save(buffer, "png")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    content = [{"type": "text", "text": "Ships?"}, {"type": "image_url", "image_url": {"url": url}}]
    status, answer = await _post(base, {**CHAT, "messages": [{"role": "user", "content": content}]})
    assert status == 200, answer
    assert answer["usage"]["prompt_tokens"] > 64


PRETEND = Path(__file__).parents[1] / "loadtests" / "pretend_worker.py"


@pytest.fixture(params=[*WORKERS, "pretend"])
async def bare(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Each kind of worker, without a gateway; the one that load tests ask too."""
    if request.param == "vllm":
        yield request.getfixturevalue("vllm_url")
    elif request.param == "pretend":
        port = free_port()
        with child("pretend", [sys.executable, str(PRETEND), str(port)], {}, tmp_path / "log"):
            await until_it_answers(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
    else:
        async with fake_worker() as worker:
            yield worker.url


@pytest.mark.parametrize("stream", [False, True])
async def test_a_worker_remembers_pictures_by_name(bare: str, stream: bool) -> None:
    """A picture sent under a uuid is known by it afterwards; an unknown one is a 400 that says so, streaming or not."""
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


async def test_a_refusal_has_this_shape(base: str) -> None:
    """What a worker refuses is a 400 with OpenAI's error object."""
    status, answer = await _post(base, {**CHAT, "temperature": -1})
    assert status == 400
    assert {"message", "type", "param", "code", "request_id"} <= answer["error"].keys()


async def test_the_models_are_cards(base: str) -> None:
    """A model card names its id and how long a context it takes."""
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="none") as client:
        card = (await client.models.list()).data[0].model_dump()
    assert card["id"] == MODEL
    assert card["max_model_len"] >= 2048


@pytest.mark.slow
async def test_a_caller_who_leaves_stops_vllm(vllm_url: str) -> None:
    """When the caller goes away vLLM stops generating: its count of running requests falls to none."""
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
    """Fields that only vLLM knows do their work through the gateway."""
    async with gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)))) as base:
        body = {**CHAT, "structured_outputs": {"choice": ["Yes", "No"]}, "ignore_eos": False, "logprobs": True}
        body |= {"n": 2, "temperature": 1.0}
        status, answer = await _post(base, body)
    assert status == 200
    assert len(answer["choices"]) == 2
    for choice in answer["choices"]:
        assert choice["message"]["content"] in {"Yes", "No"}
        assert choice["logprobs"]["content"]

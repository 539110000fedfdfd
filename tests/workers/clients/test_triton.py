"""Triton workers with the vLLM backend, represented by a stand-in on vLLM's engine."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import orjson
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from sarbench.nano.checkpoint import write_trained
from sarbench.nano.tokenizer import CHAT_TEMPLATE
from sarlens.bootstrap.gateway import open_gateway
from sarlens.chat.paths import CHAT_PATH
from sarlens.devstack.ports import free_port
from sarlens.devstack.vllm import cpu_environment
from sarlens.errors import BadRequest
from sarlens.runtime.child_process import run_process
from sarlens.settings import Settings, WorkerSettings
from sarlens.workers.clients.chat_template import ChatTemplateError, load_chat_template
from sarlens.workers.clients.triton_protocol import to_triton_inputs
from sarlens.workers.discovery.base_url import normalize_base_url
from sarlens.workers.discovery.location import make_discovery
from support.gateway import gateway
from support.pictures import DATA_URL
from support.workers.fake_worker import MODEL

COUNT = "How many ships are in the image?"


@pytest.fixture(scope="module")
def triton_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the stand-in."""
    directory = tmp_path_factory.mktemp("triton")
    model = directory / MODEL
    write_trained(model)
    port = free_port()
    server = Path(__file__).parents[2] / "support/workers/triton_server.py"
    command = [sys.executable, str(server), str(model), str(port)]
    with run_process("Triton", command, cpu_environment(), directory / "triton.log") as process:
        deadline = time.monotonic() + 240
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            while True:
                process.raise_if_exited()
                try:
                    service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerReady(service_pb2.ServerReadyRequest())
                    break
                except grpc.RpcError:
                    assert time.monotonic() < deadline, process.log_tail()
                    time.sleep(0.3)
        yield f"triton://127.0.0.1:{port}"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Write the chat template of sarlens-nano, and return the profile that has it."""
    (tmp_path / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return write_profile(tmp_path, tmp_path / "chat_template.jinja")


def write_profile(folder: Path, template: Path) -> Path:
    """Write a profile of the model with a chat template."""
    path = folder / "profiles.toml"
    path.write_text(f'[profiles.{MODEL}]\nsize = 256\nchat_template = "{template}"\n')
    return path


@pytest.fixture
async def both(triton_url: str, vllm_url: str, profile: Path) -> AsyncIterator[tuple[str, str]]:
    """Start one gateway with Triton and one with vLLM."""
    triton = Settings(worker=WorkerSettings(urls=(triton_url,)), profiles=(profile,))
    async with gateway(triton) as one, gateway(Settings(worker=WorkerSettings(urls=(vllm_url,)))) as other:
        yield one, other


def chat(**more: Any) -> dict[str, Any]:
    """Return a question about an image."""
    content = [{"type": "image_url", "image_url": {"url": DATA_URL}}, {"type": "text", "text": COUNT}]
    messages = [{"role": "user", "content": content}]
    return {"model": MODEL, "messages": messages, "max_tokens": 16, "temperature": 0, **more}


async def ask(url: str, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    """Post a body; return the status and the response body."""
    async with aiohttp.ClientSession() as http, http.post(url + path, json=body) as response:
        return response.status, await response.read()


@pytest.mark.slow
async def test_triton_answers_as_vllm_does(both: tuple[str, str]) -> None:
    """A chat, typed questions and a text completion have the same text, values and usage with either worker."""
    for path, body in [
        (CHAT_PATH, chat()),
        ("/v1/completions", {"model": MODEL, "prompt": "Radar", "max_tokens": 4, "temperature": 0}),
        ("/v1/sar/vqa", {"image": DATA_URL, "questions": [COUNT, "Are there any ships in the image?"]}),
    ]:
        said = []
        for url in both:
            status, answer = await ask(url, path, body)
            assert status == 200, answer
            document = orjson.loads(answer)
            items = document.get("data") or document["choices"]
            usages = [item.get("usage") or document["usage"] for item in items]
            words = [item.get("text") or item["message"]["content"] for item in items]
            spent = [(usage["prompt_tokens"], usage["completion_tokens"]) for usage in usages]
            said.append((words, spent, [item.get("answer") for item in items]))
        assert said[0] == said[1], path


@pytest.mark.slow
async def test_triton_streams(both: tuple[str, str]) -> None:
    """A stream from Triton has the deltas, the finish reason and the usage of vLLM's stream."""
    told = []
    for url in both:
        status, body = await ask(url, CHAT_PATH, chat(stream=True, stream_options={"include_usage": True}))
        assert status == 200
        *events, done = [line[6:] for line in body.splitlines() if line.startswith(b"data: ")]
        assert done == b"[DONE]"
        parsed = [orjson.loads(event) for event in events]
        choices = [event["choices"][0] for event in parsed if event["choices"]]
        usage = parsed[-1]["usage"]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        told.append((text, choices[-1]["finish_reason"], usage["prompt_tokens"], usage["completion_tokens"]))
    assert told[0] == told[1]


@pytest.mark.slow
async def test_a_disconnect_cancels_the_triton_call(triton_url: str, profile: Path) -> None:
    """A disconnect from a stream releases the worker: the number of requests in flight falls to 0."""
    settings = Settings(worker=WorkerSettings(urls=(triton_url,)), profiles=(profile,))
    async with gateway(settings) as url, aiohttp.ClientSession() as http:
        body = chat(stream=True, temperature=2.0, max_tokens=2000)
        async with http.post(url + CHAT_PATH, json=body) as response:
            await response.content.readany()
        async with asyncio.timeout(10):
            while True:
                async with http.get(f"{url}/metrics") as page:
                    lines = (await page.text()).splitlines()
                carried = [line for line in lines if line.startswith("sarlens_worker_in_flight_requests{")]
                if carried and carried[0].endswith(" 0.0"):
                    return
                await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_triton_and_vllm_mix(triton_url: str, vllm_url: str, profile: Path) -> None:
    """Two workers of different kinds serve one model in turn."""
    worker = WorkerSettings(urls=(triton_url, vllm_url))
    settings = Settings.model_validate({"profiles": [profile], "worker": worker, "routing": {"policy": "round_robin"}})
    async with gateway(settings) as url, aiohttp.ClientSession() as http:
        async with asyncio.timeout(20):
            while True:
                async with http.get(f"{url}/metrics") as page:
                    lines = (await page.text()).splitlines()
                if sum(line.startswith("sarlens_worker_ready{") and line.endswith(" 1.0") for line in lines) == 2:
                    break
                await asyncio.sleep(0.1)
        said = [await ask(url, CHAT_PATH, chat()) for _ in range(6)]
        owners = {orjson.loads(body)["id"].startswith("chatcmpl") for _, body in said}
    assert {status for status, _ in said} == {200}
    assert len({orjson.loads(body)["choices"][0]["message"]["content"] for _, body in said}) == 1
    assert owners == {True, False}


@pytest.mark.slow
async def test_unsupported_fields_are_rejected(both: tuple[str, str]) -> None:
    """An unsupported field or prompt gets 400 with a reason, and a request for tokens 404: Triton has none."""
    long = [{"role": "user", "content": "ship " * 9000}]
    for body in (chat(logprobs=True), chat(n=2), {"model": MODEL, "messages": long}):
        status, answer = await ask(both[0], CHAT_PATH, body)
        assert status == 400, answer
        assert orjson.loads(answer)["error"]["message"]
    status, answer = await ask(both[0], "/tokenize", {"model": MODEL, "prompt": "Radar"})
    assert (status, orjson.loads(answer)["error"]["code"]) == (404, 404)
    assert b"has no route /tokenize" in answer


async def test_an_unreachable_triton_server_is_not_ready(profile: Path) -> None:
    """A gateway with an unreachable Triton server is alive but not ready."""
    worker = WorkerSettings(urls=(f"triton://127.0.0.1:{free_port()}",))
    async with gateway(
        Settings(worker=worker, profiles=(profile,), admission={"queue_timeout_s": 0.2}), ready=False
    ) as url:
        status, answer = await ask(url, CHAT_PATH, chat())
    assert status == 503, answer


async def test_an_invalid_template_prevents_the_start(tmp_path: Path) -> None:
    """A missing or invalid template file prevents the start of the gateway."""
    broken = tmp_path / "broken.jinja"
    broken.write_text("{% for %}")
    for path in (broken, tmp_path / "missing.jinja"):
        with pytest.raises(ChatTemplateError):
            async with open_gateway(Settings(profiles=(write_profile(tmp_path, path),))):
                pass


def test_templates_run_in_a_sandbox(tmp_path: Path) -> None:
    """A template that accesses Python internals, or raises an exception, rejects the messages."""
    for text in ("{{ ''.__class__.__mro__ }}{{ messages.append(1) }}", "{{ raise_exception('no') }}"):
        path = tmp_path / "odd.jinja"
        path.write_text(text)
        document = {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}
        with pytest.raises(BadRequest):
            to_triton_inputs(CHAT_PATH, document, {MODEL: load_chat_template(path)})


@pytest.mark.parametrize("url", ["triton://gpu-2:8001", "triton+grpcs://gpu-2:8001"])
def test_triton_workers_have_a_scheme(url: str) -> None:
    """triton:// and triton+grpcs:// URLs require a host and a port."""
    assert normalize_base_url(url) == url
    make_discovery(url)
    for wrong in (url.removesuffix(":8001"), url + "/path", url + "?x=1"):
        with pytest.raises(ValueError, match="not a base URL"):
            normalize_base_url(wrong)

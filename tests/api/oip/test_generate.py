"""``generate`` of the Open Inference Protocol, compressed bodies and shared memory, in front of a fake worker."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from typing import Any

import aiohttp
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from sarlens.settings import LimitSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.pictures import DATA_URL, PNG
from support.workers.fake_worker import MODEL, FakeWorker

GENERATE = f"/v2/models/{MODEL}/generate"
BODY = {"text_input": "Ships?", "parameters": {"max_tokens": 9, "stream": False}}


async def post(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    """POST; return status and document."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as http, http.post(url, data=data, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("image", [None, DATA_URL, base64.b64encode(PNG).decode()])
async def test_a_text_is_generated(url: str, worker: FakeWorker, image: str | None) -> None:
    """The response has the text and the usage; the worker gets the text unchanged, and the image of a URL or base64."""
    body = {**BODY, "id": "7", "image": image}
    status, answer = await post(f"{url}/v2/models/{MODEL}/versions/1/generate", body)
    assert status == 200
    assert answer == {
        "id": "7",
        "model_name": MODEL,
        "model_version": "1",
        "text_output": "There are 3 ships.",
        "usage": {"prompt_tokens": 70, "total_tokens": 74, "completion_tokens": 4},
    }
    (request,) = worker.requests
    content = request["messages"][0]["content"]
    assert content == "Ships?" if image is None else content[1] == {"type": "text", "text": "Ships?"}
    assert request["max_tokens"] == 9


async def test_a_stream_has_parts_of_the_text(url: str, worker: FakeWorker) -> None:
    """Events have the parts of the text, and the last one the usage; a worker that dies midway ends with an error."""
    async with aiohttp.ClientSession() as http:
        for dies_after in (None, 3):
            worker.dies_after = dies_after
            async with http.post(f"{url}{GENERATE}_stream", json=BODY) as response:
                assert response.headers["Content-Type"].startswith("text/event-stream")
                lines = [line async for line in response.content if line.strip()]
            events = [json.loads(line.removeprefix(b"data: ")) for line in lines]
            if dies_after is None:
                assert "".join(event["text_output"] for event in events) == "There are 3 ships."
                assert events[-1]["usage"]["completion_tokens"] == 4
            else:
                assert (events[-1]["code"], bool(events[-1]["request_id"])) == ("worker_failed", True)


@pytest.mark.parametrize("route", ["generate", "generate_stream"])
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"text_input": ""}, 400),
        ({"text_input": 3}, 400),
        ({"image": "no base64"}, 400),
        ({"image": "http://10.0.0.1/a.tif"}, 400),
        ({"parameters": {"unknown": 1}}, 400),
    ],
)
async def test_an_invalid_request_is_rejected(
    url: str, worker: FakeWorker, route: str, fields: dict[str, Any], status: int
) -> None:
    """An invalid field is an error of the protocol, also of a stream, and no worker gets the request."""
    answered, error = await post(f"{url}/v2/models/{MODEL}/{route}", BODY | fields)
    assert (answered, bool(error["error"]), error["code"]) == (status, True, "bad_request")
    assert (await post(f"{url}/v2/models/unknown/{route}", BODY))[0] == 404
    assert (await post(f"{url}/v2/models/{MODEL}/versions/2/{route}", BODY))[0] == 404
    assert not worker.bodies


async def test_a_client_that_leaves_ends_the_generation(url: str, worker: FakeWorker) -> None:
    """The worker's request ends with the connection of the client."""
    worker.hangs = True
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        asking = asyncio.create_task(http.post(f"{url}{GENERATE}_stream", json=BODY))
        while not worker.running:
            await asyncio.sleep(0.01)
        asking.cancel()
        while worker.running:
            await asyncio.sleep(0.01)
    assert worker.aborted == 1


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
async def test_the_client_of_triton_compresses_requests(url: str, algorithm: str) -> None:
    """A request that Triton's client compresses has the same answer as one that it doesn't."""
    array = np.array([b"Ships?"], dtype=np.object_)
    tensor = triton.InferInput("prompt", [1], "BYTES")
    tensor.set_data_from_numpy(array)
    async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as client:
        plain = await client.infer(MODEL, [tensor])
        answer = await client.infer(MODEL, [tensor], request_compression_algorithm=algorithm)
        assert answer.as_numpy("text").tolist() == plain.as_numpy("text").tolist() == [b"There are 3 ships."]
        assert await client.get_system_shared_memory_status() == []
        assert await client.get_cuda_shared_memory_status() == []
        with pytest.raises(InferenceServerException):
            await client.infer(MODEL, [tensor], model_version="2")


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b" " * 2**22), "gzip", 413),
        (zlib.compress(b" " * 2**22), "deflate", 413),
        (gzip.compress(b"{}")[:-4], "gzip", 400),
        (gzip.compress(b"{}") + b"x", "gzip", 400),
        (b"{}", "gzip", 400),
        (b"", "gzip", 400),
        (gzip.compress(b"{}"), "br", 400),
        (gzip.compress(json.dumps(BODY).encode()), "gzip", 200),
    ],
)
async def test_compressed_bodies_are_bounded(worker: FakeWorker, body: bytes, encoding: str, status: int) -> None:
    """A body that grows beyond the limit is 413 without all of it in memory, and a broken one 400."""
    settings = Settings(worker=WorkerSettings(urls=(worker.url,)), limit=LimitSettings(max_body_bytes=2**21))
    async with gateway(settings) as url:
        assert (await post(f"{url}{GENERATE}", body, **{"Content-Encoding": encoding}))[0] == status
        async with aiohttp.ClientSession() as http, http.get(f"{url}/v2/models") as response:
            assert await response.json() == {"models": [MODEL]}

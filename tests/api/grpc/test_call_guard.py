"""gRPC calls: keys are checked before messages are read, and messages are bounded before they are decoded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2 as oip

from sarlens.admission.api_keys import generate_api_key
from sarlens.api.grpc.v1 import sar_pb2 as sar
from support.bounds_walk import MAX_PAUSE_S, Walk, walk
from support.workers.fake_worker import MODEL

LARGE = 15 * 2**20
INFER, STREAM = "/inference.GRPCInferenceService/ModelInfer", "/inference.GRPCInferenceService/ModelStreamInfer"
VQA, SURVEY = "/sarlens.v1.Sar/Vqa", "/sarlens.v1.Sar/Survey"
SERVING = health_pb2.HealthCheckResponse.SERVING
TENSOR = oip.ModelInferRequest.InferInputTensor


def tensor(name: str, *elements: bytes, shape: tuple[int, ...] = (1,)) -> Any:
    """An input."""
    contents = oip.InferTensorContents(bytes_contents=elements)
    return TENSOR(name=name, datatype="BYTES", shape=shape, contents=contents)


def infer_messages() -> Iterator[tuple[str, bytes]]:
    """The widest and longest inference requests."""
    question = tensor("question", b"How many ships?")
    requests: dict[str, dict[str, Any]] = {
        "one image": {"inputs": [tensor("image", b"A" * LARGE), question]},
        "empty elements": {"inputs": [tensor("image", *[b""] * 15_000), question]},
        "shape": {"inputs": [tensor("image", b"A", shape=(2**62,) * 1700), question]},
        "objects": {"inputs": [tensor("messages", b"[" + b"{}," * (LARGE // 4) + b"{}]")]},
        "text": {"inputs": [tensor("question", b"a" * LARGE), tensor("image", b"A")]},
        "raw": {"inputs": [TENSOR(name="image", datatype="BYTES")], "raw_input_contents": [b"\0" * LARGE]},
        "id": {"inputs": [question], "id": "a" * LARGE},
        "id beyond ASCII": {"inputs": [question], "id": "a" * LARGE + "😀"},
        "sar": {"inputs": [question], "parameters": {"sar": oip.InferParameter(string_param="[" * LARGE)}},
    }
    for name, fields in requests.items():
        yield name, oip.ModelInferRequest(model_name=MODEL, **fields).SerializeToString()
    yield "empty inputs", b"\x2a\x00" * (LARGE // 2)
    yield "unknown fields", b"\xf2\x07\x00" * (LARGE // 3)
    yield "garbage", b"\xff" * LARGE


def sar_messages(message_cls: type[Any]) -> Iterator[tuple[str, bytes]]:
    """The widest and longest requests of a task or a survey."""
    question, image = sar.Question(question="How many ships?"), sar.Image(url="https://images.test/a.tif")
    requests: dict[str, dict[str, Any]] = {
        "data": {"image": sar.Image(data=b"A" * LARGE), "questions": [question]},
        "data URL": {"image": sar.Image(url="data:image/png;base64," + "A" * LARGE), "questions": [question]},
        "percent": {"image": sar.Image(url="s3://scenes/" + "%41" * (LARGE // 3)), "questions": [question]},
        "percent in data": {"image": sar.Image(url="data:," + "%41" * (LARGE // 3)), "questions": [question]},
        "question": {"image": image, "questions": [sar.Question(question="a" * LARGE)]},
        "questions": {"image": image, "questions": [question] * 5000},
        "bands": {
            "image": sar.Image(url="s3://a/b", render=sar.Render(bands=[sar.Band(number=1)] * 5000)),
            "questions": [question],
        },
        "polygon": {
            "image": sar.Image(url="s3://a/b", render=sar.Render(polygon="[" + "[]," * 130_000 + "[]]")),
            "questions": [question],
        },
    }
    for name, fields in requests.items():
        yield name, message_cls(**fields).SerializeToString()


@asynccontextmanager
async def grpc_walk(folder: Path) -> AsyncIterator[tuple[Walk, str, grpc.aio.Channel]]:
    """A walk through a gateway with an API key, the key, and a channel."""
    secret, sha256 = generate_api_key()
    (folder / "keys.json").write_text(json.dumps([{"name": "a", "sha256": sha256}]))
    options = [("grpc.max_send_message_length", -1)]
    async with (
        walk(keys={"file": str(folder / "keys.json")}) as walked,
        grpc.aio.insecure_channel(walked.gateway.rpc, options=options) as channel,
    ):
        yield walked, secret, channel


async def call(channel: grpc.aio.Channel, method: str, body: bytes, secret: str | None = None) -> grpc.StatusCode:
    """Send one encoded message, read all responses, and return the status."""
    metadata = [("authorization", f"Bearer {secret}")] if secret else []
    if method == STREAM:
        responses = channel.stream_stream(method)(iter([body]), metadata=metadata, timeout=30)
    else:
        responses = channel.unary_stream(method)(body, metadata=metadata, timeout=30)
    try:
        async for response in responses:
            assert len(response) < 64 * 2**10
    except grpc.aio.AioRpcError as error:
        assert len(error.details() or "") <= 4000
    code: grpc.StatusCode = await responses.code()
    return code


async def test_every_message_is_bounded(tmp_path: Path) -> None:
    """No message of 15 MiB, wide or long, pauses the loop for 50 ms, takes 512 MiB or is an internal error."""
    bodies = [(method, *body) for method in (INFER, STREAM) for body in infer_messages()]
    bodies += [(VQA, *body) for body in sar_messages(sar.VqaRequest)]
    bodies += [(SURVEY, *body) for body in sar_messages(sar.SurveyRequest)]
    async with grpc_walk(tmp_path) as (walked, secret, channel):
        for method, name, body in bodies:

            async def request(method: str = method, body: bytes = body) -> int:
                code = await call(channel, method, body, secret)
                return 500 if code in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL} else 200

            await walked.check(f"{method} {name}", request)


async def test_messages_without_a_key_are_not_read(tmp_path: Path) -> None:
    """Thirty messages of 15 MiB without a key are UNAUTHENTICATED; gRPC's own buffers take less than 200 MiB."""
    async with grpc_walk(tmp_path) as (walked, secret, channel):
        assert await call(channel, VQA, b"", secret) is grpc.StatusCode.INVALID_ARGUMENT
        await walked.gateway.pause()
        idle = (await walked.gateway.pause()).peak_bytes
        for method in (INFER, VQA, SURVEY) * 10:
            assert await call(channel, method, b"\x2a\x00" * (LARGE // 2)) is grpc.StatusCode.UNAUTHENTICATED
        pause = await walked.gateway.pause()
        assert pause.peak_bytes - idle < 200 * 2**20
        assert pause.seconds <= MAX_PAUSE_S


async def test_calls_that_need_no_key_are_bounded(tmp_path: Path) -> None:
    """Without a key, health works, messages over 16 kiB are rejected, and the 129th stream is too."""
    async with grpc_walk(tmp_path) as (_, _, channel):
        health = health_pb2_grpc.HealthStub(channel)
        async with asyncio.timeout(30):
            while (await health.Check(health_pb2.HealthCheckRequest())).status != SERVING:
                await asyncio.sleep(0.02)
        for method in ("/grpc.health.v1.Health/Check", "/inference.GRPCInferenceService/ServerLive"):
            assert await call(channel, method, b"\x0a\x80\x80\x01" + b"a" * 2**14) is grpc.StatusCode.RESOURCE_EXHAUSTED
        watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(128)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as rejected:
            await health.Watch(health_pb2.HealthCheckRequest()).read()
        assert rejected.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for watch in watches:
            watch.cancel()

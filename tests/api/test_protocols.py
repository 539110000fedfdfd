"""One question in every protocol: REST, the Open Inference Protocol over HTTP and gRPC, and sarlens.v1."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http as blocking_http
import tritonclient.http.aio as triton_http
from tritonclient.utils import InferenceServerException

from sarlens.api.grpc.v1 import sar_pb2, sar_pb2_grpc
from support.gateway import GatewayAddresses, grpc_gateway
from support.pictures import DATA_URL, PNG
from support.workers.fake_worker import MODEL, fake_worker

SHIPS, COUNT = "Are there any ships in the image?", "How many ships are in the image?"
NOT_SERVED, NO_PICTURE = "unknown", b"no picture"


@dataclass(frozen=True)
class Answer:
    """The answer to a question in every protocol."""

    text: str
    value: object
    prompt_tokens: int
    completion_tokens: int


class RequestRejected(Exception):
    """A request was rejected; the argument is the HTTP status of the error."""


Send = Callable[[GatewayAddresses, str, bytes, list[str]], Awaitable[list[Answer]]]

_STATUS = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 413,
    "UNAVAILABLE": 503,
    "INTERNAL": 500,
}


async def over_rest(addresses: GatewayAddresses, model: str, image: bytes, questions: list[str]) -> list[Answer]:
    """``POST /v1/sar/vqa``."""
    url = DATA_URL if image == PNG else f"data:;base64,{base64.b64encode(image).decode()}"
    body = {"model": model, "image": url, "questions": questions}
    async with aiohttp.ClientSession() as http, http.post(addresses.url + "/v1/sar/vqa", json=body) as response:
        document = await response.json()
        if response.status != 200:
            raise RequestRejected(response.status)
    return [
        Answer(
            item["text"], item["answer"]["value"], item["usage"]["prompt_tokens"], item["usage"]["completion_tokens"]
        )
        for item in document["data"]
    ]


def tensors(input_cls: Any, image: bytes, questions: list[str]) -> list[Any]:
    """The inputs of a question."""
    inputs = []
    for name, elements in (("image", [image]), ("question", [question.encode() for question in questions])):
        array = np.array(elements, dtype=np.object_)
        tensor = input_cls(name, list(array.shape), "BYTES")
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def answers(result: Any) -> list[Answer]:
    """What Triton's client makes of outputs."""
    items = []
    columns = (result.as_numpy(name) for name in ("text", "answer", "usage"))
    for text, answer, usage in zip(*columns, strict=True):
        spent = json.loads(usage)
        value = json.loads(answer)["value"]
        items.append(Answer(text.decode(), value, spent["prompt_tokens"], spent["completion_tokens"]))
    return items


async def over_http(addresses: GatewayAddresses, model: str, image: bytes, questions: list[str]) -> list[Answer]:
    """``POST /v2/models/…/infer`` by Triton's asynchronous client, contents binary both ways."""
    async with triton_http.InferenceServerClient(addresses.url.removeprefix("http://")) as client:
        try:
            return answers(await client.infer(model, tensors(blocking_http.InferInput, image, questions)))
        except InferenceServerException as error:
            raise RequestRejected(int(error.status())) from None


async def over_blocking_http(
    addresses: GatewayAddresses, model: str, image: bytes, questions: list[str]
) -> list[Answer]:
    """The same by Triton's blocking client, with outputs as JSON."""

    def ask() -> list[Answer]:
        with blocking_http.InferenceServerClient(addresses.url.removeprefix("http://")) as client:
            outputs = [
                blocking_http.InferRequestedOutput(name, binary_data=name == "usage")
                for name in ("text", "answer", "usage")
            ]
            inputs = tensors(blocking_http.InferInput, image, questions)
            return answers(_Texts(client.infer(model, inputs, outputs=outputs)))

    try:
        return await asyncio.to_thread(ask)
    except InferenceServerException as error:
        raise RequestRejected(int(error.status())) from None


class _Texts:
    """A result whose JSON outputs come as text instead of bytes."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def as_numpy(self, name: str) -> list[bytes]:
        """An output's elements."""
        return [text if isinstance(text, bytes) else text.encode() for text in self._result.as_numpy(name)]


async def over_grpc(addresses: GatewayAddresses, model: str, image: bytes, questions: list[str]) -> list[Answer]:
    """``ModelInfer`` by Triton's asynchronous client."""
    async with triton_grpc.InferenceServerClient(addresses.rpc) as client:
        try:
            return answers(await client.infer(model, tensors(triton_grpc.InferInput, image, questions)))
        except InferenceServerException as error:
            raise RequestRejected(_STATUS[error.status().removeprefix("StatusCode.")]) from None


async def over_sar(addresses: GatewayAddresses, model: str, image: bytes, questions: list[str]) -> list[Answer]:
    """``sarlens.v1.Sar/Vqa``."""
    request = sar_pb2.VqaRequest(
        model=model,
        image=sar_pb2.Image(data=image),
        questions=[sar_pb2.Question(question=question) for question in questions],
    )
    async with grpc.aio.insecure_channel(addresses.rpc) as channel:
        try:
            response = await sar_pb2_grpc.SarStub(channel).Vqa(request)
        except grpc.aio.AioRpcError as error:
            raise RequestRejected(_STATUS[error.code().name]) from None
    return [
        Answer(
            answer.finding.text,
            getattr(answer.finding.value, answer.finding.value.WhichOneof("kind")),
            answer.finding.usage.prompt_tokens,
            answer.finding.usage.completion_tokens,
        )
        for answer in response.answers
    ]


PROTOCOLS = [over_rest, over_http, over_blocking_http, over_grpc, over_sar]


@pytest.fixture(params=["fake", pytest.param("vllm", marks=pytest.mark.slow)])
async def addresses(request: pytest.FixtureRequest) -> AsyncIterator[GatewayAddresses]:
    """A gateway before each kind of worker."""
    if request.param == "vllm":
        async with grpc_gateway(request.getfixturevalue("vllm_url")) as running:
            yield running
    else:
        async with (
            fake_worker(says=lambda body: "Yes" if SHIPS in str(body) else "3") as worker,
            grpc_gateway(worker.url) as running,
        ):
            yield running


@pytest.mark.parametrize("send", PROTOCOLS[1:])
async def test_every_protocol_has_the_same_answer(addresses: GatewayAddresses, send: Send) -> None:
    """Text, typed value and usage of each question of a batch are those of REST."""
    assert await send(addresses, MODEL, PNG, [SHIPS, COUNT]) == await over_rest(addresses, MODEL, PNG, [SHIPS, COUNT])


@pytest.mark.parametrize("send", PROTOCOLS)
@pytest.mark.parametrize(
    ("model", "image", "questions", "status"),
    [
        (NOT_SERVED, PNG, [SHIPS], {404}),
        (MODEL, NO_PICTURE, [SHIPS], {400}),
        (MODEL, PNG, [" "], {400}),
        (MODEL, PNG, [SHIPS] * 65, {400, 413}),
    ],
)
async def test_every_protocol_has_the_same_error(
    addresses: GatewayAddresses, send: Send, model: str, image: bytes, questions: list[str], status: set[int]
) -> None:
    """An invalid request has the same class of error in every protocol, and the server keeps serving."""
    with pytest.raises(RequestRejected) as rejected:
        await send(addresses, model, image, questions)
    assert rejected.value.args[0] in status
    assert await send(addresses, MODEL, PNG, [SHIPS])


async def test_triton_clients_read_the_same_over_http_and_grpc(addresses: GatewayAddresses) -> None:
    """Health, metadata, configuration, index and statistics over /v2 are those of gRPC."""
    address = addresses.url.removeprefix("http://")
    async with (
        triton_http.InferenceServerClient(address) as http,
        triton_grpc.InferenceServerClient(addresses.rpc) as rpc,
    ):
        assert await http.is_server_live()
        assert await http.is_server_ready()
        assert await http.is_model_ready(MODEL)
        assert not await http.is_model_ready(NOT_SERVED)
        assert await http.get_server_metadata() == await rpc.get_server_metadata(as_json=True)
        of_http, of_rpc = await http.get_model_metadata(MODEL), await rpc.get_model_metadata(MODEL, as_json=True)
        assert [tensor["name"] for tensor in of_http["inputs"]] == [tensor["name"] for tensor in of_rpc["inputs"]]
        config = (await rpc.get_model_config(MODEL)).config
        assert (await http.get_model_config(MODEL))["input"][0]["name"] == config.input[0].name
        assert [entry["name"] for entry in await http.get_model_repository_index()] == [MODEL]
        await over_http(addresses, MODEL, PNG, [SHIPS, COUNT])
        await over_grpc(addresses, MODEL, PNG, [SHIPS])
        with pytest.raises(RequestRejected):
            await over_http(addresses, MODEL, NO_PICTURE, [SHIPS])
        stats = (await http.get_inference_statistics(MODEL))["model_stats"][0]
        assert stats["inference_count"] == 3
        assert stats["inference_stats"]["success"]["count"] == 2
        assert stats["inference_stats"]["fail"]["count"] == 1
        over_rpc = (await rpc.get_inference_statistics()).model_stats[0]
        assert (over_rpc.name, over_rpc.inference_count) == (MODEL, 3)
        with pytest.raises(InferenceServerException):
            await http.get_inference_statistics(NOT_SERVED)

"""One question over every protocol: REST, /v2, the Open Inference Protocol over gRPC, and sarlens.v1."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http as blocking_http
import tritonclient.http.aio as triton_http
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from sarlens.errors import BadRequest
from sarlens.ingress.grpc_server import CannotListen
from sarlens.ingress.open_inference_http import _read
from sarlens.seaweed import free_port
from sarlens.serve import GatewayServer, listen
from sarlens.settings import GrpcSettings, Settings, WorkerSettings
from sarlens.v1 import sar_pb2, sar_pb2_grpc
from sarlens.wiring import open_gateway
from stack.errors import tree
from stack.fake_worker import MODEL, fake_worker
from stack.gateway import gateway, until_it_answers
from stack.pictures import DATA_URL, PNG

SHIPS, COUNT = "Are there any ships in the image?", "How many ships are in the image?"
NOT_SERVED, NO_PICTURE = "unknown", b"no picture"


@dataclass(frozen=True)
class Answer:
    """What every protocol says of a question."""

    text: str
    value: object
    prompt_tokens: int
    completion_tokens: int


class Refused(Exception):
    """A refusal: the class of the error, as HTTP status."""


@dataclass(frozen=True)
class Ports:
    """Where a gateway listens."""

    url: str
    rpc: str


Ask = Callable[[Ports, str, bytes, list[str]], Awaitable[list[Answer]]]

_STATUS = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 413,
    "UNAVAILABLE": 503,
    "INTERNAL": 500,
}


async def over_rest(ports: Ports, model: str, image: bytes, questions: list[str]) -> list[Answer]:
    """``POST /v1/sar/vqa``."""
    url = DATA_URL if image == PNG else f"data:;base64,{base64.b64encode(image).decode()}"
    body = {"model": model, "image": url, "questions": questions}
    async with aiohttp.ClientSession() as http, http.post(ports.url + "/v1/sar/vqa", json=body) as response:
        document = await response.json()
        if response.status != 200:
            raise Refused(response.status)
    return [
        Answer(
            item["text"], item["answer"]["value"], item["usage"]["prompt_tokens"], item["usage"]["completion_tokens"]
        )
        for item in document["data"]
    ]


def tensors(kind: Any, image: bytes, questions: list[str]) -> list[Any]:
    """The inputs of a question."""
    inputs = []
    for name, elements in (("image", [image]), ("question", [each.encode() for each in questions])):
        array = np.array(elements, dtype=np.object_)
        one = kind(name, list(array.shape), "BYTES")
        one.set_data_from_numpy(array)
        inputs.append(one)
    return inputs


def answers(result: Any) -> list[Answer]:
    """What Triton's client makes of outputs."""
    found = []
    columns = (result.as_numpy(name) for name in ("text", "answer", "usage"))
    for text, answer, usage in zip(*columns, strict=True):
        spent = json.loads(usage)
        value = json.loads(answer)["value"]
        found.append(Answer(text.decode(), value, spent["prompt_tokens"], spent["completion_tokens"]))
    return found


async def over_http(ports: Ports, model: str, image: bytes, questions: list[str]) -> list[Answer]:
    """``POST /v2/models/…/infer`` by Triton's asynchronous client, contents binary both ways."""
    async with triton_http.InferenceServerClient(ports.url.removeprefix("http://")) as client:
        try:
            return answers(await client.infer(model, tensors(blocking_http.InferInput, image, questions)))
        except InferenceServerException as error:
            raise Refused(int(error.status())) from None


async def over_blocking_http(ports: Ports, model: str, image: bytes, questions: list[str]) -> list[Answer]:
    """The same by Triton's blocking client, with outputs as JSON."""

    def ask() -> list[Answer]:
        with blocking_http.InferenceServerClient(ports.url.removeprefix("http://")) as client:
            outputs = [
                blocking_http.InferRequestedOutput(name, binary_data=name == "usage")
                for name in ("text", "answer", "usage")
            ]
            inputs = tensors(blocking_http.InferInput, image, questions)
            return answers(_Texts(client.infer(model, inputs, outputs=outputs)))

    try:
        return await asyncio.to_thread(ask)
    except InferenceServerException as error:
        raise Refused(int(error.status())) from None


class _Texts:
    """A result whose JSON outputs come as text instead of bytes."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def as_numpy(self, name: str) -> list[bytes]:
        """An output's elements."""
        return [each if isinstance(each, bytes) else each.encode() for each in self._result.as_numpy(name)]


async def over_grpc(ports: Ports, model: str, image: bytes, questions: list[str]) -> list[Answer]:
    """``ModelInfer`` by Triton's asynchronous client."""
    async with triton_grpc.InferenceServerClient(ports.rpc) as client:
        try:
            return answers(await client.infer(model, tensors(triton_grpc.InferInput, image, questions)))
        except InferenceServerException as error:
            raise Refused(_STATUS[error.status().removeprefix("StatusCode.")]) from None


async def over_sar(ports: Ports, model: str, image: bytes, questions: list[str]) -> list[Answer]:
    """``sarlens.v1.Sar/Vqa``."""
    asked = [sar_pb2.Question(question=each) for each in questions]
    request = sar_pb2.VqaRequest(model=model, image=sar_pb2.Image(data=image), questions=asked)
    async with grpc.aio.insecure_channel(ports.rpc) as channel:
        try:
            response = await sar_pb2_grpc.SarStub(channel).Vqa(request)
        except grpc.aio.AioRpcError as error:
            raise Refused(_STATUS[error.code().name]) from None
    return [
        Answer(
            each.finding.text,
            getattr(each.finding.value, each.finding.value.WhichOneof("kind")),
            each.finding.usage.prompt_tokens,
            each.finding.usage.completion_tokens,
        )
        for each in response.answers
    ]


PROTOCOLS = [over_rest, over_http, over_blocking_http, over_grpc, over_sar]


@asynccontextmanager
async def serving(worker_url: str) -> AsyncIterator[Ports]:
    """A gateway before a worker."""
    port = free_port()
    settings = Settings(worker=WorkerSettings(urls=(worker_url,)), grpc=GrpcSettings(port=port))
    async with gateway(settings) as url:
        yield Ports(url, f"127.0.0.1:{port}")


@pytest.fixture(params=["fake", pytest.param("vllm", marks=pytest.mark.slow)])
async def ports(request: pytest.FixtureRequest) -> AsyncIterator[Ports]:
    """A gateway before each kind of worker."""
    if request.param == "vllm":
        async with serving(request.getfixturevalue("vllm_url")) as both:
            yield both
    else:
        says = lambda asked: "Yes" if SHIPS in str(asked) else "3"  # noqa: E731
        async with fake_worker(says=says) as worker, serving(worker.url) as both:
            yield both


@pytest.mark.parametrize("ask", PROTOCOLS[1:])
async def test_every_protocol_has_the_same_answer(ports: Ports, ask: Ask) -> None:
    """Text, typed value and usage of each question of a batch are those of REST."""
    assert await ask(ports, MODEL, PNG, [SHIPS, COUNT]) == await over_rest(ports, MODEL, PNG, [SHIPS, COUNT])


@pytest.mark.parametrize("ask", PROTOCOLS)
@pytest.mark.parametrize(
    ("model", "image", "questions", "status"),
    [
        (NOT_SERVED, PNG, [SHIPS], {404}),
        (MODEL, NO_PICTURE, [SHIPS], {400}),
        (MODEL, PNG, [" "], {400}),
        (MODEL, PNG, [SHIPS] * 65, {400, 413}),
    ],
)
async def test_every_protocol_has_the_same_refusal(
    ports: Ports, ask: Ask, model: str, image: bytes, questions: list[str], status: set[int]
) -> None:
    """What is wrong with a request has the same class of error over every protocol, and the server goes on."""
    with pytest.raises(Refused) as refused:
        await ask(ports, model, image, questions)
    assert refused.value.args[0] in status
    assert await ask(ports, MODEL, PNG, [SHIPS])


async def test_triton_tells_the_same_over_http(ports: Ports) -> None:
    """Health, metadata, configuration, index and statistics over /v2 are those of gRPC."""
    address = ports.url.removeprefix("http://")
    async with triton_http.InferenceServerClient(address) as http, triton_grpc.InferenceServerClient(ports.rpc) as rpc:
        assert await http.is_server_live()
        assert await http.is_server_ready()
        assert await http.is_model_ready(MODEL)
        assert not await http.is_model_ready(NOT_SERVED)
        assert await http.get_server_metadata() == await rpc.get_server_metadata(as_json=True)
        of_http, of_rpc = await http.get_model_metadata(MODEL), await rpc.get_model_metadata(MODEL, as_json=True)
        assert [each["name"] for each in of_http["inputs"]] == [each["name"] for each in of_rpc["inputs"]]
        config = (await rpc.get_model_config(MODEL)).config
        assert (await http.get_model_config(MODEL))["input"][0]["name"] == config.input[0].name
        assert [each["name"] for each in await http.get_model_repository_index()] == [MODEL]
        await over_http(ports, MODEL, PNG, [SHIPS, COUNT])
        await over_grpc(ports, MODEL, PNG, [SHIPS])
        with pytest.raises(Refused):
            await over_http(ports, MODEL, NO_PICTURE, [SHIPS])
        told = (await http.get_inference_statistics(MODEL))["model_stats"][0]
        assert told["inference_count"] == 3
        assert told["inference_stats"]["success"]["count"] == 2
        assert told["inference_stats"]["fail"]["count"] == 1
        over_rpc = (await rpc.get_inference_statistics()).model_stats[0]
        assert (over_rpc.name, over_rpc.inference_count) == (MODEL, 3)
        with pytest.raises(InferenceServerException):
            await http.get_inference_statistics(NOT_SERVED)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {}),
        (b"[]", {}),
        (b'{"inputs": 3}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [1]}]}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [1], "data": [1]}]}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [2], "data": ["x"]}]}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "FP32", "shape": [1], "data": ["x"]}]}', {}),
        (b'{"inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [99999999999999999999], "data": []}]}', {}),
        (b'{"inputs": []}', {"Inference-Header-Content-Length": "99"}),
        (b'{"inputs": []}', {"Inference-Header-Content-Length": "-1"}),
        (b'{"inputs": []} ', {"Inference-Header-Content-Length": "14"}),
        (b'{"inputs": []}', {"Content-Encoding": "gzip"}),
    ],
)
async def test_malformed_bodies_are_refused(url: str, body: bytes, headers: dict[str, str]) -> None:
    """Whatever is wrong with a body is a 400 that says so in a sentence, as Triton's clients read it."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v2/models/{MODEL}/infer", data=body, headers=headers) as response,
    ):
        assert response.status == 400
        assert isinstance((await response.json())["error"], str)


@given(st.binary(max_size=80), st.none() | st.text(max_size=5) | st.integers(0, 99).map(str))
def test_any_body_is_understood_or_refused(body: bytes, length: str | None) -> None:
    """Whatever bytes come, they are read or refused as a bad request."""
    with suppress(BadRequest):
        _read(body, length)


async def test_captions_and_renderings_are_typed() -> None:
    """sarlens.v1 has captions, and renders as told; an unknown choice or a window outside is INVALID_ARGUMENT."""
    async with fake_worker() as fake, serving(fake.url) as both, grpc.aio.insecure_channel(both.rpc) as channel:
        stub = sar_pb2_grpc.SarStub(channel)
        image = sar_pb2.Image(data=PNG)
        image.render.window.width, image.render.window.height = 32, 16
        image.render.filter, image.render.preset = sar_pb2.FILTER_NONE, sar_pb2.PRESET_PLAIN
        image.render.bands.add(number=1)
        image.render.size = 16
        answer = (await stub.Caption(sar_pb2.CaptionRequest(image=image, style=sar_pb2.STYLE_COMPLEX))).answer
        assert answer.finding.text
        assert answer.application == sar_pb2.APPLICATION_IMAGE_DESCRIPTION
        assert "in detail" in fake.bodies[-1].decode()
        for wrong in (
            sar_pb2.Render(filter=cast("Any", 99)),
            sar_pb2.Render(window=sar_pb2.Window(width=999, height=1)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Caption(sar_pb2.CaptionRequest(image=sar_pb2.Image(data=PNG, render=wrong)))
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Vqa(sar_pb2.VqaRequest(questions=[sar_pb2.Question(question=SHIPS)]))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_one_question_of_many_may_fail() -> None:
    """A question that a worker refuses has an error in its answer, and the others are answered."""
    asked = [sar_pb2.Question(question=SHIPS, id="a"), sar_pb2.Question(question=COUNT, id="b")]
    request = sar_pb2.VqaRequest(image=sar_pb2.Image(data=PNG), questions=asked)
    async with (
        fake_worker(says=lambda asked: "" if COUNT in str(asked) else "Yes") as fake,
        serving(fake.url) as both,
        grpc.aio.insecure_channel(both.rpc) as channel,
    ):
        first, second = (await sar_pb2_grpc.SarStub(channel).Vqa(request)).answers
    assert (first.id, first.finding.value.boolean) == ("a", True)
    assert (second.id, second.error.code) == ("b", "bad_request")


def test_errors_have_one_table() -> None:
    """The class of an error over gRPC is that over HTTP: who is to blame is the same."""
    ours = {"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
    for kind in tree():
        assert kind.rpc in ours if kind.status >= 500 else kind.rpc not in {"INTERNAL", "UNAVAILABLE"}, kind


async def test_whoever_watches_health_learns_of_the_drain() -> None:
    """grpc.health.v1 tells its watchers SERVING, and NOT_SERVING as soon as the gateway drains."""
    port, taken = free_port(), listen("127.0.0.1", 0)
    async with fake_worker() as worker:
        settings = Settings(worker=WorkerSettings(urls=(worker.url,)), grpc=GrpcSettings(port=port))
        async with open_gateway(settings) as app, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            server = GatewayServer(app, drain_s=5)
            running = asyncio.create_task(server.serve(sockets=[taken]))
            await until_it_answers(f"http://127.0.0.1:{taken.getsockname()[1]}/readyz")
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="sarlens.v1.Sar"))
            async with asyncio.timeout(10):
                while (await watch.read()).status != health_pb2.HealthCheckResponse.SERVING:
                    pass
                with app.duty.request():
                    server.handle_exit(15, None)
                    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
                    with pytest.raises(grpc.aio.AioRpcError) as refused:
                        await sar_pb2_grpc.SarStub(channel).Vqa(sar_pb2.VqaRequest())
                    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
                await running
            watch.cancel()


async def test_two_gateways_do_not_share_a_port() -> None:
    """A gRPC port in use is refused at the start with the setting that names another."""
    async with fake_worker() as worker, serving(worker.url) as both:
        settings = Settings(grpc=GrpcSettings(port=int(both.rpc.partition(":")[2])))
        with pytest.raises(CannotListen, match="SARLENS_GRPC__PORT"):
            async with open_gateway(settings):
                pass

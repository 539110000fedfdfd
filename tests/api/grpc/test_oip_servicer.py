"""The Open Inference Protocol over gRPC with Triton's client, compared with REST."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc as blocking
import tritonclient.grpc.aio as triton
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import ValidationError
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from sarlens.admission.api_keys import generate_api_key
from sarlens.api.grpc import messages
from sarlens.api.oip.tensors import pack_bytes
from sarlens.devstack.ports import free_port
from sarlens.errors import WorkerFailed
from sarlens.inference.reply_parser import iter_completion_chunks
from sarlens.inference.worker_stream import StreamedResponse
from sarlens.observability.tracing import INVALID_SPAN
from sarlens.settings import GrpcSettings, KeysSettings, Settings, WorkerSettings
from support.gateway import gateway
from support.pictures import DATA_URL, PNG
from support.tls import tls
from support.workers.fake_worker import BATCH_PATH, MODEL, fake_worker

SHIPS_ASKED: list[dict[str, Any]] = [{"question": ["Ships?"]}, {"prompt": ["Ships?"]}]
SHIPS, COUNT = "Are there any ships in the image?", "How many ships are in the image?"


class Asked:
    """A gateway with its REST URL, its gRPC address and a client."""

    def __init__(self, url: str, address: str, client: triton.InferenceServerClient) -> None:
        self.url = url
        self.address = address
        self.client = client

    async def infer(self, model: str = MODEL, headers: dict[str, str] | None = None, **given: Any) -> dict[str, Any]:
        """Ask with these tensors, and ``parameters``; the outputs, as lists."""
        parameters = given.pop("parameters", None)
        result = await self.client.infer(
            model, tensors(**given), parameters=parameters, headers=headers, request_id="7"
        )
        assert result.get_response().id == "7"
        outputs = {name: list(result.as_numpy(name)) for name in ("text", "answer", "usage")}
        return {
            "text": [text.decode() for text in outputs["text"]],
            "answer": [json.loads(answer) for answer in outputs["answer"]],
            "usage": [json.loads(usage) for usage in outputs["usage"]],
        }

    async def rest(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask over REST."""
        async with aiohttp.ClientSession() as http, http.post(self.url + path, json=body) as response:
            assert response.status == 200, await response.text()
            answer: dict[str, Any] = await response.json()
            return answer


def tensors(**given: Any) -> list[triton.InferInput]:
    """Build inputs of BYTES elements."""
    inputs = []
    for name, elements in given.items():
        array = np.array([e if isinstance(e, bytes) else e.encode() for e in elements], dtype=np.object_)
        one = triton.InferInput(name, list(array.shape), "BYTES")
        one.set_data_from_numpy(array)
        inputs.append(one)
    return inputs


@asynccontextmanager
async def serving(worker_url: str, keys: Path | None = None) -> AsyncIterator[Asked]:
    """Start a gateway with both ports."""
    port = free_port()
    settings = Settings(
        worker=WorkerSettings(urls=(worker_url,)), grpc=GrpcSettings(port=port), keys=KeysSettings(file=keys)
    )
    async with gateway(settings) as url, triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield Asked(url, f"127.0.0.1:{port}", client)


@pytest.fixture(params=["fake", pytest.param("vllm", marks=pytest.mark.slow)])
async def asked(request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    """Start a gateway with each kind of worker."""
    if request.param == "vllm":
        async with serving(request.getfixturevalue("vllm_url")) as both:
            yield both
    else:
        async with fake_worker() as worker, serving(worker.url) as both:
            yield both


async def test_server_and_model_metadata(asked: Asked) -> None:
    """A client gets a live, ready server, its models and their tensors."""
    client = asked.client
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready(MODEL)
    assert not await client.is_model_ready("unknown")
    assert (await client.get_server_metadata()).name == "sarlens"
    assert [each.name for each in (await client.get_model_repository_index()).models] == [MODEL]
    model = await client.get_model_metadata(MODEL)
    assert [each.name for each in model.inputs] == ["image", "question", "prompt", "messages"]
    assert {each.datatype for each in (*model.inputs, *model.outputs)} == {"BYTES"}
    config = (await client.get_model_config(MODEL)).config
    assert config.model_transaction_policy.decoupled
    assert [each.name for each in config.output] == [each.name for each in model.outputs]


async def test_a_question_has_the_same_answer_as_over_rest(asked: Asked) -> None:
    """Text, typed value and usage are those of /v1/sar/vqa, for each question of a batch about one image."""
    over_rest = await asked.rest("/v1/sar/vqa", {"image": DATA_URL, "questions": [SHIPS, COUNT]})
    over_grpc = await asked.infer(image=[PNG], question=[SHIPS, COUNT])
    for at, item in enumerate(over_rest["data"]):
        assert over_grpc["text"][at] == item["text"]
        assert over_grpc["answer"][at] == item["answer"]
        for kind in ("prompt_tokens", "completion_tokens"):
            assert over_grpc["usage"][at][kind] == item["usage"][kind]


async def test_questions_about_an_image_are_a_batch() -> None:
    """Three questions about two images are a batch of two and a single question, and the answers keep their order.

    An image that is one element for all questions is one image, whether as bytes or as a URL.
    """
    async with fake_worker() as worker, serving(worker.url) as asked:
        kinds = ["ships", "cars", "tanks"]
        questions = [f"Are there any {kind} in the image?" for kind in kinds]
        worker.says = lambda chat: next(kind for kind in kinds if kind in json.dumps(chat["messages"]))
        other = DATA_URL.replace("data:image/png", "data:image/png;v=2")
        assert (await asked.infer(image=[DATA_URL, other, DATA_URL], question=questions))["text"] == kinds
        assert sorted(worker.paths) == ["/v1/chat/completions", BATCH_PATH]
        for image in (PNG, DATA_URL):
            worker.paths.clear()
            assert (await asked.infer(image=[image], question=questions))["text"] == kinds
            assert worker.paths == [BATCH_PATH]


async def test_prompts_and_messages_are_chats(asked: Asked) -> None:
    """A prompt with an image, as bytes or as a URL, and messages have the answer of the same chat over REST."""
    image = {"type": "image_url", "image_url": {"url": DATA_URL}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": COUNT}]}]
    chat = {"model": MODEL, "messages": messages, "max_tokens": 8, "temperature": 0}
    text = (await asked.rest("/v1/chat/completions", chat))["choices"][0]["message"]["content"]
    parameters = {"max_tokens": 8}
    assert (await asked.infer(image=[PNG, DATA_URL], prompt=[COUNT], parameters=parameters))["text"] == [text, text]
    found = await asked.infer(messages=[json.dumps(messages)], parameters=parameters)
    assert found["text"] == [text]
    assert found["answer"] == [None]


async def test_a_stream_returns_the_text_in_chunks(asked: Asked) -> None:
    """Each response holds one delta, the deltas add up to the answer, and an empty response ends it on request."""
    whole = (await asked.infer(image=[PNG], prompt=[COUNT], parameters={"max_tokens": 8}))["text"][0]

    pieces, finals = [], []
    for result, error in await asyncio.to_thread(streamed, asked.address):
        assert error is None
        response = result.get_response()
        assert response.id == "9"
        finals.append(response.parameters["triton_final_response"].bool_param)
        if not finals[-1]:
            pieces.append(result.as_numpy("text")[0].decode())
    assert "".join(pieces) == whole
    assert finals == [False] * len(pieces) + [True]


def streamed(address: str) -> list[tuple[Any, Any]]:
    """Collect the callbacks of Triton's client until the stream ends."""
    told: list[tuple[Any, Any]] = []
    with blocking.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: told.append((result, error)))
        client.async_stream_infer(
            MODEL,
            tensors(image=[PNG], prompt=[COUNT]),
            request_id="9",
            enable_empty_final_response=True,
            parameters={"max_tokens": 8},
        )
        client.stop_stream()
    return told


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": "unknown", "prompt": ["x"]}, "NOT_FOUND"),
    ({"question": [SHIPS]}, "INVALID_ARGUMENT"),
    ({"image": [PNG]}, "INVALID_ARGUMENT"),
    ({"image": [PNG], "question": [SHIPS], "prompt": ["x"]}, "INVALID_ARGUMENT"),
    ({"image": [PNG, PNG], "question": [SHIPS, SHIPS, SHIPS]}, "INVALID_ARGUMENT"),
    ({"image": [PNG], "question": [b"\xff\xfe"]}, "INVALID_ARGUMENT"),
    ({"image": [b""], "question": [SHIPS]}, "INVALID_ARGUMENT"),
    ({"image": [b"no picture"], "question": [SHIPS]}, "INVALID_ARGUMENT"),
    ({"image": ["https://example.com/a.png"], "question": [SHIPS]}, "INVALID_ARGUMENT"),
    ({"images": [PNG], "question": [SHIPS]}, "INVALID_ARGUMENT"),
    ({"messages": ["not json"]}, "INVALID_ARGUMENT"),
    ({"messages": ["[1]"], "image": [PNG]}, "INVALID_ARGUMENT"),
    ({"prompt": ["x"], "parameters": {"max_tokens": 0}}, "INVALID_ARGUMENT"),
    ({"prompt": ["x"], "parameters": {"colour": "red"}}, "INVALID_ARGUMENT"),
    ({"image": [PNG], "question": [SHIPS], "parameters": {"sar": "{"}}, "INVALID_ARGUMENT"),
    ({"image": [PNG], "question": [SHIPS], "parameters": {"sar": '{"window": [0, 0, 999, 999]}'}}, "INVALID_ARGUMENT"),
    ({"prompt": ["x"] * 65}, "RESOURCE_EXHAUSTED"),
]


@pytest.mark.parametrize(("given", "code"), WRONG)
async def test_errors_have_the_status_code_of_the_error_table(asked: Asked, given: dict[str, Any], code: str) -> None:
    """Each invalid request gets the status code of the error table, and the server keeps serving."""
    with pytest.raises(InferenceServerException) as refused:
        await asked.infer(**given)
    assert refused.value.status() == f"StatusCode.{code}", refused.value
    assert await asked.client.is_server_ready()


async def test_malformed_tensors_are_rejected(asked: Asked) -> None:
    """Wrong datatypes, mismatched shapes, truncated contents and unknown outputs are INVALID_ARGUMENT."""
    tensor, output = service_pb2.ModelInferRequest.InferInputTensor, service_pb2.ModelInferRequest
    good = pack_bytes([b"x"])
    async with grpc.aio.insecure_channel(asked.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for datatype, shape, raw, outputs in [
            ("FP32", [1], b"\0\0\0\0", []),
            ("BYTES", [2], good, []),
            ("BYTES", [-1], good, []),
            ("BYTES", [], b"", []),
            ("BYTES", [1], good[:-1], []),
            ("BYTES", [1], b"\xff\xff\xff\xff", []),
            ("BYTES", [1], good, [output.InferRequestedOutputTensor(name="logits")]),
        ]:
            request = output(model_name=MODEL, inputs=[tensor(name="prompt", datatype=datatype, shape=shape)])
            request.raw_input_contents.append(raw)
            request.outputs.extend(outputs)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ModelInfer(request)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, (datatype, shape, raw)
        typed = tensor(name="prompt", datatype="BYTES", shape=[1])
        typed.contents.bytes_contents.append(b"Ships?")
        answer = await stub.ModelInfer(output(model_name=MODEL, inputs=[typed]))
        assert [each.name for each in answer.outputs] == ["text", "answer", "usage"]


async def test_an_error_in_a_stream_ends_only_its_request(asked: Asked) -> None:
    """An invalid request in a stream gets an error, and the next request of the stream gets an answer."""

    async def requests() -> AsyncIterator[dict[str, Any]]:
        yield {"model_name": MODEL, "inputs": tensors(question=[SHIPS])}
        yield {"model_name": MODEL, "inputs": tensors(image=[PNG], question=[SHIPS])}

    told = [error is None async for _, error in asked.client.stream_infer(requests())]
    assert told == [False, True]


async def test_keys_are_metadata(tmp_path: Path) -> None:
    """A call without a key is UNAUTHENTICATED; a key allows only its models and images."""
    digest = hashlib.sha256(b"sar-gis").hexdigest()
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "gis", "sha256": digest, "images": ["s3://open"], "models": [MODEL]}]))
    async with fake_worker() as worker, serving(worker.url, keys) as asked:
        with pytest.raises(InferenceServerException) as refused:
            await asked.infer(prompt=["x"])
        assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
        for hidden in (asked.client.get_model_repository_index(), asked.client.get_model_metadata(MODEL)):
            with pytest.raises(InferenceServerException) as refused:
                await hidden
            assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
        bearer = {"authorization": "Bearer sar-gis"}
        assert (await asked.client.get_model_metadata(MODEL, headers=bearer)).name == MODEL
        assert (await asked.infer(prompt=["x"], headers=bearer))["text"]
        for closed in (asked.infer(headers=bearer, image=[PNG], **words) for words in SHIPS_ASKED):
            with pytest.raises(InferenceServerException) as refused:
                await closed
            assert refused.value.status() == "StatusCode.PERMISSION_DENIED"


@pytest.mark.parametrize("prompts", [0, 5])
async def test_images_in_messages_count_in_the_quota(tmp_path: Path, prompts: int) -> None:
    """A call with two chats about 6 and 7 images counts 13 requests, and one with 5 prompts counts 5."""
    digest = hashlib.sha256(b"sar-gis").hexdigest()
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "gis", "sha256": digest, "requests_per_minute": 5}]))
    part = {"type": "image_url", "image_url": {"url": DATA_URL}}
    chats = [json.dumps([{"role": "user", "content": [part] * images}]) for images in (6, 7)]
    bearer = {"authorization": "Bearer sar-gis"}
    async with fake_worker() as worker, serving(worker.url, keys) as asked:
        given: dict[str, Any] = {"prompt": ["x"] * prompts} if prompts else {"messages": chats}
        await asked.infer(headers=bearer, **given)
        # A bucket of 5 gains a request in 12 s.
        waits = r"1[12]" if prompts else r"10[78]"
        with pytest.raises(
            InferenceServerException, match=rf"5 requests per minute\. Retry after {waits} s"
        ) as refused:
            await asked.infer(prompt=["x"], headers=bearer)
        assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


async def test_tls_and_client_certificates(tmp_path: Path) -> None:
    """With a certificate the port accepts only TLS; with a client CA, only clients with its certificates."""
    authority = tls(tmp_path, "localhost").authority
    cert, key, port = tmp_path / "server.pem", tmp_path / "server.key", free_port()
    ask = service_pb2.ServerLiveRequest()

    async def live(mutual: bool) -> bool:
        own = (key.read_bytes(), cert.read_bytes()) if mutual else (None, None)
        trust = grpc.ssl_channel_credentials(authority.read_bytes(), *own)
        async with grpc.aio.secure_channel(f"localhost:{port}", trust) as channel:
            return bool((await service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerLive(ask, timeout=5)).live)

    for client_ca in (None, authority):
        encrypted = GrpcSettings(port=port, cert_file=cert, key_file=key, client_ca_file=client_ca)
        async with fake_worker() as worker:
            settings = Settings(worker=WorkerSettings(urls=(worker.url,)), grpc=encrypted)
            async with gateway(settings):
                assert await live(mutual=True)
                if client_ca is None:
                    assert await live(mutual=False)
                    continue
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await live(mutual=False)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_incomplete_tls_settings_are_rejected() -> None:
    """A certificate without its key, or a client CA without a certificate, prevents the start."""
    for half in ({"cert_file": "a.pem"}, {"key_file": "a.key"}, {"client_ca_file": "ca.pem"}):
        with pytest.raises(ValidationError):
            GrpcSettings.model_validate({"port": 8081, **half})


REFLECTION = "grpc.reflection.v1.ServerReflection"


async def test_health_and_reflection(asked: Asked) -> None:
    """The health service reports SERVING, and reflection lists the services."""
    name = "inference.GRPCInferenceService"
    async with grpc.aio.insecure_channel(asked.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", name):
            async with asyncio.timeout(30):
                async for state in health.Watch(health_pb2.HealthCheckRequest(service=service)):
                    if state.status == health_pb2.HealthCheckResponse.SERVING:
                        break
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        newer = channel.stream_stream(
            f"/{REFLECTION}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        for reflect in (stub.ServerReflectionInfo, newer):
            list_services = reflection_pb2.ServerReflectionRequest(list_services="")
            describe = reflection_pb2.ServerReflectionRequest(
                file_containing_symbol="grpc.reflection.v1.ServerReflection"
            )
            listed, described = [answer async for answer in reflect(iter([list_services, describe]))]
            names = {each.name for each in listed.list_services_response.service}
            assert {name, "grpc.health.v1.Health", REFLECTION} <= names
            (file,) = described.file_descriptor_response.file_descriptor_proto
            assert FileDescriptorProto.FromString(file).package == "grpc.reflection.v1"


async def test_versions_and_shared_memory(asked: Asked) -> None:
    """A model has the version 1 only, in every method that names one, and no region of shared memory exists."""
    async with triton.InferenceServerClient(asked.address) as client:
        tensor = blocking.InferInput("prompt", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([b"Ships?"], dtype=np.object_))
        for version in ("", "1"):
            assert (await client.infer(MODEL, [tensor], model_version=version)).as_numpy("text")[0]
            assert await client.is_model_ready(MODEL, version)
            assert (await client.get_model_metadata(MODEL, version)).versions == ["1"]
        assert not await client.is_model_ready(MODEL, "2")
        for call in (
            client.infer(MODEL, [tensor], model_version="2"),
            client.get_model_metadata(MODEL, "2"),
            client.get_model_config(MODEL, "2"),
            client.get_inference_statistics(MODEL, "2"),
        ):
            with pytest.raises(InferenceServerException, match="has the version 1 only") as error:
                await call
            assert error.value.status() == "StatusCode.NOT_FOUND"
        assert not (await client.get_system_shared_memory_status()).regions
        assert not (await client.get_cuda_shared_memory_status()).regions


@pytest.mark.parametrize(
    "streamed",
    [
        b'data: {"error": {"message": "EngineDeadError"}}\n\ndata: [DONE]\n\n',
        b"data: nonsense\n\n",
        b"data: {}\n\n",
        b"",
    ],
)
async def test_a_broken_stream_is_an_error(streamed: bytes) -> None:
    """An error event, invalid JSON or an early end of the worker's stream is an error, never a shorter answer."""

    class Broken:
        first_chunk = b'data: {"choices":[]}\n\n'

        rest = streamed

        async def forward(self, write: Callable[[bytes], bool]) -> bool:
            data, self.rest = self.rest, b""
            return bool(data) and not write(data)

    outcomes: list[object] = []
    worker = SimpleNamespace(record_outcome=outcomes.append)
    response = StreamedResponse(cast("Any", Broken()), cast("Any", worker), INVALID_SPAN)
    with pytest.raises(WorkerFailed) as failure:
        _ = [chunk async for chunk in iter_completion_chunks(response, len)]
    assert outcomes == [failure.value]
    assert (b"EngineDeadError" in streamed) == (failure.value.message == "EngineDeadError")


@pytest.mark.slow
async def test_a_cancelled_call_stops_vllm(vllm_url: str) -> None:
    """After a caller cancels a stream vLLM stops generating: its number of running requests falls to 0."""
    async with serving(vllm_url) as asked, aiohttp.ClientSession() as http:
        request = service_pb2.ModelInferRequest(model_name=MODEL)
        request.inputs.add(name="prompt", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"Ships?")
        request.parameters["max_tokens"].int64_param = 1500
        request.parameters["temperature"].double_param = 2.0
        async with grpc.aio.insecure_channel(asked.address) as channel:
            call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer()
            await call.write(request)
            assert not (await call.read()).error_message
            call.cancel()
        async with asyncio.timeout(10):
            while True:
                async with http.get(f"{vllm_url}/metrics") as response:
                    page = await response.text()
                running = [line for line in page.splitlines() if line.startswith("vllm:num_requests_running")]
                if all(line.endswith(" 0.0") for line in running):
                    return
                await asyncio.sleep(0.1)


async def test_a_caller_that_does_not_read_frees_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of 20 MB that its caller never reads ends after the write timeout, and so does the worker's request."""
    monkeypatch.setattr(messages, "_WRITE_TIMEOUT_S", 0.3)
    words = ("x" * 100_000,) * 200
    async with fake_worker(words=words) as worker, serving(worker.url) as asked:
        request = service_pb2.ModelInferRequest(model_name=MODEL)
        request.inputs.add(name="prompt", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"Ships?")
        async with grpc.aio.insecure_channel(asked.address) as channel:
            call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer()
            await call.write(request)
            async with asyncio.timeout(30):
                while not worker.aborted:
                    await asyncio.sleep(0.02)
            assert worker.running == 0
            with pytest.raises(grpc.aio.AioRpcError, match=r"didn't read its responses for 0\.3 s"):
                _ = [response async for response in call]


async def test_idle_streams_of_a_key_leave_calls_to_others(tmp_path: Path) -> None:
    """Of eight concurrent calls, a key has four at most: its fifth stream is rejected, and another key is answered."""
    issued = {name: generate_api_key() for name in ("greedy", "small")}
    keys, port = tmp_path / "keys.json", free_port()
    keys.write_text(json.dumps([{"name": name, "sha256": digest} for name, (_, digest) in issued.items()]))
    secrets = {name: (("authorization", f"Bearer {secret}"),) for name, (secret, _) in issued.items()}
    async with fake_worker() as worker:
        settings = Settings(
            worker=WorkerSettings(urls=(worker.url,)),
            grpc=GrpcSettings(port=port, max_concurrent_calls=8),
            keys=KeysSettings(file=keys),
        )
        async with gateway(settings), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            request = service_pb2.ModelInferRequest(model_name=MODEL)
            request.inputs.add(name="prompt", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"Ships?")
            streams = [stub.ModelStreamInfer(metadata=secrets["greedy"]) for _ in range(4)]
            for stream in streams:
                await stream.write(request)
                assert not (await stream.read()).error_message
            with pytest.raises(grpc.aio.AioRpcError, match="4 open calls") as rejected:
                await stub.ModelReady(service_pb2.ModelReadyRequest(name=MODEL), metadata=secrets["greedy"])
            assert rejected.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            ready = service_pb2.ModelReadyRequest(name=MODEL)
            assert (await stub.ModelReady(ready, metadata=secrets["small"])).ready
            streams[0].cancel()
            async with asyncio.timeout(30):
                while True:
                    with suppress(grpc.aio.AioRpcError):
                        assert (await stub.ModelReady(ready, metadata=secrets["greedy"])).ready
                        break
                    await asyncio.sleep(0.02)


async def test_a_deadline_ends_a_call() -> None:
    """A call whose deadline passes first is DEADLINE_EXCEEDED, and the gateway aborts the worker's request."""
    async with fake_worker(hangs=True) as worker, serving(worker.url) as asked:
        with pytest.raises(InferenceServerException) as late:
            await asked.client.infer(MODEL, tensors(prompt=["Ships?"]), client_timeout=0.5)
        assert late.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        async with asyncio.timeout(30):
            while worker.running:
                await asyncio.sleep(0.02)


async def test_messages_above_the_limit_are_rejected() -> None:
    """A message above the body limit is RESOURCE_EXHAUSTED before it is read, and the server keeps serving."""
    async with fake_worker() as worker:
        port = free_port()
        settings = Settings.model_validate(
            {"worker": {"urls": [worker.url]}, "grpc": {"port": port}, "limit": {"max_body_bytes": 10_000}}
        )
        async with gateway(settings), triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            with pytest.raises(InferenceServerException) as refused:
                await client.infer(MODEL, tensors(prompt=["x" * 20_000]))
            assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
            assert await client.is_server_ready()

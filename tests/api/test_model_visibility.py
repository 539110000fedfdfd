"""Models that a key doesn't open: no response names them, or differs from that for a model that doesn't exist."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from sarlens.api.grpc.v1 import sar_pb2, sar_pb2_grpc
from sarlens.devstack.ports import free_port
from support.pictures import DATA_URL
from support.tenants import CHAT, Tenants, infer_by_grpc, tenants
from support.workers.fake_worker import FakeWorker, fake_worker

HIDDEN, ABSENT = "hidden-model", "absent-model"
TEXT = {"type": "text", "text": "Ships?"}
MESSAGES = [{"role": "user", "content": "Ships?"}]
KEYS: dict[str, dict[str, Any]] = {"all": {}, "some": {"models": ["open"]}, "none": {"models": ["other"]}}
QUESTION = {"image": DATA_URL, "questions": ["Ships?"]}
INFER = {"inputs": [{"name": "prompt", "datatype": "BYTES", "shape": [1], "data": ["Ships?"]}]}


@pytest.fixture
async def workers() -> AsyncIterator[list[FakeWorker]]:
    """A worker for each of two models."""
    async with fake_worker(model="open") as first, fake_worker(model=HIDDEN) as second:
        yield [first, second]


@pytest.fixture
async def gateway(tmp_path: Path, workers: list[FakeWorker]) -> AsyncIterator[Tenants]:
    """A gateway with keys that open all, one and none of the models."""
    async with tenants(tmp_path, workers, KEYS) as running:
        while len((await running.get("all", "/readyz"))[1].split(",")) < 3:
            await asyncio.sleep(0.01)
        yield running


async def over_grpc(gateway: Tenants, method: str, request: Any) -> tuple[str, str, Any]:
    """Status, message and trailing metadata of a call of the Open Inference Protocol or of ``sarlens.v1``."""
    async with grpc.aio.insecure_channel(gateway.rpc) as channel:
        stub = sar_pb2_grpc.SarStub(channel) if method == "Vqa" else service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            answer = await getattr(stub, method)(request, metadata=tuple(gateway.headers("some").items()))
        except grpc.aio.AioRpcError as error:
            return (
                error.code().name,
                error.details() or "",
                [item for item in error.trailing_metadata() or () if item[0] != "x-request-id"],
            )
        return "OK", str(answer), None


def post(path: str, body: dict[str, Any]) -> Callable[[Tenants, str], Awaitable[Any]]:
    """A POST that names a model in its path or body."""

    async def send(gateway: Tenants, model: str) -> Any:
        named = body if "{}" in path else {**body, "model": model}
        status, answer, headers = await gateway.post("some", named, path.format(model))
        return status, answer, sorted(set(headers) - {"X-Request-Id"})

    return send


def get(path: str) -> Callable[[Tenants, str], Awaitable[Any]]:
    """A GET that names a model in its path."""
    return lambda gateway, model: gateway.get("some", path.format(model))


def call(method: str, make: Callable[[str], Any]) -> Callable[[Tenants, str], Awaitable[Any]]:
    """A gRPC call that names a model."""
    return lambda gateway, model: over_grpc(gateway, method, make(model))


REQUESTS = {
    "chat": post(CHAT, {"messages": MESSAGES}),
    "chat about an image": post(
        CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": DATA_URL}}]}]}
    ),
    "completion": post("/v1/completions", {"prompt": "Ships?"}),
    "vqa": post("/v1/sar/vqa", QUESTION),
    "caption": post("/v1/sar/captions", {"image": DATA_URL}),
    "survey": post("/v1/sar/surveys", {"image": "s3://scenes/a.tif", "questions": ["Ships?"], "tile": 256}),
    "model": get("/v1/models/{}"),
    "infer": post("/v2/models/{}/infer", INFER),
    "infer a version": post("/v2/models/{}/versions/1/infer", INFER),
    **{
        f"/v2{path}": get(f"/v2/models/{{}}{path}") for path in ("", "/ready", "/config", "/stats", "/versions/1/ready")
    },
    "picture": lambda gateway, model: gateway.get("some", f"/v1/sar/picture?url={DATA_URL}&model={model}"),
    "ModelReady": call("ModelReady", lambda name: service_pb2.ModelReadyRequest(name=name)),
    "ModelMetadata": call("ModelMetadata", lambda name: service_pb2.ModelMetadataRequest(name=name)),
    "ModelConfig": call("ModelConfig", lambda name: service_pb2.ModelConfigRequest(name=name)),
    "ModelStatistics": call("ModelStatistics", lambda name: service_pb2.ModelStatisticsRequest(name=name)),
    "Vqa": call(
        "Vqa",
        lambda name: sar_pb2.VqaRequest(
            model=name, image=sar_pb2.Image(url=DATA_URL), questions=[sar_pb2.Question(question="Ships?")]
        ),
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_closed_model_is_answered_as_one_that_does_not_exist(gateway: Tenants, name: str) -> None:
    """Status, headers and text are the same but for the caller's own name, and list only models that the key opens."""
    texts = []
    for model in (HIDDEN, ABSENT):
        text = repr(await REQUESTS[name](gateway, model))
        texts.append(re.sub(r"[0-9a-f]{32}", "ID", text).replace(model, "MODEL"))
    assert texts[0] == texts[1]
    assert HIDDEN not in texts[1]
    assert name in {"picture", "ModelReady"} or re.search(r"404|NOT_FOUND", texts[0])


async def test_inference_over_grpc_does_not_tell_them_apart(gateway: Tenants) -> None:
    """The error of ModelInfer lists the models that the key opens."""
    texts = []
    for model in (HIDDEN, ABSENT):
        with pytest.raises(InferenceServerException) as rejected:
            await infer_by_grpc(gateway, "some", TEXT, model=model)
        texts.append(str(rejected.value).replace(model, "MODEL"))
    assert texts[0] == texts[1]
    assert texts[0].endswith(
        "The model 'MODEL' isn't served, or your API key doesn't allow it. Available models: open."
    )


async def test_lists_have_only_the_models_that_a_key_opens(gateway: Tenants) -> None:
    """Neither lists, nor readiness, nor the metrics name another model; the metrics need a key that opens all."""
    for path in ("/v1/models", "/readyz", "/health", "/v2/models/stats"):
        assert [HIDDEN in (await gateway.get(name, path))[1] for name in KEYS] == [True, False, False]
        assert ["open" in (await gateway.get(name, path))[1] for name in KEYS] == [True, True, False]
    assert [HIDDEN in repr(await gateway.post(name, {}, "/v2/repository/index")) for name in KEYS] == [
        True,
        False,
        False,
    ]
    assert await gateway.get(None, "/readyz") == (200, '{"status":"ready"}')
    assert [(await gateway.get(name, "/metrics"))[0] for name in (None, *KEYS)] == [401, 200, 403, 403]
    status, answer, _ = await over_grpc(gateway, "RepositoryIndex", service_pb2.RepositoryIndexRequest())
    assert (status, "open" in answer, HIDDEN in answer) == ("OK", True, False)


async def test_a_request_without_a_model_gets_the_only_one_that_its_key_opens(
    gateway: Tenants, workers: list[FakeWorker]
) -> None:
    """The worker gets the name, since it would choose its own; keys that open several or none get an error."""
    status, answer, _ = await gateway.post("some", {"messages": MESSAGES})
    assert (status, answer["model"]) == (200, "open")
    assert [worker.requests for worker in workers] == [[{"messages": MESSAGES, "model": "open"}], []]
    status, answer, _ = await gateway.post("all", {"messages": MESSAGES})
    assert (status, answer["error"]["message"]) == (400, f"model is required. Available models: {HIDDEN}, open.")
    status, answer, _ = await gateway.post("none", {"messages": MESSAGES})
    assert (status, answer["error"]["message"]) == (404, "No worker serves a model that your API key allows.")


async def test_a_management_port_has_what_the_gateways_port_has_not(tmp_path: Path, workers: list[FakeWorker]) -> None:
    """Metrics, all models and documentation are there without a key; the gateway's port has no metrics at all."""
    port = free_port()
    async with tenants(tmp_path, workers, KEYS, management_port=port) as gateway, aiohttp.ClientSession() as http:

        async def read(path: str) -> tuple[int, str]:
            async with http.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.text()

        while HIDDEN not in (await read("/readyz"))[1] or "open" not in (await read("/readyz"))[1]:
            await asyncio.sleep(0.01)
        assert "sarlens_worker_ready" in (await read("/metrics"))[1]
        assert (await read("/docs"))[0] == (await read("/healthz"))[0] == 200
        assert "/v1/chat/completions" in (await read("/openapi.json"))[1]
        assert [(await read(path))[0] for path in ("/v1/models", CHAT, "/v2", "/jobs")] == [404] * 4
        assert [(await gateway.get(name, "/metrics"))[0] for name in (None, "all", "some")] == [401, 404, 404]
        assert await gateway.get(None, "/readyz") == (200, '{"status":"ready"}')

"""The header ``Sarlens-Route`` and its attributes: how the gateway served a request, in every protocol."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import grpc.aio
import pytest
from pydantic import SecretStr
from tritonclient.grpc import service_pb2 as oip
from tritonclient.grpc import service_pb2_grpc

from sarlens.api.grpc.v1 import sar_pb2, sar_pb2_grpc
from sarlens.devstack.ports import free_port
from sarlens.settings import (
    AdmissionSettings,
    GrpcSettings,
    RoutingSettings,
    Settings,
    TracingSettings,
    WorkerSettings,
)
from support.fleet import metric, question
from support.gateway import gateway
from support.otlp_collector import collector
from support.pictures import DATA_URL, PNG
from support.workers.fake_worker import MODEL, FakeWorker, fake_worker

SHIPS, COUNT = "Are there any ships in the image?", "How many ships are in the image?"
WANTED = {"Sarlens-Route": "1"}
ERROR = '{"error": {"message": "CUDA error", "type": "x", "param": null, "code": 500}}'


@dataclass(frozen=True)
class Fleet:
    """A gateway with fake workers."""

    url: str
    rpc: str
    workers: Sequence[FakeWorker]
    http: aiohttp.ClientSession

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
        """Send a request for a receipt; return the status and the receipt."""
        async with self.http.post(self.url + path, json=body, headers={**WANTED, **headers}) as response:
            await response.read()
            return response.status, parse(response.headers["Sarlens-Route"])

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """The receipt of a chat that is answered."""
        status, receipt = await self.post("/v1/chat/completions", body)
        assert status == 200
        return receipt


@asynccontextmanager
async def fleet(number: int, **settings: Any) -> AsyncIterator[Fleet]:
    """Start a gateway that shows the addresses of its workers."""
    routing = RoutingSettings(show_workers=True, max_retry_budget=1000)
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(fake_worker()) for _ in range(number)]
        port = free_port()
        given = {
            "worker": WorkerSettings(urls=tuple(each.url for each in workers), probe_interval_s=60),
            "routing": routing,
            "grpc": GrpcSettings(port=port),
            **settings,
        }
        url = await stack.enter_async_context(gateway(Settings(**given), ready_workers=number))
        yield Fleet(url, f"127.0.0.1:{port}", workers, await stack.enter_async_context(aiohttp.ClientSession()))


def parse(field: str) -> dict[str, Any]:
    """The members of a receipt, of which each must have the form of RFC 9651."""
    member = r'([a-z_]+)=(?:"([^"]*)"|\(((?:"[^"]*" ?)+)\)|([0-9]+\.[0-9])|([0-9]+))'
    assert re.fullmatch(rf"{member}(?:, {member})*", field), field
    return {
        name: float(decimal) if decimal else int(integer) if integer else re.findall('"([^"]*)"', items) or text
        for name, text, items, decimal, integer in re.findall(member, field)
    }


def address(worker: FakeWorker) -> str:
    """The address of a worker, as receipts show it."""
    return worker.url.removeprefix("http://")


def size_of_sent_image(worker: FakeWorker) -> int:
    """Bytes of the image in the worker's first request."""
    (part,) = (part for part in worker.requests[0]["messages"][0]["content"] if part["type"] == "image_url")
    return len(base64.b64decode(part["image_url"]["url"].partition(",")[2]))


@pytest.mark.parametrize("stream", [False, True])
async def test_the_second_request_for_an_image_is_a_hit(stream: bool) -> None:
    """The first receipt is a miss with the time of its image; the second saves as many bytes as the first one sent."""
    async with fleet(1) as running:
        first = await running.chat(question(stream=stream))
        second = await running.chat(question(text="Other?", stream=stream))
        image_ms = first.pop("image_ms")
        common = {"worker": address(running.workers[0]), "policy": "affinity", "attempts": 1, "queue_ms": 0.0}
        assert first == {**common, "cache": "miss", "bytes_saved": 0}
        assert image_ms > 0
        second.pop("image_ms")
        assert second == {**common, "cache": "hit", "bytes_saved": size_of_sent_image(running.workers[0])}


async def test_attempts_count_every_request_to_a_worker() -> None:
    """A request that moves from a failed worker has two attempts and the name of the one that responded."""
    async with fleet(2, routing=RoutingSettings(policy="round_robin", show_workers=True)) as running:
        bad, good = running.workers
        bad.fails_with = (500, ERROR)
        receipts = [await running.chat(question(number)) for number in range(8)]
        assert {receipt["worker"] for receipt in receipts} == {address(good)}
        assert sum(receipt["attempts"] for receipt in receipts) == sum(len(each.bodies) for each in running.workers)
        assert {receipt["attempts"] for receipt in receipts} == {1, 2}
        good.known.clear()
        evicted = await running.chat(question(0, "Other?"))
        assert (evicted["cache"], evicted["bytes_saved"]) == ("miss", 0)
        assert evicted["attempts"] >= 2
        good.fails_with = bad.fails_with
        status, receipt = await running.post("/v1/chat/completions", question(99))
        assert (status, receipt["attempts"], "worker" in receipt, "cache" in receipt) == (500, 2, False, False)


async def test_a_hedge_is_an_attempt() -> None:
    """If a slow request goes to a second worker too, there are two attempts, and the receipt names the second."""
    routing = RoutingSettings(policy="round_robin", hedge_after_s=0.02, show_workers=True, max_retry_budget=1000)
    async with fleet(2, routing=routing) as running:
        slow, fast = running.workers
        slow.hangs = True
        receipts = [await running.chat(question(number)) for number in range(4)]
        assert {receipt["worker"] for receipt in receipts} == {address(fast)}
        assert sum(receipt["attempts"] == 2 for receipt in receipts) >= 2
        assert {receipt["policy"] for receipt in receipts} == {"round_robin"}


async def test_text_has_neither_cache_nor_image() -> None:
    """A request without images goes by load, and its receipt has no cache; so do text completions."""
    async with fleet(1) as running:
        common = {"worker": address(running.workers[0]), "policy": "least_load", "attempts": 1, "bytes_saved": 0}
        expected = (200, {**common, "queue_ms": 0.0, "image_ms": 0.0})
        chat = {"model": MODEL, "messages": [{"role": "user", "content": "Ships?"}]}
        assert await running.post("/v1/chat/completions", chat) == expected
        assert await running.post("/v1/completions", {"model": MODEL, "prompt": "Ships?"}) == expected


async def test_the_time_in_the_queue_counts() -> None:
    """A request that waits for the only slot has the wait as queue_ms, and the one before it has none."""
    async with fleet(1, admission=AdmissionSettings(max_requests_per_worker=1)) as running:
        (worker,) = running.workers
        worker.hangs = True
        began = time.perf_counter()
        holder = asyncio.create_task(running.chat(question(0)))
        await until(lambda: worker.running == 1)
        queued = asyncio.create_task(running.chat(question(1)))
        async with asyncio.timeout(30):
            while not await metric(running.http, running.url, "sarlens_queued_requests"):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        worker.hangs = False
        receipts = await asyncio.gather(holder, queued)
        elapsed_ms = 1000 * (time.perf_counter() - began)
        assert receipts[0]["queue_ms"] == 0
        assert 100 <= receipts[1]["queue_ms"] < elapsed_ms


async def test_a_rejected_request_has_its_time_in_the_queue() -> None:
    """A request that leaves the queue after its time-out has that time, no attempt and no worker."""
    admission = AdmissionSettings(max_requests_per_worker=1, queue_timeout_s=0.2)
    async with fleet(1, admission=admission) as running:
        (worker,) = running.workers
        worker.hangs = True
        holder = asyncio.create_task(running.chat(question(0)))
        await until(lambda: worker.running == 1)
        status, rejected = await running.post("/v1/chat/completions", question(1))
        assert (status, rejected["attempts"], "worker" in rejected) == (503, 0, False)
        assert rejected["queue_ms"] >= 200
        worker.hangs = False
        await holder


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_questions_share_a_receipt() -> None:
    """Two questions about an image are two attempts; the first sends the image, and the second saves its bytes."""
    async with fleet(1) as running:
        body = {"model": MODEL, "image": DATA_URL, "questions": [SHIPS, COUNT]}
        status, receipt = await running.post("/v1/sar/vqa", body)
        size = size_of_sent_image(running.workers[0])
        assert (status, receipt["attempts"], receipt["cache"], receipt["bytes_saved"]) == (200, 2, "partial", size)
        assert receipt["image_ms"] > 0
        _, streamed = await running.post("/v1/sar/vqa", body, Accept="application/x-ndjson")
        assert streamed["cache"] == "hit"
        _, caption = await running.post("/v1/sar/captions", {"model": MODEL, "image": DATA_URL})
        assert (caption["attempts"], caption["bytes_saved"]) == (1, size)
        tensors = [
            {"name": "image", "datatype": "BYTES", "shape": [2], "data": [DATA_URL] * 2},
            {"name": "question", "datatype": "BYTES", "shape": [2], "data": [SHIPS, COUNT]},
        ]
        _, batch = await running.post(f"/v2/models/{MODEL}/infer", {"inputs": tensors})
        assert (batch["attempts"], batch["cache"], batch["bytes_saved"]) == (2, "hit", 2 * size)


def infer_request() -> Any:
    """A question of the Open Inference Protocol."""
    request = oip.ModelInferRequest(model_name=MODEL)
    for name, data in (("image", DATA_URL), ("question", SHIPS)):
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(data.encode())
    return request


async def test_grpc_has_the_receipt_in_its_trailing_metadata() -> None:
    """Calls have the receipt after an answer and after an error; a request in a stream, as a parameter, once."""
    async with fleet(1) as running, grpc.aio.insecure_channel(running.rpc) as channel:
        (worker,) = running.workers
        wanted = (("sarlens-route", "1"),)
        sar, infer = sar_pb2_grpc.SarStub(channel), service_pb2_grpc.GRPCInferenceServiceStub(channel)
        questions = [sar_pb2.Question(question=SHIPS)]
        vqa = sar_pb2.VqaRequest(image=sar_pb2.Image(data=PNG), questions=questions)

        async def receipt_of(call: Any) -> dict[str, Any]:
            return parse(dict(await call.trailing_metadata())["sarlens-route"])

        first = await receipt_of(sar.Vqa(vqa, metadata=wanted))
        assert (first["worker"], first["cache"], first["attempts"]) == (address(worker), "miss", 1)
        assert (await receipt_of(sar.Vqa(vqa, metadata=wanted)))["bytes_saved"] == size_of_sent_image(worker)
        assert (await receipt_of(infer.ModelInfer(infer_request(), metadata=wanted)))["attempts"] == 1
        streamed = [each async for each in infer.ModelStreamInfer(iter([infer_request()]), metadata=wanted)]
        routes = [each.infer_response.parameters["sarlens_route"].string_param for each in streamed]
        assert parse(routes[0])["attempts"] == 1
        assert not any(routes[1:])
        assert "sarlens-route" not in dict(await sar.Vqa(vqa).trailing_metadata())
        worker.fails_with = (500, ERROR)
        failed = sar.Vqa(vqa, metadata=wanted)
        assert (await receipt_of(failed))["attempts"] == 1
        assert await failed.code() is not grpc.StatusCode.OK


async def test_only_those_who_request_it_get_the_receipt() -> None:
    """Without the header, with another value, or without a route, a response has no receipt."""
    async with fleet(1) as running:
        for headers in ({}, {"Sarlens-Route": "0"}):
            async with running.http.post(
                running.url + "/v1/chat/completions", json=question(), headers=headers
            ) as response:
                assert (response.status, "Sarlens-Route" in response.headers) == (200, False)
        async with running.http.get(running.url + "/v1/models", headers=WANTED) as response:
            assert (response.status, "Sarlens-Route" in response.headers) == (200, False)


async def test_workers_have_opaque_names_by_default(worker: FakeWorker) -> None:
    """Without SHOW_WORKERS, a name is 8 hexadecimal digits, the same in every gateway with the same secret."""
    names = []
    for secret in ("a" * 32, "a" * 32, "b" * 32):
        workers = WorkerSettings(urls=(worker.url,), image_id_secret=SecretStr(secret))
        async with fleet(0, worker=workers, routing=RoutingSettings()) as running:
            names.append((await running.chat(question()))["worker"])
    assert all(re.fullmatch("[0-9a-f]{8}", name) for name in names)
    assert (names[0] == names[1], names[0] == names[2]) == (True, False)


async def test_a_traced_request_has_the_receipt_in_its_span() -> None:
    """The span of a traced request has the values of the receipt, which the response has only on request."""
    with collector() as receiver:
        tracing = TracingSettings(endpoint=receiver.url, sample_ratio=1.0)
        async with fleet(1, tracing=tracing) as running:
            async with running.http.post(running.url + "/v1/chat/completions", json=question()) as response:
                assert "Sarlens-Route" not in response.headers
            receipt = await running.chat(question())
        # The end of the gateway sends all spans.
        name = "POST /v1/chat/completions"
        spans = await asyncio.to_thread(receiver.wait, lambda spans: sum(span.name == name for span in spans) == 2)
        first, second = (span.attributes for span in spans if span.name == name)
        assert (first["sarlens.route.cache"], first["sarlens.route.attempts"]) == ("miss", 1)
        attributes = {key.removeprefix("sarlens.route."): value for key, value in second.items()}
        assert receipt.items() <= attributes.items()

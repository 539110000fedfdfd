"""Traces, as a collector gets them and as a worker is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sarlens.seaweed import free_port
from sarlens.settings import GrpcSettings, S3Settings, Settings, TracingSettings, WorkerSettings
from sarlens.v1 import sar_pb2 as pb
from sarlens.v1 import sar_pb2_grpc
from stack.collector import Collector, Seen, collector
from stack.fake_worker import MODEL, FakeWorker
from stack.gateway import gateway
from stack.pictures import DATA_URL
from stack.s3 import S3Server
from stack.scenes import geotiff, sea
from stack.vllm import vllm_worker

CHAT = "/v1/chat/completions"
SECRET = "XyZZy-secret"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "tracestate": "congo=t61rcWkgMzE,rojo=1"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}
STAGES = {"fetch", "queue", "decode", "render", "worker"}


@pytest.fixture
def collected() -> Iterator[Collector]:
    """A collector."""
    with collector() as found:
        yield found


@pytest.fixture
def traced(worker: FakeWorker, collected: Collector) -> Settings:
    """A gateway that samples every trace."""
    return Settings(
        worker=WorkerSettings(urls=(worker.url,)), tracing=TracingSettings(endpoint=collected.url, share=1.0)
    )


def chat(image: str | None = None, text: str = "How many ships?", **more: Any) -> dict[str, Any]:
    """A chat, about an image if there is one."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if image:
        parts.append({"type": "image_url", "image_url": {"url": image}})
    return {"model": MODEL, "messages": [{"role": "user", "content": parts}], **more}


async def post(url: str, body: Any, headers: dict[str, str] | None = None, path: str = CHAT) -> tuple[int, str]:
    """Ask, and wait for the end of the answer."""
    async with aiohttp.ClientSession() as session, session.post(url + path, json=body, headers=headers) as response:
        return response.status, await response.text()


async def get(url: str, **options: Any) -> str:
    """A page."""
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        return await response.text()


def parent(worker: FakeWorker) -> tuple[str, str, bool]:
    """The trace and the span that the worker's last request is said to belong to, and whether they are recorded."""
    _, trace, span, flags = worker.headers[-1]["traceparent"].split("-")
    return trace, span, bool(int(flags, 16) & 1)


def by_name(spans: list[Seen]) -> dict[str, list[Seen]]:
    """Spans by their names."""
    return {name: [each for each in spans if each.name == name] for name in {each.name for each in spans}}


def tree(spans: list[Seen]) -> set[tuple[str, str]]:
    """Each span's name and its parent's."""
    names = {each.span_id: each.name for each in spans}
    return {(each.name, names.get(each.parent, "")) for each in spans}


async def test_a_trace_has_a_span_for_each_stage(traced: Settings, worker: FakeWorker, collected: Collector) -> None:
    """A question about an image is one trace: request, fetch, queue, decode, render, worker, each inside the other."""
    async with gateway(traced) as url:
        assert (await post(url, chat(DATA_URL), {"X-Request-Id": "asked-1"}))[0] == 200
    spans = [each for each in collected.spans if each.attributes.get("http.route") == CHAT]
    (request,) = spans
    trace = [each for each in collected.spans if each.trace_id == request.trace_id]
    assert {each.name for each in trace} == STAGES - {"render"} | {f"POST {CHAT}"}  # what is a picture is not rendered
    assert {parent for name, parent in tree(trace) if name in STAGES} == {f"POST {CHAT}"}
    assert all(request.begun <= each.begun <= each.ended <= request.ended for each in trace)
    assert (request.kind, request.parent) == (2, "")
    assert request.service["service.name"] == "sarlens"
    told = {"http.response.status_code": 200, "sarlens.request_id": "asked-1", "gen_ai.request.model": MODEL}
    told |= {"gen_ai.usage.input_tokens": 70, "gen_ai.usage.output_tokens": 4, "http.request.method": "POST"}
    assert told.items() <= request.attributes.items()
    (asked,) = by_name(trace)["worker"]
    assert asked.kind == 3
    assert asked.attributes["server.port"] == int(worker.url.rsplit(":", 1)[1])
    assert parent(worker) == (request.trace_id, asked.span_id, True)


async def test_what_is_read_of_s3_is_fetched_inside_decoding(
    traced: Settings, collected: Collector, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scene in S3 that is read by ranges shows each of these as a fetch below its decoding, and is rendered."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.client().put_object(Bucket="scenes", Key="traced.tif", Body=geotiff(sea(1500, 1100, np.array([(100, 100)]))))
    settings = traced.model_copy(update={"s3": S3Settings(endpoint=s3.endpoint)})
    async with gateway(settings) as url:
        assert (await post(url, chat("s3://scenes/traced.tif")))[0] == 200
    assert {("fetch", f"POST {CHAT}"), ("fetch", "decode"), ("render", f"POST {CHAT}")} <= tree(collected.spans)
    opened = next(each for each in by_name(collected.spans)["fetch"] if "sarlens.image" in each.attributes)
    assert opened.attributes["sarlens.image"] == "s3://scenes/traced.tif"


async def test_a_callers_trace_goes_on_below_the_gateway(
    traced: Settings, worker: FakeWorker, collected: Collector
) -> None:
    """The gateway's spans belong to the caller's trace, and the worker gets the gateway's own span as its parent."""
    async with gateway(traced) as url:
        await post(url, chat(), SAMPLED)
    names = by_name(collected.spans)
    (request,), (asked,) = names[f"POST {CHAT}"], names["worker"]
    assert (request.trace_id, request.parent) == (TRACE, "b7ad6b7169203331")
    assert parent(worker) == (TRACE, asked.span_id, True)
    assert worker.headers[-1]["tracestate"] == SAMPLED["tracestate"]


async def test_a_callers_decision_to_sample_is_honoured(worker: FakeWorker, collected: Collector) -> None:
    """With a share of nothing a trace that the caller sampled is recorded, and no other; with all, none that he did
    not sample. Workers are told of the decision either way."""
    for share in (0.0, 1.0):
        settings = Settings(
            worker=WorkerSettings(urls=(worker.url,)), tracing=TracingSettings(endpoint=collected.url, share=share)
        )
        async with gateway(settings) as url:
            await post(url, chat(), UNSAMPLED)
            trace, _, sampled = parent(worker)
            assert (trace, sampled) == (TRACE, False)
            await post(url, chat(), SAMPLED)
            if share == 0.0:
                await post(url, chat())
                assert not parent(worker)[2]
        roots = by_name(collected.spans)[f"POST {CHAT}"]
        assert [each.trace_id for each in roots] == [TRACE] * (1 if share == 0.0 else 2)


@pytest.mark.parametrize("path", [CHAT, "/v1/sar/captions"])
async def test_a_context_passes_through_while_tracing_is_off(url: str, worker: FakeWorker, path: str) -> None:
    """Without a collector the worker gets the caller's own traceparent and tracestate, byte for byte."""
    body = chat(DATA_URL) if path == CHAT else {"image": DATA_URL, "model": MODEL}
    await post(url, body, SAMPLED, path)
    assert SAMPLED.items() <= dict(worker.headers[-1]).items()
    await post(url, body, path=path)
    assert not {"traceparent", "tracestate"} & set(worker.headers[-1])


@pytest.mark.parametrize(
    "context",
    ["", "00-" + "0" * 32 + "-b7ad6b7169203331-01", f"ff-{TRACE}-b7ad6b7169203331-01", "x" * 9000, "00-1-2-3"],
)
async def test_a_malformed_context_is_dropped(url: str, worker: FakeWorker, context: str) -> None:
    """What is no trace context is not passed on, and the request is answered."""
    assert (await post(url, chat(), {"traceparent": context[:8000], "tracestate": "a=b"}))[0] == 200
    assert not {"traceparent", "tracestate"} & set(worker.headers[-1])


async def test_grpc_metadata_carries_a_trace(worker: FakeWorker, collected: Collector) -> None:
    """A call over gRPC continues the trace that its metadata names, with the names of the conventions for RPC."""
    port = free_port()
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        grpc=GrpcSettings(port=port),
        tracing=TracingSettings(endpoint=collected.url, share=0.0),
    )
    async with gateway(settings), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = pb.CaptionRequest(image=pb.Image(url=DATA_URL), model=MODEL)
        await sar_pb2_grpc.SarStub(channel).Caption(request, metadata=tuple(SAMPLED.items()))
    names = by_name(collected.spans)
    (called,) = names["sarlens.v1.Sar/Caption"]
    assert (called.trace_id, called.kind) == (TRACE, 2)
    told = {"rpc.system.name": "grpc", "rpc.method": "sarlens.v1.Sar/Caption", "rpc.response.status_code": "OK"}
    assert told.items() <= called.attributes.items()
    assert {each.trace_id for each in collected.spans} == {TRACE}
    assert parent(worker) == (TRACE, names["worker"][0].span_id, True)


async def test_each_attempt_is_a_span(traced: Settings, worker: FakeWorker, collected: Collector) -> None:
    """A worker that fails has a failed span of its own, and the request names the error by its code."""
    worker.resets = True
    async with gateway(traced) as url:
        assert (await post(url, chat()))[0] == 502
    names = by_name(collected.spans)
    assert [each.attributes["error.type"] for each in names["worker"]] == ["worker_failed"]
    (request,) = names[f"POST {CHAT}"]
    assert request.failed
    assert request.attributes["error.type"] == "worker_failed"


async def test_a_refused_request_is_no_failed_span(traced: Settings, collected: Collector) -> None:
    """A caller's mistake is told as the kind of error that it is, and does not count as a failure of the server."""
    async with gateway(traced) as url:
        assert (await post(url, chat("s4://nowhere")))[0] == 400
    (request,) = by_name(collected.spans)[f"POST {CHAT}"]
    assert request.attributes["error.type"] == "source_refused"
    assert not request.failed


async def test_waiting_for_a_place_is_a_span(worker: FakeWorker, collected: Collector) -> None:
    """A request that waits in the queue shows for how long."""
    worker.pause_s = 0.05
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        admission={"requests": 1},
        tracing=TracingSettings(endpoint=collected.url, share=1.0),
    )
    async with gateway(settings) as url:
        await asyncio.gather(post(url, chat()), post(url, chat()))
    (waited,) = by_name(collected.spans)["admission"]
    assert waited.ended - waited.begun > 5e7


async def test_every_tile_of_a_survey_is_a_trace(
    traced: Settings, worker: FakeWorker, collected: Collector, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A survey's tiles are traces of their own, each with its worker's span; strips that are drawn together too."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    worker.says = lambda _: "2"
    s3.client().put_object(Bucket="scenes", Key="tiles.tif", Body=geotiff(sea(512, 512, np.array([(100, 100)]))))
    settings = traced.model_copy(update={"s3": S3Settings(endpoint=s3.endpoint)})
    body = {"image": "s3://scenes/tiles.tif", "questions": ["How many ships are in the image?"], "tile": 256}
    async with gateway(settings) as url:
        assert (await post(url, body, path="/v1/sar/surveys"))[0] == 200
    names = by_name(collected.spans)
    assert sorted(each.attributes["sarlens.tile"] for each in names["survey tile"]) == [0, 1, 2, 3]
    assert len({each.trace_id for each in names["survey tile"]}) == 4
    assert {("worker", "survey tile"), ("decode", "survey strip"), ("render", "survey strip")} <= tree(collected.spans)


async def test_streams_are_traced_to_their_end(traced: Settings, worker: FakeWorker, collected: Collector) -> None:
    """The spans of a stream last until its last token, and say what it cost where the worker states it."""
    worker.pause_s = 0.05
    async with gateway(traced) as url:
        await post(url, chat(stream=True, stream_options={"include_usage": True}))
    names = by_name(collected.spans)
    for each in (*names["worker"], *names[f"POST {CHAT}"]):
        assert each.ended - each.begun > 2e8
    assert names[f"POST {CHAT}"][0].attributes["gen_ai.usage.output_tokens"] == 4


async def test_latency_histograms_show_the_trace_of_a_sampled_request(traced: Settings, collected: Collector) -> None:
    """In OpenMetrics a bucket of a latency histogram names a trace that was recorded; the plain format has none."""
    async with gateway(traced) as url:
        await post(url, chat(DATA_URL, stream=True))
        page = await get(f"{url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        plain = await get(f"{url}/metrics")
    trace = by_name(collected.spans)[f"POST {CHAT}"][0].trace_id
    shown = {
        family.name
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar and sample.exemplar.labels["trace_id"] == trace
    }
    assert shown == {
        "sarlens_request_duration_seconds",
        "sarlens_time_to_first_token_seconds",
        "sarlens_time_per_output_token_seconds",
        "sarlens_stage_duration_seconds",
    }
    assert "trace_id" not in plain


async def test_no_trace_no_exemplar(url: str) -> None:
    """A request whose trace is recorded elsewhere, or nowhere, leaves no exemplar."""
    await post(url, chat(), SAMPLED)
    page = await get(f"{url}/metrics", headers={"Accept": "application/openmetrics-text"})
    assert "sarlens_request_duration_seconds_bucket" in page
    assert "trace_id" not in page


async def test_traces_hold_nothing_that_a_caller_wrote(
    traced: Settings, worker: FakeWorker, collected: Collector
) -> None:
    """No prompt, key, query of a URL or answer of a model is in what is sent to the collector."""
    worker.says = lambda _: SECRET
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": SECRET, "X-Other": SECRET}
    async with gateway(traced) as url:
        await post(url, chat(DATA_URL, SECRET, user=SECRET), headers)
        await post(url, chat(f"https://host.example/{MODEL}.tif?X-Amz-Signature={SECRET}"), headers)
        await post(url, chat(f"s3://{SECRET}:{SECRET}@scenes/x.tif"), headers)
        await post(url, {**chat(), "model": SECRET}, headers)
        await get(f"{url}/v1/sar/picture", params={"url": f"https://user:{SECRET}@host.example/x?{SECRET}"})
        await get(f"{url}/{SECRET}?{SECRET}")
    assert len(by_name(collected.spans)[f"POST {CHAT}"]) == 4
    assert SECRET.encode() not in b"".join(collected.bodies)


@asynccontextmanager
async def _silent() -> AsyncIterator[str]:
    """A server that takes connections and says nothing."""
    server = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_nobody_waits_for_a_collector(worker: FakeWorker) -> None:
    """A collector that hangs costs requests nothing, and the end of the gateway no more than some seconds."""
    loop = asyncio.get_running_loop()
    async with _silent() as endpoint:
        settings = Settings(
            worker=WorkerSettings(urls=(worker.url,)), tracing=TracingSettings(endpoint=endpoint, share=1.0)
        )
        async with gateway(settings) as url:
            begun = loop.time()
            for _ in range(20):
                assert (await post(url, chat()))[0] == 200
            assert loop.time() - begun < 2
            ending = loop.time()
        assert loop.time() - ending < 6


@pytest.mark.slow
async def test_vllm_goes_on_with_the_trace(
    collected: Collector, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real vLLM worker that traces has its span below the gateway's, in the caller's trace."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "vllm")
    folder: Path = tmp_path_factory.mktemp("vllm-traced")
    with vllm_worker(folder, "--otlp-traces-endpoint", f"{collected.url}/v1/traces") as worker_url:
        monkeypatch.delenv("OTEL_SERVICE_NAME")
        settings = Settings(
            worker=WorkerSettings(urls=(worker_url,)), tracing=TracingSettings(endpoint=collected.url, share=0.0)
        )
        async with gateway(settings) as url:
            status, text = await post(url, chat(DATA_URL, max_tokens=8), SAMPLED)
            assert status == 200, text
        spans = collected.wait(
            lambda seen: any(each.service["service.name"] == "vllm" and each.trace_id == TRACE for each in seen)
        )
    (asked,) = by_name([each for each in spans if each.service["service.name"] == "sarlens"])["worker"]
    theirs = [each for each in spans if each.service["service.name"] == "vllm" and each.trace_id == TRACE]
    assert asked.span_id in {each.parent for each in theirs}

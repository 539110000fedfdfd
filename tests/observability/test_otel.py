"""Traces, as a collector and a worker receive them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import grpc.aio
import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sarlens.api.grpc.v1 import sar_pb2 as pb
from sarlens.api.grpc.v1 import sar_pb2_grpc
from sarlens.devstack.ports import free_port
from sarlens.settings import GrpcSettings, S3Settings, Settings, TracingSettings, WorkerSettings
from support.gateway import gateway
from support.georeferenced_scenes import geotiff, sea
from support.otlp_collector import Collector, ReceivedSpan, collector
from support.pictures import DATA_URL
from support.s3 import S3Server
from support.workers.fake_worker import MODEL, FakeWorker

CHAT = "/v1/chat/completions"
SECRET = "XyZZy-secret"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "tracestate": "congo=t61rcWkgMzE,rojo=1"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}
STAGES = {"fetch", "queue", "decode", "render", "worker"}


@pytest.fixture
def collected() -> Iterator[Collector]:
    """A collector."""
    with collector() as running:
        yield running


@pytest.fixture
def traced(worker: FakeWorker, collected: Collector) -> Settings:
    """A gateway that samples every trace."""
    return Settings(
        worker=WorkerSettings(urls=(worker.url,)), tracing=TracingSettings(endpoint=collected.url, sample_ratio=1.0)
    )


def chat(image: str | None = None, text: str = "How many ships?", **more: Any) -> dict[str, Any]:
    """A chat, about an image if there is one."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if image:
        parts.append({"type": "image_url", "image_url": {"url": image}})
    return {"model": MODEL, "messages": [{"role": "user", "content": parts}], **more}


async def post(url: str, body: Any, headers: dict[str, str] | None = None, path: str = CHAT) -> tuple[int, str]:
    """Send a request and read the response to its end."""
    async with aiohttp.ClientSession() as session, session.post(url + path, json=body, headers=headers) as response:
        return response.status, await response.text()


async def get(url: str, **options: Any) -> str:
    """The text of a page."""
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        return await response.text()


def parent(worker: FakeWorker) -> tuple[str, str, bool]:
    """Trace id, parent span id and sampled flag of the worker's last request."""
    _, trace, span, flags = worker.headers[-1]["traceparent"].split("-")
    return trace, span, bool(int(flags, 16) & 1)


def by_name(spans: list[ReceivedSpan]) -> dict[str, list[ReceivedSpan]]:
    """Spans by their names."""
    return {name: [span for span in spans if span.name == name] for name in {span.name for span in spans}}


def tree(spans: list[ReceivedSpan]) -> set[tuple[str, str]]:
    """Each span's name and its parent's."""
    names = {span.span_id: span.name for span in spans}
    return {(span.name, names.get(span.parent, "")) for span in spans}


async def test_a_trace_has_a_span_for_each_stage(traced: Settings, worker: FakeWorker, collected: Collector) -> None:
    """A question about an image is one trace with a span for each stage, within the time of the request's span."""
    async with gateway(traced) as url:
        assert (await post(url, chat(DATA_URL), {"X-Request-Id": "asked-1"}))[0] == 200
    spans = [span for span in collected.spans if span.attributes.get("http.route") == CHAT]
    (request,) = spans
    trace = [span for span in collected.spans if span.trace_id == request.trace_id]
    assert {span.name for span in trace} == STAGES - {"render"} | {f"POST {CHAT}"}  # an 8-bit image isn't rendered
    assert {parent for name, parent in tree(trace) if name in STAGES} == {f"POST {CHAT}"}
    assert all(request.started_ns <= span.started_ns <= span.ended_ns <= request.ended_ns for span in trace)
    assert (request.kind, request.parent) == (2, "")
    assert request.service["service.name"] == "sarlens"
    expected = {"http.response.status_code": 200, "sarlens.request_id": "asked-1", "gen_ai.request.model": MODEL}
    expected |= {"gen_ai.usage.input_tokens": 70, "gen_ai.usage.output_tokens": 4, "http.request.method": "POST"}
    assert expected.items() <= request.attributes.items()
    (attempt,) = by_name(trace)["worker"]
    assert attempt.kind == 3
    sent = {
        "server.address": "127.0.0.1",
        "server.port": int(worker.url.rsplit(":", 1)[1]),
        "url.full": worker.url + CHAT,
    }
    sent |= {"http.request.method": "POST", "gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL}
    assert sent.items() <= attempt.attributes.items()
    assert attempt.events == []
    assert parent(worker) == (request.trace_id, attempt.span_id, True)


async def test_ranges_of_s3_are_fetched_while_decoding(
    traced: Settings, collected: Collector, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each range that the gateway reads from S3 is a fetch span below the decode span."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.client().put_object(Bucket="scenes", Key="traced.tif", Body=geotiff(sea(1500, 1100, np.array([(100, 100)]))))
    settings = traced.model_copy(update={"s3": S3Settings(endpoint=s3.endpoint)})
    async with gateway(settings) as url:
        assert (await post(url, chat("s3://scenes/traced.tif")))[0] == 200
    assert {("fetch", f"POST {CHAT}"), ("fetch", "decode"), ("render", f"POST {CHAT}")} <= tree(collected.spans)
    opened = next(span for span in by_name(collected.spans)["fetch"] if "sarlens.image" in span.attributes)
    assert opened.attributes["sarlens.image"] == "s3://scenes/traced.tif"


async def test_spans_belong_to_the_callers_trace(traced: Settings, worker: FakeWorker, collected: Collector) -> None:
    """The gateway's spans belong to the caller's trace, and the worker gets the gateway's own span as its parent."""
    async with gateway(traced) as url:
        await post(url, chat(), SAMPLED)
    names = by_name(collected.spans)
    (request,), (attempt,) = names[f"POST {CHAT}"], names["worker"]
    assert (request.trace_id, request.parent) == (TRACE, "b7ad6b7169203331")
    assert parent(worker) == (TRACE, attempt.span_id, True)
    assert worker.headers[-1]["tracestate"] == SAMPLED["tracestate"]


async def test_a_callers_decision_to_sample_is_honoured(worker: FakeWorker, collected: Collector) -> None:
    """The caller's decision to sample counts more than the ratio, and reaches the worker."""
    for ratio in (0.0, 1.0):
        settings = Settings(
            worker=WorkerSettings(urls=(worker.url,)),
            tracing=TracingSettings(endpoint=collected.url, sample_ratio=ratio),
        )
        async with gateway(settings) as url:
            await post(url, chat(), UNSAMPLED)
            trace, _, sampled = parent(worker)
            assert (trace, sampled) == (TRACE, False)
            await post(url, chat(), SAMPLED)
            if ratio == 0.0:
                await post(url, chat())
                assert not parent(worker)[2]
        roots = by_name(collected.spans)[f"POST {CHAT}"]
        assert [span.trace_id for span in roots] == [TRACE] * (1 if ratio == 0.0 else 2)


async def test_grpc_metadata_carries_a_trace(worker: FakeWorker, collected: Collector) -> None:
    """A gRPC call continues the trace of its metadata, with the attributes of OpenTelemetry's RPC conventions."""
    port = free_port()
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        grpc=GrpcSettings(port=port),
        tracing=TracingSettings(endpoint=collected.url, sample_ratio=0.0),
    )
    async with gateway(settings), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = pb.CaptionRequest(image=pb.Image(url=DATA_URL), model=MODEL)
        await sar_pb2_grpc.SarStub(channel).Caption(request, metadata=tuple(SAMPLED.items()))
    names = by_name(collected.spans)
    (called,) = names["sarlens.v1.Sar/Caption"]
    assert (called.trace_id, called.kind) == (TRACE, 2)
    expected = {"rpc.system.name": "grpc", "rpc.method": "sarlens.v1.Sar/Caption", "rpc.response.status_code": "OK"}
    assert expected.items() <= called.attributes.items()
    assert {span.trace_id for span in collected.spans} == {TRACE}
    assert parent(worker) == (TRACE, names["worker"][0].span_id, True)


async def test_each_attempt_is_a_span(traced: Settings, worker: FakeWorker, collected: Collector) -> None:
    """Attempts on a reused and on a new connection have failed spans, and the request names the error by its code."""
    worker.resets = True
    async with gateway(traced) as url:
        assert (await post(url, chat()))[0] == 502
    names = by_name(collected.spans)
    assert [span.attributes["error.type"] for span in names["worker"]] == ["worker_failed"] * 2
    (request,) = names[f"POST {CHAT}"]
    assert request.failed
    assert request.attributes["error.type"] == "worker_failed"


async def test_a_clients_error_is_not_a_failed_span(traced: Settings, collected: Collector) -> None:
    """A client error has its error type in the span, and doesn't mark the span as failed."""
    async with gateway(traced) as url:
        assert (await post(url, chat("s4://nowhere")))[0] == 400
    (request,) = by_name(collected.spans)[f"POST {CHAT}"]
    assert request.attributes["error.type"] == "source_refused"
    assert not request.failed


async def test_waiting_in_the_queue_is_a_span(worker: FakeWorker, collected: Collector) -> None:
    """A request that waits in the queue has a span of that duration."""
    worker.pause_s = 0.05
    settings = Settings(
        worker=WorkerSettings(urls=(worker.url,)),
        admission={"max_requests_per_worker": 1},
        tracing=TracingSettings(endpoint=collected.url, sample_ratio=1.0),
    )
    async with gateway(settings) as url:
        await asyncio.gather(post(url, chat()), post(url, chat()))
    (waited,) = by_name(collected.spans)["admission"]
    assert waited.ended_ns - waited.started_ns > 5e7


async def test_every_tile_of_a_survey_is_a_trace(
    traced: Settings, worker: FakeWorker, collected: Collector, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tile of a survey is a trace with its worker's span, and so is each strip that is rendered together."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    worker.says = lambda _: "2"
    s3.client().put_object(Bucket="scenes", Key="tiles.tif", Body=geotiff(sea(512, 512, np.array([(100, 100)]))))
    settings = traced.model_copy(update={"s3": S3Settings(endpoint=s3.endpoint)})
    body = {"image": "s3://scenes/tiles.tif", "questions": ["How many ships are in the image?"], "tile": 256}
    async with gateway(settings) as url:
        assert (await post(url, body, path="/v1/sar/surveys"))[0] == 200
    names = by_name(collected.spans)
    assert sorted(span.attributes["sarlens.tile"] for span in names["survey tile"]) == [0, 1, 2, 3]
    assert len({span.trace_id for span in names["survey tile"]}) == 4
    assert {("worker", "survey tile"), ("decode", "survey strip"), ("render", "survey strip")} <= tree(collected.spans)


async def test_streams_are_traced_to_their_end(traced: Settings, worker: FakeWorker, collected: Collector) -> None:
    """The spans of a stream last until its last token, and have the usage that the worker states."""
    worker.pause_s = 0.05
    async with gateway(traced) as url:
        await post(url, chat(stream=True, stream_options={"include_usage": True}))
    names = by_name(collected.spans)
    for span in (*names["worker"], *names[f"POST {CHAT}"]):
        assert span.ended_ns - span.started_ns > 2e8
    assert [span.events for span in names["worker"]] == [["gen_ai.first_token"]]
    assert names[f"POST {CHAT}"][0].attributes["gen_ai.usage.output_tokens"] == 4


async def test_latency_histograms_show_the_trace_of_a_sampled_request(traced: Settings, collected: Collector) -> None:
    """In OpenMetrics, buckets of latency histograms have the recorded trace as exemplar; the plain format has none."""
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
        "sarlens_picture_bytes",
        "sarlens_request_duration_seconds",
        "sarlens_request_tokens",
        "sarlens_time_to_first_token_seconds",
        "sarlens_time_per_output_token_seconds",
        "sarlens_stage_duration_seconds",
    }
    assert "trace_id" not in plain


async def test_traces_hold_nothing_that_a_caller_wrote(
    traced: Settings, worker: FakeWorker, collected: Collector
) -> None:
    """The collector gets no prompt, API key, query of a URL or answer of a model."""
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
    """A server that accepts connections and never responds."""
    server = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_requests_do_not_wait_for_the_collector(worker: FakeWorker) -> None:
    """A collector that hangs delays no request, and delays the shutdown by less than 6 s."""
    loop = asyncio.get_running_loop()
    async with _silent() as endpoint:
        settings = Settings(
            worker=WorkerSettings(urls=(worker.url,)), tracing=TracingSettings(endpoint=endpoint, sample_ratio=1.0)
        )
        async with gateway(settings) as url:
            started_at = loop.time()
            for _ in range(20):
                assert (await post(url, chat()))[0] == 200
            assert loop.time() - started_at < 2
            ending = loop.time()
        assert loop.time() - ending < 6


async def test_vllm_continues_the_trace(collected: Collector, vllm_url: str, vllm_spans: Collector) -> None:
    """A real vLLM worker that traces has its span below the gateway's, in the caller's trace."""
    settings = Settings(
        worker=WorkerSettings(urls=(vllm_url,)), tracing=TracingSettings(endpoint=collected.url, sample_ratio=0.0)
    )
    async with gateway(settings) as url:
        status, text = await post(url, chat(DATA_URL, max_tokens=8), SAMPLED)
        assert status == 200, text
    vllm_spans.wait(lambda spans: any(span.trace_id == TRACE for span in spans))
    workers_spans = [span for span in vllm_spans.spans if span.trace_id == TRACE]
    assert {span.service["service.name"] for span in workers_spans} == {"vllm"}
    (attempt,) = by_name(collected.spans)["worker"]
    assert attempt.span_id in {span.parent for span in workers_spans}

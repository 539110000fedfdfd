"""Spans, their context and the W3C headers, without a collector."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, StatusCode

from sarlens.errors import WorkerFailed
from sarlens.observability import tracing
from support.pictures import DATA_URL
from support.workers.fake_worker import MODEL, FakeWorker

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many ships?"}]}
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "congo=t61rcWkgMzE,rojo=1"}


@pytest.fixture
def recorder() -> InMemorySpanExporter:
    """Holds the spans that ended."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(recorder: InMemorySpanExporter) -> tracing.Tracer:
    """Records every trace."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(recorder))
    return provider.get_tracer("test")


def by_name(recorder: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """The spans that ended."""
    return {span.name: span for span in recorder.get_finished_spans()}


def test_a_context_is_forwarded_unchanged() -> None:
    """traceparent and tracestate of the caller come out as they went in while tracing is off."""
    with tracing.start_trace(tracing.NoOpTracer(), "request", tracing.extract(HEADERS)):
        child = tracing.start_span("worker")
        assert tracing.propagation_headers(child) == HEADERS
        assert tracing.current_ids() == {}


def test_without_a_context_there_is_no_header() -> None:
    """Outside a trace nothing is added to a request, and a span is the API's invalid one."""
    with tracing.start_trace(tracing.NoOpTracer(), "request") as span:
        assert span is INVALID_SPAN
        assert tracing.start_span("worker") is INVALID_SPAN
        assert tracing.propagation_headers(span) == {}


@given(st.text(max_size=80), st.text(max_size=600))
def test_any_header_is_a_context_or_none(traceparent: str, tracestate: str) -> None:
    """Any headers are either parsed to one valid context or dropped completely."""
    context = tracing.extract({"traceparent": traceparent, "tracestate": tracestate})
    with tracing.start_trace(tracing.NoOpTracer(), "request", context) as span:
        assert tracing.propagation_headers(span).keys() <= {"traceparent", "tracestate"}


@pytest.mark.parametrize("tracestate", ["secret,x", "a=" + "secret" * 100])
def test_a_malformed_tracestate_is_dropped_in_silence(tracestate: str, caplog: pytest.LogCaptureFixture) -> None:
    """The trace continues without its state, and no log line contains the caller's value."""
    with tracing.start_trace(
        tracing.NoOpTracer(), "request", tracing.extract({**HEADERS, "tracestate": tracestate})
    ) as span:
        assert tracing.propagation_headers(span) == {"traceparent": HEADERS["traceparent"]}
    assert caplog.records == []


def test_spans_are_below_the_current_one(tracer: tracing.Tracer, recorder: InMemorySpanExporter) -> None:
    """Each span's parent is the span that was current when it began; the first one's is the caller's."""
    with tracing.start_trace(tracer, "request", tracing.extract(HEADERS), tracing.SpanKind.SERVER):
        with tracing.span("decode"):
            tracing.start_span("fetch").end()
        worker = tracing.start_span("worker", kind=tracing.SpanKind.CLIENT)
        headers = tracing.propagation_headers(worker)
        worker.end()
    spans = by_name(recorder)
    ids = {name: span.context.span_id for name, span in spans.items() if span.context}
    parents = {name: span.parent.span_id for name, span in spans.items() if span.parent}
    assert parents == {
        "request": int(PARENT, 16),
        "decode": ids["request"],
        "fetch": ids["decode"],
        "worker": ids["request"],
    }
    assert headers == {"traceparent": f"00-{TRACE}-{ids['worker']:016x}-01", "tracestate": HEADERS["tracestate"]}
    assert (spans["request"].kind, spans["worker"].kind) == (tracing.SpanKind.SERVER, tracing.SpanKind.CLIENT)


def test_a_span_may_begin_in_the_past(
    tracer: tracing.Tracer, recorder: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start in seconds of perf_counter becomes the same moment in nanoseconds since 1970."""
    monkeypatch.setattr(tracing, "perf_counter", lambda: 12.5)
    monkeypatch.setattr(tracing, "time_ns", lambda: 1_000_000_000_000)
    with tracing.start_trace(tracer, "request"):
        tracing.start_span("queue", started_at=12.0).end()
    assert by_name(recorder)["queue"].start_time == 999_500_000_000


@pytest.mark.parametrize(
    ("error", "type_name"), [(WorkerFailed("secret"), "worker_failed"), (ValueError("secret"), "ValueError")]
)
def test_a_failed_span_names_the_type_of_its_error(
    tracer: tracing.Tracer, recorder: InMemorySpanExporter, error: Exception, type_name: str
) -> None:
    """An exception marks its span as failed by code or type; the message isn't recorded."""
    with pytest.raises(type(error)), tracing.start_trace(tracer, "request"), tracing.span("decode"):
        raise error
    for span in recorder.get_finished_spans():
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes == {"error.type": type_name}
        assert "secret" not in span.to_json()


def test_ids_are_those_of_a_recorded_span(tracer: tracing.Tracer) -> None:
    """Log lines and exemplars get the ids of the current span, in hexadecimal of 32 and 16 digits."""
    with tracing.start_trace(tracer, "request", tracing.extract(HEADERS)) as span:
        assert tracing.current_ids() == {"trace_id": TRACE, "span_id": f"{span.get_span_context().span_id:016x}"}
    assert tracing.current_ids() == {}


async def test_a_scope_may_end_in_another_task(tracer: tracing.Tracer, caplog: pytest.LogCaptureFixture) -> None:
    """A generator that another task closes ends its span and leaves that task's own span current."""

    async def stages() -> AsyncIterator[None]:
        with tracing.span("decode"):
            yield

    with tracing.start_trace(tracer, "request") as request:
        generator = stages()
        await asyncio.create_task(anext(generator), context=contextvars.copy_context())  # type: ignore[arg-type]
        await generator.aclose()  # type: ignore[attr-defined]
        assert tracing.current_ids()["span_id"] == f"{request.get_span_context().span_id:016x}"
    assert caplog.records == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/sar/captions"])
async def test_each_request_has_its_own_context(url: str, worker: FakeWorker, path: str) -> None:
    """A request without a trace on a kept connection does not inherit the trace of the request before it."""
    async with aiohttp.ClientSession() as session:
        body = {"model": MODEL, "image": DATA_URL} if "captions" in path else CHAT
        for headers in (HEADERS, {}):
            async with session.post(url + path, json=body, headers=headers) as response:
                assert response.status == 200
    first, second = (dict(sent) for sent in worker.headers)
    assert HEADERS.items() <= first.items()
    assert not HEADERS.keys() & second.keys()


@pytest.mark.parametrize(
    "context",
    ["", "00-" + "0" * 32 + "-b7ad6b7169203331-01", f"ff-{TRACE}-b7ad6b7169203331-01", "x" * 8000, "00-1-2-3"],
)
async def test_a_malformed_context_is_dropped(url: str, worker: FakeWorker, context: str) -> None:
    """An invalid trace context isn't propagated, and the request gets an answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=CHAT, headers={**HEADERS, "traceparent": context}) as response,
    ):
        assert response.status == 200
    assert not {"traceparent", "tracestate"} & set(worker.headers[-1])


async def test_a_trace_that_is_not_recorded_leaves_no_exemplar(url: str) -> None:
    """A request whose trace is recorded elsewhere has no exemplar in the gateway's metrics."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/v1/chat/completions", json=CHAT, headers=HEADERS) as response:
            assert response.status == 200
        async with session.get(f"{url}/metrics", headers={"Accept": "application/openmetrics-text"}) as response:
            page = await response.text()
    assert "sarlens_request_duration_seconds_bucket" in page
    assert "trace_id" not in page

"""Spans that are recorded: made by OpenTelemetry's SDK, sent to a collector by OTLP over HTTP.

It is imported where tracing is on, and not before: the SDK takes its time to load.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter, time_ns
from types import TracebackType

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import sarlens
from sarlens.errors import SarlensError
from sarlens.tracing import Attributes, Headers, Passing, Place, Span, incoming

log = structlog.get_logger(__name__)

_FLUSH_S = 3.0
"""How long the end of a process may wait for a collector."""


class Recorded(Place):
    """A span of the SDK."""

    __slots__ = ("_span", "_tracer")
    recording = True

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def headers(self) -> Mapping[str, str]:
        """What carries the trace on."""
        return _headers(self._span)

    @property
    def ids(self) -> dict[str, str]:
        """``trace_id`` and ``span_id`` in hexadecimal."""
        context = self._span.get_span_context()
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}

    def child(self, name: str, *, begun: float | None = None, asks: bool = False) -> Span:
        """A span below this one."""
        start = None if begun is None else time_ns() - int((perf_counter() - begun) * 1e9)
        kind = SpanKind.CLIENT if asks else SpanKind.INTERNAL
        parent = trace.set_span_in_context(self._span, Context())
        return Recorded(self._tracer, self._tracer.start_span(name, parent, kind, start_time=start))

    def rename(self, name: str) -> None:
        """Give it its name."""
        self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        """Say more about it."""
        self._span.set_attributes(attributes)

    def fail(self, error: BaseException) -> None:
        """Say that it failed, and of what kind of error."""
        self._span.set_status(StatusCode.ERROR)
        self._span.set_attribute("error.type", error.code if isinstance(error, SarlensError) else type(error).__name__)

    def end(self) -> None:
        """It is over."""
        self._span.end()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if error is not None:
            self.fail(error)
        self.end()


class SampledTracer:
    """Records the traces that a caller has sampled, and a share of those that begin here."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._extract = TraceContextTextMapPropagator().extract

    def begin(self, name: str, headers: Headers = (), *, serves: bool = False) -> Span:
        """The first span here; where it is not recorded, workers are told so and record nothing either."""
        parent = self._extract(incoming(headers), Context())
        kind = SpanKind.SERVER if serves else SpanKind.INTERNAL
        span = self._tracer.start_span(name, parent, kind)
        return Recorded(self._tracer, span) if span.is_recording() else Passing(_headers(span))


def _headers(span: trace.Span) -> Mapping[str, str]:
    context = span.get_span_context()
    found = {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    if context.trace_state:
        found["tracestate"] = context.trace_state.to_header()
    return found


class _Told(SpanExporter):
    """Tells once that spans do not arrive, and once that they do again, instead of at every try."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._arriving = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans. Blocks."""
        result = self._exporter.export(spans)
        if self._arriving != (arriving := result is SpanExportResult.SUCCESS):
            self._arriving = arriving
            if arriving:
                log.info("traces arrive again", endpoint=self._endpoint)
            else:
                log.warning("traces do not arrive at their collector", endpoint=self._endpoint)
        return result

    def shutdown(self) -> None:
        """Break off."""
        self._exporter.shutdown()


@asynccontextmanager
async def open_tracer(endpoint: str, share: float) -> AsyncIterator[SampledTracer]:
    """A tracer before the collector at an OTLP/HTTP base URL such as ``http://collector:4318``.

    Nobody ever waits for the collector: spans wait in a bounded queue for a thread that sends them, and are dropped
    when there are too many. ``share`` of the traces that begin here are sampled, from 0 to 1. What OpenTelemetry reads
    from the environment by itself holds too: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS.
    """
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    exporter = _Told(OTLPSpanExporter(f"{endpoint}/v1/traces"), endpoint)
    known = {"service.name": "sarlens", "service.version": sarlens.__version__}
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(share),
        resource=Resource.create(known).merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    # Nothing to send, so that a collector which is not there is known before the first request.
    threading.Thread(target=exporter.export, args=((),), name="otlp", daemon=True).start()
    try:
        yield SampledTracer(provider.get_tracer("sarlens", sarlens.__version__))
    finally:
        ending = threading.Thread(target=provider.shutdown, name="otlp", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, _FLUSH_S)

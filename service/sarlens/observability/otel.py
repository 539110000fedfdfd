"""Recording of traces by the OpenTelemetry SDK, with export by OTLP over HTTP.

Only ``bootstrap`` imports this module, and only if tracing is on: the SDK is slow to import.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Tracer

import sarlens

log = structlog.get_logger(__name__)

_FLUSH_S = 3.0
"""Maximum time that shutdown waits for the collector."""


class ExportStatusLogger(SpanExporter):
    """Logs one line when the collector stops accepting spans and one when it accepts them again."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._arriving = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans to the collector. Blocks."""
        result = self._exporter.export(spans)
        if self._arriving != (arriving := result is SpanExportResult.SUCCESS):
            self._arriving = arriving
            if arriving:
                log.info("trace collector accepts spans again", endpoint=self._endpoint)
            else:
                log.warning("trace collector does not accept spans", endpoint=self._endpoint)
        return result

    def shutdown(self) -> None:
        """Stop sending."""
        self._exporter.shutdown()


@asynccontextmanager
async def open_tracer(endpoint: str, sample_ratio: float) -> AsyncIterator[Tracer]:
    """A tracer that exports to a collector at an OTLP/HTTP base URL such as ``http://collector:4318``.

    Requests never wait for the collector: a thread sends spans from a bounded queue, and a full queue drops spans. A
    trace that begins here is sampled with probability ``sample_ratio``; for other traces the caller's decision holds.
    OpenTelemetry's own variables apply: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS.
    """
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    exporter = ExportStatusLogger(OTLPSpanExporter(f"{endpoint}/v1/traces"), endpoint)
    service = {"service.name": "sarlens", "service.version": sarlens.__version__}
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(sample_ratio),
        resource=Resource.create(service).merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    # An empty export reports an unreachable collector before the first request.
    threading.Thread(target=exporter.export, args=((),), name="otlp", daemon=True).start()
    try:
        yield provider.get_tracer("sarlens", sarlens.__version__)
    finally:
        shutdown = threading.Thread(target=provider.shutdown, name="otlp", daemon=True)
        shutdown.start()
        await asyncio.to_thread(shutdown.join, _FLUSH_S)

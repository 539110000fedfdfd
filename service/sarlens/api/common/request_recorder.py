"""Telemetry of each request: metrics, access log and the request's span."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType

import structlog

from sarlens.api.common.request_context import RequestHeaders
from sarlens.errors import SarlensError
from sarlens.observability import tracing
from sarlens.observability.caller import bind_key, current_key
from sarlens.observability.logging import AccessLog, AccessRecord, bind_access_record, record_error
from sarlens.observability.metrics import Metrics, outcome_of
from sarlens.observability.refusal_log import RefusalLog
from sarlens.observability.route_receipt import RouteReceipt, bind_route_receipt
from sarlens.observability.tracing import Attributes, NoOpTracer, SpanKind, Tracer

log = structlog.get_logger(__name__)

_UNTRACED = NoOpTracer()


class RequestRecorder:
    """Records requests of every protocol."""

    def __init__(self, metrics: Metrics, access_log: AccessLog, tracer: Tracer) -> None:
        self.metrics = metrics
        self.access_log = access_log
        self.tracer = tracer
        self.refusal_log = RefusalLog()

    def record(self, headers: RequestHeaders, *, traced: bool = True) -> RequestRecord:
        """The record of a request, which is written when its ``with`` block ends.

        ``traced`` is false for health checks and pages, which have no span and whose errors aren't logged.
        """
        return RequestRecord(self, headers, traced=traced)


class RequestRecord:
    """One request in progress.

    Set ``route``, ``status`` and ``attributes`` before the block ends; a request without a status isn't counted.
    ``effective_status`` is the HTTP status of the outcome, which differs from ``status`` in other protocols and if a
    stream fails after its status was sent. ``attributes`` go into the span.
    """

    __slots__ = (
        "_access_record",
        "_receipt",
        "_recorder",
        "_refusal",
        "_scope",
        "_span",
        "_started_at",
        "_traced",
        "_wants_route",
        "attributes",
        "effective_status",
        "request_id",
        "route",
        "status",
    )

    def __init__(self, recorder: RequestRecorder, headers: RequestHeaders, *, traced: bool) -> None:
        self.request_id = headers.request_id
        self.route = "other"
        self.status: int | str = 0
        self.effective_status = 0
        self.attributes: Attributes = {}
        self._recorder = recorder
        self._traced = traced
        tracer = recorder.tracer if traced else _UNTRACED
        self._scope = tracing.start_trace(tracer, "request", headers.trace, SpanKind.SERVER)
        self._access_record: AccessRecord | None = None
        self._wants_route = headers.wants_route
        self._receipt: RouteReceipt | None = None
        self._refusal: type[SarlensError] | None = None
        self._started_at = 0.0

    def set_error(self, error: SarlensError) -> None:
        """Count an error that the client receives; the gateway's own are logged and mark the span as failed."""
        self.effective_status = error.status
        self._recorder.metrics.errors.labels(error.code).inc()
        record_error(error.code)
        if error.status >= 500 and self._traced:
            tracing.record_error(self._span, error)
            log.warning("request failed", request_id=self.request_id, code=error.code, reason=error.message)
        elif error.status < 500:
            # The error itself would keep its frames, and thereby the request's body, in a cycle with this record.
            self._refusal = type(error)

    def take_route_field(self) -> str:
        """Return the route receipt so far, once, as a dictionary of RFC 9651.

        It is empty if the client didn't request it, or the request had no route yet.
        """
        if not self._wants_route or self._receipt is None:
            return ""
        route = self._receipt.to_structured_field()
        self._wants_route = not route
        return route

    def __enter__(self) -> RequestRecord:
        if current_key():
            bind_key("")
        self._started_at = perf_counter()
        self._span = self._scope.__enter__()
        if self._span.is_recording() or self._recorder.access_log.sample_ratio is not None:
            self._access_record = AccessRecord()
        bind_access_record(self._access_record)
        if self._wants_route or self._access_record is not None:
            self._receipt = RouteReceipt()
            bind_route_receipt(self._receipt)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._write()
        finally:
            self._scope.__exit__(exc_type, error, traceback)
            if self._receipt is not None:
                bind_route_receipt(None)

    def _write(self) -> None:
        duration_s, metrics = perf_counter() - self._started_at, self._recorder.metrics
        if self.status:
            outcome = outcome_of(self.effective_status)
            metrics.requests.labels(self.route, str(self.status), outcome).inc()
            metrics.latency.labels(self.route, outcome).observe(duration_s)
        if self._refusal is not None and self._recorder.access_log.sample_ratio is None:
            self._log_refusal(self._refusal)
        if self._access_record is None:
            return
        route = {} if self._receipt is None else self._receipt.to_log_fields()
        self._recorder.access_log.write(
            self._access_record,
            **route,
            failed=self.effective_status >= 400 or not self.status,
            request_id=self.request_id,
            route=self.route,
            status=self.status,
            duration_s=round(duration_s, 6),
        )
        if self._span.is_recording():
            method = self.attributes.get("http.request.method", "")
            self._span.update_name(f"{method} {self.route}".strip().removeprefix("/"))
            attributes = {**self.attributes, **_span_attributes(self._access_record)}
            attributes |= {} if self._receipt is None else self._receipt.to_attributes()
            self._span.set_attributes({**attributes, "sarlens.request_id": self.request_id})

    def _log_refusal(self, error_cls: type[SarlensError]) -> None:
        self._recorder.refusal_log.write(
            error_cls,
            status=self.status,
            code=error_cls.code,
            route=self.route,
            key=current_key(),
            request_id=self.request_id,
        )


def _span_attributes(record: AccessRecord) -> dict[str, str | int]:
    """Attributes of a request's span, by OpenTelemetry's semantic conventions."""
    attributes = {
        "gen_ai.request.model": record.model,
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "error.type": record.code,
        "sarlens.key": current_key(),
    }
    return {name: value for name, value in attributes.items() if value}

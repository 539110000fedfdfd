"""Distributed tracing by the OpenTelemetry API, with W3C trace context in and out.

The current span is in OpenTelemetry's context, so a stage opens a span without access to a tracer. While tracing is
off, each span is a ``NonRecordingSpan`` that carries the caller's trace context to the worker. The SDK is in ``otel``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter, time_ns
from types import TracebackType
from typing import cast

from opentelemetry.context import Context, attach, create_key, get_current, get_value, set_value
from opentelemetry.trace import (
    INVALID_SPAN,
    NoOpTracer,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sarlens.errors import SarlensError

__all__ = ["INVALID_SPAN", "ROOT", "Context", "NoOpTracer", "Span", "SpanKind", "Tracer"]

Attributes = Mapping[str, str | int | float | bool]

ROOT = Context()
"""The context without a trace."""

_NO_TRACE = nullcontext(INVALID_SPAN)
_TRACER = create_key("sarlens-tracer")
_PROPAGATOR = TraceContextTextMapPropagator()
# The parser of tracestate logs the members that it drops, which are the caller's own text.
logging.getLogger("opentelemetry.trace").setLevel(logging.CRITICAL)


def extract(headers: Mapping[str, str | list[str]]) -> Context:
    """The trace context of ``traceparent`` and ``tracestate``; ``ROOT`` if they are malformed or absent."""
    return _PROPAGATOR.extract(headers, ROOT)


def propagation_headers(span: Span) -> dict[str, str]:
    """The W3C headers that make ``span`` the parent of the receiver's spans; none outside a trace."""
    headers: dict[str, str] = {}
    if span.get_span_context().is_valid:
        _PROPAGATOR.inject(headers, set_span_in_context(span, ROOT))
    return headers


def current_ids() -> dict[str, str]:
    """``trace_id`` and ``span_id`` of the current span in hexadecimal; none if the span isn't recorded."""
    context = get_current()
    if not context or not (current := get_current_span(context)).is_recording():
        return {}
    ids = current.get_span_context()
    return {"trace_id": format_trace_id(ids.trace_id), "span_id": format_span_id(ids.span_id)}


class SpanScope:
    """Makes a span the current one within a ``with`` block, and ends the span.

    It differs from ``opentelemetry.trace.use_span`` in two ways. An exception is recorded by its type, since a message
    may quote the caller. The block may end in another ``contextvars`` context than it began in, which happens if
    another task closes an asynchronous generator.
    """

    __slots__ = ("_context", "_previous", "_span")

    def __init__(self, span: Span, context: Context) -> None:
        self._span = span
        self._context = context

    def __enter__(self) -> Span:
        self._previous = get_current()
        attach(self._context)
        return self._span

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        attach(self._previous)
        if error is not None:
            record_error(self._span, error)
        self._span.end()


def start_trace(
    tracer: Tracer, name: str, parent: Context = ROOT, kind: SpanKind = SpanKind.INTERNAL
) -> AbstractContextManager[Span]:
    """The first span of a unit of work in this process. Spans below it come from the same tracer."""
    if parent is ROOT and type(tracer) is NoOpTracer and not get_current():
        return _NO_TRACE
    span = tracer.start_span(name, parent, kind, record_exception=False, set_status_on_exception=False)
    if not span.get_span_context().is_valid:
        return SpanScope(span, ROOT)
    context = set_span_in_context(span, ROOT)
    return SpanScope(span, set_value(_TRACER, tracer, context) if span.is_recording() else context)


def start_span(name: str, *, started_at: float | None = None, kind: SpanKind = SpanKind.INTERNAL) -> Span:
    """A child of the current span, which you must end. If the current span isn't recorded, it is returned itself.

    ``started_at`` is the start in seconds of ``perf_counter``; the default is now.
    """
    context = get_current()
    if not context:
        return INVALID_SPAN
    parent = get_current_span(context)
    if not parent.is_recording():
        return parent
    start_ns = None if started_at is None else time_ns() - int((perf_counter() - started_at) * 1e9)
    tracer = cast("Tracer", get_value(_TRACER))
    return tracer.start_span(
        name, context, kind, start_time=start_ns, record_exception=False, set_status_on_exception=False
    )


def span(name: str) -> AbstractContextManager[Span]:
    """A child of the current span, current within a ``with`` block."""
    child = start_span(name)
    return SpanScope(child, set_span_in_context(child)) if child.is_recording() else nullcontext(child)


def record_error(span: Span, error: BaseException) -> None:
    """Mark a span as failed, with the code or the type of the error and without its message."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", error.code if isinstance(error, SarlensError) else type(error).__name__)

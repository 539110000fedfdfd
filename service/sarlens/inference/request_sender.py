"""Sends one request to one worker, with the images that the worker doesn't hold, and judges the response."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sarlens.chat.paths import BATCH_PATH, CHAT_PATH, EMBEDDINGS_PATH
from sarlens.inference.worker_request import WorkerRequest
from sarlens.inference.worker_response import JudgedResponse, RejectedResponse, judge
from sarlens.inference.worker_stream import StreamedResponse
from sarlens.json_input import MAX_INLINE_BYTES, run_off_loop
from sarlens.observability import tracing
from sarlens.observability.logging import current_model
from sarlens.observability.metrics import Metrics
from sarlens.observability.tracing import Span, SpanKind
from sarlens.workers.clients.base import WorkerResponse
from sarlens.workers.coalescing import RequestCoalescer
from sarlens.workers.worker import InFlightRequest, Worker


class OpenResponse:
    """A judged response, whose connection and span end when it is closed."""

    __slots__ = ("_response", "_span", "judged")

    def __init__(self, judged: JudgedResponse, response: WorkerResponse, span: Span) -> None:
        self.judged = judged
        self._response = response
        self._span = span

    def close(self) -> None:
        """Close the response; before the end of a stream, this aborts the generation."""
        self._response.close()
        self._span.end()


class RequestSender:
    """Sends requests to workers."""

    def __init__(self, coalescer: RequestCoalescer, metrics: Metrics) -> None:
        self._coalescer = coalescer
        self._sent_as_id, self._sent_as_data, self._cache_misses = map(
            metrics.images_sent.labels, ("id", "data", "missed")
        )
        self._retries = metrics.retries

    def send(
        self, worker: Worker, request: WorkerRequest, in_flight: InFlightRequest
    ) -> Coroutine[Any, Any, OpenResponse]:
        """Send the request; if another request is sending its images to this worker, wait for that one first.

        Raises:
            WorkerFailed, Timeout: the worker failed before its first byte, or sent no valid response.
            SarlensError: an image can't be read or rendered.
        """
        if request.image_ids and worker.client.supports_image_ids:
            return self._send_after_leader(worker, request, in_flight)
        return self._send_and_resend(worker, request, in_flight)

    async def _send_after_leader(
        self, worker: Worker, request: WorkerRequest, in_flight: InFlightRequest
    ) -> OpenResponse:
        image_ids = request.image_ids
        release = await self._coalescer.wait_for_leader(
            f"{worker.client.url} {'+'.join(image_ids)}", lambda: worker.known_images.has_all(image_ids)
        )
        try:
            return await self._send_and_resend(worker, request, in_flight)
        finally:
            release()

    async def _send_and_resend(
        self, worker: Worker, request: WorkerRequest, in_flight: InFlightRequest
    ) -> OpenResponse:
        """Send the request; if the worker rejects what the gateway adds to it, send it again without.

        A worker may have evicted images that the request names by id, and an old one may not know
        ``stream_options``. A request that isn't idempotent has its images as data, so it's never sent twice.
        """
        hit = not request.image_ids or worker.known_images.has_all(request.image_ids)
        cached_ids = self._cached_ids(worker, request, has_all=hit)
        adds_usage = request.may_add_usage and worker.accepts_usage is not False
        if not request.is_idempotent:
            adds_usage = adds_usage and worker.accepts_usage is True
        while True:
            opened = await self._post(worker, request, in_flight, cached_ids, adds_usage=adds_usage)
            judged = opened.judged
            if not isinstance(judged, RejectedResponse):
                break
            invalid = judged.status in request.invalid_statuses
            if cached_ids and (invalid or judged.in_stream):
                # Send all images, to tell an evicted image from any other error.
                worker.known_images.discard(cached_ids)
                self._cache_misses.inc(len(cached_ids))
                hit, cached_ids = False, frozenset()
                self._retries.labels("cache_miss").inc()
            elif invalid and adds_usage and worker.accepts_usage is None:
                adds_usage = False
                self._retries.labels("stream_options").inc()
            else:
                break
            opened.close()
        if isinstance(judged, StreamedResponse) and request.may_add_usage:
            worker.accepts_usage = judged.adds_usage = adds_usage
        if request.image_ids and not isinstance(judged, RejectedResponse):
            _record_images(worker, request, cached_ids, hit=hit)
        return opened

    @staticmethod
    def _cached_ids(worker: Worker, request: WorkerRequest, *, has_all: bool) -> frozenset[str]:
        if not request.image_ids or not worker.client.supports_image_ids or not request.is_idempotent:
            return frozenset()
        if has_all or len(request.image_ids) == 1:
            return frozenset(request.image_ids if has_all else ())
        return frozenset(image_id for image_id in request.image_ids if image_id in worker.known_images)

    async def _post(
        self,
        worker: Worker,
        request: WorkerRequest,
        in_flight: InFlightRequest,
        cached_ids: frozenset[str],
        *,
        adds_usage: bool,
    ) -> OpenResponse:
        body = request.unchanged_body(adds_usage=adds_usage)
        if body is None:
            body = await request.body(cached_ids, adds_usage=adds_usage)
        request.note_attempt()
        span = _start_span(worker, request)
        response: WorkerResponse | None = None
        in_flight.mark_sent(request.pixels_without(cached_ids) if request.image_ids else 0)
        try:
            response = await worker.client.send(
                request.path, body, request.request_id, tracing.propagation_headers(span), stream=request.is_stream
            )
            span.set_attribute("http.response.status_code", response.status)
            if len(response.first_chunk) <= MAX_INLINE_BYTES:
                judged = judge(response, worker, span, generates=request.generates)
            else:
                read = partial(judge, response, worker, span, generates=request.generates)
                judged = await run_off_loop(len(response.first_chunk), read)
            if isinstance(judged, StreamedResponse):
                span.add_event("gen_ai.first_token")
        except BaseException as error:
            if response is not None:
                response.close()
            tracing.record_error(span, error)
            span.end()
            raise
        if request.image_ids:
            if not isinstance(judged, RejectedResponse):
                in_flight.learn_prefill_cost(stream=request.is_stream)
            sent_as_data = len(request.image_ids) - len(cached_ids)
            self._sent_as_id.inc(request.chats * len(request.image_ids) - sent_as_data)
            self._sent_as_data.inc(sent_as_data)
        return OpenResponse(judged, response, span)


def _record_images(worker: Worker, request: WorkerRequest, cached_ids: frozenset[str], *, hit: bool) -> None:
    bytes_saved = worker.record_response(
        request.image_ids, cached_ids, request.image_bytes, hit=hit, chats=request.chats
    )
    if request.receipt is not None:
        request.receipt.record_images(hit=hit, bytes_saved=bytes_saved)


_OPERATIONS = {CHAT_PATH: "chat", BATCH_PATH: "chat", EMBEDDINGS_PATH: "embeddings"}
"""OpenTelemetry's names of operations by path; other requests continue a text, or have no name."""


def _start_span(worker: Worker, request: WorkerRequest) -> Span:
    """Start the client span of one request to a worker, with OpenTelemetry's HTTP and GenAI attributes."""
    span = tracing.start_span("worker", kind=SpanKind.CLIENT)
    if span.is_recording():
        address = urlsplit(worker.client.url)
        port = address.port or (443 if address.scheme == "https" else 80)
        span.set_attributes({"server.address": address.hostname or "", "server.port": port})
        span.set_attributes({"http.request.method": "POST", "url.full": worker.client.url + request.path})
        operation = _OPERATIONS.get(request.path, "text_completion" if request.generates else request.path.strip("/"))
        span.set_attributes({"gen_ai.operation.name": operation, "gen_ai.provider.name": "vllm"})
        if (model := current_model()) is not None:
            span.set_attribute("gen_ai.request.model", model)
        span.set_attributes({"sarlens.request_id": request.request_id, "sarlens.pictures": len(request.image_ids)})
        span.set_attribute("sarlens.chats", request.chats)
    return span

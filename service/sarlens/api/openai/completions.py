"""The hot path: OpenAI completions and chat completions as bare ASGI.

The gateway reads only the fields that it needs. A request without images is forwarded unchanged, apart from a request
for the usage of its stream, and so is every response, apart from that usage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.admission.deadline import before_deadline
from sarlens.api.common.auth import Authorizer
from sarlens.api.common.disconnect import CancelOnDisconnect, ClientDisconnected
from sarlens.api.common.error_responses import openai_error
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import NOSNIFF, body_writer, read_body, send_json
from sarlens.api.common.usage import UsageMeter
from sarlens.chat.parse import ChatRequest, parse_chat_request
from sarlens.errors import MethodNotAllowed, SarlensError
from sarlens.inference.pipeline import InferencePipeline
from sarlens.inference.worker_error import WorkerReportedError
from sarlens.inference.worker_response import CompleteResponse, JudgedResponse, RejectedResponse
from sarlens.inference.worker_stream import CompletionChunk, StreamedResponse, join_chunks
from sarlens.json_input import MAX_INLINE_BYTES, run_off_loop, text_bytes
from sarlens.observability.logging import record_error
from sarlens.observability.metrics import Metrics

PATHS = frozenset({"/v1/chat/completions", "/v1/completions"})


class Completions:
    """``POST /v1/chat/completions`` and ``POST /v1/completions``."""

    def __init__(
        self,
        inference: InferencePipeline,
        authorizer: Authorizer,
        memory: BodyMemoryBudget,
        metrics: Metrics,
        *,
        max_body_bytes: int,
        max_images: int,
    ) -> None:
        self._inference = inference
        self._authorizer = authorizer
        self._memory = memory
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._max_images = max_images

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        arrived_at = perf_counter()
        context: RequestContext = scope["state"]["context"]
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{scope['path']} supports the method POST only.", allow=("POST",))
        with self._memory.reserve(context.client) as reservation:
            body = await read_body(scope, receive, self._max_body_bytes, reservation)
            parse = partial(
                parse_chat_request,
                scope["path"],
                body,
                context.request_id,
                max_images=self._max_images,
                policy=context.policy,
                allowed_fields=self._authorizer.allowed_fields(context.key),
            )
            is_short = len(body) <= MAX_INLINE_BYTES
            chat_request = parse() if is_short else await run_off_loop(text_bytes(body), parse)
            if chat_request.ignored_fields:
                send = _with_ignored_fields(send, chat_request.ignored_fields)
            if context.key is not None:
                model = await self._inference.resolve_model(chat_request.model, context.policy)
                images = [ref.request for ref in chat_request.images]
                await self._authorizer.authorize(context.key, model, images, chat_request.requests)
            meter = UsageMeter(arrived_at)
            try:
                with CancelOnDisconnect(scope), await self._inference.run(chat_request, meter.on_sent) as response:
                    await self._send(chat_request, response, scope, send, meter)
            except ClientDisconnected:
                meter.expect_sent_prompt(partial(self._inference.estimate_prompt_tokens, chat_request))
                raise
            finally:
                meter.export(self._metrics, self._inference.pool)
                await self._authorizer.record_tokens(context.key, meter.tokens)

    async def _send(
        self, chat_request: ChatRequest, response: JudgedResponse, scope: Scope, send: Send, meter: UsageMeter
    ) -> None:
        match response:
            case StreamedResponse():
                await self._send_stream(chat_request, response, scope, send, meter)
            case CompleteResponse(body, document):
                meter.record(document)
                await send_json(send, 200, body)
            case RejectedResponse(status, error):
                self._metrics.errors.labels("worker_answered_error").inc()
                record_error("worker_answered_error")
                await send_json(send, status, _error_body(error, chat_request.request_id))

    async def _send_stream(
        self, chat_request: ChatRequest, response: StreamedResponse, scope: Scope, send: Send, meter: UsageMeter
    ) -> None:
        meter.expect_prompt(partial(self._inference.estimate_prompt_tokens, chat_request))
        write = body_writer(scope)

        def deliver(chunks: list[CompletionChunk]) -> bool:
            meter.feed(chunks)
            body = join_chunks(chunks, without_usage=response.adds_usage)
            return write(body) if body else True

        def pass_on(events: bytes, tokens: int) -> bool:
            meter.count(tokens)
            return write(events)

        async def forward() -> None:
            while await response.forward(deliver, pass_on):
                await send(_DRAIN)

        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        try:
            await before_deadline(chat_request.policy.deadline, forward())
        except SarlensError as error:
            # The status was sent already, so the client gets the error as an event, as OpenAI's clients expect it.
            if isinstance(error, WorkerReportedError):
                document = _error_body(error.error, chat_request.request_id)
            else:
                document = orjson.dumps(openai_error(error, chat_request.request_id))
            await send({"type": "http.response.body", "body": b"data: " + document + b"\n\n"})
            raise
        await send({"type": "http.response.body", "body": b""})


_DRAIN = {"type": "http.response.body", "body": b"", "more_body": True}
"""Message that waits until the client has read enough of the response."""

_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), NOSNIFF]


def _with_ignored_fields(send: Send, names: Sequence[str]) -> Send:
    """A ``send`` that adds the first fields that the gateway removed from the body to the headers of the response."""
    header = (b"sarlens-ignored-fields", ", ".join(name[:64] for name in names[:16]).encode())

    def send_with_header(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], header]
        return send(message)

    return send_with_header


def _error_body(error: dict[str, Any], request_id: str) -> bytes:
    """A worker's error object with the request id."""
    return orjson.dumps({"error": {**error, "request_id": request_id}})

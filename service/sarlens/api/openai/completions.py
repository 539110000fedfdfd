"""The hot path: OpenAI completions and chat completions as bare ASGI, and other requests under a worker's path.

The gateway reads only the fields that it needs. A request without images is forwarded unchanged, apart from a request
for the usage of its stream, and so is every response, apart from that usage.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Protocol

import orjson
from starlette.types import Receive, Scope, Send

from sarlens.admission.deadline import before_deadline
from sarlens.api.common.chat_runner import ChatRunner, Respond
from sarlens.api.common.error_responses import openai_error
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import NOSNIFF, body_writer, send_json, with_ignored_fields
from sarlens.api.common.usage import UsageMeter
from sarlens.chat.parse import ChatRequest, parse_chat_request
from sarlens.errors import MethodNotAllowed, SarlensError
from sarlens.inference.worker_error import WorkerReportedError
from sarlens.inference.worker_response import CompleteResponse, JudgedResponse, RejectedResponse
from sarlens.inference.worker_stream import CompletionChunk, StreamedResponse, join_chunks
from sarlens.json_input import Document
from sarlens.observability.logging import record_error
from sarlens.types.caller import CallerPolicy


class ParseBody(Protocol):
    """A function that parses a body, with the arguments of ``parse_chat_request``."""

    def __call__(
        self,
        path: str,
        body: Document,
        request_id: str,
        *,
        max_images: int,
        policy: CallerPolicy,
        allowed_fields: Collection[str],
    ) -> ChatRequest:
        """Return the request."""


class Completions:
    """Forwards requests to a worker under the same path: chat and text completions, and others without streams."""

    def __init__(self, runner: ChatRunner, parse: ParseBody = parse_chat_request) -> None:
        """``parse`` parses a body as ``parse_chat_request`` does."""
        self._runner = runner
        self._parse_body = parse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{scope['path']} supports the method POST only.", allow=("POST",))
        await self._runner.run(scope, receive, partial(self._parse, scope, send))

    def _parse(self, scope: Scope, send: Send, body: Document) -> tuple[ChatRequest, Respond]:
        context: RequestContext = scope["state"]["context"]
        chat_request = self._parse_body(
            scope["path"],
            body,
            context.request_id,
            max_images=self._runner.max_images,
            policy=context.policy,
            allowed_fields=self._runner.authorizer.allowed_fields(context.key),
        )
        if chat_request.ignored_fields:
            send = with_ignored_fields(send, chat_request.ignored_fields)
        return chat_request, partial(self._send, chat_request, scope, send)

    async def _send(
        self, chat_request: ChatRequest, scope: Scope, send: Send, response: JudgedResponse, meter: UsageMeter
    ) -> None:
        match response:
            case StreamedResponse():
                await self._send_stream(chat_request, response, scope, send, meter)
            case CompleteResponse(body, document):
                meter.record(document)
                await send_json(send, 200, body)
            case RejectedResponse():
                self._runner.metrics.errors.labels("worker_answered_error").inc()
                record_error("worker_answered_error")
                await send_json(send, response.status, orjson.dumps({"error": response.error_for(chat_request)}))

    async def _send_stream(
        self, chat_request: ChatRequest, response: StreamedResponse, scope: Scope, send: Send, meter: UsageMeter
    ) -> None:
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
                document = {"error": {**error.error, "request_id": chat_request.request_id}}
            else:
                document = openai_error(error, chat_request.request_id)
            await send({"type": "http.response.body", "body": b"data: " + orjson.dumps(document) + b"\n\n"})
            raise
        await send({"type": "http.response.body", "body": b""})


_DRAIN = {"type": "http.response.body", "body": b"", "more_body": True}
"""Message that waits until the client has read enough of the response."""

_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), NOSNIFF]

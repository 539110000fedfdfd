"""Chat completions in the words of another protocol, such as the Responses API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sarlens.admission.body_memory import MemoryReservation
from sarlens.admission.deadline import before_deadline
from sarlens.api.common.chat_runner import ChatRunner, Respond
from sarlens.api.common.error_responses import error_body, openai_error
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import NOSNIFF, body_writer, send_json, with_ignored_fields
from sarlens.api.common.usage import UsageMeter
from sarlens.chat.parse import ChatRequest, chat_request_of
from sarlens.chat.paths import CHAT_PATH
from sarlens.errors import SarlensError, WorkerFailed
from sarlens.inference.worker_error import WorkerReportedError
from sarlens.inference.worker_response import CompleteResponse, JudgedResponse, RejectedResponse
from sarlens.inference.worker_stream import CompletionChunk, StreamedResponse
from sarlens.json_input import Document
from sarlens.observability.logging import record_error


class StreamTranslator(Protocol):
    """Translates the chunks of one streamed chat completion to events."""

    def feed(self, chunk: Mapping[str, Any]) -> bytes:
        """Return the events of a chunk."""

    def end(self) -> bytes:
        """Return the events after the last chunk."""

    def fail(self, error: Mapping[str, Any]) -> bytes:
        """Return the events of a stream that fails, from an OpenAI error object."""


async def _do_nothing() -> None:
    pass


class Translation(NamedTuple):
    """A request as a chat completion, or as another request about a chat, and the way back."""

    chat: dict[str, Any]
    """Body of the chat completion."""
    complete: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Makes the response, from that of the worker."""
    stream: Callable[[], StreamTranslator] | None = None
    """Makes the translator of a stream; None if the response is never one."""
    path: str = CHAT_PATH
    """Path of the request at the worker."""
    finish: Callable[[], Awaitable[None]] = _do_nothing
    """Called when the response is made, before the client gets its end."""


Translate = Callable[[Document], Translation]
"""Translates the body of a request."""
Load = Callable[[RequestContext, Document, MemoryReservation], Awaitable[int]]
"""Loads what the body of a request refers to, within the memory that the request reserves, and returns its size."""


class AsgiResponse(Response):
    """A response that an ASGI application sends."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        await self._app(scope, receive, send)


class ChatTranslator:
    """Runs the chat completions of other protocols."""

    def __init__(self, runner: ChatRunner) -> None:
        self._runner = runner

    def respond(self, translate: Translate, load: Load | None = None) -> AsgiResponse:
        """Return the response to a request.

        Args:
            translate: parses the body.
            load: loads what the body refers to, before ``translate`` is called.
        """
        return AsgiResponse(partial(self._serve, translate, load))

    async def _serve(self, translate: Translate, load: Load | None, scope: Scope, receive: Receive, send: Send) -> None:
        load_body = partial(load, scope["state"]["context"]) if load is not None else None
        await self._runner.run(scope, receive, partial(self._parse, translate, scope, send), load_body)

    def _parse(self, translate: Translate, scope: Scope, send: Send, body: Document) -> tuple[ChatRequest, Respond]:
        context: RequestContext = scope["state"]["context"]
        translation = translate(body)
        chat_request = chat_request_of(
            translation.path,
            translation.chat,
            context.request_id,
            size=len(body),
            max_images=self._runner.max_images,
            policy=context.policy,
            allowed_fields=self._runner.authorizer.allowed_fields(context.key),
        )
        if chat_request.ignored_fields:
            send = with_ignored_fields(send, chat_request.ignored_fields)
        return chat_request, partial(self._send, translation, chat_request, scope, send)

    async def _send(
        self,
        translation: Translation,
        chat_request: ChatRequest,
        scope: Scope,
        send: Send,
        response: JudgedResponse,
        meter: UsageMeter,
    ) -> None:
        match response:
            case StreamedResponse() if translation.stream is not None:
                await self._send_stream(translation, translation.stream(), chat_request, response, scope, send, meter)
            case CompleteResponse(_, document):
                meter.record(document)
                completed = _complete(translation, document)
                await translation.finish()
                await send_json(send, 200, orjson.dumps(completed))
            case RejectedResponse():
                self._runner.metrics.errors.labels("worker_answered_error").inc()
                record_error("worker_answered_error")
                error = error_body(response.error_for(chat_request), scope["path"])
                await send_json(send, response.status, orjson.dumps(error))
            case _:
                raise WorkerFailed("The worker sent a stream, which the request didn't ask for.")

    async def _send_stream(
        self,
        translation: Translation,
        translator: StreamTranslator,
        chat_request: ChatRequest,
        response: StreamedResponse,
        scope: Scope,
        send: Send,
        meter: UsageMeter,
    ) -> None:
        write = body_writer(scope)
        malformed = False

        def deliver(chunks: list[CompletionChunk]) -> bool:
            nonlocal malformed
            meter.feed(chunks)
            try:
                body = b"".join([translator.feed(chunk.document) for chunk in chunks if chunk.document is not None])
            except _MALFORMED:
                malformed = True
                return False
            return write(body) if body else True

        async def forward() -> None:
            while await response.forward(deliver):
                if malformed:
                    raise WorkerFailed("The worker's stream isn't one of a chat completion.")
                await send({"type": "http.response.body", "body": b"", "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        try:
            await before_deadline(chat_request.policy.deadline, forward())
        except SarlensError as error:
            scope["state"]["record"].set_error(error)
            end = translator.fail(_error_object(error, chat_request.request_id))
        else:
            await translation.finish()
            end = translator.end()
        await send({"type": "http.response.body", "body": end})


_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), NOSNIFF]

_MALFORMED = (AttributeError, LookupError, TypeError, ValueError)
"""Errors of the translation of a document that isn't a chat completion."""


def _complete(translation: Translation, document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return translation.complete(document)
    except _MALFORMED:
        raise WorkerFailed("The worker's response doesn't have the fields of its route.") from None


def _error_object(error: SarlensError, request_id: str) -> dict[str, Any]:
    if isinstance(error, WorkerReportedError):
        return {**error.error, "request_id": request_id}
    fields: dict[str, Any] = openai_error(error, request_id)["error"]
    return fields

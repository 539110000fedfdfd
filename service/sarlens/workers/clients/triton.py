"""A client of Triton servers with the vLLM backend, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import grpc
import orjson
from jinja2 import Template
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from sarlens.chat.paths import COMPLETION_PATHS
from sarlens.errors import BadRequest, SarlensError, Timeout, WorkerFailed, WorkerUnreachable
from sarlens.json_input import Document, run_off_loop
from sarlens.workers.clients.base import EVENT_STREAM, WorkerResponse, WorkerStatus
from sarlens.workers.clients.http import WorkerTimeouts
from sarlens.workers.clients.triton_protocol import (
    OpenAIResponseBuilder,
    TritonChunk,
    openai_error,
    parse_chunk,
    to_triton_inputs,
)
from sarlens.workers.discovery.base_url import TRITON_TLS_SCHEME

_JSON = "application/json"
_TOO_LARGE = "The worker's response exceeds SARLENS_WORKER__MAX_RESPONSE_BYTES."


class TritonClient:
    """A client of one Triton server at ``triton://host:port``, or at ``triton+grpcs://host:port`` with TLS.

    The backend accepts prompts, so the client lists only models that have a chat template in ``templates``. A message
    of the server, which is an event of a stream or a whole response, has at most ``max_response_bytes``.
    """

    supports_image_ids = False
    supports_batches = False

    def __init__(
        self,
        url: str,
        timeouts: WorkerTimeouts,
        templates: Mapping[str, Template],
        *,
        max_response_bytes: int,
        probe_timeout_s: float = 2.0,
    ) -> None:
        self.url = url
        self._probe_timeout_s = probe_timeout_s
        self._timeouts = timeouts
        self._templates = templates
        scheme, _, address = url.partition("://")
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", max_response_bytes)]
        self._server = InferenceServerClient(address, ssl=scheme == TRITON_TLS_SCHEME, channel_args=options)

    async def send(
        self, path: str, body: Document, request_id: str, trace: Mapping[str, str], *, stream: bool
    ) -> WorkerResponse:
        """Send a request; return when the first chunk of a stream, or the complete body, has arrived."""
        if path not in COMPLETION_PATHS:
            return CompleteResponse(404, openai_error(f"The Triton worker of this model has no route {path}.", 404))
        document = await run_off_loop(len(body), partial(orjson.loads, body))
        builder = OpenAIResponseBuilder(path, document, request_id)
        try:
            inputs = await run_off_loop(len(body), partial(to_triton_inputs, path, document, self._templates))
        except BadRequest as error:
            return CompleteResponse(400, openai_error(error.message))
        request = {"model_name": document["model"], "inputs": inputs, "request_id": request_id}
        responses = self._server.stream_infer(_infer_once(request), headers=trace)
        try:
            async with asyncio.timeout(
                self._timeouts.first_token_timeout_s if stream else self._timeouts.response_timeout_s
            ):
                chunk = await _next_response(responses)
        except BaseException as error:
            responses.cancel()
            if isinstance(error, InferenceServerException):
                return CompleteResponse(400, openai_error(error.message()))
            raise _map_connect_error(error) from error
        if chunk is None:
            raise WorkerFailed("The worker closed the stream without a response.")
        if not stream:
            return CompleteResponse(200, builder.body(chunk))
        return StreamingResponse(responses, builder, chunk, self._timeouts.stream_idle_timeout_s)

    async def probe(self) -> WorkerStatus:
        """Check the server; its models are those that are ready and have a chat template."""
        try:
            async with asyncio.timeout(self._probe_timeout_s):
                if not await self._server.is_server_ready():
                    raise WorkerFailed("The Triton server is not ready.")
                index = await self._server.get_model_repository_index()
        except TimeoutError as error:
            raise Timeout(f"The worker's health check takes more than {self._probe_timeout_s:g} s.") from error
        except (InferenceServerException, grpc.RpcError) as error:
            raise WorkerUnreachable("The worker can't be reached.") from error
        ready = {model.name for model in index.models if model.state == "READY"}
        return WorkerStatus({name: _card(name) for name in sorted(ready & self._templates.keys())})

    async def read_load(self) -> float | None:
        """Return None: the port of Triton's metrics is unknown."""
        return None

    async def close(self) -> None:
        """Close the connection."""
        await self._server.close()


class CompleteResponse:
    """A complete response."""

    is_stream = False
    content_type = _JSON
    retry_after_s = None

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.first_chunk = body

    async def forward(self, _: Callable[[bytes], bool]) -> bool:
        """Pass on nothing: the body is complete."""
        return False

    def close(self) -> None:
        """Do nothing: no connection is open."""


class StreamingResponse:
    """A stream of server-sent events that has begun."""

    status = 200
    is_stream = True
    content_type = EVENT_STREAM
    retry_after_s = None

    def __init__(
        self, responses: Any, builder: OpenAIResponseBuilder, first_chunk: TritonChunk, idle_timeout_s: float
    ) -> None:
        self._responses = responses
        self._response_builder = builder
        self._idle_timeout_s = idle_timeout_s
        self._done = first_chunk.finish_reason is not None
        self._ended = False
        self.first_chunk = builder.event(first_chunk)

    async def forward(self, write: Callable[[bytes], bool]) -> bool:
        """Pass the events after the first to ``write`` as they arrive; return whether there may be more."""
        while not self._ended:
            if not write(await self._next_event()):
                return True
        return False

    async def _next_event(self) -> bytes:
        if self._done:
            self._ended = True
            return self._response_builder.end()
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                chunk = await _next_response(self._responses)
        except TimeoutError as error:
            raise Timeout("The worker stopped sending in the middle of its response.") from error
        except (InferenceServerException, grpc.RpcError) as error:
            if _is_too_large(error):
                raise WorkerFailed(_TOO_LARGE) from error
            raise WorkerFailed("The worker closed the connection in the middle of its response.") from error
        if chunk is None:
            raise WorkerFailed("The worker closed the connection in the middle of its response.")
        self._done = chunk.finish_reason is not None
        return self._response_builder.event(chunk)

    def close(self) -> None:
        """Cancel the call; before its end, this aborts the generation."""
        self._responses.cancel()


async def _next_response(responses: Any) -> TritonChunk | None:
    """Return the next chunk, or None at the end of the stream.

    Raises:
        InferenceServerException: the backend rejects the request.
    """
    try:
        result, error = await anext(responses)
    except StopAsyncIteration:
        return None
    if error is not None:
        raise error
    return parse_chunk(result)


async def _infer_once(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request


def _map_connect_error(error: BaseException) -> BaseException:
    """Map an exception before the first response."""
    match error:
        case SarlensError():
            return error
        case grpc.aio.AioRpcError() if error.code() is grpc.StatusCode.UNAVAILABLE:
            return WorkerUnreachable("The worker doesn't accept connections.")
        case grpc.RpcError() if _is_too_large(error):
            return WorkerFailed(_TOO_LARGE)
        case TimeoutError():
            return Timeout("The worker didn't respond in time.")
        case grpc.RpcError() | AttributeError() | ValueError():
            return WorkerFailed("The worker closed the connection before it responded.")
    return error


def _is_too_large(error: BaseException) -> bool:
    """Return whether gRPC rejected a message of the server because of its size."""
    return isinstance(error, grpc.aio.AioRpcError) and "larger than max" in (error.details() or "")


def _card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "triton", "root": name, "parent": None}

"""Workers that are Triton servers with the vLLM back end, asked over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import orjson
from jinja2 import Template
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from sarlens.errors import BadRequest, SarlensError, Timeout, WorkerFailed, WorkerUnreachable
from sarlens.workers.client import Reply
from sarlens.workers.openai import Patience
from sarlens.workers.triton_chat import Piece, Wording, inputs_of, piece_of, refusal

PLAIN, SECURE = "triton", "triton+grpcs"
_PROBE_S = 5.0
_JSON = "application/json"


class TritonClient:
    """One Triton server behind ``triton://host:port``, or ``triton+grpcs://`` where it speaks TLS.

    ``templates`` hold the chat template of each model: the back end takes prompts, so that only models with one are
    offered.
    """

    takes_ids = False

    def __init__(self, url: str, patience: Patience, templates: Mapping[str, Template]) -> None:
        self.url = url
        self._patience = patience
        self._templates = templates
        scheme, _, address = url.partition("://")
        self._server = InferenceServerClient(address, ssl=scheme == SECURE)

    async def send(self, path: str, body: bytes, request_id: str, trace: Mapping[str, str], *, stream: bool) -> Reply:
        """Put a chat to the model and wait until its answer has begun."""
        document = orjson.loads(body)
        wording = Wording(path, document, request_id)
        try:
            inputs = inputs_of(path, document, self._templates)
        except BadRequest as error:
            return Whole(400, refusal(error.message))
        asked = {"model_name": document["model"], "inputs": inputs, "request_id": request_id}
        responses = self._server.stream_infer(_once(asked), headers=trace)
        try:
            async with asyncio.timeout(self._patience.first_token_s if stream else self._patience.answer_s):
                piece = await _next(responses)
        except BaseException as error:
            responses.cancel()
            if isinstance(error, InferenceServerException):
                return Whole(400, refusal(error.message()))
            raise _unanswered(error) from error
        if piece is None:
            raise WorkerFailed("The worker ended its answer before it had begun.")
        if not stream:
            return Whole(200, wording.whole(piece))
        return Streamed(responses, wording, piece, self._patience.idle_s)

    async def models(self) -> dict[str, dict[str, Any]]:
        """Cards of the models that are ready and have a chat template."""
        try:
            async with asyncio.timeout(_PROBE_S):
                if not await self._server.is_server_ready():
                    raise WorkerFailed("The Triton server is not ready.")
                index = await self._server.get_model_repository_index()
        except (InferenceServerException, grpc.RpcError, TimeoutError) as error:
            raise WorkerUnreachable("The worker cannot be reached.") from error
        ready = {model.name for model in index.models if model.state == "READY"}
        return {name: _card(name) for name in sorted(ready & self._templates.keys())}

    async def close(self) -> None:
        """Close the connection."""
        await self._server.close()


class Whole:
    """An answer in one piece."""

    streams = False
    content_type = _JSON

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.first = body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body."""
        yield self.first

    def close(self) -> None:
        """Nothing is open."""


class Streamed:
    """A stream of events that has begun."""

    status = 200
    streams = True
    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, responses: Any, wording: Wording, first: Piece, idle_s: float) -> None:
        self._responses = responses
        self._wording = wording
        self._idle_s = idle_s
        self._over = first.finish is not None
        self.first = wording.event(first)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The events as they come."""
        yield self.first
        try:
            while not self._over:
                async with asyncio.timeout(self._idle_s):
                    piece = await _next(self._responses)
                if piece is None:
                    raise WorkerFailed("The worker broke off in the middle of its answer.")
                self._over = piece.finish is not None
                yield self._wording.event(piece)
        except TimeoutError as error:
            raise Timeout("The worker fell silent in the middle of its answer.") from error
        except (InferenceServerException, grpc.RpcError) as error:
            raise WorkerFailed("The worker broke off in the middle of its answer.") from error
        yield self._wording.end()

    def close(self) -> None:
        """Be done with it; before the end, this aborts the generation."""
        self._responses.cancel()


async def _next(responses: Any) -> Piece | None:
    """The next piece, or None at the end.

    Raises:
        InferenceServerException: the back end refuses.
    """
    try:
        result, error = await anext(responses)
    except StopAsyncIteration:
        return None
    if error is not None:
        raise error
    return piece_of(result)


async def _once(asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield asked


def _unanswered(error: BaseException) -> BaseException:
    """What it means that an answer did not begin."""
    match error:
        case SarlensError():
            return error
        case grpc.aio.AioRpcError() if error.code() is grpc.StatusCode.UNAVAILABLE:
            return WorkerUnreachable("The worker does not accept connections.")
        case TimeoutError():
            return Timeout("The worker did not begin to answer in time.")
        case grpc.RpcError() | AttributeError() | ValueError():
            return WorkerFailed("The worker broke off before it had answered.")
    return error


def _card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "triton", "root": name, "parent": None}

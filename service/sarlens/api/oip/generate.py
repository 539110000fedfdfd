"""``generate`` and ``generate_stream`` of the Open Inference Protocol: a text in, a text out, as JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

import orjson
import pybase64
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from sarlens.admission.body_memory import BodyMemoryBudget, MemoryReservation
from sarlens.api.common.disconnect import CancelOnDisconnect
from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import NOSNIFF, read_body
from sarlens.api.common.schemas import parse_body
from sarlens.api.common.translated_chat import AsgiResponse
from sarlens.api.oip.content_encoding import decode_body
from sarlens.api.oip.data_plane import DataPlane
from sarlens.api.oip.metadata import MODEL_PATHS, VERSION
from sarlens.api.oip.requests import InferParameters, parse_infer_items, parse_infer_parameters
from sarlens.api.oip.tensors import IMAGE, MAX_ID_CHARS, Outputs, Tensor
from sarlens.errors import BadRequest, SarlensError
from sarlens.json_input import Document, run_off_loop, text_bytes

_SCHEMES = ("s3://", "https://", "data:", "[")


class GenerateRequest(BaseModel):
    """A text for a model, and an image."""

    model_config = ConfigDict(strict=True, frozen=True)

    id: Annotated[
        Annotated[str, Field(max_length=MAX_ID_CHARS)] | None,
        Field(description="Your identifier, returned with the response."),
    ] = None
    text_input: Annotated[str, Field(description="Text that is sent to the model unchanged.")]
    image: Annotated[
        str | None, Field(description="`s3://`, `https:` or `data:` URL of an image, or an image file in base64.")
    ] = None
    parameters: Annotated[
        dict[str, Any],
        Field(description="`max_tokens`, `temperature`, `seed`, and `sar` as JSON text. `stream` is ignored."),
    ] = {}


class _Parsed:
    """A request and what the data plane needs of it."""

    def __init__(self, body: Document) -> None:
        self.request = parse_body(GenerateRequest, body)
        parameters = {name: value for name, value in self.request.parameters.items() if name != "stream"}
        self.parameters: InferParameters = parse_infer_parameters(parameters)
        tensors = [Tensor("prompt", "BYTES", (1,), [self.request.text_input.encode("utf-8", "surrogatepass")])]
        if self.request.image is not None:
            tensors.append(Tensor(IMAGE, "BYTES", (1,), [_image_bytes(self.request.image)]))
        (self.item,) = parse_infer_items(tensors, 1)

    def response(self, model: str, outputs: Outputs) -> dict[str, Any]:
        """Return the document of a response, or of an event of one."""
        head = {} if self.request.id is None else {"id": self.request.id}
        usage = orjson.loads(outputs["usage"])
        text = {"model_name": model, "model_version": VERSION, "text_output": outputs["text"].decode()}
        return head | text | ({"usage": usage} if usage is not None else {})


def generate_router(data_plane: DataPlane, memory: BodyMemoryBudget, *, body_bytes: int) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["open inference protocol"])

    async def read(scope: Scope, receive: Receive, reservation: MemoryReservation) -> _Parsed:
        body = await read_body(scope, receive, body_bytes, reservation)
        encoding = Headers(scope=scope).get("content-encoding", "identity")
        body = await decode_body(body, encoding, body_bytes, reservation)
        return await run_off_loop(text_bytes(body), partial(_Parsed, body))

    async def stream(model: str, scope: Scope, receive: Receive, send: Send) -> None:
        caller: RequestContext = scope["state"]["context"]
        with memory.reserve(caller.client) as reservation:
            parsed = await read(scope, receive, reservation)
            chunks = data_plane.infer_stream(model, parsed.item, parsed.parameters, caller)
            await _send_events(chunks, partial(parsed.response, model), scope, send)

    async def generate(request: Request, model: str) -> Response:
        """Continue a text, about an image or without one, in the format of Triton and KServe."""
        caller: RequestContext = request.state.context
        with memory.reserve(caller.client) as reservation:
            parsed = await read(request.scope, request.receive, reservation)
            with CancelOnDisconnect(request.scope):
                (outputs,) = await data_plane.infer(model, [parsed.item], parsed.parameters, caller)
        return Response(orjson.dumps(parsed.response(model, outputs)), media_type="application/json")

    async def generate_stream(_: Request, model: str) -> Response:
        """Continue a text as a stream of events, each with the next part of the text; the last one has the usage.

        A request that fails before its first event has an error as its response; a later error is the last event.
        """
        return AsgiResponse(partial(stream, model))

    routes: tuple[tuple[str, Callable[[Request, str], Awaitable[Response]]], ...] = (
        ("/generate", generate),
        ("/generate_stream", generate_stream),
    )
    for prefix in MODEL_PATHS:
        for path, endpoint in routes:
            schema = request_body_schema(GenerateRequest)
            router.post(prefix + path, response_class=Response, openapi_extra=schema)(endpoint)
    return router


async def _send_events(
    chunks: AsyncGenerator[Outputs], describe: Callable[[Outputs], dict[str, Any]], scope: Scope, send: Send
) -> None:
    """Send each part of the text as it arrives; a disconnect cancels the generation.

    Raises:
        SarlensError: the request failed before the first part.
    """
    started = False
    with CancelOnDisconnect(scope):
        try:
            async with aclosing(chunks):
                async for outputs in chunks:
                    if not started:
                        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
                        started = True
                    await send(_event(describe(outputs)))
        except SarlensError as error:
            if not started:
                raise
            scope["state"]["record"].set_error(error)
            request_id = scope["state"]["context"].request_id
            await send(_event({"error": error.message, "code": error.code, "request_id": request_id}))
        await send({"type": "http.response.body", "body": b""})


_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), NOSNIFF]


def _event(document: dict[str, Any]) -> dict[str, Any]:
    return {"type": "http.response.body", "body": b"data: " + orjson.dumps(document) + b"\n\n", "more_body": True}


def _image_bytes(image: str) -> bytes:
    """Return the URL of an image, or the bytes of a file in base64.

    Raises:
        BadRequest: the text is neither.
    """
    if image.startswith(_SCHEMES):
        return image.encode("utf-8", "surrogatepass")
    try:
        return pybase64.b64decode(image, validate=True)
    except ValueError:
        raise BadRequest("image must be a URL, or an image file in base64.", param=IMAGE) from None

"""``/v2``: the Open Inference Protocol over HTTP, with Triton's binary tensor extension."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, FailFast, Field

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.api.common.disconnect import CancelOnDisconnect
from sarlens.api.common.openapi import request_body_schema
from sarlens.api.common.request_context import RequestContext
from sarlens.api.common.responses import read_body
from sarlens.api.common.schemas import parse_body
from sarlens.api.oip.content_encoding import decode_body
from sarlens.api.oip.data_plane import DataPlane
from sarlens.api.oip.metadata import (
    MODEL_PATHS,
    VERSION,
    model_config,
    model_metadata,
    repository_index_entry,
    server_metadata,
)
from sarlens.api.oip.requests import InferItem, InferParameters, parse_infer_items, parse_infer_parameters
from sarlens.api.oip.tensors import (
    MAX_ELEMENTS,
    MAX_ID_CHARS,
    MAX_TENSORS,
    Outputs,
    Tensor,
    pack_bytes,
    select_outputs,
    too_many_elements,
    unpack_bytes,
)
from sarlens.errors import BadRequest
from sarlens.json_input import Document, run_off_loop
from sarlens.validation import at_most

_JSON_LENGTH = "inference-header-content-length"
_BINARY, _SIZE, _ALL_BINARY = "binary_data", "binary_data_size", "binary_data_output"
_DIGITS = re.compile(r"[0-9]{1,12}")

Parameters = dict[str, Any]


class RequestedOutput(BaseModel):
    """Output tensor to return."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: Annotated[str, Field(description="Name of the tensor.")]
    parameters: Annotated[Parameters, Field(description="`binary_data`: return the contents after the JSON.")] = {}


class InputTensor(BaseModel):
    """Input tensor."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: Annotated[str, Field(description="`image`, `question`, `prompt` or `messages`.")]
    datatype: Annotated[str, Field(description="`BYTES`.")]
    shape: Annotated[
        list[Annotated[int, Field(ge=-(2**63), lt=2**63)]],
        Field(description="`[n]` or `[n, 1]` for `n` elements."),
        FailFast(),
    ]
    data: Annotated[
        list[Any] | None, Field(description="Elements as text, nested or flat. Omit it for binary contents.")
    ] = None
    parameters: Annotated[
        Parameters, Field(description="`binary_data_size`: length in bytes of the contents after the JSON.")
    ] = {}


class InferRequest(BaseModel):
    """Batch of questions, prompts or chats as tensors."""

    model_config = ConfigDict(strict=True, frozen=True)

    id: Annotated[
        Annotated[str, Field(max_length=MAX_ID_CHARS)] | None,
        Field(description="Your identifier, returned with the response."),
    ] = None
    parameters: Annotated[
        Parameters,
        Field(
            description="`max_tokens`, `temperature`, `seed`, `application`, and `sar` as JSON text; "
            "`binary_data_output`: return all contents after the JSON."
        ),
    ] = {}
    inputs: Annotated[list[InputTensor], Field(description="Input tensors."), at_most(MAX_TENSORS)]
    outputs: Annotated[
        list[RequestedOutput], Field(description="Output tensors to return. Default: all."), at_most(MAX_TENSORS)
    ] = []


def open_inference_router(
    data_plane: DataPlane, memory: BodyMemoryBudget, *, body_bytes: int, max_questions: int
) -> APIRouter:
    """Return the routes of the protocol."""
    router = APIRouter(tags=["open inference protocol"])

    _add_server_routes(router, data_plane)

    def add_model_route(path: str, handler: Callable[[str, RequestContext], Any], summary: str) -> None:
        async def endpoint(request: Request, model: str) -> Any:
            caller = _caller(request)
            return handler(data_plane.require_model(model, caller.key), caller)

        for prefix in MODEL_PATHS:
            router.get(prefix + path, summary=summary, operation_id=f"{prefix}{path}")(endpoint)

    add_model_route("", lambda model, _: model_metadata(model), "Get the inputs and outputs of a model")
    add_model_route("/ready", lambda *_: Response(), "Check that a ready worker serves the model")
    add_model_route("/config", lambda model, _: model_config(model), "Get Triton's configuration of a model")
    add_model_route(
        "/stats",
        lambda model, caller: {"model_stats": data_plane.statistics_of(model, caller.key)},
        "Get the statistics of a model",
    )
    infer = _infer_endpoint(data_plane, memory, body_bytes, max_questions)
    for prefix in MODEL_PATHS:
        router.post(prefix + "/infer", response_class=Response, openapi_extra=request_body_schema(InferRequest))(infer)
    return router


def _add_server_routes(router: APIRouter, data_plane: DataPlane) -> None:
    """Add the routes without a model."""

    @router.get("/v2")
    async def server() -> dict[str, Any]:
        """Get the name and version of the server."""
        return server_metadata()

    @router.get("/v2/health/live")
    async def live() -> Response:
        """Check that the process is alive."""
        return Response()

    @router.get("/v2/health/ready", responses={400: {"description": "No worker is ready, or the gateway is draining."}})
    async def ready() -> Response:
        """Check that a worker is ready and the gateway isn't draining."""
        return Response(status_code=200 if data_plane.ready else 400)

    @router.post("/v2/repository/index")
    async def index(request: Request) -> list[dict[str, Any]]:
        """List the models that ready workers serve and the API key allows."""
        return [repository_index_entry(name) for name in data_plane.models(_caller(request).key)]

    @router.get("/v2/models")
    async def models(request: Request) -> dict[str, list[str]]:
        """List the names of the models, in the format of KServe."""
        return {"models": data_plane.models(_caller(request).key)}

    @router.get("/v2/systemsharedmemory/status")
    @router.get("/v2/cudasharedmemory/status")
    async def shared_memory() -> list[Any]:
        """List the regions of shared memory, of which the gateway has none."""
        return []

    @router.get("/v2/models/stats")
    async def statistics_of_all(request: Request) -> dict[str, Any]:
        """Get the statistics of all models."""
        return {"model_stats": data_plane.statistics_of("", _caller(request).key)}


def _infer_endpoint(
    data_plane: DataPlane, memory: BodyMemoryBudget, body_bytes: int, max_questions: int
) -> Callable[[Request, str], Awaitable[Response]]:
    async def infer(request: Request, model: str) -> Response:
        """Answer a batch of questions, prompts or chats.

        The elements of the batch run concurrently. With the header `Inference-Header-Content-Length`, the contents of
        the tensors follow the JSON as binary data. The body can be compressed with gzip or deflate.
        """
        caller = _caller(request)
        with memory.reserve(caller.client) as reservation:
            body = await read_body(request.scope, request.receive, body_bytes, reservation)
            encoding = request.headers.get("content-encoding", "identity")
            body = await decode_body(body, encoding, body_bytes, reservation)
            json_length = request.headers.get(_JSON_LENGTH)
            parse = partial(_parse, body, json_length, max_questions)
            parsed, names, parameters, items = await run_off_loop(len(body), parse)
            with CancelOnDisconnect(request.scope):
                outputs = await data_plane.infer(model, items, parameters, caller)
        return _respond(parsed, model, outputs, names)

    return infer


def _caller(request: Request) -> RequestContext:
    caller: RequestContext = request.state.context
    return caller


def _parse(
    body: Document, json_length: str | None, max_questions: int
) -> tuple[InferRequest, Sequence[str], InferParameters, list[InferItem]]:
    """Parse a body, the names of its outputs, its parameters and its items."""
    parsed, tensors = _read(body, json_length)
    names = select_outputs([output.name for output in parsed.outputs])
    return parsed, names, parse_infer_parameters(parsed.parameters), parse_infer_items(tensors, max_questions)


def _read(body: Document, json_length: str | None) -> tuple[InferRequest, list[Tensor]]:
    """Parse the JSON part of a body and its tensors, whose binary contents follow the JSON in order.

    Raises:
        BadRequest: a length or a field is invalid.
    """
    length = len(body) if json_length is None else _length(json_length)
    if length > len(body):
        raise BadRequest("Inference-Header-Content-Length is larger than the body.")
    parsed = parse_body(InferRequest, body if length == len(body) else body[:length])
    tensors, offset = [], length
    for tensor in parsed.inputs:
        size = tensor.parameters.get(_SIZE)
        if size is None:
            elements = _flatten(tensor.data)
        else:
            if type(size) is not int or not 0 <= size <= len(body) - offset:
                raise BadRequest(f"The binary data of input {tensor.name[:100]!r} exceeds the body.")
            elements = unpack_bytes(bytes(memoryview(body)[offset : offset + size]))
            offset += size
        tensors.append(Tensor(tensor.name, tensor.datatype, tensor.shape, elements))
    if offset != len(body):
        raise BadRequest("The body has more binary data than its inputs declare.")
    return parsed, tensors


def _length(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise BadRequest("Inference-Header-Content-Length must be a number of bytes.")
    return int(text)


def _flatten(data: list[Any] | None) -> list[bytes]:
    """Return the strings of nested lists, in row-major order.

    Raises:
        BadRequest: the data is missing or contains anything but strings.
        PayloadTooLarge: there are more than ``MAX_ELEMENTS`` strings.
    """
    elements: list[bytes] = []
    stack: list[Any] = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(reversed(value))
        elif isinstance(value, str) and "\x00" not in value:
            if len(elements) == MAX_ELEMENTS:
                raise too_many_elements()
            elements.append(value.encode("utf-8", "surrogatepass"))
        else:
            raise BadRequest("The data of an input must be strings, or binary data.")
    return elements


def _respond(request: InferRequest, model: str, batch: Sequence[Outputs], names: Sequence[str]) -> Response:
    document: dict[str, Any] = {"model_name": model, "model_version": VERSION}
    if request.id is not None:
        document["id"] = request.id
    all_binary = request.parameters.get(_ALL_BINARY) is True
    binary_by_name = {output.name: output.parameters.get(_BINARY, all_binary) for output in request.outputs}
    outputs, contents = [], b""
    for name in names:
        output: dict[str, Any] = {"name": name, "datatype": "BYTES", "shape": [len(batch)]}
        elements = [item[name] for item in batch]
        if binary_by_name.get(name, all_binary) is True:
            packed = pack_bytes(elements)
            output["parameters"] = {_SIZE: len(packed)}
            contents += packed
        else:
            output["data"] = [element.decode() for element in elements]
        outputs.append(output)
    head = orjson.dumps(document | {"outputs": outputs})
    if not contents:
        return Response(head, media_type="application/json")
    headers = {_JSON_LENGTH: str(len(head))}
    return Response(head + contents, media_type="application/octet-stream", headers=headers)

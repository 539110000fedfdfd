"""``/v2``: the Open Inference Protocol over HTTP, with Triton's extension for binary tensors."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sarlens.admission.memory import Memory
from sarlens.errors import BadRequest
from sarlens.ingress.caller import Caller, leaving_cancels
from sarlens.ingress.desk import Desk
from sarlens.ingress.inquiries import read_inquiries, read_options
from sarlens.ingress.replies import read_body
from sarlens.ingress.signature import VERSION, index_entry, model_config, model_metadata, server_metadata
from sarlens.ingress.tensors import Outputs, Tensor, pack_bytes, unpack_bytes, wanted

_JSON_LENGTH = "inference-header-content-length"
_BINARY, _SIZE, _ALL_BINARY = "binary_data", "binary_data_size", "binary_data_output"
_DIGITS = re.compile(r"[0-9]{1,12}")
_MOST = 2**20

Parameters = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    name: str
    parameters: Parameters = {}


class _Input(_Part):
    datatype: str
    shape: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]]
    data: list[Any] | None = None


class _Request(BaseModel):
    """The JSON of a request; ``data`` may be nested, and is left out where the contents are binary."""

    model_config = ConfigDict(strict=True, frozen=True)

    id: str | None = None
    parameters: Parameters = {}
    inputs: list[_Input]
    outputs: list[_Part] = []


def open_inference_router(desk: Desk, memory: Memory, *, body_bytes: int, max_questions: int) -> APIRouter:
    """The routes of the protocol."""
    router = APIRouter(tags=["open inference protocol"])

    _tell_server(router, desk)

    def on_model(path: str, tell: Callable[[str, Caller], Any], meaning: str) -> None:
        async def told(request: Request, model: str) -> Any:
            caller = _caller(request)
            return tell(desk.served(model, caller.key), caller)

        for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/" + VERSION):
            router.get(prefix + path, summary=meaning, operation_id=f"{prefix}{path}")(told)

    on_model("", lambda model, _: model_metadata(model), "The inputs and outputs of a model")
    on_model("/ready", lambda *_: Response(), "A ready worker serves the model")
    on_model("/config", lambda model, _: model_config(model), "The same in Triton's way")
    on_model("/stats", lambda model, by: {"model_stats": desk.statistics_of(model, by.key)}, "What was asked of it")
    infer = _inference(desk, memory, body_bytes, max_questions)
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/" + VERSION):
        router.post(prefix + "/infer", response_class=Response, operation_id=f"{prefix}/infer")(infer)
    return router


def _tell_server(router: APIRouter, desk: Desk) -> None:
    """The routes that name no model."""

    @router.get("/v2")
    async def server() -> dict[str, Any]:
        """The server's name and version."""
        return server_metadata()

    @router.get("/v2/health/live")
    async def live() -> Response:
        """The process is alive."""
        return Response()

    @router.get("/v2/health/ready", responses={400: {"description": "No worker answers, or the gateway drains."}})
    async def ready() -> Response:
        """Some worker answers, and work is taken."""
        return Response(status_code=200 if desk.ready else 400)

    @router.post("/v2/repository/index")
    async def index(request: Request) -> list[dict[str, Any]]:
        """The models that ready workers serve and the caller's key opens."""
        return [index_entry(name) for name in desk.models(_caller(request).key)]

    @router.get("/v2/models/stats")
    async def statistics_of_all(request: Request) -> dict[str, Any]:
        """What was asked of each model over this protocol."""
        return {"model_stats": desk.statistics_of("", _caller(request).key)}


def _inference(
    desk: Desk, memory: Memory, body_bytes: int, max_questions: int
) -> Callable[[Request, str], Awaitable[Response]]:
    async def infer(request: Request, model: str) -> Response:
        """Answer a batch of inquiries, all at the same time."""
        with memory.holding() as holding, leaving_cancels(request.receive):
            if request.headers.get("content-encoding", "identity") != "identity":
                raise BadRequest("A request has to come without Content-Encoding.")
            body = await read_body(request.scope, request.receive, body_bytes, holding)
            asked, tensors = _read(body, request.headers.get(_JSON_LENGTH))
            names, options = wanted([each.name for each in asked.outputs]), read_options(asked.parameters)
            inquiries = read_inquiries(tensors, max_questions)
            found = await desk.answer_all(model, inquiries, options, _caller(request))
        return _respond(asked, model, found, names)

    return infer


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope["sarlens.caller"]
    return caller


def _read(body: bytes, json_length: str | None) -> tuple[_Request, list[Tensor]]:
    """The JSON of a body, and its tensors, whose contents may lie behind it one after another.

    Raises:
        BadRequest: a length or a field is wrong.
    """
    length = len(body) if json_length is None else _length(json_length)
    if length > len(body):
        raise BadRequest("Inference-Header-Content-Length reaches beyond the body.")
    try:
        asked = _Request.model_validate_json(body[:length])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        raise BadRequest(f"{field or 'The body'}: {first['msg']}.", param=field[:100] or None) from None
    tensors, at = [], length
    for each in asked.inputs:
        size = each.parameters.get(_SIZE)
        if size is None:
            elements = _flat(each.data)
        else:
            if type(size) is not int or not 0 <= size <= len(body) - at:
                raise BadRequest(f"The binary data of the input {each.name[:100]!r} reaches beyond the body.")
            elements = unpack_bytes(body[at : at + size])
            at += size
        tensors.append(Tensor(each.name, each.datatype, each.shape, elements))
    if at != len(body):
        raise BadRequest("The body holds more binary data than its inputs.")
    return asked, tensors


def _length(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise BadRequest("Inference-Header-Content-Length has to be a length in bytes.")
    return int(text)


def _flat(data: list[Any] | None) -> list[bytes]:
    """The strings of nested lists, in row-major order.

    Raises:
        BadRequest: there are none, too many, or something else among them.
    """
    found: list[bytes] = []
    rest: list[Any] = [data]
    while rest:
        each = rest.pop()
        if isinstance(each, list):
            rest.extend(reversed(each))
        elif isinstance(each, str) and "\x00" not in each and len(found) < _MOST:
            found.append(each.encode("utf-8", "surrogatepass"))
        else:
            raise BadRequest("The data of an input has to be text, or binary.")
    return found


def _respond(asked: _Request, model: str, found: Sequence[Outputs], names: Sequence[str]) -> Response:
    document: dict[str, Any] = {"model_name": model, "model_version": VERSION}
    if asked.id is not None:
        document["id"] = asked.id
    everything = asked.parameters.get(_ALL_BINARY) is True
    by_name = {each.name: each.parameters.get(_BINARY, everything) for each in asked.outputs}
    outputs, contents = [], b""
    for name in names:
        output: dict[str, Any] = {"name": name, "datatype": "BYTES", "shape": [len(found)]}
        elements = [each[name] for each in found]
        if by_name.get(name, everything) is True:
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

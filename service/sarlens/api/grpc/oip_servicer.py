"""The gRPC service ``inference.GRPCInferenceService``: the Open Inference Protocol v2 of KServe and Triton."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

import grpc.aio
from google.protobuf.json_format import ParseDict
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from sarlens.admission.body_memory import BodyMemoryBudget
from sarlens.api.common.request_context import RequestContext, RequestHeaders
from sarlens.api.grpc.call_context import GrpcCallContext, parse_metadata
from sarlens.api.grpc.messages import decode, write_response
from sarlens.api.oip.data_plane import DataPlane
from sarlens.api.oip.metadata import (
    VERSION,
    check_version,
    model_config,
    model_metadata,
    repository_index_entry,
    server_metadata,
)
from sarlens.api.oip.requests import InferItem, InferParameters, parse_infer_items, parse_infer_parameters
from sarlens.api.oip.tensors import MAX_ID_CHARS, Outputs, Tensor, pack_bytes, select_outputs, unpack_bytes
from sarlens.errors import BadRequest, PayloadTooLarge, SarlensError, Timeout
from sarlens.json_input import run_off_loop
from sarlens.runtime.task_group import TaskGroup

_ROUTE = "/inference.GRPCInferenceService/"
_EMPTY_FINAL = "triton_enable_empty_final_response"
_FINAL = "triton_final_response"
_ROUTE_RECEIPT = "sarlens_route"
_MAX_CONCURRENT_PER_STREAM = 64
_MAX_SMALL_BYTES = 16 * 2**10


class OipServicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Converts tensors to inference items, and outputs to tensors. ``CallGuard`` leaves its messages encoded."""

    OPEN_METHODS = tuple(_ROUTE + method for method in ("ServerLive", "ServerReady", "ServerMetadata"))
    """Methods that require no API key."""

    def __init__(
        self, data_plane: DataPlane, calls: GrpcCallContext, memory: BodyMemoryBudget, *, max_questions: int
    ) -> None:
        self._data_plane = data_plane
        self._context = calls
        self._memory = memory
        self._max_questions = max_questions

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's names
        """Check that the process is alive."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Check that a worker is ready and the gateway isn't draining."""
        return pb.ServerReadyResponse(ready=self._data_plane.ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Get the name and version of the server."""
        return ParseDict(server_metadata(), pb.ServerMetadataResponse())

    async def ModelReady(self, data: bytes, context: Any) -> Any:  # noqa: N802
        """Check that a ready worker serves the model and the API key allows it."""
        async with self._context.handle(context, _ROUTE + "ModelReady") as caller:
            request = _decode_small(pb.ModelReadyRequest, data)
            served = request.version in {"", VERSION} and request.name in self._data_plane.models(caller.key)
            return pb.ModelReadyResponse(ready=served)

    async def ModelMetadata(self, data: bytes, context: Any) -> Any:  # noqa: N802
        """Get the inputs and outputs, which are the same for every model."""
        async with self._context.handle(context, _ROUTE + "ModelMetadata") as caller:
            request = _decode_small(pb.ModelMetadataRequest, data)
            model = self._require_model(request, caller)
            return ParseDict(model_metadata(model), pb.ModelMetadataResponse())

    async def ModelConfig(self, data: bytes, context: Any) -> Any:  # noqa: N802
        """Get Triton's configuration of a model."""
        async with self._context.handle(context, _ROUTE + "ModelConfig") as caller:
            request = _decode_small(pb.ModelConfigRequest, data)
            config = model_config(self._require_model(request, caller))
            return ParseDict({"config": config}, pb.ModelConfigResponse())

    async def ModelStatistics(self, data: bytes, context: Any) -> Any:  # noqa: N802
        """Get the statistics of a model since the start of the process, or of all models if the name is empty."""
        async with self._context.handle(context, _ROUTE + "ModelStatistics") as caller:
            request = _decode_small(pb.ModelStatisticsRequest, data)
            check_version(request.name, request.version)
            stats = self._data_plane.statistics_of(request.name, caller.key)
            return ParseDict({"model_stats": stats}, pb.ModelStatisticsResponse())

    async def RepositoryIndex(self, _: bytes, context: Any) -> Any:  # noqa: N802
        """List the models that ready workers serve and the API key allows."""
        async with self._context.handle(context, _ROUTE + "RepositoryIndex") as caller:
            models = [repository_index_entry(name) for name in self._data_plane.models(caller.key)]
            return ParseDict({"models": models}, pb.RepositoryIndexResponse())

    async def SystemSharedMemoryStatus(self, _: bytes, context: Any) -> Any:  # noqa: N802
        """List the regions of shared memory: none, because callers are on other machines."""
        async with self._context.handle(context, _ROUTE + "SystemSharedMemoryStatus"):
            return pb.SystemSharedMemoryStatusResponse()

    async def CudaSharedMemoryStatus(self, _: bytes, context: Any) -> Any:  # noqa: N802
        """List the regions of a GPU's shared memory: none."""
        async with self._context.handle(context, _ROUTE + "CudaSharedMemoryStatus"):
            return pb.CudaSharedMemoryStatusResponse()

    def _require_model(self, request: Any, caller: RequestContext) -> str:
        """Return the name of the model of a request; raises ModelNotFound, as for its version."""
        check_version(request.name, request.version)
        return self._data_plane.require_model(request.name, caller.key)

    async def ModelInfer(self, data: bytes, context: Any) -> Any:  # noqa: N802
        """Run a batch of inference items concurrently."""
        async with self._context.handle(context, _ROUTE + "ModelInfer") as caller:
            with self._memory.reserve(caller.client) as reservation:
                reservation.extend_to(len(data))
                parsed = await run_off_loop(len(data), partial(_parse, data, self._max_questions))
                request = parsed.request
                outputs = await self._data_plane.infer(request.model_name, parsed.items, parsed.parameters, caller)
                return _response(request, outputs, parsed.outputs)

    async def ModelStreamInfer(self, _: object, context: Any) -> None:  # noqa: N802
        """Run the requests of a stream concurrently; an error ends only its own request."""
        stream = _Stream(self, context)
        try:
            async with TaskGroup() as tasks:
                while (data := await context.read()) is not grpc.aio.EOF:
                    await stream.concurrency.acquire()
                    tasks.create_task(stream.answer(data))
        except* Timeout as timeouts:  # the client doesn't read
            error = timeouts.exceptions[0]
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, str(error))

    async def stream_responses(self, data: bytes, headers: RequestHeaders, context: Any) -> AsyncGenerator[Any]:
        """Yield the responses to one request of a stream; an error is the last of them."""
        headers = headers._replace(request_id=uuid4().hex)
        head = pb.ModelInferResponse()
        try:
            with self._context.record(headers, _ROUTE + "ModelStreamInfer") as record:
                caller = self._context.authenticate(headers, context)
                with self._memory.reserve(caller.client) as reservation:
                    reservation.extend_to(len(data))
                    request = await run_off_loop(len(data), partial(decode, pb.ModelInferRequest, data))
                    names = (request.id[:MAX_ID_CHARS], request.model_name[:MAX_ID_CHARS])
                    head = pb.ModelInferResponse(id=names[0], model_name=names[1])
                    parsed = await run_off_loop(len(data), partial(_parse_request, request, self._max_questions))
                    async with aclosing(self._stream(parsed, caller)) as responses:
                        async for response in responses:
                            if route := record.take_route_field():
                                response.parameters[_ROUTE_RECEIPT].string_param = route
                            yield pb.ModelStreamInferResponse(infer_response=response)
        except SarlensError as error:
            yield pb.ModelStreamInferResponse(error_message=error.message, infer_response=head)

    async def _stream(self, parsed: _ParsedRequest, caller: RequestContext) -> AsyncGenerator[Any]:
        request, items = parsed.request, parsed.items
        if len(items) != 1:
            raise BadRequest("A request in a stream must have exactly one element.")
        chunks = self._data_plane.infer_stream(request.model_name, items[0], parsed.parameters, caller)
        async with aclosing(chunks):
            async for outputs in chunks:
                yield _response(request, [outputs], parsed.outputs)
        if _parameters(request).get(_EMPTY_FINAL) is True:
            last = pb.ModelInferResponse(id=request.id, model_name=request.model_name, model_version=VERSION)
            last.parameters[_FINAL].bool_param = True
            yield last


class _Stream:
    """The response stream of one call; the responses to one request stay in order."""

    def __init__(self, servicer: OipServicer, context: Any) -> None:
        self.concurrency = asyncio.Semaphore(_MAX_CONCURRENT_PER_STREAM)
        self._servicer = servicer
        self._context = context
        self._headers = parse_metadata(context.invocation_metadata())
        self._writing = asyncio.Lock()

    async def answer(self, data: bytes) -> None:
        """Run one request and write its responses."""
        try:
            async with aclosing(self._servicer.stream_responses(data, self._headers, self._context)) as responses:
                async for response in responses:
                    async with self._writing:
                        await write_response(self._context, response)
        finally:
            self.concurrency.release()


def _decode_small(message_cls: type[Any], data: bytes) -> Any:
    """Decode a request that names a model."""
    if len(data) > _MAX_SMALL_BYTES:
        raise PayloadTooLarge(f"The message exceeds the limit of {_MAX_SMALL_BYTES} bytes.")
    return decode(message_cls, data)


class _ParsedRequest(NamedTuple):
    """An inference request and its parts."""

    request: Any
    outputs: Sequence[str]
    parameters: InferParameters
    items: list[InferItem]


def _parse(data: bytes, max_questions: int) -> _ParsedRequest:
    return _parse_request(decode(pb.ModelInferRequest, data), max_questions)


def _parse_request(request: Any, max_questions: int) -> _ParsedRequest:
    if len(request.id) > MAX_ID_CHARS or len(request.model_name) > MAX_ID_CHARS:
        raise PayloadTooLarge(f"The id and the model name can have at most {MAX_ID_CHARS} characters.")
    check_version(request.model_name, request.model_version)
    outputs = select_outputs([output.name for output in request.outputs])
    parameters = parse_infer_parameters(_parameters(request))
    return _ParsedRequest(request, outputs, parameters, parse_infer_items(_tensors(request), max_questions))


def _parameters(request: Any) -> dict[str, Any]:
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "", None)
        for name, value in request.parameters.items()
    }


def _tensors(request: Any) -> list[Tensor]:
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise BadRequest("raw_input_contents must hold the contents of every input, or be empty.")
    return [
        Tensor(
            tensor.name,
            tensor.datatype,
            tuple(tensor.shape),
            unpack_bytes(raw[index]) if raw and tensor.datatype == "BYTES" else tensor.contents.bytes_contents,
        )
        for index, tensor in enumerate(request.inputs)
    ]


def _response(request: Any, batch: Sequence[Outputs], names: Sequence[str]) -> Any:
    response = pb.ModelInferResponse(id=request.id, model_name=request.model_name, model_version=VERSION)
    for name in names:
        response.outputs.add(name=name, datatype="BYTES", shape=[len(batch)])
        response.raw_output_contents.append(pack_bytes([outputs[name] for outputs in batch]))
    return response

"""``inference.GRPCInferenceService``, the Open Inference Protocol v2 as KServe and Triton define it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from google.protobuf.json_format import ParseDict
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from sarlens.admission.memory import Memory
from sarlens.errors import BadRequest, SarlensError
from sarlens.ingress.caller import Caller
from sarlens.ingress.calls import Calls
from sarlens.ingress.desk import Desk
from sarlens.ingress.inquiries import read_inquiries, read_options
from sarlens.ingress.signature import VERSION, index_entry, model_config, model_metadata, server_metadata
from sarlens.ingress.tensors import Outputs, Tensor, pack_bytes, unpack_bytes, wanted

_ROUTE = "/inference.GRPCInferenceService/"
_EMPTY_FINAL = "triton_enable_empty_final_response"
_FINAL = "triton_final_response"
_AT_ONCE = 64


class OpenInference(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Translates tensors to inquiries and answers to tensors."""

    def __init__(self, desk: Desk, calls: Calls, memory: Memory, *, max_questions: int) -> None:
        self._desk = desk
        self._calls = calls
        self._memory = memory
        self._max_questions = max_questions

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's names
        """The process is alive."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Some worker answers, and work is taken."""
        return pb.ServerReadyResponse(ready=self._desk.ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The server's name and version."""
        return ParseDict(server_metadata(), pb.ServerMetadataResponse())

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Some ready worker serves the model, and the caller's key opens it."""
        async with self._calls.call(context, _ROUTE + "ModelReady") as caller:
            return pb.ModelReadyResponse(ready=request.name in self._desk.models(caller.key))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The inputs and outputs, which are those of every model."""
        async with self._calls.call(context, _ROUTE + "ModelMetadata") as caller:
            model = self._desk.served(request.name, caller.key)
            return ParseDict(model_metadata(model), pb.ModelMetadataResponse())

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Triton's way to say the same."""
        async with self._calls.call(context, _ROUTE + "ModelConfig") as caller:
            config = model_config(self._desk.served(request.name, caller.key))
            return ParseDict({"config": config}, pb.ModelConfigResponse())

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What was asked of a model over this protocol since the process began; of all models without a name."""
        async with self._calls.call(context, _ROUTE + "ModelStatistics") as caller:
            stats = self._desk.statistics_of(request.name, caller.key)
            return ParseDict({"model_stats": stats}, pb.ModelStatisticsResponse())

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The models that ready workers serve and the caller's key opens."""
        async with self._calls.call(context, _ROUTE + "RepositoryIndex") as caller:
            models = [index_entry(name) for name in self._desk.models(caller.key)]
            return ParseDict({"models": models}, pb.RepositoryIndexResponse())

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer a batch of inquiries, all at the same time."""
        async with self._calls.call(context, _ROUTE + "ModelInfer") as caller:
            with self._memory.holding() as holding:
                holding.grow(request.ByteSize())
                names, options = wanted([each.name for each in request.outputs]), read_options(_parameters(request))
                inquiries = read_inquiries(_tensors(request), self._max_questions)
                found = await self._desk.answer_all(request.model_name, inquiries, options, caller)
                return _response(request, found, names)

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802
        """Answer inquiries side by side, each piece of text as it comes; errors are told and end nothing."""
        stream = _Stream(self, context)
        async with asyncio.TaskGroup() as answering:
            async for request in requests:
                await stream.room.acquire()
                answering.create_task(stream.answer(request))

    async def told(self, request: Any, context: Any) -> AsyncGenerator[Any]:
        """The responses to one request of a stream; an error is the last of them."""
        name = uuid4().hex
        try:
            with self._calls.counted(context, _ROUTE + "ModelStreamInfer", name), self._memory.holding() as holding:
                caller = self._calls.caller(context, name)
                holding.grow(request.ByteSize())
                async with aclosing(self._pieces(request, caller)) as responses:
                    async for response in responses:
                        yield pb.ModelStreamInferResponse(infer_response=response)
        except SarlensError as error:
            head = pb.ModelInferResponse(id=request.id, model_name=request.model_name)
            yield pb.ModelStreamInferResponse(error_message=error.message, infer_response=head)

    async def _pieces(self, request: Any, caller: Caller) -> AsyncGenerator[Any]:
        names, parameters = wanted([each.name for each in request.outputs]), _parameters(request)
        inquiries, options = read_inquiries(_tensors(request), self._max_questions), read_options(parameters)
        if len(inquiries) != 1:
            raise BadRequest("A stream answers one thing a request.")
        async with aclosing(self._desk.stream(request.model_name, inquiries[0], options, caller)) as pieces:
            async for outputs in pieces:
                yield _response(request, [outputs], names)
        if parameters.get(_EMPTY_FINAL) is True:
            last = pb.ModelInferResponse(id=request.id, model_name=request.model_name, model_version=VERSION)
            last.parameters[_FINAL].bool_param = True
            yield last


class _Stream:
    """One stream of a caller, onto which answers are written as they come, those of one request in order."""

    def __init__(self, service: OpenInference, context: Any) -> None:
        self.room = asyncio.Semaphore(_AT_ONCE)
        self._service = service
        self._context = context
        self._writing = asyncio.Lock()

    async def answer(self, request: Any) -> None:
        """Answer one request."""
        try:
            async with aclosing(self._service.told(request, self._context)) as responses:
                async for response in responses:
                    async with self._writing:
                        await self._context.write(response)
        finally:
            self.room.release()


def _parameters(request: Any) -> dict[str, Any]:
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "", None)
        for name, value in request.parameters.items()
    }


def _tensors(request: Any) -> list[Tensor]:
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise BadRequest("raw_input_contents has to hold the contents of every input, or nothing.")
    return [
        Tensor(
            each.name,
            each.datatype,
            tuple(each.shape),
            unpack_bytes(raw[at]) if raw and each.datatype == "BYTES" else each.contents.bytes_contents,
        )
        for at, each in enumerate(request.inputs)
    ]


def _response(request: Any, found: Sequence[Outputs], names: Sequence[str]) -> Any:
    response = pb.ModelInferResponse(id=request.id, model_name=request.model_name, model_version=VERSION)
    for name in names:
        response.outputs.add(name=name, datatype="BYTES", shape=[len(found)])
        response.raw_output_contents.append(pack_bytes([outputs[name] for outputs in found]))
    return response

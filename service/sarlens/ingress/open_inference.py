"""``inference.GRPCInferenceService``, the Open Inference Protocol v2 as KServe and Triton define it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from time import perf_counter
from typing import Any
from uuid import uuid4

import grpc
import structlog
from tritonclient.grpc import model_config_pb2, service_pb2_grpc
from tritonclient.grpc import service_pb2 as pb

import sarlens
from sarlens.admission.keys import Key
from sarlens.admission.memory import Memory
from sarlens.errors import BadRequest, ModelNotFound, SarlensError
from sarlens.ingress.door import Door
from sarlens.ingress.duty import Duty
from sarlens.ingress.inquiries import Caller, Desk
from sarlens.ingress.replies import UNEXPECTED
from sarlens.ingress.tensors import (
    IMAGE,
    OUTPUTS,
    WORDS,
    Tensor,
    pack_bytes,
    read_inquiries,
    read_options,
    unpack_bytes,
    wanted,
)
from sarlens.metrics import Metrics
from sarlens.request import Terms

log = structlog.get_logger(__name__)

_EMPTY_FINAL = "triton_enable_empty_final_response"
_FINAL = "triton_final_response"


class OpenInference(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Translates tensors to inquiries and answers to tensors."""

    def __init__(
        self, desk: Desk, door: Door, duty: Duty, memory: Memory, metrics: Metrics, *, max_questions: int
    ) -> None:
        self._desk = desk
        self._door = door
        self._duty = duty
        self._memory = memory
        self._metrics = metrics
        self._max_questions = max_questions

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802  the protocol's names
        """The process is alive."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Some worker answers, and work is taken."""
        return pb.ServerReadyResponse(ready=self._desk.pool.ready and not self._duty.draining)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Some ready worker serves the model, and the caller's key opens it."""
        ready = False
        with self._told(context, "ModelReady") as said:
            ready = request.name in self._models(context)
        if said.error is not None:
            await _abort(context, said.error)
        return pb.ModelReadyResponse(ready=ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The server's name and version."""
        return pb.ServerMetadataResponse(name="sarlens", version=sarlens.__version__)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The inputs and outputs, which are those of every model."""
        await self._served(request.name, context, "ModelMetadata")
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=["1"],
            platform="sarlens",
            inputs=[tensor(name=name, datatype="BYTES", shape=[-1]) for name in (IMAGE, *WORDS)],
            outputs=[tensor(name=name, datatype="BYTES", shape=[-1]) for name in OUTPUTS],
        )

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Triton's way to say the same, and that a stream has as many responses as the model has pieces of text."""
        await self._served(request.name, context, "ModelConfig")
        config = model_config_pb2.ModelConfig(name=request.name, platform="sarlens")
        for name in (IMAGE, *WORDS):
            config.input.add(name=name, data_type=model_config_pb2.TYPE_STRING, dims=[-1], optional=True)
        for name in OUTPUTS:
            config.output.add(name=name, data_type=model_config_pb2.TYPE_STRING, dims=[-1])
        config.model_transaction_policy.decoupled = True
        return pb.ModelConfigResponse(config=config)

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The models that ready workers serve and the caller's key opens."""
        entry, models = pb.RepositoryIndexResponse.ModelIndex, []
        with self._told(context, "RepositoryIndex") as said:
            models = [entry(name=name, version="1", state="READY") for name in self._models(context)]
        if said.error is not None:
            await _abort(context, said.error)
        return pb.RepositoryIndexResponse(models=models)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer a batch of inquiries, all at the same time."""
        response = None
        with self._told(context, "ModelInfer") as said, self._memory.holding() as holding:
            caller = self._caller(context, said)
            holding.grow(request.ByteSize())
            names, options = wanted([each.name for each in request.outputs]), read_options(_parameters(request))
            inquiries = read_inquiries(_tensors(request), self._max_questions)
            found = await self._desk.answer_all(request.model_name, inquiries, options, caller)
            response = _response(request, found, names)
        if said.error is not None:
            await _abort(context, said.error)
        return response

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802
        """Answer inquiries one after another, each piece of text as it comes; errors are told and end nothing."""
        async for request in requests:
            with self._told(context, "ModelStreamInfer") as said, self._memory.holding() as holding:
                caller = self._caller(context, said)
                holding.grow(request.ByteSize())
                async with aclosing(self._stream(request, caller)) as responses:
                    async for response in responses:
                        await context.write(pb.ModelStreamInferResponse(infer_response=response))
            if said.error is not None:
                head = pb.ModelInferResponse(id=request.id, model_name=request.model_name)
                await context.write(pb.ModelStreamInferResponse(error_message=said.error.message, infer_response=head))

    async def _stream(self, request: Any, caller: Caller) -> AsyncGenerator[Any]:
        names, parameters = wanted([each.name for each in request.outputs]), _parameters(request)
        inquiries, options = read_inquiries(_tensors(request), self._max_questions), read_options(parameters)
        if len(inquiries) != 1:
            raise BadRequest("A stream answers one thing a request.")
        async with aclosing(self._desk.stream(request.model_name, inquiries[0], options, caller)) as pieces:
            async for outputs in pieces:
                yield _response(request, [outputs], names)
        if parameters.get(_EMPTY_FINAL) is True:
            last = pb.ModelInferResponse(id=request.id, model_name=request.model_name, model_version="1")
            last.parameters[_FINAL].bool_param = True
            yield last

    async def _served(self, model: str, context: Any, method: str) -> None:
        """End the call where no ready worker serves the model, or the caller's key does not open it."""
        with self._told(context, method) as said:
            if model not in self._models(context):
                raise ModelNotFound(f"No model {model[:100]!r} is served here, or none that your key opens.")
        if said.error is not None:
            await _abort(context, said.error)

    def _models(self, context: Any) -> list[str]:
        key = self._key(context)
        return [name for name in self._desk.pool.models() if key is None or key.may_ask(name)]

    def _key(self, context: Any) -> Key | None:
        metadata = context.invocation_metadata() or ()
        return self._door.key_of(
            (name.encode(), value.encode() if isinstance(value, str) else value) for name, value in metadata
        )

    def _caller(self, context: Any, said: _Said) -> Caller:
        key, left = self._key(context), context.time_remaining()
        salt, priority = (key.name, key.priority) if key else ("", 0)
        # A call without a deadline has one in the far future, or none, by the version of gRPC.
        deadline = time.time() + left if left is not None and left < 1e6 else None
        return Caller(key, Terms(salt, priority, deadline), said.request_id)

    @contextmanager
    def _told(self, context: Any, method: str) -> Iterator[_Said]:
        """Count a call, and keep the error that is to be told."""
        said = _Said(uuid4().hex)
        route, arrived, status = f"/inference.GRPCInferenceService/{method}", perf_counter(), "CANCELLED"
        try:
            with self._duty.request():
                yield said
            status = "OK"
        except SarlensError as error:
            said.error, status = error, error.rpc
            if error.status >= 500:
                log.warning("request refused", request_id=said.request_id, code=error.code, reason=error.message)
        except Exception:
            log.exception("request failed", request_id=said.request_id, path=route)
            said.error, status = SarlensError(UNEXPECTED), SarlensError.rpc
        finally:
            if said.error is not None:
                self._metrics.errors.labels(said.error.code).inc()
            self._metrics.requests.labels(route, status).inc()
            self._metrics.latency.labels(route).observe(perf_counter() - arrived)


class _Said:
    """What is known of a call when it is over."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.error: SarlensError | None = None


async def _abort(context: Any, error: SarlensError) -> None:
    trailing = () if error.retry_after is None else (("retry-after", str(error.retry_after)),)
    await context.abort(grpc.StatusCode[error.rpc], error.message, (("sarlens-code", error.code), *trailing))


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


def _response(request: Any, found: Sequence[dict[str, bytes]], names: Sequence[str]) -> Any:
    response = pb.ModelInferResponse(id=request.id, model_name=request.model_name, model_version="1")
    for name in names:
        response.outputs.add(name=name, datatype="BYTES", shape=[len(found)])
        response.raw_output_contents.append(pack_bytes([outputs[name] for outputs in found]))
    return response
